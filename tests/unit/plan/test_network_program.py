from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from typing import TypeVar

import pytest

from podvnet.model.address import PLATFORM_MAC, mac_bytes
from podvnet.model.intent import Intent, NetworkInterface
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
    index_bytes,
)
from podvnet.model.resource_id import Scope, make
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.network_ruleset import NETWORK_RULESET
from podvnet.plan.parts import compile_fabric
from podvnet.plan.routing_program import NOWHERE6

HUB, ONE, TWO = "podvnet-vnet-hub", "podvnet-vm-one", "podvnet-vm-two"
EVERYWHERE = IPv4Network("0.0.0.0/0")

T = TypeVar("T", bound=KernelObject)


@pytest.fixture
def program(intent: Intent) -> Program:
    return compile_fabric(intent)


def of_kind(program: Program, namespace: str, kind: type[T]) -> list[T]:
    return [item for item in program[namespace] if isinstance(item, kind)]


def nic(intent: Intent, name: str) -> NetworkInterface:
    return next(nic for nic in intent.nics.values() if nic.id.name == name)


def changed(intent: Intent, name: str, **fields: object) -> Intent:
    found = nic(intent, name)
    return replace(intent, nics={**intent.nics, found.id.key: replace(found, **fields)})  # type: ignore[arg-type]


def elements(program: Program, family: str, name: str) -> set[bytes]:
    return {each.key for each in of_kind(program, HUB, Element) if (each.family, each.set) == (family, name)}


def index(number: int) -> bytes:
    return index_bytes(names.port_index(number))


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_a_namespace_for_the_internet_each_network_and_each_running_machine(program: Program) -> None:
    assert program.keys() == {names.INTERNET, HUB, ONE, TWO}
    assert all(NetworkNamespace() in objects for objects in program.values())


def test_an_empty_intent_is_the_internet_alone() -> None:
    assert compile_fabric(Intent()).keys() == {names.INTERNET}


def test_a_port_for_each_nic(program: Program) -> None:
    ports = {pair.name: pair for pair in of_kind(program, HUB, VethPair) if pair.name != names.UPLINK}
    assert {name: (pair.peer_namespace, pair.peer_name, pair.peer_index) for name, pair in ports.items()} == {
        "nic1": (ONE, "eth0", 2),
        "nic2": (ONE, "eth1", 3),
        "nic5": (TWO, "eth0", 2),
    }
    for pair in ports.values():
        assert pair.mac == PLATFORM_MAC
        assert pair.proxy_arp, "Azure answers ARP for every address"
        assert pair.mtu == 1500
    assert ports["nic1"].peer_mac == "00:0d:3a:00:00:01"
    assert ports["nic1"].alias == "NIC web"


def test_the_mtu_of_a_nic_is_that_of_its_port(intent: Intent) -> None:
    program = compile_fabric(changed(intent, "web", mtu=9000))
    assert {pair.mtu for pair in of_kind(program, HUB, VethPair) if pair.name == "nic1"} == {9000}


@pytest.mark.parametrize(
    ("destination", "number", "via"),
    [
        ("10.0.0.4/32", 1, None),
        ("10.0.0.5/32", 1, "10.0.0.4"),
        ("10.0.0.6/32", 1, "10.0.0.4"),
        ("10.0.1.4/32", 2, None),
        ("10.0.0.7/32", 5, None),
    ],
)
def test_delivery_by_address(program: Program, destination: str, number: int, via: str | None) -> None:
    route = Route(ip_network(destination), names.port_index(number), ip_address(via) if via else None)
    assert route in program[HUB]


def test_one_neighbour_for_each_nic(program: Program) -> None:
    found = {(each.index, str(each.address), each.mac) for each in of_kind(program, HUB, Neighbour)}
    assert found == {
        (1001, "10.0.0.4", "00:0d:3a:00:00:01"),
        (1002, "10.0.1.4", "00:0d:3a:00:00:02"),
        (1005, "10.0.0.7", "00:0d:3a:00:00:05"),
        (names.UPLINK_INDEX, "100.64.0.1", names.INTERNET_MAC),
        (names.UPLINK_INDEX, "fe80::1", names.INTERNET_MAC),
    }


def test_what_nobody_owns_leads_nowhere(program: Program) -> None:
    assert Route(ip_network("0.0.0.0/0"), LOOPBACK) in program[HUB]
    assert Route(ip_network("::/0"), names.UPLINK_INDEX, NOWHERE6) in program[HUB]


@pytest.mark.parametrize("prefix", ["10.0.0.0/16", "20.1.0.0/16"])
def test_what_is_of_the_network_is_looked_for_among_its_addresses(program: Program, prefix: str) -> None:
    assert Route(ip_network(prefix), LOOPBACK, None, names.PLAIN_TABLE, throw=True) in program[HUB]


