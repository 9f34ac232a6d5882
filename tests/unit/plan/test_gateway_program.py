"""The namespaces of gateways and sites as values, and what a change of one costs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from podvnet.fabric.arm.world import World
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.intent import Intent
from podvnet.model.kernel import MAIN_TABLE, InterfaceAddress, NetworkNamespace, Route, VethPair
from podvnet.plan.parts import PartCompiler, compile_fabric, difference_of_parts
from podvnet.plan.router_program import BREAKOUT_METRIC
from podvnet.plan.tunnel_ends import tunnel_ends
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


def test_another_shared_key_costs_nothing_in_the_kernel(intent: Intent) -> None:
    compiler = PartCompiler()
    before = compiler.compile(intent)
    connections = {key: replace(each, shared_key="another") for key, each in intent.connections.items()}
    assert difference_of_parts(before, compiler.compile(replace(intent, connections=connections))) == ()
