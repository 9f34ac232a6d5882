"""The names of public DNS that the fabric itself gives out.

Pure. Sources: Azure documents "Public IP addresses" (domain name labels), "Virtual Network service endpoints" (the
names of a service go on to mean its public addresses), "Azure Private Endpoint DNS integration" (with a private
endpoint they are aliases).
"""

from __future__ import annotations

from collections.abc import Mapping

from podvnet.model.address import MANAGEMENT_ADDRESS, MANAGEMENT_NAME, Address
from podvnet.model.intent import Intent
from podvnet.model.private_endpoint import private_link_name

PUBLIC_TTL = 10
"""Seconds that such a name may be kept."""


def public_names(intent: Intent) -> Mapping[str, tuple[Address, ...]]:
    """The addresses of each name, in lower case and without a dot at its end."""
    named: dict[str, tuple[Address, ...]] = {}
    for each in intent.public_addresses.values():
        if each.name:
            # One of each IP version may have a name.
            named[each.name.lower()] = (*named.get(each.name.lower(), ()), *each.addresses)
    for service in intent.services.values():
        for name, address in service.endpoints:
            named[name.lower()] = (address,)
    aliases = public_aliases(intent)
    named |= {alias: named[name] for name, alias in aliases.items()}
    return {MANAGEMENT_NAME: (MANAGEMENT_ADDRESS,)} | named


def public_aliases(intent: Intent) -> Mapping[str, str]:
    """The names of services that have private endpoints, and what each is an alias of."""
    hosts = {name for service in intent.services.values() for name, _ in service.endpoints}
    linked = {each.host for each in intent.private_endpoints.values() if each.host in hosts}
    return {host: private_link_name(host) for host in sorted(linked)}
