"""A pool that grows and shrinks by itself: the agent writes its VM's NIC as the VM's own identity, over TLS.

Nothing stands in for anything: tokens from IMDS, the resource manager at Azure's name, packets to every new address.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import Any

import pytest
from azure.mgmt.compute.models import VirtualMachineIdentity

from podvnet.runtime.probe import echo, seen_as
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import Runtime, Sandbox, address_of, configuration, eventually
from podvnet.testing.docker_calls import DockerCalls
from podvnet.testing.lab import PODVNET, laboratory

RESOURCES = """
resources:
  - type: Microsoft.Network/virtualNetworks
    name: hub
    properties:
      addressSpace: {addressPrefixes: [10.1.0.0/16, "fd00:1::/48"]}
      subnets:
        - {name: front, properties: {addressPrefixes: [10.1.1.0/24, "fd00:1:0:1::/64"]}}
        - {name: narrow, properties: {addressPrefix: 10.1.2.0/27}}
""" + "".join(
    f"""
  - type: Microsoft.Network/networkInterfaces
    name: {vm}-nic
    properties:
      ipConfigurations:
        - {{name: primary, properties: {{primary: true, subnet: {{id: virtualNetworks/hub/subnets/{subnet}}}}}}}
  - type: Microsoft.Compute/virtualMachines
    name: {vm}
    identity: {{type: SystemAssigned}}
    properties: {{networkProfile: {{networkInterfaces: [{{id: networkInterfaces/{vm}-nic}}]}}}}
"""
    for vm, subnet in (("vm1", "front"), ("vm2", "front"), ("vm3", "narrow"))
)
GROUP = "podvnet"
GROWING = ("--pool-source", "arm", "--rest", "0")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Three VMs with an identity and no address for pods."""
    file = tmp_path_factory.mktemp("growth") / "three.yaml"
    file.write_text(RESOURCES, encoding="utf-8")
    with laboratory(file) as lab:
        yield cloud_for(lab, access_for())


@pytest.fixture
def vm1(cloud: Cloud) -> Iterator[Runtime]:
    with Runtime(cloud.lab, "vm1", hands=20) as runtime:
        yield from without_pool(runtime, cloud)


@pytest.fixture
def vm3(cloud: Cloud) -> Iterator[Runtime]:
    with Runtime(cloud.lab, "vm3") as runtime:
        yield from without_pool(runtime, cloud)


def without_pool(runtime: Runtime, cloud: Cloud) -> Iterator[Runtime]:
    """A VM whose NIC has its primary address only, whose agent has not been started."""
    runtime.lab.install(runtime.vm)
    runtime.end_agent()
    write(cloud, runtime.vm, primary_alone)
    runtime.lose_ledger()
    yield runtime
    runtime.clear()
    runtime.end_agent()
    runtime.lab.install(runtime.vm)


def write(cloud: Cloud, vm: str, changed: Callable[[list[Any]], list[Any]]) -> None:
    """Change the ip-configurations of a NIC as somebody else does, with the SDK."""
    nic = nic_of(cloud, vm)
    nic.ip_configurations = changed(nic.ip_configurations)
    cloud.network.network_interfaces.begin_create_or_update(GROUP, nic.name, nic).result()


def primary_alone(every: list[Any]) -> list[Any]:
    return [each for each in every if each.primary]


def configurations(cloud: Cloud, vm: str = "vm1") -> list[str]:
    """The names of the ip-configurations that the resource manager has of a VM's NIC."""
    return [each.name or "" for each in nic_of(cloud, vm).ip_configurations or []]


def nic_of(cloud: Cloud, vm: str) -> Any:
    return cloud.network.network_interfaces.get(GROUP, f"{vm}-nic")


def growth(runtime: Runtime) -> dict[str, Any]:
    found: dict[str, Any] = runtime.lab.agent_status(runtime.vm)["growth"]
    return found


def attach_at_once(runtime: Runtime, count: int) -> dict[str, Sandbox]:
    """Attach pods, as many at a time as the runtime has hands; every one must get its address."""
    pods = [runtime.sandbox() for _ in range(count)]
    stdin = json.dumps(configuration()).encode()
    answers = [runtime.begin(runtime.environment("ADD", pod), stdin) for pod in pods]
    return {address_of(answer.result(60).result): pod for answer, pod in zip(answers, pods, strict=True)}


