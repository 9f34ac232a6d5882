"""A network watcher, asked through the real SDK, and the same question by ``podvnet trace``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.testing.cloud import Cloud
from podvnet.testing.lab import podvnet

GROUP = "watched"
WATCHER = "watcher"


def located(**properties: Any) -> Any:
    return {"location": "local", "properties": properties}


def nic_body(subnet: str, address: str, **more: Any) -> Any:
    inner = {"primary": True, "subnet": {"id": subnet}, "privateIPAddress": address}
    configuration = {"name": "primary", "properties": inner | {"privateIPAllocationMethod": "Static"}}
    return located(ipConfigurations=[configuration], **more)


@pytest.fixture(scope="module")
def machines(cloud: Cloud) -> Iterator[dict[str, str]]:
    """VMs by name: ``near`` in a subnet whose routes lead to ``gate``, which forwards; ``far`` behind a group."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = cloud.network
    network.network_watchers.create_or_update(GROUP, WATCHER, located())
    rules = [{"name": "no-ssh", "properties": {
        "priority": 150, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22"}}]  # fmt: skip
    nsg = network.network_security_groups.begin_create_or_update(GROUP, "nsg", located(securityRules=rules)).result()
    routes = [
        {"name": "by-gate", "properties": {
            "addressPrefix": "10.72.2.0/24", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.72.9.4"}},
        {"name": "nowhere", "properties": {"addressPrefix": "198.51.100.0/24", "nextHopType": "None"}},
    ]  # fmt: skip
    table = network.route_tables.begin_create_or_update(GROUP, "rt", located(routes=routes)).result()
    subnets = [
        {"name": "near", "properties": {"addressPrefix": "10.72.1.0/24", "routeTable": {"id": table.id}}},
        {"name": "far", "properties": {"addressPrefix": "10.72.2.0/24", "networkSecurityGroup": {"id": nsg.id}}},
        {"name": "gate", "properties": {"addressPrefix": "10.72.9.0/24"}},
    ]
    body = located(addressSpace={"addressPrefixes": ["10.72.0.0/16"]}, subnets=subnets)
    made = network.virtual_networks.begin_create_or_update(GROUP, "watched", body).result()
    places = {each.name: each.id or "" for each in made.subnets or []}
    found = {}
    for name, address in (("near", "10.72.1.4"), ("far", "10.72.2.4"), ("gate", "10.72.9.4")):
        nic = network.network_interfaces.begin_create_or_update(
            GROUP, f"{name}-nic", nic_body(places[name], address, enableIPForwarding=name == "gate")
        ).result()
        machine: Any = located(networkProfile={"networkInterfaces": [{"id": nic.id}]})
        found[name] = cloud.compute.virtual_machines.begin_create_or_update(GROUP, name, machine).result().id or ""
    yield found
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def test_a_watcher_is_a_resource(cloud: Cloud, machines: dict[str, str]) -> None:
    watchers = cloud.network.network_watchers
    assert machines
    found = watchers.get(GROUP, WATCHER)
    assert found.properties
    assert found.properties.provisioning_state == "Succeeded"
    assert [each.name for each in watchers.list(GROUP)] == [WATCHER]
    watchers.create_or_update(GROUP, "other", located())
    watchers.begin_delete(GROUP, "other").result()
    with pytest.raises(ResourceNotFoundError):
        watchers.get(GROUP, "other")


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        ("far Inbound 10.72.2.4:22 10.72.1.4:*", ("Deny", "securityRules/no-ssh")),
        ("far Inbound 10.72.2.4:80 10.72.1.4:*", ("Allow", "defaultSecurityRules/AllowVnetInBound")),
        ("far Inbound 10.72.2.4:80 8.8.8.8:*", ("Deny", "defaultSecurityRules/DenyAllInBound")),
        ("far Outbound 10.72.2.4:* 8.8.8.8:443", ("Allow", "defaultSecurityRules/AllowInternetOutBound")),
        ("near Inbound 10.72.1.4:80 10.72.2.4:*", ("Allow", "")),
    ],
)
def test_ip_flow_verify_names_the_rule(
    packet: str, expected: tuple[str, str], cloud: Cloud, machines: dict[str, str]
) -> None:
    target, direction, local, remote = packet.split()
    (local_address, local_port), (remote_address, remote_port) = local.split(":"), remote.split(":")
    question: Any = {
        "targetResourceId": machines[target], "direction": direction, "protocol": "TCP", "localPort": local_port,
        "remotePort": remote_port, "localIPAddress": local_address, "remoteIPAddress": remote_address,
    }  # fmt: skip
    found = cloud.network.network_watchers.begin_verify_ip_flow(GROUP, WATCHER, question).result()
    assert (found.access, found.rule_name) == expected


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("10.72.2.4", ("VirtualAppliance", "10.72.9.4", "rt")),
        ("198.51.100.7", ("None", "", "rt")),
        ("8.8.8.8", ("Internet", "", "System Route")),
        ("10.72.9.4", ("VnetLocal", "", "System Route")),
        ("10.1.1.1", ("None", "", "System Route")),
        ("fd00::1", ("None", "", "System Route")),
        ("168.63.129.16", ("VnetLocal", "", "System Route")),
    ],
)
def test_next_hop(destination: str, expected: tuple[str, str, str], cloud: Cloud, machines: dict[str, str]) -> None:
    question: Any = {
        "targetResourceId": machines["near"], "sourceIPAddress": "10.72.1.4", "destinationIPAddress": destination,
    }  # fmt: skip
    found = cloud.network.network_watchers.begin_get_next_hop(GROUP, WATCHER, question).result()
    table = (found.route_table_id or "").rsplit("/", 1)[-1]
    assert (found.next_hop_type, found.next_hop_ip_address, table) == expected


def check(cloud: Cloud, source: str, destination: dict[str, Any], protocol: str = "Tcp") -> Any:
    question: Any = {"source": {"resourceId": source}, "destination": destination, "protocol": protocol}
    return cloud.network.network_watchers.begin_check_connectivity(GROUP, WATCHER, question).result()


def test_a_connection_by_an_appliance_has_its_hops(cloud: Cloud, machines: dict[str, str]) -> None:
    found = check(cloud, machines["near"], {"resourceId": machines["far"], "port": 80})
    assert found.connection_status == "Connected"
    assert [(each.type, each.address) for each in found.hops] == [
        ("Source", "10.72.1.4"), ("VirtualAppliance", "10.72.9.4"), ("VirtualMachine", "10.72.2.4"),
    ]  # fmt: skip
    assert found.hops[0].next_hop_ids == [found.hops[1].id]
    assert found.hops[2].previous_hop_ids == [found.hops[1].id]
    assert not any(each.issues for each in found.hops)


def test_no_probe_is_sent_and_none_is_claimed(cloud: Cloud, machines: dict[str, str]) -> None:
    found = check(cloud, machines["near"], {"address": "10.72.2.4"}, "Https")
    assert (found.avg_latency_in_ms, found.min_latency_in_ms, found.max_latency_in_ms) == (None, None, None)
    assert (found.probes_sent, found.probes_failed) == (0, 0)


@pytest.mark.parametrize(
    ("destination", "issue", "origin", "named"),
    [
        ({"address": "10.72.2.4", "port": 22}, "NetworkSecurityRule", "Inbound", "securityRules/no-ssh"),
        ({"address": "198.51.100.7"}, "UserDefinedRoute", "Outbound", "nowhere"),
        ({"address": "10.72.9.77", "port": 80}, "Platform", "Outbound", "10.72.9.77"),
    ],
)
def test_a_connection_that_fails_says_why(
    destination: dict[str, Any], issue: str, origin: str, named: str, *, cloud: Cloud, machines: dict[str, str]
) -> None:
    found = check(cloud, machines["near"], destination, "Tcp" if "port" in destination else "Icmp")
    assert found.connection_status == "Disconnected"
    assert [bool(each.issues) for each in found.hops] == [False] * (len(found.hops) - 1) + [True]
    (told,) = found.hops[-1].issues
    assert (told.type, told.origin, told.severity) == (issue, origin, "Error")
    context = {each["key"]: each["value"] for each in told.context}
    assert named in context["remedy"] + context["reason"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"source": {"resourceId": "near"}, "destination": {"address": "example.com", "port": 80}}, 400),
        ({"source": {"resourceId": "near"}, "destination": {"address": "10.72.2.4"}}, 400),
        ({"source": {"resourceId": "nobody"}, "destination": {"address": "10.72.2.4", "port": 80}}, 404),
        ({"source": {"resourceId": "near"}, "destination": {"port": 80}}, 400),
        ({"source": {"resourceId": "near"}, "destination": {"address": "fd00::1", "port": 80}}, 400),
        ({"source": {"resourceId": "near"}, "destinaton": {}}, 400),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    body: Any, status: int, cloud: Cloud, machines: dict[str, str]
) -> None:
    name = body["source"]["resourceId"]
    full = machines.get(name, machines["near"].replace("/near", f"/{name}"))
    with pytest.raises(HttpResponseError) as refused:
        cloud.network.network_watchers.begin_check_connectivity(
            GROUP, WATCHER, body | {"source": {"resourceId": full}}
        ).result()
    assert refused.value.status_code == status


