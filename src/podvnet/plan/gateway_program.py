"""The namespaces of gateways and of sites on premises, and what hangs on them.

A gateway is a router in a namespace beside its virtual network. It has a link of its own to each virtual network that
uses it, so nothing of a spoke's crosses the hub. What it learns by BGP it writes into its routing table itself.

A site is a router too: hosts hang on it, each in a namespace of its own, and the two links of each circuit that it has
lead to Microsoft's edge, a router between it and the ExpressRoute gateways. The links of a circuit are cables of their
own, so a VLAN's number, which real ones carry, tells them from nothing and is on no frame.

Sources: Azure documents "About gateway settings", "ExpressRoute routing requirements".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, ip_interface

from podvnet.model.address import PLATFORM_MAC, Address, Interface, Prefix, derived_mac
from podvnet.model.gateway import Circuit, OnPremisesHost, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.intent import Intent, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    VethPair,
    host_prefix,
)
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.appliances import OTHER_SIDE
from podvnet.plan.change import merge
from podvnet.plan.circuits import circuits_of, edge_address, ends_of, links_of, site_of
from podvnet.plan.gateway_routes import GatewayRoutes, inward_routes
from podvnet.plan.router_program import EVERYWHERE, compile_tunnel_end, neighbours, own_breakout, router, uplink
from podvnet.plan.tunnel_ends import public_address, tunnel_ends

_HOST_OUI = bytes.fromhex("123456")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the program: its name, what it is made of, how it is made."""

    key: str
    inputs: tuple[object, ...]
    make: Callable[[], Program]


def gateway_pieces(intent: Intent, routes: GatewayRoutes) -> Iterator[Piece]:
    """Everything of gateways and sites but what is in the routing tables of virtual networks."""
    for key, gateway in intent.gateways.items():
        publics = tuple(filter(None, (public_address(intent, each) for each in gateway.instances)))
        yield _piece(f"gateway {key}", compile_gateway, gateway, publics)
        users = routes.users(gateway)
        for network in users:
            yield _piece(f"gateway link {key} {network.id.key}", compile_gateway_link, gateway, network)
        numbers = {each.id: each.number for each in users}
        inward = inward_routes(intent, gateway)
        yield _piece(f"gateway routes {key}", compile_inward, gateway, inward, tuple(numbers.items()))
        for circuit in circuits_of(intent, gateway):
            inputs = (gateway, circuit)
            yield _piece(f"gateway circuit {key} {circuit.id.key}", compile_circuit_link, *inputs)
    for end in tunnel_ends(intent):
        yield _piece(f"tunnel {end.namespace}", compile_tunnel_end, end)
    for key, circuit in intent.circuits.items():
        if circuit.peering:
            yield _piece(f"edge {key}", compile_edge, circuit)
            site = site_of(intent, circuit)
            if site:
                yield _piece(f"circuit {key}", compile_circuit, circuit, site.id)
    for key, site in intent.sites.items():
        yield _piece(f"site {key}", compile_site, site)
        for position, host in enumerate(site.hosts):
            yield _piece(f"host {key} {host.name}", compile_host, site, host, position)


def compile_gateway(gateway: VirtualNetworkGateway, publics: tuple[IPv4Address, ...]) -> Program:
    """A gateway's namespace and its link to the internet."""
    label = names.gateway_namespace(gateway.id)
    inside: Program = {label: frozenset(router(each.address for each in gateway.instances))}
    if not publics:
        return inside
    index, name = names.gateway_link_index(gateway.number), names.gateway_link_name(gateway.number)
    return merge(inside, uplink(label, index, name, publics, f"gateway {gateway.id.name} to the internet"))


def compile_gateway_link(gateway: VirtualNetworkGateway, network: VirtualNetwork) -> Program:
    """The link between a gateway and a virtual network that uses it, both ends."""
    index, far = names.gateway_link_index(gateway.number), names.internet_link_index(network.number)
    pair = VethPair(
        name=names.gateway_link_name(gateway.number),
        index=index,
        mac=names.NEAR_MAC,
        peer_namespace=names.gateway_namespace(gateway.id),
        peer_name=names.internet_link_name(network.number),
        peer_index=far,
        peer_mac=names.FAR_MAC,
        alias=f"gateway {gateway.id.name} of {network.id.name}",
    )
    return {
        names.network_namespace(network.id): frozenset({pair, *neighbours(index, names.FAR_MAC)}),
        names.gateway_namespace(gateway.id): frozenset({LinkUp(far), *neighbours(far, names.NEAR_MAC)}),
    }


def compile_inward(
    gateway: VirtualNetworkGateway,
    inward: tuple[tuple[Prefix, ResourceId], ...],
    numbers: tuple[tuple[ResourceId, int], ...],
) -> Program:
    """What a gateway sends to which virtual network; ``numbers`` are those of the networks."""
    known = dict(numbers)
    found = {
        Route(prefix, names.internet_link_index(known[network]), OTHER_SIDE[prefix.version])
        for prefix, network in inward
    }
    return {names.gateway_namespace(gateway.id): frozenset(found)}


def compile_edge(circuit: Circuit) -> Program:
    """The namespace of Microsoft's edge of a circuit."""
    return {names.edge_namespace(circuit.id): frozenset(router(()))}