def pool_is(runtime: Runtime, size: int) -> bool:
    return runtime.ledger("SELECT count(*) FROM addresses WHERE listed") == [(size,)]


def reached(runtime: Runtime, pods: dict[str, Sandbox]) -> list[str]:
    """The pods that answer another VM, and that another VM sees by their own address."""
    other = runtime.lab.vm("vm2")
    servers = runtime.lab.servers
    found = []
    for address, pod in pods.items():
        servers.listen(pod.descriptor, address)
        if echo(other, address) and seen_as(other, address) == "10.1.1.5":
            found.append(address)
        servers.forget(address)
    return found


def test_a_burst_of_forty_pods_makes_the_pool_grow_in_few_writes_and_their_end_makes_it_shrink(
    vm1: Runtime, cloud: Cloud
) -> None:
    vm1.start_agent(*GROWING)
    assert eventually(lambda: pool_is(vm1, 16)), "the first batch is fetched before any pod asks"
    pods = attach_at_once(vm1, 40)
    # A write that is decided while pods of the burst both wait and are served may ask for a batch more; what is free
    # then is still within what is kept.
    assert eventually(lambda: pool_is(vm1, 48) or pool_is(vm1, 64))
    grown = growth(vm1)
    assert grown["size"] in {48, 64}
    assert grown["writes"] <= 4
    assert grown["obstacle"] == ""
    assert configurations(cloud) == ["primary", *(f"podvnet-pool-{number}" for number in range(1, grown["size"] + 1))]
    assert reached(vm1, pods) == list(pods)
    for pod in pods.values():
        assert vm1.call("DEL", pod).silent
    assert eventually(lambda: pool_is(vm1, 16))
    assert len(configurations(cloud)) == 17


def test_all_sixteen_addresses_of_a_block_are_pods_and_are_reached(vm1: Runtime, cloud: Cloud) -> None:
    vm1.start_agent(*GROWING, "--pool-shape", "block")
    pods = attach_at_once(vm1, 48)
    assert eventually(lambda: pool_is(vm1, 64))
    blocks = [
        IPv4Network(each.private_ip_address)
        for each in nic_of(cloud, "vm1").ip_configurations
        if each.private_ip_address_prefix_length == 28
    ]
    assert len(blocks) == 4
    assert reached(vm1, pods) == list(pods)
    whole = [block for block in blocks if all(str(address) in pods for address in block)]
    assert len(whole) == 3, f"pods take block after block: {blocks}, {sorted(pods)}"
    for pod in pods.values():
        assert vm1.call("DEL", pod).silent
    assert eventually(lambda: pool_is(vm1, 16))
    assert len(configurations(cloud)) == 2


def test_an_add_on_an_empty_pool_waits_for_the_write_and_not_for_the_next_question(vm1: Runtime) -> None:
    vm1.start_agent(*GROWING, "--pool-interval", "600", "--pool-min-free", "0")
    assert len(attach_at_once(vm1, 1)) == 1
    assert pool_is(vm1, 16)


def test_docker_on_an_empty_pool_waits_for_the_write_as_well(vm1: Runtime) -> None:
    vm1.start_agent(*GROWING, "--docker", "--pool-interval", "600", "--pool-min-free", "0")
    docker = DockerCalls(vm1)
    with ThreadPoolExecutor(17) as beside:
        addresses = list(beside.map(docker.reserve, [""] * 17))
    assert len(set(addresses)) == 17
    assert pool_is(vm1, 32)
    for address in addresses:
        docker.release(address)
    assert eventually(lambda: vm1.held() == {})


def test_a_subnet_that_is_full_is_filled_and_then_named(vm3: Runtime, cloud: Cloud) -> None:
    vm3.start_agent(*GROWING)
    usable = 32 - 5 - 1  # but the five that Azure keeps, and the VM's own
    for _ in range(usable):
        vm3.add(vm3.sandbox())
    assert len(configurations(cloud, "vm3")) == 1 + usable
    assert eventually(lambda: "SubnetIsFull" in growth(vm3)["obstacle"])
    error = vm3.call("ADD", vm3.sandbox()).error
    assert error["code"] == 101
    assert "SubnetIsFull" in error["msg"]
    assert "larger" in error["details"]
    status = vm3.call("STATUS").error
    assert status["code"] == 50
    assert "SubnetIsFull" in status["msg"]
    shown = vm3.run(*PODVNET, "status")
    assert "does not grow: PUT https://management.azure.com/" in shown
    writes = growth(vm3)["writes"]
    assert writes <= 7, "halves, not one by one"


