"""Gateways without tunnels: they have a plain link to each site on premises.

What the virtual networks do is the same as with tunnels; what tunnels do is for tests of their own. A gateway is
described so: name, kind, network, connections each with a site, ``written`` or ``learned`` prefixes and whether it is
``up``; ``users`` of the first gateway are pairs of networks, the first of which uses the other's gateways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.world import Document
from podvnet.model.address import Address, Mac, Prefix
from podvnet.model.gateway import (
    Circuit,
    CircuitPeering,
    Connection,
    ConnectionKind,
    GatewayInstance,
    GatewayKind,
    LearnedRoute,
    LocalNetworkGateway,
    OnPremisesHost,
    OnPremisesSite,
    VirtualNetworkGateway,
)
from podvnet.model.intent import Intent
from podvnet.model.kernel import (
    LOOPBACK,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    Ruleset,
    VethPair,
)
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.plan import names
from podvnet.plan.appliances import OTHER_SIDE
from podvnet.plan.change import merge
from podvnet.plan.gateway_routes import GatewayRoutes, gateway_subnet
from podvnet.plan.parts import PartCompiler

_FIRST_SITE_LINK = 500
_LEFT_OUT = ("tunnel ", "edge ", "circuit ", "gateway circuit ", "site ", "host ")
"""How the names of those parts begin that have to do with tunnels, circuits and sites."""
_MUTE = Ruleset(
    (("inet", "mute"),),
    """
