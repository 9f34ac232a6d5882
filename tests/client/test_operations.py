"""Operations that meet, counts and limits, and what outlives the fabric's process, through the real SDK."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.mgmt.resource.deployments import DeploymentsMgmtClient

from podvnet.linux import namespace
from podvnet.testing.cloud import Cloud
from podvnet.testing.lab import execute, podvnet

RUN = Path("/run/podvnet/fabric")
ROUNDS = 20


def network_body(prefix: str, **subnets: str) -> Any:
    parts = [{"name": name, "properties": {"addressPrefix": each}} for name, each in subnets.items()]
    return {"location": "local", "properties": {"addressSpace": {"addressPrefixes": [prefix]}, "subnets": parts}}


def nic_body(subnet: str, count: int = 1) -> Any:
    parts = [{"name": f"c{n}", "properties": {"subnet": {"id": subnet}, "primary": n == 0}} for n in range(count)]
    return {"location": "local", "properties": {"ipConfigurations": parts}}


def code(error: HttpResponseError) -> str:
    return (error.error.code if error.error else None) or ""


def headers(error: HttpResponseError) -> Mapping[str, str]:
    response: Any = error.response
    found: Mapping[str, str] = response.headers
    return found


def restart_fabric() -> None:
    """Kill the process, wait until it is gone, start another."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(RUN / "fabric.sock"))
        process, _, _ = struct.unpack("3i", door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    descriptor = os.pidfd_open(process)
    try:
        os.kill(process, signal.SIGKILL)
        assert select.select([descriptor], [], [], 10)[0], "the fabric does not end"
    finally:
        os.close(descriptor)
    podvnet("fabric", "--background")


def kernel_finding(cloud: Cloud) -> dict[str, Any]:
    return next(each for each in cloud.lab.findings() if each["subject"] == "kernel")


@pytest.fixture
def network(cloud: Cloud) -> Iterator[Any]:
    """A network with a subnet of three addresses and one of 251, of which two are held."""
    networks, nics = cloud.network.virtual_networks, cloud.network.network_interfaces
    body = network_body("10.80.0.0/16", tiny="10.80.0.0/29", wide="10.80.1.0/24")
    made = networks.begin_create_or_update("rg", "ops", body).result()
    subnets = {each.name: each.id for each in made.subnets or []}
    nics.begin_create_or_update("rg", "ops", nic_body(str(subnets["wide"]), 2)).result()
    yield made
    nics.begin_delete("rg", "ops").result()
    networks.begin_delete("rg", "ops").result()


def test_the_usages_of_a_location_count_what_is_there(cloud: Cloud, network: Any) -> None:
    found = {each.name.value: each for each in cloud.network.usages.list("local")}
    assert found["VirtualNetworks"].current_value == len(list(cloud.network.virtual_networks.list_all()))
    assert found["NetworkInterfaces"].current_value == len(list(cloud.network.network_interfaces.list_all())) >= 1
    assert found["NetworkInterfaces"].limit == 65_536
    assert found["NetworkInterfaces"].unit == "Count"
    machines = {each.name.value: each for each in cloud.compute.usage.list("local")}
    assert machines["virtualMachines"].current_value == len(list(cloud.compute.virtual_machines.list_all()))


def test_the_usages_of_a_network_count_addresses(cloud: Cloud, network: Any) -> None:
    found = {str(each.id).rsplit("/", 1)[1]: each for each in cloud.network.virtual_networks.list_usage("rg", "ops")}
    assert {name: (each.current_value, each.limit) for name, each in found.items()} == {
        "tiny": (0, 3),
        "wide": (2, 251),
    }
    assert found["wide"].name is not None
    assert found["wide"].name.value == "SubnetSpace"


def test_whether_an_address_is_free(cloud: Cloud, network: Any) -> None:
    def ask(address: str) -> Any:
        return cloud.network.virtual_networks.check_ip_address_availability("rg", "ops", ip_address=address)

    assert ask("10.80.1.6").available
    taken = ask("10.80.1.4")
    assert not taken.available
    assert taken.available_ip_addresses == [f"10.80.1.{n}" for n in range(6, 11)]
    assert not taken.is_platform_reserved
    assert ask("10.80.1.1").is_platform_reserved
    for wrong, expected in (
        ("10.80.200.4", "PrivateIPAddressNotInAnySubnet"),
        ("192.168.0.1", "PrivateIPAddressNotInAnySubnet"),
        ("nowhere", "InvalidRequestFormat"),
    ):
        with pytest.raises(HttpResponseError) as refused:
            ask(wrong)
        assert (refused.value.status_code, code(refused.value)) == (400, expected)
    with pytest.raises(HttpResponseError) as missing:
        cloud.network.virtual_networks.check_ip_address_availability("rg", "none", ip_address="10.80.1.4")
    assert code(missing.value) == "ResourceNotFound"


def test_of_puts_at_once_the_superseded_ones_had_no_effect(cloud: Cloud) -> None:
    """Rounds of writes that start together, until one was superseded: which ones meet is not ours to choose."""
    networks = cloud.network.virtual_networks
    superseded: list[HttpResponseError] = []
    start = threading.Barrier(16)

    def put(number: int) -> str | None:
        body = network_body("10.81.0.0/16") | {"tags": {"by": str(number)}}
        start.wait(30)
        try:
            return str((networks.begin_create_or_update("rg", "raced", body).result().tags or {})["by"])
        except HttpResponseError as refused:
            superseded.append(refused)
            return None

    with ThreadPoolExecutor(start.parties) as pool:
        for _ in range(ROUNDS):
            written = {each for each in pool.map(put, range(start.parties)) if each}
            assert (networks.get("rg", "raced").tags or {})["by"] in written
            if superseded:
                break
    assert superseded, f"{ROUNDS} rounds of {start.parties} writers never met"
    for refused in superseded:
        assert refused.status_code == 409
        assert code(refused) == "CanceledAndSupersededDueToAnotherOperation"
        where = headers(refused)["Azure-AsyncOperation"]
        polled = cloud.network.send_request(HttpRequest("GET", where)).json()
        assert polled["status"] == "Canceled"
        assert polled["error"]["details"][0]["code"] == "CanceledAndSupersededDueToAnotherOperation"
    networks.begin_delete("rg", "raced").result()


def test_what_meets_a_write_that_runs_is_told_to_come_again_and_the_sdk_does(cloud: Cloud, network: Any) -> None:
    """A VM's PUT lasts as long as it takes to boot; changes of it are sent until it has ended."""
    nics, machines = cloud.network.network_interfaces, cloud.compute.virtual_machines
    nic = nics.begin_create_or_update("rg", "slow", nic_body(str(network.subnets[1].id))).result()
    plugged = [{"id": nic.id, "properties": {"primary": True}}]
    body: Any = {"location": "local", "properties": {"networkProfile": {"networkInterfaces": plugged}}}
    change: Any = {"tags": {"changed": "yes"}}
    met: list[HttpResponseError] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: machines.begin_create_or_update("rg", "slow", body).result())
        while not running.done():
            try:
                machines.begin_update("rg", "slow", change, retry_total=0).result()
            except HttpResponseError as refused:
                met.append(refused)
        running.result()
    assert {code(each) for each in met} <= {"AnotherOperationInProgress", "ResourceNotFound"}
    busy = next(each for each in met if code(each) == "AnotherOperationInProgress")
    assert busy.status_code == 429
    assert headers(busy)["Retry-After"] == "1"
    assert machines.begin_update("rg", "slow", change).result().tags == {"changed": "yes"}
    machines.begin_delete("rg", "slow").result()
    nics.begin_delete("rg", "slow").result()


