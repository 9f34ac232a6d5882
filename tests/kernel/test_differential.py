"""Packets go where the evaluator says: a small slice of `scripts/differential`."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.testing.arena import Arena
from podvnet.testing.differential import PACKETS, compare
from podvnet.testing.scenario import Port, Scenario, Sending, Topology

TOPOLOGIES, MOST, FIRST = 12, 24, 116
AMONG_THEM = (
    "IPv4 Delivered by a load balancer",
    "IPv4 from the internet Delivered",
    "IPv4 LeftToInternet as NatGateway",
    "IPv4 ReachedOnPremises",
    "IPv4 from on premises Delivered",
)
"""Ends of packets that the slice must have, or it says nothing of them."""
NVA, CLIENT, SERVER = "10.1.2.4", "10.1.1.4", "10.1.1.5"


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    made = Arena(tmp_path)
    yield made
    made.close()


def test_packets_go_where_the_evaluator_says_and_nowhere_else(arena: Arena) -> None:
    compare(arena, TOPOLOGIES, FIRST)
    assert arena.account.packets >= TOPOLOGIES * PACKETS
    assert arena.account.replies > TOPOLOGIES
    # What is drawn depends on the constants in the modules that are loaded, so a few topologies more may be needed.
    while missing(arena) and len(arena.account.topologies) < MOST:
        drawn = len(arena.account.topologies)
        compare(arena, drawn + 4, FIRST + drawn)
    assert not missing(arena), f"no packet of these was {missing(arena)}\n{arena.account}"


def missing(arena: Arena) -> list[str]:
    return [end for end in AMONG_THEM if not arena.account.ends[end]]


@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("forwarding", [{"nva"}, {"nva", "client"}, {"nva", "server"}, {"nva", "client", "server"}])
def test_replies_come_back_through_an_appliance_whoever_else_forwards(
    arena: Arena, forwarding: set[str], protocol: int
) -> None:
    flow = Flow(protocol, ip_address(CLIENT), ip_address(SERVER), 40000, 80)
    outcome = arena.play(Scenario(behind_an_appliance(forwarding), (Sending("client", flow),)))
    (passage,) = outcome.passages
    assert passage.way == ["nva", "server"]
    assert passage.reply_way == ["nva", "client"]
    assert outcome.wrong == [], f"{passage}\n{outcome.counters}"


def behind_an_appliance(forwarding: set[str]) -> Topology:
    """A client and a server in one subnet, whose routes lead to an appliance in another."""
    places = {"nva": ("s1", NVA), "client": ("s0", CLIENT), "server": ("s0", SERVER)}
    route = {"addressPrefix": "10.1.1.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": NVA}
    subnets = [
        {"name": "s0", "properties": {"addressPrefix": "10.1.1.0/24", "routeTable": {"id": "routeTables/t"}}},
        {"name": "s1", "properties": {"addressPrefix": "10.1.2.0/24"}},
    ]
    resources: list[Document] = [
        {"type": ROUTE_TABLES, "name": "t", "properties": {"routes": [{"name": "r", "properties": route}]}},
        {
            "type": VIRTUAL_NETWORKS,
            "name": "hub",
            "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": subnets},
        },
    ]
    for name, (subnet, address) in places.items():
        configuration = {
            "privateIPAllocationMethod": "Static",
            "privateIPAddress": address,
            "subnet": {"id": f"virtualNetworks/hub/subnets/{subnet}"},
        }
        properties = {
            "enableIPForwarding": name in forwarding,
            "ipConfigurations": [{"name": "c", "properties": configuration}],
        }
        nics = {"networkInterfaces": [{"id": f"networkInterfaces/{name}"}]}
        resources.append({"type": NETWORK_INTERFACES, "name": name, "properties": properties})
        resources.append({"type": VIRTUAL_MACHINES, "name": name, "properties": {"networkProfile": nics}})
    ports = [
        Port(name, name, 0, running=True, forwarding=name in forwarding, addresses=(ip_address(address),))
        for name, (_, address) in places.items()
    ]
    return Topology(tuple(resources), tuple(ports))