@pytest.mark.parametrize("prefix", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"])
def test_private_ranges_never_lead_to_the_internet(program: Program, prefix: str) -> None:
    assert Route(ip_network(prefix), LOOPBACK, None, names.PLAIN_TABLE) in program[HUB]


def test_the_rest_is_the_internets(program: Program) -> None:
    route = Route(EVERYWHERE, names.UPLINK_INDEX, ip_address("100.64.0.1"), names.PLAIN_TABLE)
    assert route in program[HUB]
    assert RoutingRule(4, names.PLAIN_TABLE) in program[HUB]


def test_a_nic_may_send_as_what_it_owns(program: Program) -> None:
    mac = {number: mac_bytes(nic_mac) for number, nic_mac in ((1, "00:0d:3a:00:00:01"), (5, "00:0d:3a:00:00:05"))}  # type: ignore[arg-type]
    expected = {
        *(field_bytes(index(1), mac[1], packed(text)) for text in ("10.0.0.4", "10.0.0.5", "10.0.0.6")),
        field_bytes(index(2), bytes.fromhex("000d3a000002"), packed("10.0.1.4")),
        field_bytes(index(5), mac[5], packed("10.0.0.7")),
    }
    assert elements(program, "inet", "owned4") == expected
    assert elements(program, "arp", "owned4") == expected, "ARP is held to the same, also of a NIC that forwards"


def test_only_a_nic_with_ip_forwarding_may_send_as_others(program: Program) -> None:
    assert elements(program, "inet", "forwarding") == {field_bytes(index(5), bytes.fromhex("000d3a000005"))}


def test_only_the_primary_address_of_the_primary_nic_may_ask_imds(program: Program) -> None:
    assert elements(program, "inet", "metadata4") == {
        field_bytes(index(1), packed("10.0.0.4")),
        field_bytes(index(5), packed("10.0.0.7")),
    }


def test_outbound_by_the_one_public_address(program: Program) -> None:
    maps = {each.key: each.data for each in of_kind(program, HUB, Element) if each.set == "outbound4"}
    assert maps == {
        packed("10.0.0.4"): packed("203.0.113.1"),
        packed("10.0.0.7"): packed("203.0.113.2"),
    }
    assert elements(program, "inet", "outbound_sources4") == maps.keys()


def test_the_way_back_from_the_internet(program: Program) -> None:
    link = names.internet_link_index(3)
    routes = {(str(each.destination), each.index) for each in of_kind(program, names.INTERNET, Route)}
    assert routes == {("203.0.113.1/32", link), ("203.0.113.2/32", link)}
    assert LinkUp(link) in program[names.INTERNET]
    uplink = next(pair for pair in of_kind(program, HUB, VethPair) if pair.name == names.UPLINK)
    assert (uplink.peer_namespace, uplink.peer_name, uplink.peer_index) == (names.INTERNET, "vnet3", link)


def test_internet_hosts_and_the_resource_manager_answer_on_the_internet(program: Program) -> None:
    assert of_kind(program, names.INTERNET, InterfaceAddress) == [
        InterfaceAddress(LOOPBACK, ip_interface("198.51.100.7/32")),
        InterfaceAddress(LOOPBACK, ip_interface("198.51.100.254/32")),
    ]


def test_the_platform_addresses_are_in_every_network(program: Program) -> None:
    found = {str(each.interface.ip) for each in of_kind(program, HUB, InterfaceAddress) if each.index == LOOPBACK}
    assert found == {"169.254.169.254", "168.63.129.16"}


def test_the_gateway_answers_no_ping(program: Program) -> None:
    assert Sysctl("ipv4/icmp_echo_ignore_all", "1") in program[HUB]
    assert Sysctl("ipv4/ip_forward", "1") in program[HUB]
    assert not any("10.0.0.1" in str(each) for each in program[HUB])


def test_what_dhcp_sets_in_a_machine(program: Program) -> None:
    assert program[ONE] == {
        NetworkNamespace(),
        LinkUp(LOOPBACK),
        LinkUp(2),
        LinkUp(3),
        # Secondary addresses are the guest's business.
        InterfaceAddress(2, ip_interface("10.0.0.4/24")),
        InterfaceAddress(3, ip_interface("10.0.1.4/24")),
        Route(ip_network("10.0.0.0/24"), 2),
        Route(ip_network("10.0.1.0/24"), 3),
        Route(EVERYWHERE, 2, ip_address("10.0.0.1")),
    }


def test_of_two_nics_in_one_subnet_the_first_leads_there(intent: Intent) -> None:
    web = nic(intent, "web")
    program = compile_fabric(
        changed(intent, "back", subnet=web.subnet, ip_configurations=nic(intent, "spare").ip_configurations)
    )
    routes = {(str(each.destination), each.index) for each in of_kind(program, ONE, Route)}
    assert routes == {("10.0.0.0/24", 2), ("0.0.0.0/0", 2)}


def test_a_machine_that_is_off_has_nothing(program: Program) -> None:
    assert not any("10.0.0.8" in str(each) for objects in program.values() for each in objects)
    assert not any(getattr(each, "index", 0) == names.port_index(6) for each in program[HUB])


def test_ipv6_is_delivered_by_address_and_leaves_by_the_link_local_gateway(intent: Intent) -> None:
    hub = next(iter(intent.virtual_networks.values()))
    web = nic(intent, "web")
    six = (ip_address("fd00::4"), ip_address("fd00::5"))
    more = (*web.ip_configurations, *(replace(web.ip_configurations[1], name=str(each), address=each) for each in six))
    subnets = tuple(
        replace(each, prefixes=(*each.prefixes, ip_network("fd00::/64"))) if each.id == web.subnet else each
        for each in hub.subnets
    )
    dual = replace(intent, virtual_networks={hub.id.key: replace(hub, subnets=subnets)})
    program = compile_fabric(changed(dual, "web", ip_configurations=more))
    port = names.port_index(1)
    assert {
        Route(ip_network("fd00::4/128"), port),
        Route(ip_network("fd00::5/128"), port, six[0]),
        Neighbour(port, six[0], web.mac),
        InterfaceAddress(port, ip_interface("fe80::1234:5678:9abc/64")),
    } <= program[HUB]
    mac = mac_bytes(web.mac)
    assert elements(program, "inet", "owned6") == {field_bytes(index(1), mac, each.packed) for each in six}
    assert {
        InterfaceAddress(2, ip_interface("fd00::4/128")),
        InterfaceAddress(2, ip_interface("fe80::20d:3aff:fe00:1/64")),
        Route(ip_network("::/0"), 2, ip_address("fe80::1234:5678:9abc")),
    } <= program[ONE]


def test_networks_are_apart(intent: Intent) -> None:
    other = make(Scope(), "Microsoft.Network/virtualNetworks", "spoke")
    hub = next(iter(intent.virtual_networks.values()))
    both = replace(
        intent, virtual_networks={**intent.virtual_networks, other.key: replace(hub, id=other, number=4, subnets=())}
    )
    program, alone = compile_fabric(both), compile_fabric(intent)
    assert program[HUB] == alone[HUB]
    assert not of_kind(program, "podvnet-vnet-spoke", Element)
    assert {pair.name for pair in of_kind(program, "podvnet-vnet-spoke", VethPair)} == {names.UPLINK}


def test_every_set_that_is_filled_is_declared(program: Program) -> None:
    declared: dict[tuple[str, str], set[str]] = {}
    for family, table, body in re.findall(
        r"^table (\w+) (\w+) {(.*?)^}", NETWORK_RULESET.text, re.MULTILINE | re.DOTALL
    ):
        declared[family, table] = set(re.findall(r"^\t(?:set|map) (\w+)", body, re.MULTILINE))
    assert tuple(declared) == NETWORK_RULESET.tables
    filled = {(each.family, each.table, each.set) for each in of_kind(program, HUB, Element)}
    assert filled <= {(family, table, name) for (family, table), found in declared.items() for name in found}
    assert {table for _, table, _ in filled} == {TABLE}


@pytest.mark.parametrize(
    "counter", ["spoofed", "unowned", "uninvited", "no_outbound", "unsupported_protocol", "out_of_state"]
)
def test_every_drop_is_counted(counter: str) -> None:
    assert f"counter {counter} {{ }}" in NETWORK_RULESET.text
    assert re.search(rf"counter name {counter} drop", NETWORK_RULESET.text)
    assert "drop" not in re.sub(r"#.*|counter name \w+ drop|policy drop|listener-report drop", "", NETWORK_RULESET.text)


def test_nft_reads_the_ruleset() -> None:
    nft, unshare = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin"), shutil.which("unshare")
    if os.geteuid() != 0 or not nft or not unshare:
        pytest.skip("needs root, nft and unshare: nft checks a ruleset against a kernel namespace")
    result = subprocess.run(
        [unshare, "-n", nft, "-c", "-f", "-"], input=NETWORK_RULESET.text, capture_output=True, text=True, check=False
    )
    if "unshare failed" in result.stderr:
        pytest.skip(f"no namespace to check in: {result.stderr.strip()}")
    assert result.stderr == ""
    assert result.returncode == 0
