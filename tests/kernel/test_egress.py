"""What leaves the virtual network: translated by the VM to its primary address, then by the edge; and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.runtime.probe import seen_as
from podvnet.testing.lab import Lab

HOST = "198.51.100.10"
MODES = ("transparent", "bridge", "tunnel")


def installed(lab: Lab, *options: str) -> None:
    lab.install("vm1", *options)


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_leaves_untranslated_and_the_edge_refuses_it(mode: str, lab: Lab) -> None:
    installed(lab, "--mode", mode, "--non-masquerade", "198.51.100.0/24", "--name", f"exception-{mode}")
    pod = lab.run_pod(f"exception-{mode}", "vm1")
    before = lab.dropped("no_outbound")
    assert seen_as(pod.descriptor, HOST, timeout=0.5) == ""
    assert lab.dropped("no_outbound") > before
    lab.delete_pod(pod.name)


def untranslated(lab: Lab) -> set[str]:
    """The destinations for which the VM leaves pods' addresses alone."""
    listed = json.loads(lab.inside("vm1", "nft", "-j", "list", "set", "inet", "podvnet", "network4").stdout)
    elements = next(each["set"] for each in listed["nftables"] if "set" in each)["elem"]
    return {f"{each['prefix']['addr']}/{each['prefix']['len']}" for each in elements}


PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"}


def test_exceptions_of_networks_with_pods_add_up_and_outlive_the_agent(lab: Lab) -> None:
    installed(lab, "--non-masquerade", "203.0.113.128/25", "--name", "one")
    lab.run_pod("one", "vm1")
    installed(lab, "--non-masquerade", "192.0.2.0/24", "--name", "two")
    lab.run_pod("two", "vm1")
    both = PRIVATE | {"203.0.113.128/25", "192.0.2.0/24"}
    assert untranslated(lab) == both
    installed(lab, "--name", "three")  # restarts the agent; what the conflist says is learned with the next pod
    assert untranslated(lab) == both
    lab.delete_pod("one")
    lab.run_pod("three", "vm1")
    assert untranslated(lab) == PRIVATE | {"192.0.2.0/24"}
    for name in ("two", "three"):
        lab.delete_pod(name)


def test_with_prefixes_given_other_private_ranges_are_translated(lab: Lab) -> None:
    installed(lab, "--vnet-prefix", "10.1.0.0/16", "--name", "known")
    pod = lab.run_pod("known", "vm1")
    assert untranslated(lab) == {"10.1.0.0/16"}
    lab.delete_pod(pod.name)


def test_replies_of_the_internet_come_back_to_the_right_pod(lab: Lab) -> None:
    installed(lab, "--name", "plain")
    lab.servers.listen(lab.internet(), HOST)
    pods = [lab.run_pod(f"plain-{number}", "vm1") for number in range(3)]
    outbound = lab.status()["virtualMachines"][0]["nics"][0]["outbound"]
    for _ in range(5):
        assert [seen_as(pod.descriptor, HOST) for pod in pods] == [outbound] * 3
    for pod in pods:
        lab.delete_pod(pod.name)
    lab.servers.forget(HOST)


def test_the_vm_forwards(lab: Lab) -> None:
    with namespace.entered(lab.vm("vm1")):
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip() == "1"