def compile_circuit(circuit: Circuit, site: ResourceId) -> Program:
    """The two links of a circuit between the edge and a site's router."""
    inside: set[KernelObject] = set()
    outside: set[KernelObject] = set()
    for secondary, prefix in enumerate(links_of(circuit)):
        index = names.circuit_link_index(circuit.number, secondary=bool(secondary))
        name = names.circuit_link_name(circuit.number, secondary=bool(secondary))
        customer, microsoft = ends_of(prefix)
        inside.add(
            VethPair(
                name=("primary", "secondary")[secondary],
                index=index,
                mac=names.NEAR_MAC,
                peer_namespace=names.site_namespace(site),
                peer_name=name,
                peer_index=index,
                peer_mac=names.FAR_MAC,
                alias=f"circuit {circuit.id.name}",
            )
        )
        outside.add(LinkUp(index))
        for objects, own, other, mac in (
            (inside, microsoft, customer, names.FAR_MAC),
            (outside, customer, microsoft, names.NEAR_MAC),
        ):
            objects.add(InterfaceAddress(index, _with_length(own, prefix)))
            objects.add(Neighbour(index, other, mac))
            objects.add(Route(prefix, index))
    return {names.edge_namespace(circuit.id): frozenset(inside), names.site_namespace(site): frozenset(outside)}


def compile_circuit_link(gateway: VirtualNetworkGateway, circuit: Circuit) -> Program:
    """The link between an ExpressRoute gateway and the edge of a circuit, both ends, and how they find each other."""
    near, far = names.edge_link_index(circuit.number), names.gateway_link_index(gateway.number)
    pair = VethPair(
        name=names.edge_link_name(circuit.number),
        index=near,
        mac=names.NEAR_MAC,
        peer_namespace=names.edge_namespace(circuit.id),
        peer_name=names.gateway_link_name(gateway.number),
        peer_index=far,
        peer_mac=names.FAR_MAC,
        alias=f"circuit {circuit.id.name}",
    )
    speaker = edge_address(circuit)
    return {
        names.gateway_namespace(gateway.id): frozenset(
            {
                pair,
                *neighbours(near, names.FAR_MAC),
                Route(host_prefix(speaker), near, OTHER_SIDE[4]),
            }
        ),
        names.edge_namespace(circuit.id): frozenset(
            {
                LinkUp(far),
                *neighbours(far, names.NEAR_MAC),
                *(Route(host_prefix(each.address), far, OTHER_SIDE[4]) for each in gateway.instances),
            }
        ),
    }


def compile_site(site: OnPremisesSite) -> Program:
    """A site's router, with the first address of each of its networks, and its way to the internet."""
    label = names.site_namespace(site.id)
    inside: set[KernelObject] = set(router(_own(site)))
    public = site.public
    if not isinstance(public, IPv4Address):
        return {label: frozenset(inside)}
    inside |= set(own_breakout(names.UPLINK_INDEX, public))
    index, name = names.site_link_index(site.number), names.site_link_name(site.number)
    return merge({label: frozenset(inside)}, uplink(label, index, name, (public,), f"site {site.id.name}"))


def _own(site: OnPremisesSite) -> Iterable[Address]:
    first = (prefix.network_address + 1 for prefix in site.prefixes if prefix.num_addresses > 1)
    return dict.fromkeys((*first, *([site.bgp_address] if site.bgp_address else ())))


def compile_host(site: OnPremisesSite, host: OnPremisesHost, position: int) -> Program:
    """A host on premises, whose router is the first address of its network."""
    label, index = names.site_host_namespace(site.id, host.name), names.site_host_index(position)
    around = max(
        (each for each in site.prefixes if host.address in each), key=lambda each: each.prefixlen, default=None
    )
    prefix = around or host_prefix(host.address)
    mac = derived_mac(_HOST_OUI, site.id.key, host.name.lower())
    pair = VethPair(
        name=f"lan{position}",
        index=index,
        mac=PLATFORM_MAC,
        peer_namespace=label,
        peer_name="eth0",
        peer_index=names.GUEST_NIC_INDEX,
        peer_mac=mac,
        proxy_arp=True,
        alias=f"host {host.name}",
    )
    gateway = prefix.network_address + 1
    return {
        names.site_namespace(site.id): frozenset(
            {pair, Neighbour(index, host.address, mac), Route(host_prefix(host.address), index)}
        ),
        label: frozenset(
            {
                NetworkNamespace(),
                LinkUp(LOOPBACK),
                LinkUp(names.GUEST_NIC_INDEX),
                InterfaceAddress(names.GUEST_NIC_INDEX, _with_length(host.address, prefix)),
                Route(prefix, names.GUEST_NIC_INDEX),
                Route(EVERYWHERE[host.address.version], names.GUEST_NIC_INDEX, gateway),
            }
        ),
    }


def _with_length(address: Address, prefix: Prefix) -> Interface:
    return ip_interface(f"{address}/{prefix.prefixlen}")


def _piece(key: str, make: Callable[..., Program], *inputs: object) -> Piece:
    return Piece(key, inputs, partial(make, *inputs))
