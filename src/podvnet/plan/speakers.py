"""Who speaks BGP: gateways, the edges of circuits, sites; to whom, and what each announces.

A gateway announces the virtual networks that use it and what is written of its other connections, and passes on what it
learns but for the default route and what overlaps one of these networks. It refuses what is exactly one of its own
virtual network's prefixes. Microsoft's edge passes everything on. A site announces its networks; it takes the way of a
circuit before that of a tunnel.

Sources: Azure documents "About BGP with Azure VPN Gateway", "VPN Gateway FAQ" (BGP), "ExpressRoute routing
requirements", "Configure BFD over ExpressRoute", "Azure subscription and service limits" (ExpressRoute).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from podvnet.model.address import Address, Prefix
from podvnet.model.gateway import (
    AZURE_ASN,
    EXPRESS_ROUTE_ASN,
    Circuit,
    Connection,
    GatewayKind,
    OnPremisesSite,
    VirtualNetworkGateway,
)
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.circuits import circuits_of, edge_address, ends_of, links_of, site_of
from podvnet.plan.gateway_routes import GatewayRoutes
from podvnet.plan.tunnel_ends import TunnelEnd, tunnel_ends

LARGEST_TABLE, LARGEST_PREMIUM_TABLE = 4000, 10_000
"""The prefixes that Azure takes from a peer, and over a circuit of the tier Premium; beyond, it drops the session."""
LARGEST_TOLD = 1000
"""The prefixes of virtual networks that a gateway may announce over a circuit; beyond, the edge drops the session."""
CIRCUIT_PREFERENCE = 200
"""A site's local preference of what it hears over a circuit; that of other routes is 100."""
_HOPS = IPv4Network("169.254.64.0/19")
"""Next hops that stand for neighbors behind tunnels; they appear in no packet."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """Somebody to speak to.

    Attributes:
        source: from which address; None for that of the link.
        password: MD5; empty for none.
        bfd: the link is watched, and the session ends within a second of its death.
        adjacent: on a link of ours; otherwise behind routers.
        preference: of its routes before others'; 0 for as they are.
        weight: the same, before all else.
        hop: the next hop of its routes, of one behind a tunnel. Its own address may be in a prefix that it announces,
            by which it would be found when the way to it is lost.
        limit: prefixes at which the session is dropped; 0 for none.
    """

    address: Address
    asn: int
    source: Address | None = None
    password: str = field(default="", repr=False)
    bfd: bool = False
    adjacent: bool = False
    preference: int = 0
    weight: int = 0
    hop: Address | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class SpeakerWay:
    """How a neighbor behind a tunnel is reached: by a link that is up while the tunnel is.

    Attributes:
        address: the neighbor's.
        link: the name of the link to the tunnel's end.
        rank: of several ways to one neighbor, the lowest that is up is taken.
    """

    address: Address
    link: str
    rank: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """A BGP speaker.

    Attributes:
        namespace: where it runs.
        identifier: its name among speakers.
        networks: what it announces.
        owner: the gateway, circuit or site that it belongs to.
        refused: what it takes from nobody.
        withheld: what it passes on to nobody.
        own: what overlaps these it passes on to nobody either, unless it announces just that itself.
        ways: to neighbors behind tunnels.
    """

    namespace: str
    identifier: Address
    asn: int
    neighbors: tuple[Neighbor, ...]
    networks: tuple[Prefix, ...]
    owner: ResourceId
    refused: tuple[Prefix, ...] = ()
    withheld: tuple[Prefix, ...] = ()
    own: tuple[Prefix, ...] = ()
    ways: tuple[SpeakerWay, ...] = ()


def speakers(intent: Intent, routes: GatewayRoutes | None = None) -> tuple[Speaker, ...]:
    """Every speaker: of gateways, of circuits, of sites."""
    routes = routes or GatewayRoutes(intent)
    found = [_of_gateway(intent, routes, each) for each in intent.gateways.values()]
    found += [_of_circuit(intent, each) for each in intent.circuits.values() if each.peering]
    found += [_of_site(intent, each) for each in intent.sites.values()]
    ends = [each for each in tunnel_ends(intent) if each.speaker]
    ways: dict[str, list[SpeakerWay]] = {}
    for end in ends:
        ways.setdefault(end.router, []).extend(_ways(end, ends))
    return tuple(_with_ways(each, tuple(ways.get(each.namespace, ()))) for each in found if each and each.neighbors)


def _ways(end: TunnelEnd, ends: list[TunnelEnd]) -> Iterator[SpeakerWay]:
    """The ways to who speaks at the far side of a tunnel.

    At a site, its other tunnels are ways too, after this one: those of a gateway's instances all lead to the gateway,
    which speaks from the first of them.
    """
    others = [each for each in ends if each.router == end.router and each != end] if end.connection is None else []
    for rank, each in enumerate((end, *others)):
        if end.speaker:
            link = names.tunnel_link_name(each.number, outer=False)
            yield SpeakerWay(end.speaker, link, rank if end.connection is None else end.rank)


def _with_ways(speaker: Speaker, ways: tuple[SpeakerWay, ...]) -> Speaker:
    hops: dict[Address, Address] = {}
    for address in sorted({each.address for each in ways}, key=str):
        hop = _HOPS[zlib.crc32(address.packed) % _HOPS.num_addresses]
        while hop in hops.values():
            hop += 1
        hops[address] = hop
    neighbors = tuple(replace(each, hop=hops.get(each.address)) for each in speaker.neighbors)
    return replace(speaker, neighbors=neighbors, ways=ways)


def _of_gateway(intent: Intent, routes: GatewayRoutes, gateway: VirtualNetworkGateway) -> Speaker | None:
    if not gateway.instances:
        return None
    own = [each for each in intent.connections.values() if each.gateway == gateway.id]
    connections = sorted(own, key=lambda each: each.id.key)
    source = gateway.instances[0].address
    neighbors = tuple(dict.fromkeys(_gateway_neighbors(intent, gateway, connections, source)))
    users = [prefix for user in routes.users(gateway) for prefix in user.prefixes]
    written = [prefix for each in connections if each.site and not each.bgp for prefix in each.site.prefixes]
    return Speaker(
        namespace=names.gateway_namespace(gateway.id),
        identifier=source,
        asn=gateway.asn if gateway.kind is GatewayKind.VPN else AZURE_ASN,
        neighbors=neighbors,
        networks=_announced([*users, *written]),
        refused=_announced(intent.virtual_networks[gateway.network.key].prefixes),
        withheld=(IPv4Network("0.0.0.0/0"),),
        own=_announced(users),
        owner=gateway.id,
    )


def _gateway_neighbors(
    intent: Intent, gateway: VirtualNetworkGateway, connections: list[Connection], source: Address
) -> Iterator[Neighbor]:
    if gateway.kind is GatewayKind.EXPRESS_ROUTE:
        weights = {each.circuit: each.routing_weight for each in connections if each.circuit}
        for circuit in circuits_of(intent, gateway):
            yield Neighbor(edge_address(circuit), EXPRESS_ROUTE_ASN, source, weight=weights[circuit.id])
        return
    for each in connections:
        if not (each.bgp and gateway.bgp):
            continue
        weight = each.routing_weight
        if each.site and each.site.bgp_address and each.site.asn:
            yield Neighbor(each.site.bgp_address, each.site.asn, source, weight=weight, limit=LARGEST_TABLE)
        other = intent.gateways.get(each.remote_gateway.key) if each.remote_gateway else None
        if other and other.bgp and other.instances:
            yield Neighbor(other.instances[0].address, other.asn, source, weight=weight, limit=LARGEST_TABLE)


def _of_circuit(intent: Intent, circuit: Circuit) -> Speaker | None:
    peering = circuit.peering
    links = links_of(circuit)
    if peering is None or not links:
        return None
    neighbors = []
    if site_of(intent, circuit):
        neighbors = [
            Neighbor(
                ends_of(link)[0],
                peering.peer_asn,
                password=peering.shared_key,
                bfd=True,
                adjacent=True,
                limit=LARGEST_PREMIUM_TABLE if circuit.premium else LARGEST_TABLE,
            )
            for link in links
        ]
    speaker = edge_address(circuit)
    neighbors += [
        Neighbor(gateway.instances[0].address, AZURE_ASN, speaker, limit=LARGEST_TOLD)
        for gateway in intent.gateways.values()
        if gateway.instances and circuit in circuits_of(intent, gateway)
    ]
    return Speaker(
        namespace=names.edge_namespace(circuit.id),
        identifier=speaker,
        asn=EXPRESS_ROUTE_ASN,
        neighbors=tuple(neighbors),
        networks=(),
        owner=circuit.id,
    )


def _of_site(intent: Intent, site: OnPremisesSite) -> Speaker:
    neighbors: dict[Address, Neighbor] = {}
    for tunnel in site.tunnels if site.public else ():
        if tunnel.bgp_peer and site.bgp_address:
            neighbors[tunnel.bgp_peer] = Neighbor(tunnel.bgp_peer, tunnel.bgp_asn, site.bgp_address)
    for circuit in intent.circuits.values():
        if site_of(intent, circuit) is site:
            for link in links_of(circuit):
                edge = ends_of(link)[1]
                neighbors[edge] = Neighbor(
                    edge,
                    EXPRESS_ROUTE_ASN,
                    password=site.circuit_key,
                    bfd=True,
                    adjacent=True,
                    preference=CIRCUIT_PREFERENCE,
                )
    identifier = site.bgp_address or site.public or site.prefixes[0].network_address + 1
    return Speaker(
        namespace=names.site_namespace(site.id),
        identifier=identifier if isinstance(identifier, IPv4Address) else IPv4Address(site.number),
        asn=site.asn,
        neighbors=tuple(neighbors.values()),
        networks=_announced(site.prefixes),
        owner=site.id,
    )


def _announced(prefixes: list[Prefix] | tuple[Prefix, ...]) -> tuple[Prefix, ...]:
    return tuple(dict.fromkeys(each for each in prefixes if each.version == 4))
