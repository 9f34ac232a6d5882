"""The life of a VM through the real SDK: stopped, started, restarted, deleted, and what packets meet meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.linux import namespace
from podvnet.runtime.probe import echo
from podvnet.testing.cloud import Cloud
from podvnet.testing.lab import podvnet
from podvnet.testing.outage import kill_fabric, start_fabric

NAMESPACE = "podvnet-vm-rg..cycle"
BOOT = "/proc/sys/kernel/random/boot_id"


def nic_body(subnet: str) -> Any:
    configuration = {"name": "primary", "properties": {"primary": True, "subnet": {"id": subnet}}}
    return {"location": "local", "properties": {"ipConfigurations": [configuration]}}


def vm_body(nic: str, **properties: str) -> Any:
    listed = {"id": nic, "properties": {"primary": True} | properties}
    return {"location": "local", "properties": {"networkProfile": {"networkInterfaces": [listed]}}}


@pytest.fixture(scope="module")
def subnet(cloud: Cloud) -> Iterator[str]:
    """A subnet with a VM that asks: ``neighbour``, 10.61.1.4."""
    body: Any = {
        "location": "local",
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.61.0.0/16"]},
            "subnets": [{"name": "s", "properties": {"addressPrefix": "10.61.1.0/24"}}],
        },
    }
    network = cloud.network.virtual_networks.begin_create_or_update("rg", "life", body).result()
    assert network.subnets
    found = network.subnets[0].id or ""
    nic = cloud.network.network_interfaces.begin_create_or_update("rg", "neighbour", nic_body(found)).result()
    cloud.compute.virtual_machines.begin_create_or_update("rg", "neighbour", vm_body(nic.id or "")).result()
    yield found
    cloud.compute.virtual_machines.begin_delete("rg", "neighbour").result()
    cloud.network.network_interfaces.begin_delete("rg", "neighbour").result()
    cloud.network.virtual_networks.begin_delete("rg", "life").result()


@pytest.fixture
def machine(cloud: Cloud, subnet: str) -> Iterator[str]:
    """The address of the VM ``cycle``, which runs."""
    nic = cloud.network.network_interfaces.begin_create_or_update("rg", "cycle", nic_body(subnet)).result()
    cloud.compute.virtual_machines.begin_create_or_update("rg", "cycle", vm_body(nic.id or "")).result()
    assert nic.ip_configurations
    yield nic.ip_configurations[0].private_ip_address or ""
    cloud.compute.virtual_machines.begin_delete("rg", "cycle").result()
    cloud.network.network_interfaces.begin_delete("rg", "cycle").result()
    assert not disk().exists()


def disk() -> Path:
    return Path(os.environ["PODVNET_STATE"]) / "fabric" / "disks" / NAMESPACE


def answers(cloud: Cloud, address: str) -> bool:
    """Whether the VM answers the neighbour's ping."""
    return echo(cloud.lab.vm("rg..neighbour"), address)


def states(cloud: Cloud) -> list[str]:
    view = cloud.compute.virtual_machines.instance_view("rg", "cycle")
    return [status.code or "" for status in view.statuses or []]


@pytest.mark.parametrize(("stop", "state"), [("power_off", "stopped"), ("deallocate", "deallocated")])
def test_a_vm_is_stopped_and_started_again(stop: str, state: str, cloud: Cloud, machine: str) -> None:
    machines = cloud.compute.virtual_machines
    cloud.lab.inside("rg..cycle", "sh", "-c", "echo kept > /var/lib/kept")
    assert states(cloud) == ["ProvisioningState/succeeded", "PowerState/running"]
    assert answers(cloud, machine)

    for _ in range(2):  # stopping what is stopped changes nothing
        {"power_off": machines.begin_power_off, "deallocate": machines.begin_deallocate}[stop]("rg", "cycle").result()
    assert states(cloud) == ["ProvisioningState/succeeded", f"PowerState/{state}"]
    assert not answers(cloud, machine)
    assert not namespace.exists(NAMESPACE)
    nic = cloud.network.network_interfaces.get("rg", "cycle")
    assert nic.ip_configurations
    assert nic.ip_configurations[0].private_ip_address == machine

    for _ in range(2):
        machines.begin_start("rg", "cycle").result()
    assert states(cloud)[1] == "PowerState/running"
    assert answers(cloud, machine)
    assert cloud.lab.inside("rg..cycle", "cat", "/var/lib/kept").stdout == "kept\n"
    assert (disk() / "log" / "boot.log").exists(), "the guest command has run"


def test_a_restart_is_a_new_boot_of_the_same_disk(cloud: Cloud, machine: str) -> None:
    cloud.lab.inside("rg..cycle", "sh", "-c", "echo kept > /var/lib/kept")
    before = cloud.lab.inside("rg..cycle", "cat", BOOT).stdout
    cloud.compute.virtual_machines.begin_restart("rg", "cycle").result()
    assert cloud.lab.inside("rg..cycle", "cat", BOOT).stdout != before
    hosts = cloud.lab.inside("rg..cycle", "cat", "/etc/hosts").stdout.splitlines()
    assert [line for line in hosts if "management.azure.com" in line] == [
        "198.51.100.254 management.azure.com # by the fabric"
    ]
    assert cloud.lab.inside("rg..cycle", "cat", "/var/lib/kept").stdout == "kept\n"
    assert answers(cloud, machine)


