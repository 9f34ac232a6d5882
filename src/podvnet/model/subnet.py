"""A subnet and the rules of its addresses.

Source: Azure document "Virtual Network FAQ": five addresses of every subnet are Azure's own: the network address,
the default gateway (.1), two for DNS (.2, .3), and the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podvnet.model.address import GATEWAY6, Address, Prefix
from podvnet.model.resource_id import ResourceId

_LEADING_RESERVED = 4


@dataclass(frozen=True, slots=True)
class Subnet:
    """A range of a virtual network.

    Attributes:
        prefixes: at most one IPv4 prefix and one IPv6 prefix, in this order.
        default_outbound: whether NICs without another way out get Azure's default outbound address.
        endpoint_policies: service endpoint policies; with one, only what they name is reached by service endpoints.
        filters_endpoints: its security group asks what is for its private endpoints.
        reroutes_endpoints: wider routes of users go before those to its private endpoints.
    """

    id: ResourceId
    prefixes: tuple[Prefix, ...]
    default_outbound: bool = True
    security_group: ResourceId | None = None
    route_table: ResourceId | None = None
    service_endpoints: tuple[str, ...] = ()
    nat_gateway: ResourceId | None = None
    endpoint_policies: tuple[ResourceId, ...] = ()
    filters_endpoints: bool = False
    reroutes_endpoints: bool = False

    def prefix_of(self, version: int) -> Prefix | None:
        """The prefix of IP ``version`` (4 or 6), or None."""
        return next((prefix for prefix in self.prefixes if prefix.version == version), None)


def gateway(prefix: Prefix) -> Address:
    """The default gateway: of IPv4 the first address after the network address, of IPv6 the same everywhere."""
    return prefix.network_address + 1 if prefix.version == 4 else GATEWAY6


def is_reserved(prefix: Prefix, address: Address) -> bool:
    """Tell whether ``address`` is one of the five that Azure keeps in ``prefix``."""
    offset = int(address) - int(prefix.network_address)
    return offset < _LEADING_RESERVED or offset == prefix.num_addresses - 1


def capacity(prefix: Prefix) -> int:
    """How many addresses of ``prefix`` can be given to ip-configurations."""
    return max(0, prefix.num_addresses - _LEADING_RESERVED - 1)


def usable(prefix: Prefix) -> Iterator[Address]:
    """The addresses that can be given out, lowest first (the order of dynamic allocation)."""
    first = int(prefix.network_address) + _LEADING_RESERVED
    last = int(prefix.broadcast_address)
    make = type(prefix.network_address)
    return (make(value) for value in range(first, last))
