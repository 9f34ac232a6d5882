"""Which prefixes lead to which gateway, for each virtual network, and from a gateway to which virtual network.

A gateway is used by its own virtual network, and by those peers that say so where the peering back allows it (gateway
transit). It leads to what is written of the devices on premises that it has connections to, whether the tunnels are up
or not, and to what its BGP has learned. A prefix that is exactly one of its own virtual network's is refused, one that
holds it is accepted, and so is the default route.

Sources: Azure documents "About BGP with Azure VPN Gateway", "VPN Gateway FAQ" (BGP), "Configure VPN gateway transit for
virtual network peering", "Configure ExpressRoute and site-to-site coexisting connections" (ExpressRoute is preferred
for the same prefix).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from podvnet.model.address import Address, Prefix
from podvnet.model.gateway import Connection, ConnectionKind, GatewayKind, LearnedRoute, VirtualNetworkGateway
from podvnet.model.intent import Intent, VirtualNetwork
from podvnet.model.kernel import host_prefix
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import NO_GATEWAYS, GatewayPrefix, GatewayReach, NextHop
from podvnet.model.subnet import Subnet
from podvnet.plan.effective_routes import effective_routes

GATEWAY_SUBNET = "gatewaysubnet"
"""The name of the subnet that gateways are in, in lower case."""
_DECIDED = (NextHop.APPLIANCE, NextHop.NONE, NextHop.VNET_LOCAL)
"""The next hops of routes of users by which the gateways' own virtual network takes what they send in."""


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """A route of a gateway to what it is connected to.

    Attributes:
        prefix: where it leads to.
        connection: by which connection; None when it is not known which one has learned it.
        peer: whose BGP said so; None for what is written.
        as_path: what it said.
    """

    prefix: Prefix
    connection: Connection | None
    peer: Address | None = None
    as_path: tuple[int, ...] = ()

    @property
    def is_learned(self) -> bool:
        """Whether it is there only as long as BGP says so."""
        return self.peer is not None


