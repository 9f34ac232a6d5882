"""The names of public DNS that the fabric itself gives out.

Pure. Sources: Azure documents "Public IP addresses" (domain name labels), "Virtual Network service endpoints" (the
names of a service go on to mean its public addresses).
"""

from __future__ import annotations

from collections.abc import Mapping

from podvnet.model.address import MANAGEMENT_ADDRESS, MANAGEMENT_NAME, Address
from podvnet.model.intent import Intent

PUBLIC_TTL = 10
"""Seconds that such a name may be kept."""


def public_names(intent: Intent) -> Mapping[str, tuple[Address, ...]]:
    """The addresses of each name, in lower case and without a dot at its end."""
    named = {each.name.lower(): tuple(each.addresses) for each in intent.public_addresses.values() if each.name}
    for service in intent.services.values():
        for name, address in service.endpoints:
            named[name.lower()] = (address,)
    return {MANAGEMENT_NAME: (MANAGEMENT_ADDRESS,)} | named
