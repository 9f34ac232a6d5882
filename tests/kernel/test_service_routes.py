"""Packets for services go where the evaluator says: by the endpoint with their own source, else to the internet."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.testing.arena import Arena
from podvnet.testing.scenario import Port, Scenario, Sending, Topology

STORAGE, SQL, ELSEWHERE = "20.60.200.10", "40.79.128.5", "198.51.100.10"
ADDRESSES = {"one": "10.1.1.4", "other": "10.1.2.4", "twin": "10.1.1.4"}


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    made = Arena(tmp_path)
    yield made
    made.close()


def document(full_type: str, name: str, **properties: Any) -> Document:
    return {"type": full_type, "name": name, "properties": properties}


def networks() -> Topology:
    """A hub, one of whose subnets has an endpoint for Storage and leads the rest to an appliance that is not there.

    And a twin with the same addresses, endpoints for both services and no outbound access otherwise.
    """
    away = {"addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.9.4"}
    first = {
        "addressPrefix": "10.1.1.0/24",
        "routeTable": {"id": "routeTables/away"},
        "serviceEndpoints": [{"service": "Microsoft.Storage"}],
    }
    twin = {
        "addressPrefix": "10.1.1.0/24",
        "defaultOutboundAccess": False,
        "serviceEndpoints": [{"service": "Microsoft.Storage"}, {"service": "Microsoft.Sql"}],
    }
    second = {"addressPrefix": "10.1.2.0/24"}
    space = {"addressPrefixes": ["10.1.0.0/16"]}
    found = [
        document(ROUTE_TABLES, "away", routes=[{"name": "all", "properties": away}]),
        document(
            VIRTUAL_NETWORKS,
            "hub",
            addressSpace=space,
            subnets=[{"name": "s1", "properties": first}, {"name": "s2", "properties": second}],
        ),
        document(VIRTUAL_NETWORKS, "twin", addressSpace=space, subnets=[{"name": "s1", "properties": twin}]),
        *(document(INTERNET_HOSTS, f"h{place}", address=each) for place, each in enumerate((STORAGE, SQL, ELSEWHERE))),
    ]
    subnets = {"one": "hub/subnets/s1", "other": "hub/subnets/s2", "twin": "twin/subnets/s1"}
    for name, subnet in subnets.items():
        own = {"subnet": {"id": f"virtualNetworks/{subnet}"}, "privateIPAddress": ADDRESSES[name]}
        configuration = {"name": "c", "properties": own | {"privateIPAllocationMethod": "Static"}}
        found.append(document(NETWORK_INTERFACES, name, ipConfigurations=[configuration]))
        nics = {"networkInterfaces": [{"id": f"networkInterfaces/{name}"}]}
        found.append(document(VIRTUAL_MACHINES, f"{name}-vm", networkProfile=nics))
    ports = tuple(Port(name, f"{name}-vm", 0, True, False, (ip_address(each),)) for name, each in ADDRESSES.items())
    return Topology(tuple(found), ports)


def test_endpoints_lead_to_services_past_route_tables_and_without_outbound_access(arena: Arena) -> None:
    sendings = tuple(
        Sending(name, Flow(protocol, ip_address(source), ip_address(there), 40000, 443))
        for name, source in ADDRESSES.items()
        for there in (STORAGE, SQL, ELSEWHERE)
        for protocol in (TCP, UDP)
    )
    outcome = arena.play(Scenario(networks(), sendings))
    assert outcome.wrong == [], "\n".join(map(str, outcome.wrong))
    ways = {(each.port, str(each.trace.flow.destination)): each.way for each in outcome.passages}
    assert ways == {
        ("one", STORAGE): ["service"], ("one", SQL): [], ("one", ELSEWHERE): [],
        ("other", STORAGE): ["internet"], ("other", SQL): ["internet"], ("other", ELSEWHERE): ["internet"],
        ("twin", STORAGE): ["service"], ("twin", SQL): ["service"], ("twin", ELSEWHERE): [],
    }  # fmt: skip
    assert {each.port for each in outcome.passages if each.reply_way} == set(ADDRESSES)