def test_a_stopped_vm_is_not_restarted(cloud: Cloud, machine: str) -> None:
    cloud.compute.virtual_machines.begin_deallocate("rg", "cycle").result()
    with pytest.raises(HttpResponseError) as refused:
        cloud.compute.virtual_machines.begin_restart("rg", "cycle").result()
    assert refused.value.status_code == 409
    assert refused.value.error is not None
    assert refused.value.error.code == "OperationNotAllowed"
    assert not answers(cloud, machine)


def test_the_command_line_knows_a_stopped_vm_from_one_that_is_down(cloud: Cloud, machine: str) -> None:
    assert machine
    cloud.compute.virtual_machines.begin_deallocate("rg", "cycle").result()
    shown = next(line for line in podvnet("status").stdout.splitlines() if "10.61.1.5" in line)
    assert "stopped" in shown
    entered = podvnet("vm", "exec", "cycle", "--", "true", check=False)
    assert entered.returncode != 0
    assert "VM 'cycle' since the VM does not run. Start it first." in entered.stderr


def test_a_stopped_vm_stays_so_when_the_fabric_comes_back(cloud: Cloud, machine: str) -> None:
    cloud.compute.virtual_machines.begin_power_off("rg", "cycle").result()
    kill_fabric()
    start_fabric()
    assert states(cloud)[1] == "PowerState/stopped"
    assert not answers(cloud, machine)
    assert answers(cloud, "10.61.1.4"), "the neighbour was left alone"
    cloud.compute.virtual_machines.begin_start("rg", "cycle").result()
    assert answers(cloud, machine)


def test_a_stopped_vm_stays_so_when_it_is_written_again(cloud: Cloud, machine: str) -> None:
    machines = cloud.compute.virtual_machines
    machines.begin_deallocate("rg", "cycle").result()
    nic = cloud.network.network_interfaces.get("rg", "cycle").id or ""
    machines.begin_create_or_update("rg", "cycle", vm_body(nic) | {"tags": {"written": "again"}}).result()
    patch: Any = {"tags": {"patched": "too"}}
    assert machines.begin_update("rg", "cycle", patch).result().tags == {"patched": "too"}
    assert states(cloud)[1] == "PowerState/deallocated"
    assert not answers(cloud, machine)


def test_the_instance_view_is_expanded_when_asked_for(cloud: Cloud, machine: str) -> None:
    machines = cloud.compute.virtual_machines
    assert machine
    assert machines.get("rg", "cycle").instance_view is None
    expanded = machines.get("rg", "cycle", expand="instanceView").instance_view
    assert expanded is not None
    assert [each.display_status for each in expanded.statuses or []] == ["Provisioning succeeded", "VM running"]
    listed = {each.name: each.instance_view for each in machines.list("rg", expand="instanceView")}
    assert listed["cycle"] == expanded


def test_actions_on_a_vm_that_is_not_there(cloud: Cloud) -> None:
    for action in (
        lambda: cloud.compute.virtual_machines.begin_start("rg", "nobody").result(),
        lambda: cloud.compute.virtual_machines.instance_view("rg", "nobody"),
    ):
        with pytest.raises(ResourceNotFoundError) as missing:
            action()
        assert missing.value.error is not None
        assert missing.value.error.code == "ResourceNotFound"


def test_a_reader_starts_nothing(reader: Cloud, machine: str) -> None:
    assert machine
    with pytest.raises(HttpResponseError) as refused:
        reader.compute.virtual_machines.begin_power_off("rg", "cycle").result()
    assert refused.value.status_code == 403


def test_an_identity_is_patched(cloud: Cloud, machine: str) -> None:
    assert machine
    machines = cloud.compute.virtual_machines
    given: Any = {"identity": {"type": "SystemAssigned"}}
    identity = machines.begin_update("rg", "cycle", given).result().identity
    assert identity is not None
    assert identity.principal_id
    assert machines.begin_update("rg", "cycle", {"tags": {"a": "b"}}).result().identity == identity  # type: ignore[call-overload]
    taken: Any = {"identity": {"type": "None"}}
    assert machines.begin_update("rg", "cycle", taken).result().identity is None
    unknown: Any = {"properties": {"priority": "Spot"}}
    with pytest.raises(HttpResponseError, match="'tags' or 'identity' and nothing else"):
        machines.begin_update("rg", "cycle", unknown).result()


def test_a_stopped_vm_goes_with_its_disk_and_the_nic_that_is_to_go_with_it(cloud: Cloud, subnet: str) -> None:
    nic = cloud.network.network_interfaces.begin_create_or_update("rg", "cycle", nic_body(subnet)).result()
    body = vm_body(nic.id or "", deleteOption="Delete")
    cloud.compute.virtual_machines.begin_create_or_update("rg", "cycle", body).result()
    cloud.compute.virtual_machines.begin_power_off("rg", "cycle").result()
    assert disk().exists()
    cloud.compute.virtual_machines.begin_delete("rg", "cycle").result()
    assert not disk().exists()
    with pytest.raises(ResourceNotFoundError):
        cloud.network.network_interfaces.get("rg", "cycle")
