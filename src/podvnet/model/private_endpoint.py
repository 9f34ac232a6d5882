"""Private endpoints: addresses of a virtual network that stand for one service.

Sources: Azure documents "What is a private endpoint?", "Azure Private Endpoint private DNS zone values".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class PrivateEndpoint:
    """A private endpoint.

    Attributes:
        subnet: where it has its address.
        service: what it leads to; it may be gone.
        host: the public name of what it leads to, of the several that a service may have.
    """

    id: ResourceId
    subnet: ResourceId
    address: Address
    service: ResourceId
    host: str

    @property
    def network(self) -> ResourceId:
        """The virtual network it is in."""
        return self.subnet.parent


def private_link_name(host: str) -> str:
    """What the public name of a service with a private endpoint is an alias of: that is in a zone of one's own."""
    label, _, rest = host.partition(".")
    return f"{label}.privatelink.{rest}"
