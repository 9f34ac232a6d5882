"""Public addresses, and the gateways that lend theirs to whole subnets.

Sources: Azure documents "Public IP addresses", "Public IP address prefix", "Azure NAT Gateway resource".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podvnet.model.address import Address, Prefix
from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """A public address, or a public prefix: then ``prefix`` holds several.

    Attributes:
        name: the name that resolves to it everywhere, of one with a domain name label.
        idle_timeout: seconds after which a silent TCP flow of a NIC that has it for its own is forgotten.
    """

    id: ResourceId
    prefix: Prefix
    name: str = ""
    idle_timeout: int = 240

    @property
    def addresses(self) -> Iterator[Address]:
        """Every address: of a public prefix all can be used, the first and the last too."""
        return iter(self.prefix)


@dataclass(frozen=True, slots=True)
class NatGateway:
    """The way out of the subnets that name it.

    Attributes:
        addresses: public addresses and prefixes.
        idle_timeout: seconds after which a silent TCP flow is forgotten.
    """

    id: ResourceId
    addresses: tuple[ResourceId, ...]
    idle_timeout: int = 240
