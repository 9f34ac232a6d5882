"""A flow: what one packet of it is known by."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Address

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
"""IP protocol numbers. Source: IANA "Assigned Internet Protocol Numbers"."""
PORTED = frozenset({TCP, UDP})
"""Protocols with ports that security rules can name."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The first packet of a flow. Ports are 0 where the protocol has none.

    Attributes:
        protocol: IP protocol number.
    """

    protocol: int
    source: Address
    destination: Address
    source_port: int = 0
    destination_port: int = 0
