"""The namespaces of gateways and sites as values, and what a change of one costs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from podvnet.fabric.arm.world import World
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.gateway import GatewayInstance
from podvnet.model.intent import Intent
from podvnet.model.kernel import MAIN_TABLE, InterfaceAddress, NetworkNamespace, Route, VethPair
from podvnet.model.public_address import PublicAddress
from podvnet.plan.parts import PartCompiler, compile_fabric, difference_of_parts
from podvnet.plan.router_program import BREAKOUT_METRIC
from podvnet.plan.tunnel_ends import tunnel_ends
from podvnet.testing.draft import network_id
from podvnet.testing.gateway_draft import GatewayDraft
from podvnet.testing.gateway_file import gateway_resources


@pytest.fixture
def intent() -> Intent:
    return IntentReader().read(settle_all(gateway_resources(), World(), set()).world)


def routes(intent: Intent, label: str) -> dict[str, int]:
    """The destinations in a router's main table, with their metrics."""
    found = (each for each in compile_fabric(intent)[label] if isinstance(each, Route))
    return {str(each.destination): each.metric for each in found if each.table == MAIN_TABLE}


def test_each_gateway_site_host_edge_and_tunnel_has_a_namespace(intent: Intent) -> None:
    found = {label for label, objects in compile_fabric(intent).items() if NetworkNamespace() in objects}
    assert found >= {
        "podvnet-gateway-vpn",
        "podvnet-gateway-vpn..to-office",
        "podvnet-gateway-er",
        "podvnet-edge-line",
        "podvnet-site-office",
        "podvnet-site-office..files",
        "podvnet-site-office..to-192.0.2.1",
    }


def test_a_gateway_has_a_link_to_each_network_that_uses_it(intent: Intent) -> None:
    program = compile_fabric(intent)
    for network in ("hub", "spoke"):
        links = {each.peer_namespace: each for each in program[f"podvnet-vnet-{network}"] if isinstance(each, VethPair)}
        assert links.keys() >= {"podvnet-gateway-vpn", "podvnet-gateway-er"}
    assert {"10.0.0.0/16", "10.1.0.0/16"} <= routes(intent, "podvnet-gateway-vpn").keys()


def test_the_two_links_of_a_circuit_have_the_customer_s_address_first(intent: Intent) -> None:
    program = compile_fabric(intent)
    for label, wanted in (
        ("podvnet-site-office", {"172.16.1.1/30", "172.16.1.5/30"}),
        ("podvnet-edge-line", {"172.16.1.2/30", "172.16.1.6/30"}),
    ):
        held = {str(each.interface) for each in program[label] if isinstance(each, InterfaceAddress)}
        assert wanted <= held


def test_a_site_s_own_way_to_the_internet_is_behind_every_other(intent: Intent) -> None:
    assert routes(intent, "podvnet-site-office")["0.0.0.0/0"] == BREAKOUT_METRIC


def test_numbers_of_tunnels_stay_when_others_come(intent: Intent) -> None:
    (connection,) = (each for each in intent.connections.values() if each.site)
    other = replace(connection, id=replace(connection.id, path=(("connections", "a-first-one"),)))
    more = replace(intent, connections={other.id.key: other, **intent.connections})
    numbers = {each.namespace: each.number for each in tunnel_ends(more)}
    assert all(numbers[each.namespace] == each.number for each in tunnel_ends(intent))
    assert len({each.number for each in tunnel_ends(more) if each.router == "podvnet-gateway-vpn"}) == 2


def test_of_tunnels_with_one_prefix_the_first_is_taken_while_it_is_up(intent: Intent) -> None:
    (connection,) = (each for each in intent.connections.values() if each.site)
    assert connection.site
    site = replace(connection.site, prefixes=(ip_network("192.168.9.0/24"),))
    one = replace(connection, site=site)
    other = replace(one, id=replace(connection.id, path=(("connections", "to-second"),)))
    both = replace(intent, connections={**intent.connections, one.id.key: one, other.id.key: other})
    objects = compile_fabric(both)["podvnet-gateway-vpn"]
    found = [each for each in objects if isinstance(each, Route) and str(each.destination) == "192.168.9.0/24"]
    assert len({each.metric for each in found}) == len({each.index for each in found}) == 2


def test_of_tunnels_with_one_prefix_the_heaviest_connection_s_is_the_first(intent: Intent) -> None:
    (connection,) = (each for each in intent.connections.values() if each.site)
    heavy = replace(connection, id=replace(connection.id, path=(("connections", "to-second"),)), routing_weight=10)
    both = replace(intent, connections={**intent.connections, heavy.id.key: heavy})
    ranks = {each.connection.name: each.rank for each in tunnel_ends(both) if each.connection}
    assert ranks == {"to-second": 0, "to-office": 1}


def test_both_tunnels_to_an_active_active_gateway_lead_to_the_instance_that_speaks() -> None:
    made = GatewayDraft()
    for name, number in (("one", 1), ("two", 2)):
        made.network(name, f"10.{number}.0.0/16", GatewaySubnet=f"10.{number}.255.0/27")
        made.gateway(name, name, f"10.{number}.255.4")
        key = network_id("virtualNetworkGateways", name).key
        publics = [network_id("publicIPAddresses", f"{name}{place}") for place in range(2)]
        instances = (
            GatewayInstance("a", ip_address(f"10.{number}.255.4"), publics[0]),
            GatewayInstance("b", ip_address(f"10.{number}.255.5"), publics[1]),
        )
        made.intent.gateways[key] = replace(made.intent.gateways[key], instances=instances)
        for place, public in enumerate(publics):
            made.intent.public_addresses[public.key] = PublicAddress(public, ip_network(f"192.0.2.{number}{place}"))
    made.connect_networks("there", "one", "two")
    made.connect_networks("back", "two", "one")
    connections = {key: replace(each, bgp=True) for key, each in made.intent.connections.items()}
    ends = tunnel_ends(replace(made.intent, connections=connections))
    found = {(each.router, str(each.local), str(each.remote), str(each.speaker)) for each in ends}
    assert found == {
        ("podvnet-gateway-one", "192.0.2.10", "192.0.2.20", "10.2.255.4"),
        ("podvnet-gateway-one", "192.0.2.11", "192.0.2.21", "10.2.255.4"),
        ("podvnet-gateway-two", "192.0.2.20", "192.0.2.10", "10.1.255.4"),
        ("podvnet-gateway-two", "192.0.2.21", "192.0.2.11", "10.1.255.4"),
    }


def test_another_shared_key_costs_nothing_in_the_kernel(intent: Intent) -> None:
    compiler = PartCompiler()
    before = compiler.compile(intent)
    connections = {key: replace(each, shared_key="another") for key, each in intent.connections.items()}
    assert difference_of_parts(before, compiler.compile(replace(intent, connections=connections))) == ()