def test_a_watcher_that_is_not_there_answers_nothing(cloud: Cloud, machines: dict[str, str]) -> None:
    question: Any = {
        "targetResourceId": machines["near"], "sourceIPAddress": "10.72.1.4", "destinationIPAddress": "8.8.8.8",
    }  # fmt: skip
    with pytest.raises(ResourceNotFoundError):
        cloud.network.network_watchers.begin_get_next_hop(GROUP, "nobody", question).result()


def test_trace_names_the_culprit_in_its_first_line(machines: dict[str, str]) -> None:
    assert machines
    lines = podvnet("trace", "near", "far:22").stdout.splitlines()
    assert lines[0] == (
        "TCP from 10.72.1.4 to 10.72.2.4, port 22: dropped by inbound securityRules/no-ssh of nsg (priority 150, Deny),"
        " at subnet watched/far"
    )
    assert lines[-1] == (
        "→ Add a rule with a priority below 150 to security group nsg that allows inbound TCP from 10.72.1.4 to"
        " 10.72.2.4, port 22."
    )
    assert any("DENY" in line and "no-ssh" in line for line in lines[1:-1])


def test_trace_as_json_has_the_hops(machines: dict[str, str]) -> None:
    assert machines
    found = json.loads(podvnet("trace", "near-nic", "10.72.2.4:80", "--proto", "udp", "--json").stdout)
    assert found["verdict"] == "Delivered"
    assert [each.rsplit("/", 1)[1] for each in found["nics"]] == ["near-nic", "gate-nic", "far-nic"]
    assert found["summary"] == "delivered to NIC far-nic"
    assert [hop["check"] for hop in found["hops"]] == [
        "Spoofing", "Route", "Appliance", "Spoofing", "Route", "Owner", "SecurityRule",
    ]  # fmt: skip
    counted = {hop["check"]: hop["counter"] for hop in found["hops"] if hop["counter"] is not None}
    assert counted == {"SecurityRule": 0}, "no packet was sent"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", "far:80"), "there is no VM and no NIC 'nobody'"),
        (("10.99.0.1", "far:80"), "no NIC has the address 10.99.0.1"),
        (("near", "far:80", "--proto", "icmp"), "ICMP has no ports"),
        (("near", "far", "--proto", "udp"), "UDP needs a port: far:PORT."),
        (("near", "far:http"), "'http' is no port (1 to 65535)."),
        (("near", "[fd00::1]:80"), "NIC near-nic has no IPv6 address"),
        (("near@10.72.1.4", "fd00::1"), "10.72.1.4 and fd00::1 are of two IP versions"),
        (("near@there", "far:80"), "'there' is no address"),
    ],
)
def test_trace_says_what_is_wrong_with_the_question(
    words: tuple[str, ...], told: str, machines: dict[str, str]
) -> None:
    assert machines
    refused = podvnet("trace", *words, check=False)
    assert refused.returncode != 0
    assert told in refused.stderr


def test_trace_takes_a_source_that_is_not_the_nics(machines: dict[str, str]) -> None:
    assert machines
    first = podvnet("trace", "near@10.72.1.9", "far:80").stdout.splitlines()[0]
    assert first.endswith("dropped at NIC near-nic: 10.72.1.9 is no address of the NIC")
