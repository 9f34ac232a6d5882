"""The main job: pods on two subnets and two VMs reach one another, and each side sees the other's own address."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from podvnet.runtime.probe import datagram_passes, echo, seen_as
from podvnet.testing.lab import Lab

MODES = ("transparent", "bridge", "tunnel")
VM_ADDRESSES = {"vm1": "10.1.1.4", "vm2": "10.1.2.4"}
INTERNET_HOST = "198.51.100.10"


@pytest.fixture(scope="module", params=MODES)
def net(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Lab]:
    """Three pods on each VM, attached in one mode."""
    mode: str = request.param
    for vm in VM_ADDRESSES:
        lab.install(vm, "--mode", mode)
    for vm, number in itertools.product(VM_ADDRESSES, range(3)):
        lab.run_pod(f"{mode}-{vm}-{number}", vm)
    for vm, address in VM_ADDRESSES.items():
        lab.servers.listen(lab.vm(vm), address)
    lab.servers.listen(lab.internet(), INTERNET_HOST)
    yield lab
    for address in (*VM_ADDRESSES.values(), INTERNET_HOST):
        lab.servers.forget(address)
    for name in list(lab.pods):
        lab.delete_pod(name)


def everyone(net: Lab) -> dict[str, tuple[str, int]]:
    hosts = {name: (pod.address, pod.descriptor) for name, pod in net.pods.items()}
    return hosts | {vm: (address, net.vm(vm)) for vm, address in VM_ADDRESSES.items()}


def test_every_pair_connects_and_sees_the_others_own_address(net: Lab) -> None:
    hosts = everyone(net)
    seen = {
        (caller, called): seen_as(hosts[caller][1], hosts[called][0])
        for caller, called in itertools.permutations(hosts, 2)
    }
    assert seen == {(caller, called): hosts[caller][0] for caller, called in seen}


def test_ping_of_every_pair(net: Lab) -> None:
    hosts = everyone(net)
    silent = [
        (caller, called)
        for caller, called in itertools.permutations(hosts, 2)
        if not echo(hosts[caller][1], hosts[called][0])
    ]
    assert silent == []


def test_path_mtu_is_the_nics(net: Lab) -> None:
    hosts = everyone(net)
    for caller, called in itertools.permutations(hosts, 2):
        descriptor, address = hosts[caller][1], hosts[called][0]
        assert datagram_passes(descriptor, address, 1500), f"{caller} -> {called}: 1500 bytes do not pass"
        assert not datagram_passes(descriptor, address, 1501), f"{caller} -> {called}: 1501 bytes pass"


def test_internet_sees_the_outbound_address_of_the_vm(net: Lab) -> None:
    outbound = {machine["name"]: machine["nics"][0]["outbound"] for machine in net.status()["virtualMachines"]}
    assert len(set(outbound.values())) == 2
    for pod in net.pods.values():
        assert seen_as(pod.descriptor, INTERNET_HOST) == outbound[pod.vm]
    for vm in VM_ADDRESSES:
        assert seen_as(net.vm(vm), INTERNET_HOST) == outbound[vm]


def test_the_gateway_never_answers_ping(net: Lab) -> None:
    for pod in net.pods.values():
        gateway = pod.address.rsplit(".", 1)[0] + ".1"
        assert not echo(pod.descriptor, gateway, timeout=0.3)


def test_an_address_nobody_owns_is_dropped_and_counted(net: Lab) -> None:
    pod = next(iter(net.pods.values()))
    before = net.dropped("unowned")
    assert seen_as(pod.descriptor, "10.1.2.200", timeout=0.3) == ""
    assert net.dropped("unowned") > before


def test_the_internet_cannot_call_in(net: Lab) -> None:
    outbound = net.status()["virtualMachines"][0]["nics"][0]["outbound"]
    before = net.dropped("uninvited")
    assert seen_as(net.internet(), outbound, source=INTERNET_HOST, timeout=0.3) == ""
    assert net.dropped("uninvited") > before
