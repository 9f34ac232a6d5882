"""What ARM says of a load balancer beyond its document, asked through the real SDK: health, ports, metrics."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.monitor import MonitorManagementClient

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.testing.cloud import Cloud
from podvnet.testing.cni import eventually

GROUP = "balanced"
HOST = "/providers/Podvnet.Fabric/internetHosts/away"
PROBE_PORT = 7070
_PORTS = 8
_WITHIN = 12.0
"""Seconds: a question, an interval, and one more question."""


def located(**properties: Any) -> Any:
    return {"location": "local", "properties": properties}


def balancer_body(cloud: Cloud, public: str, network: str, *, last: int = 50_003, state: str = "None") -> Any:
    """A public load balancer with a pool of NICs and one of addresses, and a NAT rule to each."""
    group = f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}"
    me = f"{group}/providers/Microsoft.Network/loadBalancers/lb"
    front = {"id": f"{me}/frontendIPConfigurations/f"}
    nics, addresses = ({"id": f"{me}/backendAddressPools/{each}"} for each in ("nics", "addresses"))
    rule = {"frontendIPConfiguration": front, "protocol": "Tcp", "backendPort": PROBE_PORT}
    listed = [
        {"name": "a", "properties": {"ipAddress": "10.75.1.4", "adminState": state}},
        {"name": "b", "properties": {"ipAddress": "10.75.1.99"}},
    ]
    ports = {"frontendIPConfiguration": front, "protocol": "Tcp", "backendPort": 22}
    return located(
        frontendIPConfigurations=[{"name": "f", "properties": {"publicIPAddress": {"id": public}}}],
        backendAddressPools=[
            {"name": "nics"},
            {"name": "addresses", "properties": {
                "virtualNetwork": {"id": network}, "loadBalancerBackendAddresses": listed}},
        ],
        probes=[{"name": "p", "properties": {"protocol": "Tcp", "port": PROBE_PORT, "intervalInSeconds": 5}}],
        loadBalancingRules=[
            {"name": "r", "properties": rule | {
                "frontendPort": 80, "backendAddressPool": addresses, "probe": {"id": f"{me}/probes/p"}}},
            {"name": "unprobed", "properties": rule | {
                "frontendPort": 81, "backendPort": 81, "backendAddressPool": addresses}},
        ],
        inboundNatRules=[
            {"name": "Ssh", "properties": ports | {
                "frontendPortRangeStart": 50_001, "frontendPortRangeEnd": last, "backendAddressPool": nics}},
        ],
        outboundRules=[
            {"name": "out", "properties": {
                "frontendIPConfigurations": [front], "backendAddressPool": addresses, "protocol": "Tcp",
                "allocatedOutboundPorts": _PORTS}},
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(cloud: Cloud) -> Iterator[tuple[str, str, str]]:
    """Ids of a subnet, its network and a public address; ``lb`` is made, and the VM ``vm`` has 10.75.1.4."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = cloud.network
    body = located(
        addressSpace={"addressPrefixes": ["10.75.0.0/16"]},
        subnets=[{"name": "s", "properties": {"addressPrefix": "10.75.1.0/24"}}],
    )
    made = network.virtual_networks.begin_create_or_update(GROUP, "net", body).result()
    assert made.subnets
    subnet = made.subnets[0].id or ""
    address: Any = located(publicIPAllocationMethod="Static") | {"sku": {"name": "Standard"}}
    public = network.public_ip_addresses.begin_create_or_update(GROUP, "pip", address).result()
    found = subnet, made.id or "", public.id or ""
    network.load_balancers.begin_create_or_update(GROUP, "lb", balancer_body(cloud, found[2], found[1])).result()
    nic = network.network_interfaces.begin_create_or_update(GROUP, "vm", nic_body(subnet)).result()
    machine: Any = located(networkProfile={"networkInterfaces": [{"id": nic.id}]})
    cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm", machine).result()
    yield found
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def nic_body(subnet: str, *pools: str, count: int = 1) -> Any:
    configurations = [
        {"name": f"ip{each}", "properties": {
            "primary": each == 0, "subnet": {"id": subnet},
            "loadBalancerBackendAddressPools": [{"id": pool} for pool in pools]}}
        for each in range(count)
    ]  # fmt: skip
    return located(ipConfigurations=configurations)


def ports(cloud: Cloud, nic: str, configuration: str) -> list[tuple[str, int, int]]:
    """The ports that lead to an ip-configuration."""
    found = cloud.network.network_interfaces.get(GROUP, nic)
    identity = next(each.id for each in found.ip_configurations or [] if each.name == configuration)
    question: Any = {"ipConfiguration": {"id": identity}}
    answer = cloud.network.load_balancers.begin_list_inbound_nat_rule_port_mappings(
        GROUP, "lb", "nics", question
    ).result()
    return [
        (each.inbound_nat_rule_name or "", each.frontend_port or 0, each.backend_port or 0)
        for each in answer.inbound_nat_rule_port_mappings or []
    ]


