"""What the agent does to the IPv6 of its VM, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.runtime.probe import frames, seen_as
from podvnet.testing.cni import eventually
from podvnet.testing.forgery import router_frame
from podvnet.testing.lab import PODVNET, Lab, laboratory

DUAL = Path(__file__).parents[2] / "examples" / "dual-stack.yaml"
MODES = ("transparent", "bridge", "tunnel")
VM1, VM2 = "fd00:1:0:1::4", "fd00:1:0:2::4"
GATEWAY = "fe80::1234:5678:9abc"


@pytest.fixture
def fresh() -> Iterator[Lab]:
    """A lab of its own, for tests that change a VM."""
    with laboratory(DUAL) as lab:
        yield lab


def test_a_vm_that_has_ipv6_turned_off_serves_ipv4(fresh: Lab) -> None:
    fresh.inside("vm1", "sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1")
    for mode in MODES:
        fresh.install("vm1", "--mode", mode)
        assert fresh.agent_status("vm1")["nic"]["primary"] == ["10.1.1.4"]
        pod = fresh.run_pod(mode, "vm1")
        assert [each["address"] for each in pod.result["ips"]] == [f"{pod.address}/24"]
        fresh.servers.listen(fresh.vm("vm2"), "10.1.2.4")
        assert seen_as(pod.descriptor, "10.1.2.4") == pod.address
        fresh.servers.forget("10.1.2.4")
        fresh.delete_pod(mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_default_route_of_a_router_advertisement_outlives_forwarding(fresh: Lab, mode: str) -> None:
    """Azure's VMs have theirs so, and a kernel that becomes a router forgets it unless it is told not to."""

    def default() -> str:
        return fresh.inside("vm1", "ip", "-6", "route", "show", "default").stdout

    fresh.inside("vm1", *PODVNET, "uninstall")
    fresh.inside("vm1", "sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.eth0.accept_ra=1")
    fresh.inside("vm1", "ip", "-6", "route", "delete", "default")
    with frames(fresh.network(), "nic1") as wire:
        wire.send(router_frame("12:34:56:78:9a:bc", GATEWAY))
        assert eventually(lambda: f"via {GATEWAY} dev eth0 proto ra" in default())
    fresh.install("vm1", "--mode", mode)
    pod = fresh.run_pod("guest", "vm1")
    six = pod.result["ips"][1]["address"].removesuffix("/64")
    fresh.servers.listen(fresh.vm("vm2"), VM2)
    assert seen_as(pod.descriptor, VM2) == six
    assert seen_as(fresh.vm("vm1"), VM2) == VM1
    assert f"via {GATEWAY} dev {'eth0' if mode == 'transparent' else 'azure0'}" in default()


@pytest.mark.parametrize("mode", MODES)
def test_uninstall_gives_the_vm_its_ipv6_back(fresh: Lab, mode: str) -> None:
    def six() -> list[str]:
        shown = (fresh.inside("vm1", "ip", "-6", *what).stdout for what in (("addr",), ("route",), ("neigh",)))
        return sorted(line.strip() for text in shown for line in text.splitlines())

    fresh.inside("vm1", *PODVNET, "uninstall")
    before = six()
    assert not [line for line in before if "PERMANENT" in line]
    fresh.install("vm1", "--mode", mode)
    fresh.run_pod("guest", "vm1")
    assert six() != before
    fresh.forget_pod("guest")
    fresh.inside("vm1", *PODVNET, "uninstall", "--force")
    assert eventually(lambda: six() == before), set(six()) ^ set(before)
    fresh.servers.listen(fresh.vm("vm1"), VM1)
    assert seen_as(fresh.vm("vm2"), VM1) == VM2
