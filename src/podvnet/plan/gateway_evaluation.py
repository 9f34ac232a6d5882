"""What gateways do with packets: on to a virtual network, or by a connection to a site.

A gateway takes the longest prefix by a connection that carries packets, of equal ones that of a virtual network. To the
subnets a route that was written is there all the same when its tunnel is down, one that was learned goes with it. What
a site does with a packet for none of its networks is its own affair.

Sources: Azure documents "About VPN Gateway configuration settings", "About BGP with Azure VPN Gateway", "ExpressRoute
routing requirements".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from podvnet.model.address import Address, Prefix
from podvnet.model.flow import Flow
from podvnet.model.gateway import Connection, ConnectionKind, GatewayKind, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.resource_id import ResourceId
from podvnet.model.verdict import Check, Hop
from podvnet.plan import remedy
from podvnet.plan.address_space import holds
from podvnet.plan.dropped import DroppedError
from podvnet.plan.gateway_routes import GatewayRoute
from podvnet.plan.platform_evaluation import SERVED
from podvnet.plan.remedy import named
from podvnet.plan.topology import Topology


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a gateway sends a packet: to a virtual network, to another gateway, or out to ``site``.

    Attributes:
        site: None with neither network nor gateway is a device that is not of the fabric.
    """

    hops: tuple[Hop, ...]
    network: ResourceId | None = None
    gateway: VirtualNetworkGateway | None = None
    site: OnPremisesSite | None = None


def at_gateway(topology: Topology, gateway: VirtualNetworkGateway, flow: Flow) -> Onward:
    """What a gateway does with a packet.

    Raises:
        DroppedError: it leads nowhere, or the connection carries nothing.
    """
    destination = flow.destination
    routes = [each for each in topology.gateways.routes(gateway) if destination in each.prefix]
    # The first of the longest: they are in order of preference.
    outward = max((each for each in routes if _carries(topology, each)), key=_length, default=None)
    inward = _longest(topology.gateways.inward(gateway), destination)
    if inward and (outward is None or inward[0].prefixlen >= outward.prefix.prefixlen):
        reason = f"{inward[0]} is by its link to {named(inward[1])}"
        return Onward((Hop(gateway.id, Check.GATEWAY, True, reason),), network=inward[1])
    if not routes:
        reason = f"no connection of it leads to {destination}"
        cure = remedy.against_no_connection(topology, gateway, destination)
        raise DroppedError(Hop(gateway.id, Check.GATEWAY, False, reason, remedy=cure))
    if outward is None:
        _refuse_down(max(routes, key=_length))
    return _by(topology, gateway, outward)


def enter(topology: Topology, gateway: VirtualNetworkGateway, network: ResourceId, flow: Flow) -> None:
    """Whether a virtual network takes a packet from a gateway.

    Raises:
        DroppedError: its source cannot be behind a gateway.
    """
    own = topology.intent.virtual_networks[network.key].prefixes
    instances = {each.address for each in gateway.instances}
    if flow.source in SERVED or (holds(own, flow.source) and flow.source not in instances):
        whose = "the platform" if flow.source in SERVED else named(network)
        reason = f"{flow.source} is an address of {whose}, and nothing with it comes by a gateway"
        cure = f"Send from an address that {named(gateway.id)} leads to."
        raise DroppedError(Hop(network, Check.GATEWAY, False, reason, remedy=cure))


def at_site(site: OnPremisesSite, flow: Flow) -> Hop:
    """What a site does with a packet.

    Raises:
        DroppedError: it is for one of its networks, and nobody there has the address.
    """
    destination = flow.destination
    host = next((each for each in site.hosts if each.address == destination), None)
    if host:
        return Hop(site.id, Check.SITE, True, f"host {host.name} has {destination}")
    if destination == site.bgp_address or any(destination == each.network_address + 1 for each in site.prefixes):
        return Hop(site.id, Check.SITE, True, f"its router has {destination}")
    if holds(site.prefixes, destination):
        cure = f"Add a host with {destination} to {named(site.id)}, or send to one it has: {_hosts(site)}."
        raise DroppedError(Hop(site.id, Check.SITE, False, f"no host of it has {destination}", remedy=cure))
    return Hop(site.id, Check.SITE, True, f"its router gets {destination}, which is of none of its networks")


