"""A pod, or a VM, that forges reaches nobody, and a counter says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from podvnet.runtime.probe import frames, seen_as
from podvnet.testing.forgery import BROADCAST, arp_frame, ethernet, ip_frame, listen
from podvnet.testing.lab import Lab, LabPod

FORGED_MAC = "02:66:6f:72:67:65"


@dataclass(frozen=True)
class Forger:
    """Somebody who forges: a namespace, its interface, what it truly is, and whom it sends to."""

    descriptor: int
    interface: str
    mac: str
    address: str
    gateway_mac: str


@pytest.fixture(scope="module", params=("transparent", "bridge", "tunnel"))
def pods(request: pytest.FixtureRequest, lab: Lab) -> Iterator[tuple[LabPod, LabPod, LabPod]]:
    """A forger and a neighbour on vm1, and a far pod on vm2."""
    for vm in ("vm1", "vm2"):
        lab.install(vm, "--mode", request.param)
    made = (lab.run_pod("forger", "vm1"), lab.run_pod("neighbour", "vm1"), lab.run_pod("far", "vm2"))
    yield made
    for pod in made:
        lab.delete_pod(pod.name)


def spoofed(lab: Lab, vm: str) -> int:
    return int(lab.agent_status(vm)["dropped"]["spoofed"])


def forger_of(pod: LabPod) -> Forger:
    inside = next(each for each in pod.result["interfaces"] if each.get("sandbox"))
    gateway_mac = "aa:aa:aa:aa:aa:aa" if _routed(pod) else "12:34:56:78:9a:bc"
    return Forger(pod.descriptor, "eth0", inside["mac"], pod.address, gateway_mac)


def _routed(pod: LabPod) -> bool:
    return bool(pod.result["interfaces"][0]["mac"] == "aa:aa:aa:aa:aa:aa")


def test_an_honest_frame_arrives(lab: Lab, pods: tuple[LabPod, LabPod, LabPod]) -> None:
    """Shows that the frames below fail for what is forged in them, and not for how they are made."""
    forger, neighbour, far = pods
    me = forger_of(forger)
    before = spoofed(lab, "vm1")
    for victim in (neighbour, far):
        ear = listen(victim.descriptor, victim.address)
        with ear.socket, frames(me.descriptor, "eth0") as wire:
            wire.send(ip_frame(me.gateway_mac, me.mac, me.address, victim.address))
            assert ear.heard(2.0) == b"forged"
    assert spoofed(lab, "vm1") == before


@pytest.mark.parametrize("forged", ["mac", "address", "neighbours-address", "neighbours-everything"])
def test_a_forged_source_reaches_nobody(forged: str, lab: Lab, pods: tuple[LabPod, LabPod, LabPod]) -> None:
    forger, neighbour, far = pods
    me, them = forger_of(forger), forger_of(neighbour)
    mac, source = {
        "mac": (FORGED_MAC, me.address),
        "address": (me.mac, "10.1.1.77"),
        "neighbours-address": (me.mac, them.address),
        "neighbours-everything": (them.mac, them.address),
    }[forged]
    for victim in (neighbour, far):
        before = spoofed(lab, "vm1")
        ear = listen(victim.descriptor, victim.address)
        with ear.socket, frames(me.descriptor, "eth0") as wire:
            wire.send(ip_frame(me.gateway_mac, mac, source, victim.address))
            assert spoofed(lab, "vm1") == before + 1  # it was dropped at the first hop, so nothing is on its way
            assert ear.heard(0.2) == b""


def test_a_forged_arp_answer_changes_nobodys_mind(lab: Lab, pods: tuple[LabPod, LabPod, LabPod]) -> None:
    forger, neighbour, far = pods
    me = forger_of(forger)
    before = spoofed(lab, "vm1")
    with frames(me.descriptor, "eth0") as wire:
        for operation in (1, 2):
            wire.send(arp_frame(BROADCAST, me.mac, operation, (me.mac, "10.1.1.4"), (BROADCAST, neighbour.address)))
            wire.send(arp_frame(BROADCAST, me.mac, operation, (me.mac, neighbour.address), (BROADCAST, "10.1.1.4")))
    assert spoofed(lab, "vm1") == before + 4
    assert seen_as(neighbour.descriptor, far.address) == neighbour.address
    assert seen_as(lab.vm("vm1"), neighbour.address) == "10.1.1.4"


def test_ipv6_of_a_pod_without_ipv6_goes_nowhere(lab: Lab, pods: tuple[LabPod, LabPod, LabPod]) -> None:
    forger, _, _ = pods
    me = forger_of(forger)
    before = spoofed(lab, "vm1")
    packet = b"\x60\0\0\0\0\0\x3b\x40" + b"\xfe\x80" + bytes(13) + b"\1" + b"\xff\2" + bytes(13) + b"\1"
    with frames(me.descriptor, "eth0") as wire:
        wire.send(ethernet("33:33:00:00:00:01", me.mac, 0x86DD) + packet)
    assert spoofed(lab, "vm1") == before + 1