def test_after_a_kill_the_agent_goes_on_with_what_the_nic_has(vm1: Runtime, cloud: Cloud) -> None:
    vm1.start_agent(*GROWING)
    pods = attach_at_once(vm1, 12)
    assert eventually(lambda: pool_is(vm1, 32))
    vm1.end_agent()
    vm1.start_agent(*GROWING)
    pods |= attach_at_once(vm1, 1)
    assert len(pods) == 13
    assert growth(vm1)["writes"] == 0
    assert len(configurations(cloud)) == 33


def test_what_others_put_on_the_nic_is_used_and_never_removed(vm1: Runtime, cloud: Cloud) -> None:
    def with_forty(every: list[Any]) -> list[Any]:
        subnet = every[0].subnet
        return every + [{"name": f"theirs-{n}", "properties": {"subnet": {"id": subnet.id}}} for n in range(40)]

    write(cloud, "vm1", with_forty)
    vm1.start_agent(*GROWING)
    assert eventually(lambda: growth(vm1)["size"] == 40)
    assert growth(vm1)["writes"] == 0
    assert len(attach_at_once(vm1, 40)) == 40
    assert eventually(lambda: pool_is(vm1, 48))
    assert sum(name.startswith("theirs-") for name in configurations(cloud)) == 40


def test_ipv6_is_others_to_give_and_counts_for_nothing(vm1: Runtime, cloud: Cloud) -> None:
    """Pods use it and the agent never removes it; how many addresses the pool should have is of IPv4 alone."""

    def with_ipv6(every: list[Any]) -> list[Any]:
        properties = {"subnet": {"id": every[0].subnet.id}, "privateIPAddressVersion": "IPv6"}
        return every + [{"name": f"six-{n}", "properties": properties} for n in range(4)]

    write(cloud, "vm1", with_ipv6)
    vm1.start_agent(*GROWING)
    assert eventually(lambda: pool_is(vm1, 16 + 3))
    found = [vm1.add(vm1.sandbox()) for _ in range(14)]
    assert [len(each["ips"]) for each in found] == [2] * 3 + [1] * 11
    assert eventually(lambda: pool_is(vm1, 32 + 3))
    assert growth(vm1)["writes"] == 2
    assert growth(vm1)["size"] == 32
    assert sum(name.startswith("six-") for name in configurations(cloud)) == 4


def test_an_address_that_others_took_off_the_nic_is_named_with_its_pod_and_given_to_nobody(
    vm1: Runtime, cloud: Cloud
) -> None:
    vm1.start_agent(*GROWING, "--pool-interval", "0.2")
    pods = attach_at_once(vm1, 2)
    lost, holder = min(pods.items())
    write(cloud, "vm1", lambda every: [each for each in every if each.private_ip_address != lost])

    def losers() -> list[str]:
        return [each["container"] for each in vm1.lab.agent_status("vm1")["attachments"] if each["lost"]]

    assert eventually(lambda: losers() == [holder.container])
    assert f"lost: {holder.container[:12]} holds {lost}, which the NIC has no more" in vm1.run(*PODVNET, "status")
    log = vm1.run("cat", "/var/log/podvnet-agent.log")
    assert [line for line in log.splitlines() if "address_lost" in line and f'"{lost}"' in line]
    assert vm1.call("DEL", holder).silent
    assert vm1.ledger("SELECT count(*) FROM addresses WHERE address = ?", lost) == [(0,)]


def test_a_vm_without_an_identity_says_what_it_lacks(vm1: Runtime, cloud: Cloud) -> None:
    machine = cloud.compute.virtual_machines.get(GROUP, "vm1")
    machine.identity = VirtualMachineIdentity(type="None")
    cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm1", machine).result()
    try:
        vm1.start_agent(*GROWING)
        error = vm1.call("ADD", vm1.sandbox()).error
    finally:
        machine.identity = VirtualMachineIdentity(type="SystemAssigned")
        cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm1", machine).result()
    assert error["code"] == 101
    assert "the VM's identity got no token" in error["msg"]
    assert "az vm identity assign" in error["details"]