def test_members_have_a_port_each_that_stays_theirs(cloud: Cloud, place: tuple[str, str, str]) -> None:
    subnet, network, public = place
    nics, pool = cloud.network.network_interfaces, cloud.network.load_balancer_backend_address_pools
    identity = pool.get(GROUP, "lb", "nics").id or ""
    nics.begin_create_or_update(GROUP, "first", nic_body(subnet, identity)).result()
    nics.begin_create_or_update(GROUP, "second", nic_body(subnet, identity, count=2)).result()
    assert ports(cloud, "first", "ip0") == [("Ssh", 50_001, 22)]
    assert ports(cloud, "second", "ip0") == [("Ssh", 50_002, 22)]
    assert ports(cloud, "second", "ip1") == [("Ssh", 50_003, 22)]

    with pytest.raises(HttpResponseError, match="3 ports, 50001 to 50003, and its backend pool 4 addresses"):
        nics.begin_create_or_update(GROUP, "third", nic_body(subnet, identity)).result()
    nics.begin_delete(GROUP, "first").result()
    assert ports(cloud, "second", "ip1") == [("Ssh", 50_003, 22)], "scale-down moves nobody"
    nics.begin_create_or_update(GROUP, "third", nic_body(subnet, identity)).result()
    assert ports(cloud, "third", "ip0") == [("Ssh", 50_001, 22)], "who comes gets what is free"

    wider = balancer_body(cloud, public, network, last=50_010)
    cloud.network.load_balancers.begin_create_or_update(GROUP, "lb", wider).result()
    assert ports(cloud, "second", "ip1") == [("Ssh", 50_003, 22)], "a write of the load balancer moves nobody"
    narrower = balancer_body(cloud, public, network, last=50_002)
    with pytest.raises(HttpResponseError, match="Widen the range"):
        cloud.network.load_balancers.begin_create_or_update(GROUP, "lb", narrower).result()
    for name in ("second", "third"):
        nics.begin_delete(GROUP, name).result()


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({}, "ipAddress: is required"),
        ({"ipAddress": "nobody"}, "'nobody' is no address"),
        ({"ipConfiguration": {"id": "x"}}, "ipConfiguration"),
    ],
)
def test_a_question_about_ports_names_a_member(
    question: Any, told: str, cloud: Cloud, place: tuple[str, str, str]
) -> None:
    assert place
    with pytest.raises(HttpResponseError, match=told):
        cloud.network.load_balancers.begin_list_inbound_nat_rule_port_mappings(GROUP, "lb", "nics", question).result()


def health(cloud: Cloud, rule: str) -> dict[str, tuple[str, str]]:
    """State and reason by address, of what a rule's pool has."""
    found = cloud.network.load_balancer_load_balancing_rules.begin_health(GROUP, "lb", rule).result()
    shown = {
        each.ip_address or "": (each.state or "", each.reason or "")
        for each in found.load_balancer_backend_addresses or []
    }
    assert found.up == sum(state == "Up" for state, _ in shown.values())
    assert found.down == sum(state == "Down" for state, _ in shown.values())
    return shown


def test_health_follows_the_probe_and_the_administrative_state(cloud: Cloud, place: tuple[str, str, str]) -> None:
    _, network, public = place
    down = ("Down", "Down_Probe_TcpProbeTimeout")
    assert health(cloud, "r") == {"10.75.1.4": down, "10.75.1.99": down}
    assert {state for state, _ in health(cloud, "unprobed").values()} == {"Up"}
    balancers = cloud.network.load_balancers
    up = balancer_body(cloud, public, network, state="Up")
    balancers.begin_create_or_update(GROUP, "lb", up).result()
    assert health(cloud, "r")["10.75.1.4"] == ("Up", "Up_Admin")
    balancers.begin_create_or_update(GROUP, "lb", balancer_body(cloud, public, network)).result()

    inside = cloud.lab.namespace(f"{names.MACHINE_PREFIX}{GROUP}..vm")
    cloud.lab.servers.listen(inside, "10.75.1.4")
    try:
        assert eventually(lambda: health(cloud, "r")["10.75.1.4"] == ("Up", "Up_Probe_Success"), _WITHIN)
        balancers.begin_create_or_update(GROUP, "lb", balancer_body(cloud, public, network, state="Down")).result()
        assert health(cloud, "r")["10.75.1.4"] == ("Down", "Down_Admin")
        balancers.begin_create_or_update(GROUP, "lb", balancer_body(cloud, public, network)).result()
        assert health(cloud, "r")["10.75.1.4"] == ("Up", "Up_Probe_Success"), "it was probed all the while"
    finally:
        cloud.lab.servers.forget("10.75.1.4")


@pytest.fixture(scope="module")
def monitor(cloud: Cloud) -> MonitorManagementClient:
    """The SDK's client of Azure Monitor."""
    return MonitorManagementClient(cloud.access.credential(), cloud.access.subscription, **cloud.access.options())


