"""What routers beside virtual networks and on premises have in common: the way to the internet, and tunnels' ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_interface

from podvnet.model.address import Address, Interface, Mac, Prefix
from podvnet.model.kernel import (
    LOOPBACK,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    RoutingRule,
    Sysctl,
    VethPair,
    field_bytes,
    host_prefix,
    index_bytes,
)
from podvnet.plan import names
from podvnet.plan.appliances import OTHER_SIDE
from podvnet.plan.names import TABLE
from podvnet.plan.router_ruleset import (
    ENCRYPT_TABLE,
    INNER,
    INWARD_TABLE,
    OUTER,
    OUTWARD_TABLE,
    ROUTER_RULESET,
    TUNNEL_RULESET,
)
from podvnet.plan.routing_program import INTERNET_SIDE, NETWORK_SIDE
from podvnet.plan.tunnel_ends import TunnelEnd

EVERYWHERE: dict[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
OUTER_INDEX, INNER_INDEX = 2, 3

FORWARDING = (
    Sysctl("ipv4/conf/all/rp_filter", "0"),
    Sysctl("ipv4/conf/default/rp_filter", "0"),
    Sysctl("ipv4/ip_forward", "1"),
    Sysctl("ipv6/conf/all/forwarding", "1"),
    Sysctl("ipv4/conf/all/send_redirects", "0"),
    Sysctl("ipv4/conf/default/send_redirects", "0"),
    # A tunnel that is down takes its link down, and with it the routes into it.
    Sysctl("ipv4/conf/all/ignore_routes_with_linkdown", "1"),
    # Both of two equal routes are used, and a flow stays with one.
    Sysctl("ipv4/fib_multipath_hash_policy", "1"),
)


def single(address: Address) -> Interface:
    """An address by itself."""
    return ip_interface(host_prefix(address))


def neighbours(index: int, mac: Mac) -> Iterator[Neighbour]:
    """The other side of an unnumbered link."""
    return (Neighbour(index, address, mac) for address in OTHER_SIDE.values())


def router(addresses: Iterable[Address]) -> Iterator[KernelObject]:
    """A router's namespace with the addresses that are its own."""
    yield from (NetworkNamespace(), LinkUp(LOOPBACK), *FORWARDING, ROUTER_RULESET)
    yield from (InterfaceAddress(LOOPBACK, single(address)) for address in addresses)


def uplink(label: str, index: int, name: str, publics: Iterable[Address], alias: str) -> Program:
    """A router's link to the internet, and what leads back to its public addresses.

    Args:
        label: the router's namespace.
        index: the link's, in the internet's namespace.
        name: the link's, there.
        publics: the router's public addresses.
        alias: what a person reads.
    """
    pair = VethPair(
        name=names.UPLINK,
        index=names.UPLINK_INDEX,
        mac=names.EDGE_MAC,
        peer_namespace=names.INTERNET,
        peer_name=name,
        peer_index=index,
        peer_mac=names.INTERNET_MAC,
        alias=alias,
    )
    hop = INTERNET_SIDE[4]
    inside: set[KernelObject] = {
        pair,
        Neighbour(names.UPLINK_INDEX, hop, names.INTERNET_MAC),
        RoutingRule(4, OUTWARD_TABLE),
        Route(EVERYWHERE[4], names.UPLINK_INDEX, hop, OUTWARD_TABLE),
    }
    outside: set[KernelObject] = {LinkUp(index), Neighbour(index, NETWORK_SIDE[4], names.EDGE_MAC)}
    outside |= {Route(host_prefix(each), index, NETWORK_SIDE[4]) for each in publics}
    return {label: frozenset(inside), names.INTERNET: frozenset(outside)}


def own_breakout(index: int, public: IPv4Address) -> Iterator[KernelObject]:
    """A router's way out for those behind it, as whom the internet sees ``public``."""
    yield Route(EVERYWHERE[4], index, INTERNET_SIDE[4], metric=BREAKOUT_METRIC)
    yield Element("inet", TABLE, "leaving_as", index_bytes(index), public.packed)


BREAKOUT_METRIC = 0xFF000000
"""Behind whatever a router learns or is told."""


def compile_tunnel_end(end: TunnelEnd) -> Program:
    """The namespace of a tunnel's end, its links to its router, and the router's routes into it."""
    outer, inner = names.tunnel_index(end.number, outer=True), names.tunnel_index(end.number, outer=False)
    inside: set[KernelObject] = {
        NetworkNamespace(),
        LinkUp(LOOPBACK),
        *FORWARDING,
        Sysctl("ipv4/fwmark_reflect", "1"),
        TUNNEL_RULESET,
        InterfaceAddress(LOOPBACK, single(end.local)),
        RoutingRule(4, INWARD_TABLE),
        RoutingRule(4, ENCRYPT_TABLE),
        Route(EVERYWHERE[4], OUTER_INDEX, OTHER_SIDE[4]),
        Neighbour(OUTER_INDEX, OTHER_SIDE[4], names.FAR_MAC),
    }
    for near, name, far in ((OUTER_INDEX, OUTER, outer), (INNER_INDEX, INNER, inner)):
        inside.add(
            VethPair(
                name=name,
                index=near,
                mac=names.NEAR_MAC,
                peer_namespace=end.router,
                peer_name=names.tunnel_link_name(end.number, outer=name == OUTER),
                peer_index=far,
                peer_mac=names.FAR_MAC,
                alias=f"tunnel {end.local} {end.remote}",
            )
        )
    mark = outer  # a number that is the link's is nobody else's
    key = field_bytes(end.remote.packed, end.local.packed)
    beside: set[KernelObject] = {
        LinkUp(outer),
        LinkUp(inner),
        *neighbours(outer, names.NEAR_MAC),
        *neighbours(inner, names.NEAR_MAC),
        RoutingRule(4, mark),
        Route(EVERYWHERE[4], outer, OTHER_SIDE[4], mark),
        Element("inet", TABLE, "tunnels", key, index_bytes(mark)),
        *(
            Route(prefix, inner, OTHER_SIDE[prefix.version], metric=end.metric)
            for prefix in end.prefixes
            if prefix.version == 4
        ),
    }
    return {end.namespace: frozenset(inside), end.router: frozenset(beside)}