table inet mute {
	chain input {
		type filter hook input priority filter; policy drop;
	}
	chain output {
		type filter hook output priority filter; policy drop;
	}
}
""",
)
"""Nobody here says anything of its own, that a destination is unreachable among it."""


def with_gateways(intent: Intent, gateways: Sequence[Document], sites: Sequence[Document]) -> Intent:
    """An intent with gateways, sites, and what has been learned."""
    if not gateways:
        return intent
    made = replace(
        intent,
        virtual_networks=dict(intent.virtual_networks),
        gateways={},
        connections={},
        circuits={},
        sites={site.id.key: site for number, each in enumerate(sites, 1) for site in (_site(each, number),)},
    )
    for pair in gateways[0].get("users", ()):
        _lend(made, *pair)
    learned: set[LearnedRoute] = set()
    connected: set[ResourceId] = set()
    for number, each in enumerate(gateways, 1):
        gateway = _gateway(made, each, number)
        made.gateways[gateway.id.key] = gateway
        for place, said in enumerate(each["connections"], 1):
            site = made.sites[_site_id(said["site"]).key]
            connection = _connection(made, gateway, said, site, 10 * number + place)
            made.connections[connection.id.key] = connection
            if said["up"]:
                connected.add(connection.id)
                path = (12076, 65010) if gateway.kind is GatewayKind.EXPRESS_ROUTE else (65010,)
                peer = _peer(10 * number + place)
                learned |= {LearnedRoute(gateway.id, ip_network(text), peer, path) for text in said.get("learned", ())}
    return replace(made, learned=frozenset(learned), connected=frozenset(connected))


def _site_id(name: str) -> ResourceId:
    return make(Scope(), "Podvnet.Fabric/onPremisesSites", name)


def _site(said: Document, number: int) -> OnPremisesSite:
    return OnPremisesSite(
        id=_site_id(said["name"]),
        number=number,
        public=ip_address(said["public"]),
        prefixes=tuple(ip_network(text) for text in said["prefixes"]),
        hosts=tuple(OnPremisesHost(text, ip_address(text)) for text in said["hosts"]),
        circuits=(f"key-{said['name']}",),
    )


def _lend(intent: Intent, user: str, lender: str) -> None:
    """Let a network use the gateways of another, as far as both are peered."""
    networks = {each.id.name: each for each in intent.virtual_networks.values()}
    ends = networks[user], networks[lender]
    for network, remote in (ends, ends[::-1]):
        lends = network is networks[lender]
        peerings = tuple(
            replace(each, allows_transit=lends, uses_remote_gateways=not lends) if each.remote == remote.id else each
            for each in network.peerings
        )
        intent.virtual_networks[network.id.key] = replace(network, peerings=peerings)


def _gateway(intent: Intent, said: Document, number: int) -> VirtualNetworkGateway:
    network = next(each for each in intent.virtual_networks.values() if each.id.name == said["network"])
    subnet = gateway_subnet(network)
    if subnet is None:
        raise ValueError(f"{said['network']} has no GatewaySubnet")
    return VirtualNetworkGateway(
        make(Scope(), "Microsoft.Network/virtualNetworkGateways", said["name"]),
        number,
        GatewayKind(said["kind"]),
        network.id,
        (GatewayInstance("default", subnet.prefixes[0].network_address + 3 + number),),
        bgp=True,
    )


def _connection(
    intent: Intent, gateway: VirtualNetworkGateway, said: Document, site: OnPremisesSite, number: int
) -> Connection:
    resource = make(Scope(), "Microsoft.Network/connections", said["name"])
    if gateway.kind is GatewayKind.EXPRESS_ROUTE:
        circuit = Circuit(
            make(Scope(), "Microsoft.Network/expressRouteCircuits", said["name"]),
            number,
            site.circuits[0],
            CircuitPeering(ip_network(f"172.31.{number}.0/30"), ip_network(f"172.31.{number}.4/30"), 100, site.asn),
        )
        intent.circuits[circuit.id.key] = circuit
        return Connection(resource, ConnectionKind.EXPRESS_ROUTE, gateway.id, circuit=circuit.id)
    device = LocalNetworkGateway(
        make(Scope(), "Microsoft.Network/localNetworkGateways", said["name"]),
        site.public,
        tuple(ip_network(text) for text in said.get("written", ())),
        bgp_address=_peer(number) if "learned" in said else None,
    )
    return Connection(resource, ConnectionKind.IPSEC, gateway.id, site=device, bgp="learned" in said)


def _peer(number: int) -> Address:
    return ip_address(f"172.31.{number}.1")


def compile_stand_in(intent: Intent) -> Program:
    """The whole program of an intent, with plain links from gateways to sites where tunnels and circuits would be."""
    parts = PartCompiler().compile(intent)
    kept = [part.program for key, part in parts.items() if not key.startswith(_LEFT_OUT)]
    return merge(*kept, *(_site_program(site) for site in intent.sites.values()), *_gateways(intent))


def _gateways(intent: Intent) -> Iterator[Program]:
    known = GatewayRoutes(intent)
    for gateway in intent.gateways.values():
        yield from (_site_link(gateway, site) for site in intent.sites.values())
        inward = {prefix for prefix, _ in known.inward(gateway)}
        ways: dict[Prefix, int] = {}
        for route in known.routes(gateway):
            site = _carrier(intent, route.connection) if route.connection else None
            if site and route.prefix not in inward:
                ways.setdefault(route.prefix, _FIRST_SITE_LINK + site.number)
        routes = {Route(prefix, index, OTHER_SIDE[prefix.version]) for prefix, index in ways.items()}
        yield {names.gateway_namespace(gateway.id): frozenset({_MUTE, *routes})}


def _carrier(intent: Intent, connection: Connection) -> OnPremisesSite | None:
    """The site that a connection leads to, if it carries packets."""
    if connection.id not in intent.connected:
        return None
    circuit = intent.circuits[connection.circuit.key] if connection.circuit else None
    for site in intent.sites.values():
        if (circuit and circuit.service_key in site.circuits) or (
            connection.site and connection.site.address == site.public
        ):
            return site
    return None


def _neighbours(index: int, mac: Mac) -> Iterator[Neighbour]:
    return (Neighbour(index, address, mac) for address in OTHER_SIDE.values())


def site_link_name(gateway: VirtualNetworkGateway) -> str:
    """The interface of a site that leads to a gateway."""
    return names.gateway_link_name(gateway.number)


def _site_link(gateway: VirtualNetworkGateway, site: OnPremisesSite) -> Program:
    pair = VethPair(
        name=site_link_name(gateway),
        index=names.gateway_link_index(gateway.number),
        mac=names.NEAR_MAC,
        peer_namespace=names.gateway_namespace(gateway.id),
        peer_name=f"site{site.number}",
        peer_index=_FIRST_SITE_LINK + site.number,
        peer_mac=names.FAR_MAC,
    )
    return {
        names.site_namespace(site.id): frozenset({pair}),
        pair.peer_namespace: frozenset({LinkUp(pair.peer_index), *_neighbours(pair.peer_index, pair.mac)}),
    }


def _site_program(site: OnPremisesSite) -> Program:
    return {names.site_namespace(site.id): frozenset({NetworkNamespace(), _MUTE, LinkUp(LOOPBACK)})}