def latest(
    monitor: MonitorManagementClient, resource: str, metric: str, condition: str = "", aggregation: str = ""
) -> dict[tuple[str, ...], float]:
    """The last value of a metric, by what it is told apart by."""
    found = monitor.metrics.list(
        resource, metricnames=metric, filter=condition or None, aggregation=aggregation or None, interval="PT1M"
    )
    (shown,) = found.value
    return {
        tuple(each.value or "" for each in series.metadatavalues or []): next(
            value
            for value in (
                (series.data or [])[-1].average, (series.data or [])[-1].total, (series.data or [])[-1].maximum
            )
            if value is not None
        )
        for series in shown.timeseries
    }  # fmt: skip


def test_metrics_say_who_is_healthy(
    cloud: Cloud, place: tuple[str, str, str], monitor: MonitorManagementClient
) -> None:
    _, network, public = place
    balancer = cloud.network.load_balancers.get(GROUP, "lb").id or ""
    names_found = [each.name.value for each in monitor.metric_definitions.list(balancer) if each.name]
    assert names_found == [
        "VipAvailability", "DipAvailability", "SnatConnectionCount", "AllocatedSnatPorts", "UsedSnatPorts",
    ]  # fmt: skip
    assert eventually(lambda: health(cloud, "r")["10.75.1.4"][0] == "Down", _WITHIN)
    everybody = "BackendIPAddress eq '*'"
    assert latest(monitor, balancer, "DipAvailability", everybody) == {("10.75.1.4",): 0, ("10.75.1.99",): 0}
    assert latest(monitor, balancer, "DipAvailability") == {(): 0}
    # The rule without a probe is always served.
    by_port = latest(monitor, balancer, "VipAvailability", "FrontendPort eq '*'")
    assert by_port == {("80",): 0, ("81",): 100}
    up = balancer_body(cloud, public, network, state="Up")
    cloud.network.load_balancers.begin_create_or_update(GROUP, "lb", up).result()
    assert latest(monitor, balancer, "VipAvailability", "FrontendPort eq '80'") == {("80",): 100}
    assert latest(monitor, balancer, "VipAvailability", aggregation="Maximum") == {(): 100}
    cloud.network.load_balancers.begin_create_or_update(GROUP, "lb", balancer_body(cloud, public, network)).result()


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"metricnames": "Nothing"}, "Failed to find metric configuration"),
        ({"interval": "1m"}, "invalid time grain"),
        ({"timespan": "yesterday"}, "invalid timespan"),
        ({"aggregation": "Median"}, "invalid aggregation"),
        ({"filter": "Colour eq '*'"}, r"Invalid \$filter"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    question: Any, told: str, cloud: Cloud, place: tuple[str, str, str], monitor: MonitorManagementClient
) -> None:
    assert place
    balancer = cloud.network.load_balancers.get(GROUP, "lb").id or ""
    with pytest.raises(HttpResponseError, match=told):
        monitor.metrics.list(balancer, **question)


def test_ports_that_run_out_are_dropped_connections_and_a_metric(
    cloud: Cloud, place: tuple[str, str, str], monitor: MonitorManagementClient
) -> None:
    assert place
    balancer = cloud.network.load_balancers.get(GROUP, "lb").id or ""
    cloud.resources.resources.begin_create_or_update_by_id(
        f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}{HOST}",
        {"location": "local", "properties": {"address": "198.51.100.77"}},
        api_version="2024-01-01",
    ).result()
    lab = cloud.lab
    lab.servers.listen(lab.internet(), "198.51.100.77")
    inside = lab.namespace(f"{names.MACHINE_PREFIX}{GROUP}..vm")
    mine = "BackendIPAddress eq '10.75.1.4' and ProtocolType eq 'TCP'"
    key = ("10.75.1.4", "TCP")
    assert latest(monitor, balancer, "AllocatedSnatPorts", mine) == {key: _PORTS}
    assert latest(monitor, balancer, "UsedSnatPorts", mine) == {key: 0}
    with contextlib.ExitStack() as connected:
        with namespace.entered(inside):
            callers = [connected.enter_context(socket.socket()) for _ in range(_PORTS + 1)]
        for caller in callers[:_PORTS]:
            caller.settimeout(2)
            caller.connect(("198.51.100.77", PROBE_PORT))
        callers[-1].settimeout(0.5)
        with pytest.raises(TimeoutError):
            callers[-1].connect(("198.51.100.77", PROBE_PORT))
        assert latest(monitor, balancer, "UsedSnatPorts", mine) == {key: _PORTS}
        by_state = latest(monitor, balancer, "SnatConnectionCount", "ConnectionState eq '*'")
        assert by_state[("Successful",)] == _PORTS
        assert by_state[("Failed",)] >= 1
    lab.servers.forget("198.51.100.77")


def test_what_is_not_there_has_no_health(cloud: Cloud, place: tuple[str, str, str]) -> None:
    assert place
    with pytest.raises(ResourceNotFoundError):
        cloud.network.load_balancer_load_balancing_rules.begin_health(GROUP, "lb", "nobody").result()
    with pytest.raises(ResourceNotFoundError):
        cloud.network.load_balancer_load_balancing_rules.begin_health(GROUP, "nobody", "r").result()
