"""The routes that hold in a subnet, and which of them a destination takes.

Routing is decided by the sender's subnet alone. Of the routes to the same prefix the user's wins, then a gateway's, of
those ExpressRoute's; of those that hold an address the longest prefix wins. What the system leads to the virtual
network itself, to peers, to service endpoints and private endpoints wins over a gateway's even where that is longer.
Source: Azure document "Virtual network traffic routing", "How Azure selects a route" and "System routes".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from podvnet.model.address import Address, Prefix
from podvnet.model.intent import VirtualNetwork
from podvnet.model.kernel import host_prefix
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import (
    NO_GATEWAYS,
    EffectiveRoute,
    EndpointRoute,
    GatewayReach,
    NextHop,
    RouteSource,
    RouteTable,
)
from podvnet.model.service_tag import endpoint_prefixes, specificity, tag_prefixes

NEVER_INTERNET = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
"""Prefixes that system routes drop unless the virtual network or a peer holds them."""
_EVERYWHERE: tuple[Prefix, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_YIELDING = (NextHop.INTERNET, NextHop.NONE)
"""Next hops of system routes that those of gateways to the same prefix win over."""


def effective_routes(
    network: VirtualNetwork,
    table: RouteTable | None,
    endpoints: tuple[str, ...] = (),
    private: tuple[EndpointRoute, ...] = (),
    gateways: GatewayReach = NO_GATEWAYS,
) -> tuple[EffectiveRoute, ...]:
    """Every route of a subnet of ``network``, those that lose to another marked as not active.

    Args:
        network: the virtual network.
        table: the subnet's route table.
        endpoints: the services it has endpoints for.
        private: the private endpoints of the network and of its peers.
        gateways: where the gateways lead to that the network uses.
    """
    user = tuple(_user_routes(table, gateways.vpn)) if table else ()
    taken = {route.prefix for route in user if route.active}
    private_routes = _private_routes(network, private, user)
    made = (*_system_routes(network), *_peers(network), *_service_routes(endpoints), *private_routes)
    learned: tuple[EffectiveRoute, ...] = ()
    if gateways.prefixes and (table is None or table.propagates_gateway_routes):
        learned = tuple(_gateway_routes(network, gateways, made, taken))
    led = {route.prefix for route in learned if route.active}
    system = (
        _lost(route) if route.prefix in taken or (route.prefix in led and route.next_hop in _YIELDING) else route
        for route in made
    )
    return (*system, *learned, *user)


def select_route(routes: Iterable[EffectiveRoute], address: Address) -> EffectiveRoute | None:
    """The route that a packet to ``address`` takes: of the active ones the one with the longest prefix."""
    found = [route for route in routes if route.active and address in route.prefix]
    return max(found, key=lambda route: route.prefix.prefixlen, default=None)


def _system_routes(network: VirtualNetwork) -> Iterator[EffectiveRoute]:
    own = network.prefixes
    for prefix in own:
        yield EffectiveRoute(RouteSource.DEFAULT, prefix, NextHop.VNET_LOCAL)
    for prefix in _EVERYWHERE:
        if any(each.version == prefix.version for each in own):
            yield EffectiveRoute(RouteSource.DEFAULT, prefix, NextHop.INTERNET)
    held = [*own, *(each for peering in network.peerings for each in peering.prefixes)]
    for reserved in NEVER_INTERNET:
        if not any(isinstance(each, IPv4Network) and reserved.subnet_of(each) for each in held):
            yield EffectiveRoute(RouteSource.DEFAULT, reserved, NextHop.NONE)


def _peers(network: VirtualNetwork) -> Iterator[EffectiveRoute]:
    for peering in network.peerings:
        for prefix in peering.prefixes:
            yield EffectiveRoute(RouteSource.DEFAULT, prefix, NextHop.PEERING, network=peering.remote)


def _service_routes(endpoints: tuple[str, ...]) -> Iterator[EffectiveRoute]:
    for prefix in dict.fromkeys(each for service in endpoints for each in endpoint_prefixes(service)):
        yield EffectiveRoute(RouteSource.DEFAULT, prefix, NextHop.SERVICE_ENDPOINT)


def _private_routes(
    network: VirtualNetwork, private: tuple[EndpointRoute, ...], user: tuple[EffectiveRoute, ...]
) -> Iterator[EffectiveRoute]:
    """The routes to private endpoints.

    Where an endpoint's subnet lets it, one of a user goes before that is not wider than the address space.
    Source: Azure document "Manage network policies for private endpoints".
    """
    space = (*network.prefixes, *(prefix for peering in network.peerings for prefix in peering.prefixes))
    for each in private:
        prefix, address = host_prefix(each.address), each.address
        route = EffectiveRoute(RouteSource.DEFAULT, prefix, NextHop.INTERFACE_ENDPOINT, network=each.network)
        around = min((part.prefixlen for part in space if address in part), default=0)
        wide = (one for one in user if one.active and address in one.prefix and one.prefix.prefixlen >= around)
        yield _lost(route) if each.overridable and any(wide) else route


def _gateway_routes(
    network: VirtualNetwork, gateways: GatewayReach, system: Iterable[EffectiveRoute], taken: set[Prefix]
) -> Iterator[EffectiveRoute]:
    """The routes of gateways, but for those to a prefix that is the virtual network's own."""
    firm = _Prefixes(route.prefix for route in system if route.next_hop not in _YIELDING)
    preferred = {each.prefix for each in gateways.prefixes if each.preferred}
    for each in gateways.prefixes:
        if each.prefix in network.prefixes:
            continue
        route = EffectiveRoute(RouteSource.GATEWAY, each.prefix, NextHop.GATEWAY, gateway=each.gateway)
        is_second = each.prefix in preferred and not each.preferred
        yield _lost(route) if is_second or each.prefix in taken or firm.hold(each.prefix) else route


class _Prefixes:
    """Prefixes by their length: there are thousands of routes to be looked at, and few lengths."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        self._found: dict[tuple[int, int], set[int]] = {}
        for each in prefixes:
            spare = each.max_prefixlen - each.prefixlen
            self._found.setdefault((each.version, spare), set()).add(int(each.network_address) >> spare)

    def hold(self, prefix: Prefix) -> bool:
        """Whether one of them is the prefix, or is wider."""
        start, spare = int(prefix.network_address), prefix.max_prefixlen - prefix.prefixlen
        return any(
            version == prefix.version and length >= spare and start >> length in found
            for (version, length), found in self._found.items()
        )


def _user_routes(table: RouteTable, vpn: ResourceId | None) -> Iterator[EffectiveRoute]:
    """A table's routes. Of several to one prefix the one written as a prefix wins over tags, then the narrowest tag."""
    written: list[tuple[int, EffectiveRoute]] = []
    for each in table.routes:
        prefixes = (each.prefix,) if each.prefix else tag_prefixes(each.tag)
        rank = -1 if each.prefix else specificity(each.tag)
        for prefix in prefixes:
            route = EffectiveRoute(RouteSource.USER, prefix, each.next_hop, appliance=each.appliance, name=each.name)
            written.append((rank, replace(route, gateway=vpn) if each.next_hop is NextHop.GATEWAY else route))
    best: dict[Prefix, int] = {}
    for rank, route in written:
        best[route.prefix] = min(best.get(route.prefix, rank), rank)
    for rank, route in written:
        yield route if rank == best[route.prefix] else _lost(route)


def _lost(route: EffectiveRoute) -> EffectiveRoute:
    return replace(route, active=False)
