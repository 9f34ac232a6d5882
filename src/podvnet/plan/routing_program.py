"""Routing in the namespace of a virtual network: effective routes as tables of the kernel.

A packet from a NIC carries the mark of its subnet's table, and a rule leads it there. The table holds the effective
routes; those that stay in the virtual network say nothing (``throw``), so that the main table is asked, which holds
nothing but the addresses of NICs, each as a route of its own. What is for no NIC leads to ``lo``, where the forward
chain drops and counts it: a blackhole would silence ARP as well, and Azure answers that for every address. In IPv6 the
kernel refuses what is routed to ``lo``, and says so to the sender; there a next hop stands for nowhere.

What comes from elsewhere (the internet, a peered network, a gateway) has no mark, so it can only be for a NIC here:
peering is not transitive. A packet that a peered network sends to an appliance here comes by a link of its own, whose
mark leads to the appliance whatever its destination. What a gateway sends in to its own virtual network has the mark of
the gateways' subnet, where that has a route table.

Every network that uses a gateway has a link of its own to it (:mod:`podvnet.plan.gateway_program`), so nothing of a
spoke's crosses the hub.

Source: Azure documents "Virtual network traffic routing", "Virtual network peering" and "Configure VPN gateway transit
for virtual network peering".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from podvnet.model.address import Address, Mac, Prefix
from podvnet.model.intent import NetworkInterface, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    MAIN_TABLE,
    Chain,
    Dispatch,
    KernelObject,
    LinkUp,
    Neighbour,
    Program,
    Route,
    RoutingRule,
    VethPair,
)
from podvnet.model.routing import (
    NO_GATEWAYS,
    EffectiveRoute,
    EndpointRoute,
    GatewayReach,
    NextHop,
    Peering,
    RouteTable,
)
from podvnet.model.service_tag import ENDPOINT_TAGS
from podvnet.plan import names
from podvnet.plan.appliances import OTHER_SIDE, Way
from podvnet.plan.effective_routes import effective_routes

# Next hops on unnumbered links; they appear in no packet.
INTERNET_SIDE: dict[int, Address] = {4: IPv4Address("100.64.0.1"), 6: IPv6Address("fe80::1")}
NETWORK_SIDE: dict[int, Address] = {4: IPv4Address("100.64.0.2"), 6: IPv6Address("fe80::2")}
NOWHERE6 = IPv6Address("fe80::ffff")
"""The next hop, by way of the uplink, of what is dropped."""
_EVERYWHERE: dict[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}


Choice = tuple[RouteTable | None, tuple[str, ...]]
"""A route table and service endpoints: subnets that have the same share a table of the kernel."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What the routes of a virtual network can lead over.

    Attributes:
        links: the id key of each peered network and gateway, and the index of the link that leads there.
        appliances: the ways to those that can be reached.
    """

    links: tuple[tuple[str, int], ...] = ()
    appliances: tuple[Way, ...] = ()


def endpoint_places(services: tuple[str, ...]) -> tuple[int, ...]:
    """The places in ``ENDPOINT_TAGS`` of services that are routed to."""
    return tuple(place for place, service in enumerate(ENDPOINT_TAGS) if service in services)


def compile_routing(
    network: VirtualNetwork,
    choices: tuple[Choice, ...],
    ways: Ways,
    private: tuple[EndpointRoute, ...] = (),
    gateways: GatewayReach = NO_GATEWAYS,
) -> Program:
    """The tables of a virtual network's namespace and the rules that lead to them.

    Args:
        network: the virtual network.
        choices: the route tables and service endpoints that its subnets have, each once.
        ways: what they can lead over.
        private: the private endpoints of the network and of its peers.
        gateways: where the gateways lead to that it uses.
    """
    return {names.network_namespace(network.id): frozenset(_tables(network, choices, ways, private, gateways))}


def _tables(
    network: VirtualNetwork,
    choices: tuple[Choice, ...],
    ways: Ways,
    private: tuple[EndpointRoute, ...],
    gateways: GatewayReach,
) -> Iterator[KernelObject]:
    reachable = {each.address: each for each in ways.appliances}
    links = dict(ways.links)
    yield from (_nowhere(prefix, MAIN_TABLE) for prefix in _EVERYWHERE.values())
    for table, endpoints in choices:
        number = names.routing_table(table.number if table else 0, endpoint_places(endpoints))
        yield mark_chain(number)
        yield from (RoutingRule(version, number) for version in _EVERYWHERE)
        for route in effective_routes(network, table, endpoints, private, gateways):
            if route.active:
                yield _route(route, number, links, reachable)


def _route(route: EffectiveRoute, table: int, links: dict[str, int], appliances: dict[Address, Way]) -> Route:
    version = route.prefix.version
    match route.next_hop:
        case NextHop.INTERFACE_ENDPOINT if route.network is None:
            return Route(route.prefix, LOOPBACK, None, table, throw=True)
        case NextHop.VNET_LOCAL:
            return Route(route.prefix, LOOPBACK, None, table, throw=True)
        case NextHop.SERVICE_ENDPOINT if version == 4:
            return Route(route.prefix, names.SERVICES_INDEX, INTERNET_SIDE[version], table)
        case NextHop.INTERNET | NextHop.SERVICE_ENDPOINT:
            return Route(route.prefix, names.UPLINK_INDEX, INTERNET_SIDE[version], table)
        case NextHop.PEERING | NextHop.INTERFACE_ENDPOINT if route.network and route.network.key in links:
            return Route(route.prefix, links[route.network.key], OTHER_SIDE[version], table)
        case NextHop.GATEWAY if route.gateway and route.gateway.key in links:
            return Route(route.prefix, links[route.gateway.key], OTHER_SIDE[version], table)
        case NextHop.APPLIANCE if route.appliance in appliances:
            way = appliances[route.appliance]
            hop = dict(way.hop).get(version)
            if hop is not None:
                return Route(route.prefix, way.index, hop, table)
    return _nowhere(route.prefix, table)


def _nowhere(prefix: Prefix, table: int) -> Route:
    if prefix.version == 6:
        return Route(prefix, names.UPLINK_INDEX, NOWHERE6, table)
    return Route(prefix, LOOPBACK, None, table)


def compile_peering(one: VirtualNetwork, other: VirtualNetwork) -> Program:
    """The link between two peered virtual networks, and what each accepts from the other."""
    near, far = sorted((one, other), key=lambda network: network.number)
    pair = VethPair(
        name=names.peer_link_name(far.number),
        index=names.peer_link_index(far.number),
        mac=names.NEAR_MAC,
        peer_namespace=names.network_namespace(far.id),
        peer_name=names.peer_link_name(near.number),
        peer_index=names.peer_link_index(near.number),
        peer_mac=names.FAR_MAC,
        alias=f"peering of {near.id.name} and {far.id.name}",
    )
    return {
        names.network_namespace(near.id): frozenset({pair, *_peer_end(near, far, names.FAR_MAC)}),
        names.network_namespace(far.id): frozenset({LinkUp(pair.peer_index), *_peer_end(far, near, names.NEAR_MAC)}),
    }


def compile_appliance_link(sender: VirtualNetwork, network: VirtualNetwork, nic: NetworkInterface) -> Program:
    """The link by which ``sender`` reaches an appliance of the peered ``network``."""
    pair = VethPair(
        name=names.appliance_link_name(nic.number),
        index=names.appliance_link_index(nic.number),
        mac=names.NEAR_MAC,
        peer_namespace=names.network_namespace(network.id),
        peer_name=names.appliance_link_name(nic.number, sender.number),
        peer_index=names.appliance_link_index(nic.number, sender.number),
        peer_mac=names.FAR_MAC,
        alias=f"appliance {nic.id.name} of {network.id.name}",
    )
    far = pair.peer_index
    return {
        names.network_namespace(sender.id): frozenset(
            {pair, *_neighbours(pair.index, names.FAR_MAC), *_consent(sender, network, pair.index)}
        ),
        names.network_namespace(network.id): frozenset(
            {
                LinkUp(far),
                mark_element(far, names.appliance_table(nic.number)),
                *zone_objects(far, names.peer_zone(sender.number)),
                *_acceptance(network, sender, far),
            }
        ),
    }


def compile_appliance_table(network: VirtualNetwork, nic: NetworkInterface) -> Program:
    """What leads packets of peered networks to an appliance, whatever their destination."""
    table = names.appliance_table(nic.number)
    objects: set[KernelObject] = {mark_chain(table)}
    for version in nic.versions:
        objects.add(RoutingRule(version, table))
        via = nic.primary(version).address
        objects.add(Route(_EVERYWHERE[version], names.port_index(nic.number), via, table))
    return {names.network_namespace(network.id): frozenset(objects)}


def mark_element(index: int, table: int) -> Dispatch:
    """Packets of the interface ``index`` are routed by ``table``, which has a :func:`mark_chain`."""
    return Dispatch(names.TABLE, "route_table", index, mark_chain(table).name)


def mark_chain(table: int) -> Chain:
    """The chain that leads packets to a routing table."""
    return Chain(names.TABLE, f"table-{table}", f"\t\tmeta mark set {table}\n")


def zone_objects(index: int, zone: int) -> tuple[KernelObject, ...]:
    """Packets between the interface ``index`` and an appliance are tracked in ``zone``."""
    chain = Chain(names.TABLE, f"zone-{zone}-{index}", f"\t\tct zone set {zone}\n")
    return chain, Dispatch(names.TABLE, "zones", index, chain.name)


def _peer_end(here: VirtualNetwork, there: VirtualNetwork, mac: Mac) -> Iterator[KernelObject]:
    index = names.peer_link_index(there.number)
    yield from _neighbours(index, mac)
    yield from zone_objects(index, names.peer_zone(there.number))
    yield from _acceptance(here, there, index)


def _neighbours(index: int, mac: Mac) -> Iterator[KernelObject]:
    return (Neighbour(index, address, mac) for address in OTHER_SIDE.values())


def _consent(here: VirtualNetwork, there: VirtualNetwork, index: int) -> Iterator[KernelObject]:
    """That nothing goes by a link between ``here`` and ``there``, if that is what the peering of ``here`` says."""
    if not _peering(here, there).access:
        chain = Chain(names.TABLE, f"peer-refused-{index}", "\t\tcounter name peer_refused drop\n")
        yield chain
        yield Dispatch(names.TABLE, "from_peer", index, chain.name)
        yield Dispatch(names.TABLE, "to_peer", index, chain.name)


def _acceptance(here: VirtualNetwork, there: VirtualNetwork, index: int) -> Iterator[KernelObject]:
    """What ``here`` takes from a link to ``there`` and gives to it, by its own peering's flags."""
    peering = _peering(here, there)
    yield from _consent(here, there, index)
    if peering.access and not peering.forwarded:
        lines = [
            f"{family} saddr {{ {', '.join(map(str, chosen))} }} return"
            for version, family in ((4, "ip"), (6, "ip6"))
            if (chosen := [prefix for prefix in peering.prefixes if prefix.version == version])
        ]
        text = "".join(f"\t\t{line}\n" for line in (*lines, "counter name foreign_source drop"))
        name = f"peer-sources-{index}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        yield Chain(names.TABLE, name, text)
        yield Dispatch(names.TABLE, "from_peer", index, name)


def _peering(here: VirtualNetwork, there: VirtualNetwork) -> Peering:
    return next(each for each in here.peerings if each.remote == there.id)