def from_site(topology: Topology, flow: Flow) -> tuple[VirtualNetworkGateway, tuple[Hop, ...]]:
    """The gateway by which a packet from on premises comes in.

    Raises:
        DroppedError: its site has no way to the destination that carries packets.
        LookupError: no site has its source.
    """
    site = topology.on_premises(flow.source)
    if site is None:
        raise LookupError(f"no site on premises has {flow.source}")
    host = next((f"host {each.name}" for each in site.hosts if each.address == flow.source), "a host")
    begun = Hop(site.id, Check.SITE, True, f"{host} has {flow.source}")
    ways = [
        (gateway, connection)
        for connection in topology.intent.connections.values()
        if (gateway := topology.intent.gateways.get(connection.gateway.key)) and is_between(topology, connection, site)
    ]
    if not ways:
        cure = f"Connect a gateway with {named(site.id)}: a local network gateway or a circuit, and a connection."
        raise DroppedError(Hop(site.id, Check.SITE, False, "no connection of a gateway leads to it", remedy=cure))
    leading = [way for way in ways if _leads(topology, way[0], flow.destination)]
    if not leading:
        reason = f"no gateway that it is connected to leads to {flow.destination}"
        cure = remedy.against_unadvertised(topology, ways[0][0], flow)
        raise DroppedError(Hop(ways[0][0].id, Check.GATEWAY, False, reason, remedy=cure))
    # The site prefers what the virtual networks prefer.
    leading.sort(key=lambda way: (way[0].kind is not GatewayKind.EXPRESS_ROUTE, way[1].id.key))
    carrying = next((way for way in leading if way[1].id in topology.intent.connected), None)
    if carrying is None:
        raise DroppedError(down(leading[0][1]))
    gateway, connection = carrying
    return gateway, (begun, Hop(connection.id, Check.GATEWAY, True, f"carries it to {named(gateway.id)}"))


def down(connection: Connection) -> Hop:
    """That a connection carries nothing, and what to do."""
    reason = "the connection is not Connected: no tunnel of it carries packets"
    if connection.kind is ConnectionKind.EXPRESS_ROUTE:
        reason = "the connection is not Connected: no link of its circuit has a BGP session"
    return Hop(connection.id, Check.GATEWAY, False, reason, remedy=remedy.against_down(connection))


def is_between(topology: Topology, connection: Connection, site: OnPremisesSite) -> bool:
    """Whether a connection leads to a site."""
    if connection.site:
        return site.public is not None and connection.site.address == site.public
    circuit = topology.intent.circuits.get(connection.circuit.key) if connection.circuit else None
    return circuit is not None and circuit.service_key in site.circuits


def _carries(topology: Topology, route: GatewayRoute) -> bool:
    connected = topology.intent.connected
    return route.is_learned or (route.connection is not None and route.connection.id in connected)


def _length(route: GatewayRoute) -> int:
    return route.prefix.prefixlen


def _refuse_down(route: GatewayRoute) -> NoReturn:
    if route.connection is None:
        raise LookupError(f"the route to {route.prefix} is of no connection")
    raise DroppedError(down(route.connection))


def _by(topology: Topology, gateway: VirtualNetworkGateway, route: GatewayRoute) -> Onward:
    connection = route.connection
    how = f"{route.prefix} is"
    if route.is_learned:
        path = " ".join(map(str, route.as_path))
        how = f"{route.prefix}, learned from {route.peer}{f' (AS path {path})' if path else ''}, is"
    if connection is None:
        return Onward((Hop(gateway.id, Check.GATEWAY, True, f"{how} by BGP"),), site=_beyond(topology, None, route))
    hop = Hop(gateway.id, Check.GATEWAY, True, f"{how} by {named(connection.id)}")
    remote = topology.intent.gateways.get(connection.remote_gateway.key) if connection.remote_gateway else None
    if remote:
        return Onward((hop,), gateway=remote)
    return Onward((hop,), site=_beyond(topology, connection, route))


def _beyond(topology: Topology, connection: Connection | None, route: GatewayRoute) -> OnPremisesSite | None:
    """The site at the other end; of several that a circuit leads to the one with the narrowest prefix."""
    sites = [each for each in topology.intent.sites.values() if connection and is_between(topology, connection, each)]
    found = {each.id: [one for one in each.prefixes if route.prefix.overlaps(one)] for each in sites}
    fit = [each for each in sites if found[each.id]]
    return next(iter(fit or sites), None)


def _leads(topology: Topology, gateway: VirtualNetworkGateway, destination: Address) -> bool:
    if _longest(topology.gateways.inward(gateway), destination):
        return True
    return any(destination in each.prefix for each in topology.gateways.routes(gateway))


def _longest(routes: tuple[tuple[Prefix, ResourceId], ...], destination: Address) -> tuple[Prefix, ResourceId] | None:
    found = [each for each in routes if destination in each[0]]
    return max(found, key=lambda each: each[0].prefixlen, default=None)


def _hosts(site: OnPremisesSite) -> str:
    return ", ".join(f"{each.name} ({each.address})" for each in site.hosts) or "there is none"
