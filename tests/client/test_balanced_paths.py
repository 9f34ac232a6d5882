"""Ways by load balancers and public addresses, asked through the real SDK and by ``podvnet trace``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.lab import podvnet

GROUP, WATCHER, OUTSIDE = "paths", "watcher", "198.51.100.77"


def located(**properties: Any) -> Any:
    return {"location": "local", "properties": properties}


@pytest.fixture(scope="module")
def public(cloud: Cloud) -> Iterator[str]:
    """The address of a public frontend; ``served`` is behind it and behind 10.73.1.100, ``client`` is not."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = cloud.network
    network.network_watchers.create_or_update(GROUP, WATCHER, located())
    allow = {"name": "web", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "8080"}}  # fmt: skip
    nsg = network.network_security_groups.begin_create_or_update(GROUP, "nsg", located(securityRules=[allow])).result()
    subnets = [
        {"name": "front", "properties": {"addressPrefix": "10.73.1.0/24", "defaultOutboundAccess": True}},
        {"name": "back", "properties": {"addressPrefix": "10.73.2.0/24", "networkSecurityGroup": {"id": nsg.id}}},
    ]
    body = located(addressSpace={"addressPrefixes": ["10.73.0.0/16"]}, subnets=subnets)
    made = network.virtual_networks.begin_create_or_update(GROUP, "paths", body).result()
    places = {each.name: each.id or "" for each in made.subnets or []}
    sku = {"sku": {"name": "Standard"}}
    address: Any = located(publicIPAllocationMethod="Static") | sku
    pip = network.public_ip_addresses.begin_create_or_update(GROUP, "pip", address).result()
    inner = {
        "privateIPAddress": "10.73.1.100",
        "privateIPAllocationMethod": "Static",
        "subnet": {"id": places["front"]},
    }
    pools = []
    for name, frontend in (("inner", inner), ("outer", {"publicIPAddress": {"id": pip.id}})):
        where = f"{made.id}".partition("/providers/")[0] + f"/providers/Microsoft.Network/loadBalancers/{name}"
        rule = {"name": "web", "properties": {
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 8080,
            "frontendIPConfiguration": {"id": f"{where}/frontendIPConfigurations/f"},
            "backendAddressPool": {"id": f"{where}/backendAddressPools/p"}}}  # fmt: skip
        balancer: Any = located(
            frontendIPConfigurations=[{"name": "f", "properties": frontend}],
            backendAddressPools=[{"name": "p"}],
            loadBalancingRules=[rule],
        )
        network.load_balancers.begin_create_or_update(GROUP, name, balancer | sku).result()
        pools.append({"id": f"{where}/backendAddressPools/p"})
    for name, place, member in (("client", "front", []), ("served", "back", pools)):
        configuration = {"subnet": {"id": places[place]}, "loadBalancerBackendAddressPools": member}
        body = located(ipConfigurations=[{"name": "primary", "properties": configuration}])
        nic = network.network_interfaces.begin_create_or_update(GROUP, f"{name}-nic", body).result()
        machine: Any = located(networkProfile={"networkInterfaces": [{"id": nic.id}]})
        cloud.compute.virtual_machines.begin_create_or_update(GROUP, name, machine).result()
    yield network.public_ip_addresses.get(GROUP, "pip").ip_address or ""
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def check(cloud: Cloud, address: str, port: int) -> Any:
    client = cloud.compute.virtual_machines.get(GROUP, "client").id
    question: Any = {"source": {"resourceId": client}, "destination": {"address": address, "port": port}}
    return cloud.network.network_watchers.begin_check_connectivity(GROUP, WATCHER, question).result()


def test_a_connection_by_an_internal_load_balancer_has_its_hops(cloud: Cloud, public: str) -> None:
    assert public
    found = check(cloud, "10.73.1.100", 80)
    assert found.connection_status == "Connected"
    assert [(each.type, each.address) for each in found.hops] == [
        ("Source", "10.73.1.4"), ("InternalLoadBalancer", "10.73.1.100"), ("VirtualMachine", "10.73.2.4"),
    ]  # fmt: skip


def test_a_connection_by_a_public_one_leaves_and_comes_in_again(cloud: Cloud, public: str) -> None:
    found = check(cloud, public, 80)
    assert found.connection_status == "Connected"
    assert [each.type for each in found.hops] == ["Source", "PublicLoadBalancer", "VirtualMachine"]


def test_a_port_without_a_rule_is_the_issue(cloud: Cloud, public: str) -> None:
    assert public
    found = check(cloud, "10.73.1.100", 81)
    assert found.connection_status == "Disconnected"
    context = {each["key"]: each["value"] for each in found.hops[-1].issues[0].context}
    assert context["reason"] == "no rule is about TCP port 81"
    assert context["where"].endswith("/loadBalancers/inner/frontendIPConfigurations/f")


def test_trace_of_a_packet_from_the_internet(public: str) -> None:
    found = json.loads(podvnet("trace", OUTSIDE, f"{public}:80", "--json").stdout)
    assert found["summary"] == f"delivered to NIC served-nic as TCP from {OUTSIDE} to 10.73.2.4, port 8080"
    assert [hop["check"] for hop in found["hops"]] == ["Frontend", "Backend", "Owner", "SecurityRule"]
    refused = podvnet("trace", OUTSIDE, f"{public}:81").stdout.splitlines()
    assert refused[0].endswith("dropped at frontend outer/f: no rule is about TCP port 81")
    assert refused[-1].startswith("→ Add a load balancing rule for TCP port 81")


def test_trace_says_as_whom_a_packet_leaves(public: str) -> None:
    found = json.loads(podvnet("trace", "served", f"{OUTSIDE}:443", "--json").stdout)
    assert found["summary"] == f"leaves to the internet as {public}, ports 1024 to 2047"
    assert (found["egress"], found["outboundPorts"]) == ("LoadBalancingRule", [1024, 2047])
    dropped = podvnet("trace", "served", OUTSIDE).stdout.splitlines()[0]
    assert "so it has no default outbound access" in dropped
