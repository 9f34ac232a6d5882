"""What traces, effective routes and a network watcher say of gateways and of hosts on premises."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from podvnet.fabric.api.effective import effective_groups, effective_routes
from podvnet.fabric.api.watcher import check_connectivity, next_hop
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.hop_counters import HopCounters
from podvnet.fabric.trace import trace_of
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.gateway import GatewayInstance, GatewayKind
from podvnet.model.public_address import PublicAddress
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.draft import network_id
from podvnet.testing.gateway_draft import GatewayDraft

OFFICE = "198.51.100.1"


def draft(*, up: bool = True) -> GatewayDraft:
    """A hub with a VPN and ExpressRoute, a spoke that uses them, and an office with a printer."""
    made = GatewayDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24", GatewaySubnet="10.0.255.0/27")
    made.network("spoke", "10.1.0.0/16", front="10.1.1.0/24")
    made.peer("hub", "spoke", lends=True)
    made.peer("spoke", "hub", uses=True)
    made.group("web")
    made.guard("hub/front", group="web")
    made.nic("one", "hub/front", "10.0.1.4")
    made.nic("two", "spoke/front", "10.1.1.4")
    made.site("office", OFFICE, "192.168.0.0/24", printer="192.168.0.9")
    made.gateway("vpn", "hub", "10.0.255.30")
    made.connect("to-office", "vpn", OFFICE, "192.168.0.0/24", up=up)
    made.gateway("er", "hub", "10.0.255.29", GatewayKind.EXPRESS_ROUTE)
    made.connect_circuit("line", "er", "key", "172.31.0.0/30", "172.31.0.4/30")
    made.learn("er", "172.31.0.1", "172.16.0.0/16", path=(12076, 65010))
    public = network_id("publicIPAddresses", "pip")
    made.intent.public_addresses[public.key] = PublicAddress(public, ip_network("203.0.113.7/32"))
    key = network_id("virtualNetworkGateways", "vpn").key
    instance = GatewayInstance("default", ip_address("10.0.255.30"), public)
    made.intent.gateways[key] = replace(made.intent.gateways[key], instances=(instance,))
    return made


def ask(made: GatewayDraft, source: str, destination: str, port: int = 80) -> dict[str, Any]:
    evaluator = Evaluator(made.intent)
    counters = HopCounters(evaluator, lambda _: {"foreign_source": 3}, lambda *_: {})
    return trace_of(evaluator, counters, source=source, destination=destination, protocol="tcp", port=port)


@pytest.mark.parametrize(
    ("source", "destination", "summary"),
    [
        ("one", "office/printer", "leaves by gateway vpn to site office: host printer has 192.168.0.9"),
        ("two", "192.168.0.9", "leaves by gateway vpn to site office: host printer has 192.168.0.9"),
        ("office/printer", "one", "delivered to NIC one"),
        ("192.168.0.9", "10.1.1.4", "delivered to NIC two"),
        ("one", "172.16.0.1", "leaves by gateway er to a device that is not of this fabric"),
        ("one", "192.168.0.1", "leaves by gateway vpn to site office: its router has 192.168.0.1"),
        ("one", "192.168.0.10", "dropped at site office: no host of it has 192.168.0.10"),
    ],
)
def test_hosts_on_premises_are_places_like_others(source: str, destination: str, summary: str) -> None:
    assert ask(draft(), source, destination)["summary"] == summary


def test_a_tunnel_that_is_down_is_the_first_line_and_what_to_do_the_last() -> None:
    for source, destination in (("one", "office/printer"), ("office/printer", "two")):
        found = ask(draft(up=False), source, destination)
        assert found["summary"] == (
            "dropped at connection to-office: the connection is not Connected: no tunnel of it carries packets"
        )
        assert found["remedy"].startswith(
            "Give connection to-office and the device on premises at 198.51.100.1 the same"
        )


def test_a_host_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ArmErrorsError, match="there is no VM and no NIC 'office/scanner'"):
        ask(draft(), "one", "office/scanner")


def test_effective_routes_name_the_gateway_by_its_public_addresses() -> None:
    made = draft()
    nic = made.intent.nics[network_id("networkInterfaces", "two").key]
    found = [
        each for each in effective_routes(Evaluator(made.intent), nic)["value"] if "Gateway" in each["nextHopType"]
    ]
    assert found == [
        {
            "name": None,
            "source": "VirtualNetworkGateway",
            "state": "Active",
            "addressPrefix": [prefix],
            "nextHopType": "VirtualNetworkGateway",
            "nextHopIpAddress": [address],
            "disableBgpRoutePropagation": False,
        }
        for prefix, address in (("192.168.0.0/24", "203.0.113.7"), ("172.16.0.0/16", "10.0.255.29"))
    ]


def test_effective_groups_show_what_is_on_premises_as_the_virtual_network() -> None:
    made = draft()
    nic = made.intent.nics[network_id("networkInterfaces", "one").key]
    (group,) = effective_groups(Evaluator(made.intent), nic)["value"]
    assert {"192.168.0.0/24", "172.16.0.0/16"} <= set(group["tagMap"]["VirtualNetwork"])


def test_a_network_watcher_says_that_the_next_hop_is_the_gateway() -> None:
    made = draft()
    body = {
        "targetResourceId": str(network_id("networkInterfaces", "two")),
        "sourceIPAddress": "10.1.1.4",
        "destinationIPAddress": "192.168.0.9",
    }
    assert next_hop(Evaluator(made.intent), Fields(body, "", "watcher")) == {
        "nextHopType": "VirtualNetworkGateway",
        "nextHopIpAddress": "203.0.113.7",
        "routeTableId": "System Route",
    }


@pytest.mark.parametrize(("up", "status"), [(True, "Connected"), (False, "Disconnected")])
def test_a_connectivity_check_names_the_gateway(up: bool, status: str) -> None:
    made = draft(up=up)
    body = {
        "source": {"resourceId": str(network_id("networkInterfaces", "one"))},
        "destination": {"address": "192.168.0.9", "port": 631},
    }
    found = check_connectivity(Evaluator(made.intent), Fields(body, "", "watcher"))
    assert found["connectionStatus"] == status
    kinds = [hop["type"] for hop in found["hops"]]
    assert kinds == (["Source", "VirtualNetworkGateway", "OnPremises"] if up else ["Source"])
    if not up:
        assert "not Connected" in str(found["hops"][-1]["issues"])