@pytest.fixture
def templates(cloud: Cloud) -> Iterator[DeploymentsMgmtClient]:
    cloud.resources.resource_groups.create_or_update("kept", {"location": "local"})
    client = DeploymentsMgmtClient(cloud.access.credential(), cloud.access.subscription, **cloud.access.options())
    yield client
    cloud.resources.resource_groups.begin_delete("kept").result()


def deploy(templates: DeploymentsMgmtClient, name: str, prefix: str) -> Any:
    network = network_body(prefix) | {
        "type": "Microsoft.Network/virtualNetworks",
        "apiVersion": "2024-05-01",
        "name": "deployed",
    }
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [network],
        "outputs": {"word": {"type": "string", "value": "kept"}},
    }
    body: Any = {"properties": {"mode": "Incremental", "template": template}}
    return templates.deployments.begin_create_or_update("kept", name, body).result()


def test_a_deployment_that_has_ended_cannot_be_cancelled(templates: DeploymentsMgmtClient) -> None:
    deploy(templates, "ended", "10.82.0.0/16")
    with pytest.raises(HttpResponseError) as refused:
        templates.deployments.cancel("kept", "ended")
    assert (refused.value.status_code, code(refused.value)) == (409, "DeploymentCannotBeCancelled")
    with pytest.raises(HttpResponseError) as missing:
        templates.deployments.cancel("kept", "never")
    assert (missing.value.status_code, code(missing.value)) == (404, "DeploymentNotFound")


def test_deployments_outlive_the_process_and_end_with_their_group(
    cloud: Cloud, templates: DeploymentsMgmtClient
) -> None:
    deployments: Any = templates.deployments
    done = deploy(templates, "good", "10.82.0.0/16")
    with pytest.raises(HttpResponseError):
        deploy(templates, "bad", "10.82.0.1/16")
    operations: Any = templates.deployment_operations
    before = [each.as_dict() for each in operations.list("kept", "bad")]
    assert "InvalidCIDRNotation" in str(before)
    assert operations.get("kept", "bad", "0").as_dict() == before[0]
    restart_fabric()
    assert [each.as_dict() for each in operations.list("kept", "bad")] == before
    assert {each.name for each in deployments.list_by_resource_group("kept")} == {"good", "bad"}
    again = deployments.get("kept", "good")
    assert again.properties.outputs == done.properties.outputs == {"word": {"type": "String", "value": "kept"}}
    assert deployments.get("kept", "bad").properties.provisioning_state == "Failed"
    deployments.begin_delete("kept", "bad").result()
    assert [each.name for each in deployments.list_by_resource_group("kept")] == ["good"]
    cloud.resources.resource_groups.begin_delete("kept").result()
    cloud.resources.resource_groups.create_or_update("kept", {"location": "local"})
    assert list(deployments.list_by_resource_group("kept")) == []


def test_doctor_tells_when_the_kernel_holds_something_else_than_the_store(cloud: Cloud, network: Any) -> None:
    assert kernel_finding(cloud)["state"] == "ok"
    place = next(name for name in namespace.names("podvnet-vnet-") if name.endswith("ops"))
    execute("ip", "-n", place, "link", "add", "stray", "type", "veth", "peer", "name", "other")
    found = kernel_finding(cloud)
    assert found["state"] == "bad"
    assert "stray" in found["found"]
    assert kernel_finding(cloud) == found, "to look changes nothing"
    restart_fabric()
    assert kernel_finding(cloud)["state"] == "ok"
