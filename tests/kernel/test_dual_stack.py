"""Pods with IPv4 and IPv6: packets of IPv6 go where those of IPv4 go, and forged ones go nowhere."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.runtime.probe import datagram_passes, echo, frames, seen_as
from podvnet.testing.forgery import advertisement_frame, ip6_frame, listen
from podvnet.testing.lab import Lab, LabPod, laboratory

DUAL = Path(__file__).parents[2] / "examples" / "dual-stack.yaml"
MODES = ("transparent", "bridge", "tunnel")
VM_ADDRESSES = {"vm1": "fd00:1:0:1::4", "vm2": "fd00:1:0:2::4"}
GATEWAY = "fe80::1234:5678:9abc"
PORT = "nic1"
"""The port of vm1's NIC in the namespace of the virtual network."""
OUTSIDE = "2001:db8::1"
FORGED_MAC = "02:66:6f:72:67:65"


def six(pod: LabPod) -> str:
    """The IPv6 address of a pod."""
    text: str = pod.result["ips"][1]["address"]
    return text.removesuffix("/64")


def mac_of(pod: LabPod) -> str:
    return str(next(each["mac"] for each in pod.result["interfaces"] if each.get("sandbox")))


def spoofed(lab: Lab) -> int:
    return int(lab.agent_status("vm1")["dropped"]["spoofed"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with laboratory(DUAL) as lab:
        yield lab


@pytest.fixture(scope="module", params=MODES)
def net(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Lab]:
    """Two pods on each VM, attached in one mode, that answer at both their addresses."""
    for vm in VM_ADDRESSES:
        lab.install(vm, "--mode", request.param)
    for vm, number in itertools.product(VM_ADDRESSES, range(2)):
        pod = lab.run_pod(f"{vm}-{number}", vm)
        lab.servers.listen(pod.descriptor, six(pod))
    for vm, address in VM_ADDRESSES.items():
        lab.servers.listen(lab.vm(vm), address)
    yield lab
    for address in (*VM_ADDRESSES.values(), *(six(pod) for pod in lab.pods.values())):
        lab.servers.forget(address)
    for name in list(lab.pods):
        lab.delete_pod(name)


@pytest.fixture
def hosts(net: Lab) -> dict[str, tuple[str, int]]:
    """By name, the address and the namespace of every pod and VM."""
    found = {name: (six(pod), pod.descriptor) for name, pod in net.pods.items()}
    return found | {vm: (address, net.vm(vm)) for vm, address in VM_ADDRESSES.items()}


def test_every_pair_connects_and_sees_the_others_own_address(hosts: dict[str, tuple[str, int]]) -> None:
    seen = {
        (caller, called): seen_as(hosts[caller][1], hosts[called][0])
        for caller, called in itertools.permutations(hosts, 2)
    }
    assert seen == {(caller, called): hosts[caller][0] for caller, called in seen}


def test_ping_of_every_pair(hosts: dict[str, tuple[str, int]]) -> None:
    pairs = itertools.permutations(hosts, 2)
    assert [pair for pair in pairs if not echo(hosts[pair[0]][1], hosts[pair[1]][0])] == []


def test_path_mtu_is_the_nics(hosts: dict[str, tuple[str, int]]) -> None:
    for caller, called in itertools.permutations(hosts, 2):
        descriptor, address = hosts[caller][1], hosts[called][0]
        assert datagram_passes(descriptor, address, 1500), f"{caller} -> {called}: 1500 bytes do not pass"
        assert not datagram_passes(descriptor, address, 1501), f"{caller} -> {called}: 1501 bytes pass"


def test_ipv4_beside_it_works_as_ever(net: Lab) -> None:
    for caller, called in itertools.permutations(net.pods.values(), 2):
        assert seen_as(caller.descriptor, called.address) == caller.address


def test_the_gateway_never_answers_ping(net: Lab) -> None:
    assert not echo(net.pods["vm1-0"].descriptor, f"{GATEWAY}%eth0", timeout=0.3)


def test_the_multicast_reports_of_an_honest_kernel_are_not_counted(net: Lab) -> None:
    pod = net.pods["vm1-0"]
    before = spoofed(net)
    with frames(pod.descriptor, "eth0") as wire, namespace.entered(pod.descriptor):
        wire.settimeout(5.0)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as member:
            group = socket.inet_pton(socket.AF_INET6, "ff02::7070")
            membership = group + socket.if_nametoindex("eth0").to_bytes(4, sys.byteorder)
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
            while group not in wire.recv(2048):
                pass
    assert spoofed(net) == before


def test_ipv6_to_the_internet_leaves_with_the_pods_own_address(net: Lab) -> None:
    pod = net.pods["vm1-0"]
    with frames(net.network(), PORT) as wire:
        wire.settimeout(2.0)
        assert seen_as(pod.descriptor, OUTSIDE, timeout=0.2) == ""
        while True:
            frame = wire.recv(2048)
            if frame[12:14] == b"\x86\xdd" and frame[38:54] == socket.inet_pton(socket.AF_INET6, OUTSIDE):
                break
    assert socket.inet_ntop(socket.AF_INET6, frame[22:38]) == six(pod)
    assert frame[6:12].hex(":") == net.agent_status("vm1")["nic"]["mac"]


def test_only_the_mode_tunnel_takes_pods_of_one_vm_through_the_fabric(net: Lab) -> None:
    near, other = net.pods["vm1-0"], net.pods["vm1-1"]
    ends = b"".join(socket.inet_pton(socket.AF_INET6, six(pod)) for pod in (near, other))
    with frames(net.network(), PORT) as wire:
        assert seen_as(near.descriptor, six(other)) == six(near)
        # What has crossed by now is in the socket, and an end is put to it.
        assert seen_as(near.descriptor, VM_ADDRESSES["vm2"]) == six(near)
        passed = 0
        while (frame := wire.recv(2048))[38:54] != socket.inet_pton(socket.AF_INET6, VM_ADDRESSES["vm2"]):
            passed += frame[22:54] == ends
    tunnel = net.agent_status("vm1")["attachments"][0]["mode"] == "tunnel"
    assert (passed > 0) == tunnel


def test_an_honest_frame_arrives(net: Lab) -> None:
    """Shows that the frames below fail for what is forged in them, and not for how they are made."""
    forger = net.pods["vm1-0"]
    before = spoofed(net)
    for victim in (net.pods["vm1-1"], net.pods["vm2-0"]):
        ear = listen(victim.descriptor, six(victim))
        with ear.socket, frames(forger.descriptor, "eth0") as wire:
            wire.send(ip6_frame(_gateway_mac(forger), mac_of(forger), six(forger), six(victim)))
            assert ear.heard(2.0) == b"forged"
    assert spoofed(net) == before


@pytest.mark.parametrize("forged", ["mac", "address", "link-local", "neighbours-address", "neighbours-everything"])
def test_a_forged_source_reaches_nobody(forged: str, net: Lab) -> None:
    forger, neighbour = net.pods["vm1-0"], net.pods["vm1-1"]
    mac, source = {
        "mac": (FORGED_MAC, six(forger)),
        "address": (mac_of(forger), "fd00:1:0:1::77"),
        "link-local": (mac_of(forger), "fe80::77"),
        "neighbours-address": (mac_of(forger), six(neighbour)),
        "neighbours-everything": (mac_of(neighbour), six(neighbour)),
    }[forged]
    for victim in (neighbour, net.pods["vm2-0"]):
        before = spoofed(net)
        ear = listen(victim.descriptor, six(victim))
        with ear.socket, frames(forger.descriptor, "eth0") as wire:
            wire.send(ip6_frame(_gateway_mac(forger), mac, source, six(victim)))
            assert spoofed(net) == before + 1  # it was dropped at the first hop, so nothing is on its way
            assert ear.heard(0.2) == b""


def test_a_forged_advertisement_changes_nobodys_mind(net: Lab) -> None:
    """Even one that comes from the pod's own addresses, and lies only about the target."""
    forger, neighbour, far = net.pods["vm1-0"], net.pods["vm1-1"], net.pods["vm2-0"]
    known = net.inside("vm1", "ip", "-6", "neigh", "show").stdout
    before = spoofed(net)
    targets = (six(neighbour), VM_ADDRESSES["vm1"], GATEWAY)
    with frames(forger.descriptor, "eth0") as wire:
        for source, target in itertools.product((six(forger), six(neighbour)), targets):
            wire.send(advertisement_frame("33:33:00:00:00:01", mac_of(forger), source, "ff02::1", target))
            wire.send(advertisement_frame(_gateway_mac(forger), mac_of(forger), source, VM_ADDRESSES["vm1"], target))
    assert spoofed(net) == before + 12
    assert sorted(net.inside("vm1", "ip", "-6", "neigh", "show").stdout.splitlines()) == sorted(known.splitlines())
    assert seen_as(neighbour.descriptor, six(far)) == six(neighbour)
    assert seen_as(net.vm("vm1"), six(neighbour)) == VM_ADDRESSES["vm1"]


def _gateway_mac(pod: LabPod) -> str:
    routed = pod.result["interfaces"][0]["mac"] == "aa:aa:aa:aa:aa:aa"
    return "aa:aa:aa:aa:aa:aa" if routed else "12:34:56:78:9a:bc"
