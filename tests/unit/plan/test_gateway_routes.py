"""Which routes of gateways hold in a subnet, by Azure's documents: each row is a behaviour that they describe."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from podvnet.model.gateway import GatewayKind
from podvnet.model.routing import EffectiveRoute, NextHop
from podvnet.plan.address_space import holds
from podvnet.plan.effective_routes import select_route
from podvnet.plan.gateway_routes import GatewayRoutes, gateway_routes, gateways_used, inward_routes, users_of
from podvnet.plan.parts import PartCompiler, difference_of_parts
from podvnet.plan.topology import Topology
from podvnet.testing.draft import network_id
from podvnet.testing.gateway_draft import GatewayDraft

OFFICE = "198.51.100.1"
LINKS = ("172.31.0.0/30", "172.31.0.4/30")


def draft(
    *routes: str,
    written: tuple[str, ...] = (),
    learned: tuple[str, ...] = (),
    by_circuit: tuple[str, ...] = (),
    propagates: bool = True,
    gateways: tuple[str, ...] = ("vpn", "er"),
    up: bool = True,
) -> GatewayDraft:
    """A hub with gateways, a spoke that uses them, and one that does not.

    Args:
        *routes: of the route table of ``hub/front`` and ``spoke/front``.
        written: the prefixes of the VPN's local network gateway.
        learned: what the VPN's BGP has learned.
        by_circuit: what ExpressRoute's has.
        propagates: the route table lets routes of gateways hold.
        gateways: those there are.
        up: the VPN's tunnel.
    """
    made = GatewayDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24", plain="10.0.2.0/24", GatewaySubnet="10.0.255.0/27")
    made.network("spoke", "10.1.0.0/16", front="10.1.1.0/24", plain="10.1.2.0/24")
    made.network("apart", "10.2.0.0/16", plain="10.2.2.0/24")
    made.peer("hub", "spoke", lends=True)
    made.peer("spoke", "hub", uses=True)
    made.peer("hub", "apart", lends=True)
    made.peer("apart", "hub")
    made.table("rt", **{f"r{position}": text for position, text in enumerate(routes)})
    if not propagates:
        made.deafen("rt")
    made.guard("hub/front", table="rt")
    made.guard("spoke/front", table="rt")
    for name, network, address in (("h", "hub", "10.0"), ("s", "spoke", "10.1"), ("a", "apart", "10.2")):
        if name != "a":
            made.nic(name, f"{network}/front", f"{address}.1.4")
        made.nic(f"{name}p", f"{network}/plain", f"{address}.2.4")
    if "vpn" in gateways:
        made.gateway("vpn", "hub", "10.0.255.30")
        made.connect("office", "vpn", OFFICE, *written, up=up)
        made.learn("vpn", "192.168.255.1", *learned)
    if "er" in gateways:
        made.gateway("er", "hub", "10.0.255.29", GatewayKind.EXPRESS_ROUTE)
        made.connect_circuit("line", "er", "key", *LINKS)
        made.learn("er", "172.31.0.1", *by_circuit, path=(12076, 65010))
    return made


def routes_at(made: GatewayDraft, nic: str) -> tuple[EffectiveRoute, ...]:
    topology = Topology(made.intent)
    return topology.vantage(made.intent.nics[network_id("networkInterfaces", nic).key]).routes


def chosen(made: GatewayDraft, nic: str, address: str) -> str:
    """The next hop of an address, and the gateway."""
    route = select_route(routes_at(made, nic), ip_address(address))
    return "" if route is None else f"{route.next_hop} {route.gateway.name}" if route.gateway else route.next_hop


Written = tuple[str, ...]
ROWS: list[tuple[str, tuple[Written, Written, Written, Written], str, str, str]] = [
    # what it shows; routes, written, learned, learned by circuit; at whom; to where; how
    ("what is written leads to the gateway", ((), ("192.168.0.0/16",), (), ()), "hp", "192.168.1.1",
     "VirtualNetworkGateway vpn"),
    ("what is learned does", ((), (), ("192.168.0.0/16",), ()), "hp", "192.168.1.1", "VirtualNetworkGateway vpn"),
    ("of all subnets, with a route table too", ((), ("192.168.0.0/16",), (), ()), "h", "192.168.1.1",
     "VirtualNetworkGateway vpn"),
    ("of those that use the gateway by transit", ((), ("192.168.0.0/16",), (), ()), "sp", "192.168.1.1",
     "VirtualNetworkGateway vpn"),
    ("and of no other peers", ((), ("192.168.0.0/16",), (), ()), "ap", "192.168.1.1", "None"),
    ("a reserved prefix itself is the gateway's", ((), ("10.0.0.0/8",), (), ()), "hp", "10.99.0.1",
     "VirtualNetworkGateway vpn"),
    ("but a wider one is not led into it", ((), (), ("0.0.0.0/0",), ()), "hp", "10.99.0.1", "None"),
    ("the default route is taken", ((), (), ("0.0.0.0/0",), ()), "hp", "198.51.100.7", "VirtualNetworkGateway vpn"),
    ("by ExpressRoute as well", ((), (), (), ("0.0.0.0/0",)), "sp", "198.51.100.7", "VirtualNetworkGateway er"),
    ("ExpressRoute is preferred for an equal prefix",
     ((), ("192.168.0.0/16",), ("192.168.0.0/16",), ("192.168.0.0/16",)), "hp", "192.168.1.1",
     "VirtualNetworkGateway er"),
    ("a longer one of the VPN wins all the same", ((), ("192.168.1.0/24",), (), ("192.168.0.0/16",)), "hp",
     "192.168.1.1", "VirtualNetworkGateway vpn"),
    ("an exact prefix of the virtual network is refused", ((), (), ("10.0.0.0/16",), ()), "hp", "10.0.2.9",
     "VnetLocal"),
    ("a wider one is taken, and loses where the network is", ((), (), ("10.0.0.0/15",), ()), "hp", "10.0.2.9",
     "VnetLocal"),
    ("the network is preferred even to a longer one", ((), (), ("10.0.2.0/24",), ()), "hp", "10.0.2.9", "VnetLocal"),
    ("so is a peering", ((), (), ("10.1.2.0/24",), ("10.1.2.4/32",)), "hp", "10.1.2.4", "VNetPeering"),
    ("and an equal prefix of a peer", ((), ("10.2.0.0/16",), (), ()), "hp", "10.2.2.4", "VNetPeering"),
    ("a user's route wins over an equal one", (("192.168.0.0/16 none",), ("192.168.0.0/16",), (), ()), "h",
     "192.168.1.1", "None"),
    ("and over ExpressRoute's", (("192.168.0.0/16 internet",), (), (), ("192.168.0.0/16",)), "h", "192.168.1.1",
     "Internet"),
    ("a longer one of a gateway wins over a user's", (("192.168.0.0/16 none",), ("192.168.1.0/24",), (), ()), "h",
     "192.168.1.1", "VirtualNetworkGateway vpn"),
    ("a user's default route wins over a learned one", (("0.0.0.0/0 internet",), (), ("0.0.0.0/0",), ()), "h",
     "198.51.100.7", "Internet"),
    ("a user's route can name the gateway", (("0.0.0.0/0 gateway",), (), (), ()), "h", "198.51.100.7",
     "VirtualNetworkGateway vpn"),
    ("in a spoke, by transit", (("0.0.0.0/0 gateway",), (), (), ()), "s", "198.51.100.7", "VirtualNetworkGateway vpn"),
    ("that is the VPN's, never ExpressRoute's", (("192.168.0.0/16 gateway",), (), (), ("192.168.0.0/16",)), "h",
     "192.168.1.1", "VirtualNetworkGateway vpn"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "nic", "address", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_routes_of_gateways_hold_as_documented(
    what: str, given: tuple[Written, Written, Written, Written], nic: str, address: str, expected: str
) -> None:
    routes, written, learned, by_circuit = given
    made = draft(*routes, written=written, learned=learned, by_circuit=by_circuit)
    assert chosen(made, nic, address) == expected, what


def test_a_tunnel_that_is_down_takes_no_written_route_away() -> None:
    assert chosen(draft(written=("192.168.0.0/16",), up=False), "hp", "192.168.1.1") == "VirtualNetworkGateway vpn"


def test_the_vpn_is_taken_when_the_circuit_has_lost_its_routes_and_left_when_they_return() -> None:
    both = draft(written=("192.168.0.0/16",), by_circuit=("192.168.0.0/16",))
    assert chosen(both, "sp", "192.168.1.1") == "VirtualNetworkGateway er"
    kept = both.intent.learned
    both.intent = replace(both.intent, learned=frozenset())
    assert chosen(both, "sp", "192.168.1.1") == "VirtualNetworkGateway vpn"
    both.intent = replace(both.intent, learned=kept)
    assert chosen(both, "sp", "192.168.1.1") == "VirtualNetworkGateway er"


def test_a_route_table_without_propagation_has_no_routes_of_gateways_and_its_neighbours_do() -> None:
    made = draft(written=("192.168.0.0/16",), by_circuit=("0.0.0.0/0",), propagates=False)
    for with_table, without in (("h", "hp"), ("s", "sp")):
        assert chosen(made, with_table, "192.168.1.1") == "None"
        assert chosen(made, with_table, "198.51.100.7") == "Internet"
        assert chosen(made, without, "192.168.1.1") == "VirtualNetworkGateway vpn"
        assert chosen(made, without, "198.51.100.7") == "VirtualNetworkGateway er"


def test_a_users_route_to_the_gateway_holds_without_propagation() -> None:
    made = draft("192.168.0.0/16 gateway", written=("192.168.0.0/16",), propagates=False)
    assert chosen(made, "h", "192.168.1.1") == "VirtualNetworkGateway vpn"


def test_a_users_route_to_a_gateway_leads_nowhere_where_there_is_only_expressroute() -> None:
    made = draft("192.168.0.0/16 gateway", by_circuit=("192.168.0.0/16",), gateways=("er",))
    route = select_route(routes_at(made, "h"), ip_address("192.168.1.1"))
    assert route
    assert (route.next_hop, route.gateway) == (NextHop.GATEWAY, None)


def test_a_losing_route_is_listed_as_not_active() -> None:
    made = draft("192.168.0.0/16 none", written=("192.168.0.0/16", "10.1.1.0/24"), by_circuit=("192.168.0.0/16",))
    shown = [
        (str(each.prefix), each.next_hop, each.gateway.name if each.gateway else "", each.active)
        for each in routes_at(made, "h")
        if str(each.prefix) in {"192.168.0.0/16", "10.1.1.0/24", "10.0.0.0/16"}
    ]
    assert sorted(shown) == [
        ("10.0.0.0/16", "VnetLocal", "", True),
        ("10.1.1.0/24", "VirtualNetworkGateway", "vpn", False),
        ("192.168.0.0/16", "None", "", False),
        ("192.168.0.0/16", "None", "", True),
        ("192.168.0.0/16", "VirtualNetworkGateway", "er", False),
        ("192.168.0.0/16", "VirtualNetworkGateway", "vpn", False),
    ]


def test_a_service_endpoint_is_preferred_to_a_longer_route_of_a_gateway() -> None:
    made = draft(learned=("20.60.1.0/24", "20.150.0.0/15"))
    key = network_id("virtualNetworks", "hub").key
    hub = made.intent.virtual_networks[key]
    plain = tuple(
        replace(each, service_endpoints=("Microsoft.Storage",)) if each.id.name == "plain" else each
        for each in hub.subnets
    )
    made.intent.virtual_networks[key] = replace(hub, subnets=plain)
    assert chosen(made, "hp", "20.60.1.1") == "VirtualNetworkServiceEndpoint"
    assert chosen(made, "h", "20.60.1.1") == "VirtualNetworkGateway vpn"


# -- who uses which gateway


def test_a_gateway_is_its_own_networks_and_that_of_peers_where_both_sides_say_so() -> None:
    made = draft()
    networks = made.intent.virtual_networks
    names = {
        network.id.name: [each.id.name for each in gateways_used(made.intent, network)] for network in networks.values()
    }
    assert names == {"hub": ["vpn", "er"], "spoke": ["vpn", "er"], "apart": []}
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    assert [each.id.name for each in users_of(made.intent, vpn)] == ["hub", "spoke"]


@pytest.mark.parametrize(("lends", "uses"), [(True, False), (False, True)])
def test_one_side_alone_makes_no_transit(lends: bool, uses: bool) -> None:
    made = GatewayDraft()
    made.network("hub", "10.0.0.0/16", GatewaySubnet="10.0.255.0/27")
    made.network("spoke", "10.1.0.0/16", plain="10.1.2.0/24")
    made.peer("hub", "spoke", lends=lends)
    made.peer("spoke", "hub", uses=uses)
    made.gateway("vpn", "hub", "10.0.255.30")
    assert gateways_used(made.intent, made.intent.virtual_networks[network_id("virtualNetworks", "spoke").key]) == ()


def test_what_has_a_gateway_of_its_own_uses_no_peers() -> None:
    made = draft()
    made.gateway("own", "spoke", "10.1.255.30")
    spoke = made.intent.virtual_networks[network_id("virtualNetworks", "spoke").key]
    assert [each.id.name for each in gateways_used(made.intent, spoke)] == ["own"]


def test_a_gateway_sends_to_each_network_by_its_own_link() -> None:
    made = draft()
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    found = {str(prefix): network.name for prefix, network in inward_routes(made.intent, vpn)}
    assert found == {"10.0.0.0/16": "hub", "10.1.0.0/16": "spoke"}


def test_what_the_route_table_of_its_subnet_leads_to_an_appliance_goes_to_the_hub() -> None:
    made = draft()
    made.table("entry", a="10.1.0.0/16 10.0.2.4", b="10.1.9.0/24 none", c="0.0.0.0/0 10.0.2.4", d="Storage internet")
    made.guard("hub/GatewaySubnet", table="entry")
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    found = {str(prefix): network.name for prefix, network in inward_routes(made.intent, vpn)}
    assert found == {"10.0.0.0/16": "hub", "10.1.0.0/16": "hub", "10.1.9.0/24": "hub"}


def test_of_the_routes_to_one_prefix_the_shortest_path_is_the_first() -> None:
    made = draft()
    made.connect("far", "vpn", "198.51.100.2", peer="192.168.255.2")
    made.learn("vpn", "192.168.255.1", "192.168.0.0/16", path=(65010, 65010))
    made.learn("vpn", "192.168.255.2", "192.168.0.0/16", path=(65010,))
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    found = [each for each in gateway_routes(made.intent, vpn) if each.prefix == ip_network("192.168.0.0/16")]
    assert [str(each.peer) for each in found] == ["192.168.255.2", "192.168.255.1"]
    assert found[0].connection
    assert found[0].connection.id.name == "far"


def test_the_heaviest_connection_is_the_first() -> None:
    made = draft(gateways=("er",), by_circuit=("192.168.0.0/16",))
    made.connect_circuit("heavy", "er", "other", "172.31.1.0/30", "172.31.1.4/30", weight=10)
    made.learn("er", "172.31.1.1", "192.168.0.0/16", path=(12076, 65010, 65010))
    er = made.intent.gateways[network_id("virtualNetworkGateways", "er").key]
    assert [each.connection.id.name for each in gateway_routes(made.intent, er) if each.connection] == ["heavy", "line"]


def test_a_connection_between_networks_leads_to_the_others_prefixes() -> None:
    made = draft(gateways=("vpn",))
    made.network("far", "10.9.0.0/16", GatewaySubnet="10.9.255.0/27")
    made.gateway("theirs", "far", "10.9.255.30")
    made.connect_networks("to-far", "vpn", "theirs")
    assert chosen(made, "sp", "10.9.1.1") == "VirtualNetworkGateway vpn"


def test_a_connection_between_networks_leads_to_no_ipv6() -> None:
    made = draft(gateways=("vpn",))
    made.network("far", "10.9.0.0/16", "fd00:9::/48", GatewaySubnet="10.9.255.0/27")
    made.gateway("theirs", "far", "10.9.255.30")
    made.connect_networks("to-far", "vpn", "theirs")
    vpn = made.intent.gateways[network_id("virtualNetworkGateways", "vpn").key]
    assert {str(each.prefix) for each in gateway_routes(made.intent, vpn)} == {"10.9.0.0/16"}


# -- the tag VirtualNetwork


def test_the_tag_of_the_virtual_network_grows_by_what_gateways_lead_to() -> None:
    made = draft(written=("192.168.0.0/16",), by_circuit=("172.16.0.0/16",), propagates=False)
    topology = Topology(made.intent)
    nics = {nic.id.name: topology.vantage(nic).virtual_network for nic in made.intent.nics.values()}
    for address in ("192.168.1.1", "172.16.0.1"):
        held = {name for name, tag in nics.items() if holds(tag, ip_address(address))}
        # not where no routes of gateways hold, and not in a peer that does not use them
        assert held == {"hp", "sp"}


def test_a_learned_default_route_makes_everything_of_the_virtual_network() -> None:
    made = draft(by_circuit=("0.0.0.0/0",))
    topology = Topology(made.intent)
    assert (
        ip_network("0.0.0.0/0")
        in topology.vantage(made.intent.nics[network_id("networkInterfaces", "sp").key]).virtual_network
    )


# -- what a change costs


def test_what_is_learned_changes_the_routes_of_those_that_use_the_gateway_alone() -> None:
    made = draft(written=("192.168.0.0/16",))
    compiler = PartCompiler()
    before = compiler.compile(made.intent)
    made.learn("vpn", "192.168.255.1", "172.16.9.0/24")
    after = compiler.compile(made.intent)
    keys = {network: network_id("virtualNetworks", network).key for network in ("hub", "spoke")}
    assert {key for key, part in after.items() if before.get(key) is not part} == {
        f"routing {key}" for key in keys.values()
    }
    steps = difference_of_parts(before, after)
    assert {str(getattr(step.object, "destination", "")) for step in steps} == {"172.16.9.0/24"}
    assert all(step.add for step in steps)


def test_what_connects_changes_nothing_in_the_kernel() -> None:
    made = draft(written=("192.168.0.0/16",), up=False)
    compiler = PartCompiler()
    before = compiler.compile(made.intent)
    after = compiler.compile(
        replace(made.intent, connected=frozenset(each.id for each in made.intent.connections.values()))
    )
    assert difference_of_parts(before, after) == ()
    assert all(before[key] is part for key, part in after.items())


def test_what_gateways_lead_to_is_kept_until_it_changes() -> None:
    made = draft(written=("192.168.0.0/16",))
    routes = GatewayRoutes(made.intent)
    assert routes.is_of(replace(made.intent, nics=dict(made.intent.nics)))
    assert not routes.is_of(replace(made.intent, gateways={}))
    made.learn("vpn", "192.168.255.1", "172.16.9.0/24")
    assert not routes.is_of(made.intent)