class GatewayRoutes:
    """The gateways of an intent and where they lead to. The intent must not change meanwhile."""

    def __init__(self, intent: Intent) -> None:
        self._intent = intent
        self._reaches: dict[str, GatewayReach] = {}

    def is_of(self, intent: Intent) -> bool:
        """Whether all that this was made of is the same in another intent, so that it can be kept."""
        before, after = self._intent, intent
        pairs: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = (
            (before.gateways, after.gateways),
            (before.connections, after.connections),
            (before.circuits, after.circuits),
            (before.virtual_networks, after.virtual_networks),
        )
        return before.learned == after.learned and all(_same(one, other) for one, other in pairs)

    def used(self, network: ResourceId) -> tuple[VirtualNetworkGateway, ...]:
        """The gateways that a virtual network uses: its own, or else those of the peer whose it uses."""
        return self._used.get(network.key, ())

    def users(self, gateway: VirtualNetworkGateway) -> tuple[VirtualNetwork, ...]:
        """The virtual networks that use a gateway, its own first."""
        networks = self._intent.virtual_networks.values()
        found = [each for each in networks if gateway in self.used(each.id)]
        return tuple(sorted(found, key=lambda each: (each.id != gateway.network, each.number)))

    def routes(self, gateway: VirtualNetworkGateway) -> tuple[GatewayRoute, ...]:
        """The routes of a gateway, for each prefix the best first: what is learned, by the shortest AS path."""
        return self._routes.get(gateway.id.key, ())

    def reach(self, network: ResourceId) -> GatewayReach:
        """What the gateways of a virtual network mean for its subnets."""
        if not self._used:
            return NO_GATEWAYS
        found = self._reaches.get(network.key)
        if found is None:
            found = self._reaches[network.key] = self._reach(self.used(network))
        return found

    def _reach(self, used: tuple[VirtualNetworkGateway, ...]) -> GatewayReach:
        prefixes = tuple(
            GatewayPrefix(prefix, gateway.id, gateway.kind is GatewayKind.EXPRESS_ROUTE)
            for gateway in used
            for prefix in dict.fromkeys(route.prefix for route in self.routes(gateway))
        )
        return GatewayReach(prefixes, next((each.id for each in used if each.kind is GatewayKind.VPN), None))

    def inward(self, gateway: VirtualNetworkGateway) -> tuple[tuple[Prefix, ResourceId], ...]:
        """What a gateway sends to which virtual network, by the link to it.

        Its own virtual network and those that use it by transit; what routes of users of its subnet lead to an
        appliance, or nowhere, goes to its own, whose routing decides it.
        Source: Azure document "Virtual network traffic routing": route tables on GatewaySubnet; the default route is
        none of them.
        """
        found: dict[Prefix, ResourceId] = {}
        for network in reversed(self.users(gateway)):
            found |= dict.fromkeys(network.prefixes, network.id)
        home = self._intent.virtual_networks[gateway.network.key]
        subnet = gateway_subnet(home)
        table = self._intent.route_tables.get(subnet.route_table.key) if subnet and subnet.route_table else None
        for route in effective_routes(home, table) if table else ():
            if route.name and route.active and route.prefix.prefixlen and route.next_hop in _DECIDED:
                found[route.prefix] = home.id
        return tuple(found.items())

    @cached_property
    def _used(self) -> dict[str, tuple[VirtualNetworkGateway, ...]]:
        own: dict[str, tuple[VirtualNetworkGateway, ...]] = {}
        for gateway in sorted(self._intent.gateways.values(), key=lambda each: each.number):
            own[gateway.network.key] = (*own.get(gateway.network.key, ()), gateway)
        found = dict(own)
        for key, network in self._intent.virtual_networks.items():
            if key not in own and (lent := self._lent(network, own)):
                found[key] = lent
        return found

    def _lent(
        self, network: VirtualNetwork, own: dict[str, tuple[VirtualNetworkGateway, ...]]
    ) -> tuple[VirtualNetworkGateway, ...]:
        for peering in network.peerings:
            remote = self._intent.virtual_networks.get(peering.remote.key)
            back = next((each for each in remote.peerings if each.remote == network.id), None) if remote else None
            if peering.uses_remote_gateways and back and back.allows_transit:
                return own.get(peering.remote.key, ())
        return ()

    @cached_property
    def _routes(self) -> dict[str, tuple[GatewayRoute, ...]]:
        learned: dict[str, list[LearnedRoute]] = {}
        for each in self._intent.learned:
            learned.setdefault(each.gateway.key, []).append(each)
        found = {}
        for key, gateway in self._intent.gateways.items():
            connections = [each for each in self._intent.connections.values() if each.gateway == gateway.id]
            refused = self._intent.virtual_networks[gateway.network.key].prefixes
            routes = [*self._written(connections), *self._learned(gateway, connections, learned.get(key, ()))]
            found[key] = tuple(sorted((each for each in routes if each.prefix not in refused), key=_preference))
        return found

    def _written(self, connections: Iterable[Connection]) -> Iterator[GatewayRoute]:
        for each in sorted(connections, key=lambda one: one.id.key):
            if each.kind is ConnectionKind.IPSEC and each.site:
                yield from (GatewayRoute(prefix, each) for prefix in each.site.prefixes)
                if each.bgp and each.site.bgp_address:
                    yield GatewayRoute(host_prefix(each.site.bgp_address), each)
            elif each.kind is ConnectionKind.VNET_TO_VNET and each.remote_gateway and not each.bgp:
                remote = self._intent.gateways.get(each.remote_gateway.key)
                network = self._intent.virtual_networks.get(remote.network.key) if remote else None
                # Tunnels carry IPv4.
                yield from (
                    GatewayRoute(prefix, each)
                    for prefix in (network.prefixes if network else ())
                    if prefix.version == 4
                )

    def _learned(
        self, gateway: VirtualNetworkGateway, connections: list[Connection], learned: Iterable[LearnedRoute]
    ) -> Iterator[GatewayRoute]:
        peers: dict[Address, Connection | None] = {}
        for each in learned:
            if each.peer not in peers:
                peers[each.peer] = self._speaker(gateway, connections, each.peer)
            yield GatewayRoute(each.prefix, peers[each.peer], each.peer, each.as_path)

    def _speaker(
        self, gateway: VirtualNetworkGateway, connections: list[Connection], peer: Address
    ) -> Connection | None:
        """The connection at whose other end an address speaks BGP."""
        fit = [each for each in connections if peer in self._ends(each)]
        if fit:
            return fit[0]
        likely = [each for each in connections if each.bgp or gateway.kind is GatewayKind.EXPRESS_ROUTE]
        return likely[0] if len(likely) == 1 else None

    def _ends(self, connection: Connection) -> set[Address]:
        found: set[Address] = set()
        if connection.site and connection.site.bgp_address:
            found.add(connection.site.bgp_address)
        remote = self._intent.gateways.get(connection.remote_gateway.key) if connection.remote_gateway else None
        found |= {each.address for each in remote.instances} if remote else set()
        circuit = self._intent.circuits.get(connection.circuit.key) if connection.circuit else None
        if circuit and circuit.peering:
            found |= {*circuit.peering.primary, *circuit.peering.secondary}
        return found


def _preference(route: GatewayRoute) -> tuple[int, int, int, bool, int, int, str]:
    """By prefix; of the same one what is learned, by the heaviest connection, then the shortest path."""
    prefix, connection = route.prefix, route.connection
    weight, name = (connection.routing_weight, connection.id.key) if connection else (0, "")
    place = prefix.version, int(prefix.network_address), prefix.prefixlen
    return *place, not route.is_learned, -weight, len(route.as_path), name


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one is other or (one.keys() == other.keys() and all(one[key] is other[key] for key in other))


def gateways_used(intent: Intent, network: VirtualNetwork) -> tuple[VirtualNetworkGateway, ...]:
    """The gateways that a virtual network uses; :class:`GatewayRoutes` is quicker for several."""
    return GatewayRoutes(intent).used(network.id)


def users_of(intent: Intent, gateway: VirtualNetworkGateway) -> tuple[VirtualNetwork, ...]:
    """The virtual networks that use a gateway, its own first."""
    return GatewayRoutes(intent).users(gateway)


def gateway_routes(intent: Intent, gateway: VirtualNetworkGateway) -> tuple[GatewayRoute, ...]:
    """The routes of a gateway to what it is connected to, written and learned."""
    return GatewayRoutes(intent).routes(gateway)


def gateway_subnet(network: VirtualNetwork) -> Subnet | None:
    """The subnet of a virtual network that its gateways are in."""
    return next((each for each in network.subnets if each.id.name.lower() == GATEWAY_SUBNET), None)


def inward_routes(intent: Intent, gateway: VirtualNetworkGateway) -> tuple[tuple[Prefix, ResourceId], ...]:
    """What a gateway sends to which virtual network; see :meth:`GatewayRoutes.inward`."""
    return GatewayRoutes(intent).inward(gateway)
