"""What the service tags that depend on the place mean: the virtual network as a subnet sees it, and the rest.

Source: Azure document "Virtual network service tags", VirtualNetwork: the address space of the virtual network, those
of the peered ones, what gateways lead to, the host's virtual address, and the prefixes of the user-defined routes of
the subnet. The default route may be among them. A subnet without routes of gateways does not count what they lead to.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from podvnet.model.address import WIRESERVER_ADDRESS, Address, Prefix
from podvnet.model.intent import VirtualNetwork
from podvnet.model.routing import NO_GATEWAYS, GatewayReach, RouteTable
from podvnet.model.service_tag import tag_prefixes


def virtual_network_prefixes(
    network: VirtualNetwork, table: RouteTable | None, gateways: GatewayReach = NO_GATEWAYS
) -> tuple[Prefix, ...]:
    """The tag VirtualNetwork in a subnet of ``network`` with ``table``: disjoint prefixes, IPv4 first.

    ``gateways``: where the gateways lead to that the network uses.
    """
    found: list[Prefix] = [*network.prefixes, IPv4Network(WIRESERVER_ADDRESS)]
    found += (prefix for peering in network.peerings if peering.access for prefix in peering.prefixes)
    if table is None or table.propagates_gateway_routes:
        found += (each.prefix for each in gateways.prefixes)
    for route in table.routes if table else ():
        found += (route.prefix,) if route.prefix else tag_prefixes(route.tag)
    return collapsed(found)


def collapsed(prefixes: list[Prefix]) -> tuple[Prefix, ...]:
    """The same addresses in as few prefixes as possible, IPv4 first, in order.

    It is :func:`ipaddress.collapse_addresses` for the thousands that gateways learn: no object is made on the way.
    """
    found: list[Prefix] = []
    for version, made, width in ((4, IPv4Network, 32), (6, IPv6Network, 128)):
        starts: dict[int, set[int]] = {}
        for prefix in prefixes:
            if prefix.version == version:
                spare = width - prefix.prefixlen
                starts.setdefault(spare, set()).add(int(prefix.network_address) >> spare)
        found += (made((start << spare, width - spare)) for start, spare in _fewest(starts, width))
    return tuple(found)


def _fewest(starts: dict[int, set[int]], width: int) -> list[tuple[int, int]]:
    """The start of each prefix that is left, without its spare bits, and how many these are; in order."""
    for spare in range(width):
        for start in starts.get(spare, ()):
            if not start & 1 and start | 1 in starts[spare]:
                starts.setdefault(spare + 1, set()).add(start >> 1)
    widest_first = sorted(starts, reverse=True)
    kept = [
        (start, spare)
        for place, spare in enumerate(widest_first)
        for start in starts[spare]
        if not any(start >> (wider - spare) in starts[wider] for wider in widest_first[:place])
    ]
    return sorted(kept, key=lambda each: each[0] << each[1])


def holds(prefixes: tuple[Prefix, ...], address: Address) -> bool:
    """Tell whether an address is in one of the prefixes."""
    return any(address in prefix for prefix in prefixes)
