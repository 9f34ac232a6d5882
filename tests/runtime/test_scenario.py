"""The same for every engine: two VMs, containers on both, and what happens when parts of it die."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from podvnet.testing.cni import Runtime
from podvnet.testing.engine import Container, whoami
from podvnet.testing.lab import CommandError, podvnet
from podvnet.testing.rule import deny
from podvnet.testing.site import Site, settled

BURST = int(os.environ.get("PODVNET_RUNTIME_BURST", "12"))
"""Containers that come and go at once; every run of all tests can afford a dozen."""
ADDRESSES = {"vm1": ("10.1.1.4", "fd00:1:0:1::4"), "vm2": ("10.1.2.4", "fd00:1:0:2::4")}
INTERNET = "198.51.100.10"
REFUSALS = (CommandError, grpc.RpcError)


def two_on_each(site: Site) -> dict[tuple[str, str], Container]:
    return {
        (vm, name): engine.run(f"{vm}-{name}") for vm, engine in site.engines.items() for name in ("first", "second")
    }


def test_containers_reach_one_another_and_are_seen_with_their_own_addresses(clean: Site) -> None:
    made = two_on_each(clean)
    seen = {
        (caller.name, address): whoami(clean.engines[vm], caller.name, address)
        for (vm, _), caller in made.items()
        for called in made.values()
        for address in called.addresses
        if called is not caller
    }
    expected = {
        (name, address): next(each for each in caller.addresses if (":" in each) == (":" in address))
        for (name, address) in seen
        for caller in made.values()
        if caller.name == name
    }
    assert len(seen) == 4 * 3 * 2
    assert seen == expected


def test_what_the_engine_shows_is_what_the_container_and_the_network_have(clean: Site) -> None:
    for vm, engine in clean.engines.items():
        shown = engine.run("shown")
        prefix = ".".join(ADDRESSES[vm][0].split(".")[:3])
        assert [address.startswith(prefix) or ":" in address for address in shown.addresses] == [True, True]
        assert shown.gateway == f"{prefix}.1"
        assert engine.execute("shown", "cat", "/sys/class/net/eth0/address").strip() == shown.mac
        inside = engine.execute("shown", "ip", "addr", "show", "eth0")
        assert all(f" {address}/" in inside for address in shown.addresses)
        assert f"default via {shown.gateway} dev eth0" in engine.execute("shown", "ip", "route")
        attachment = next(
            each for each in clean.lab.agent_status(vm)["attachments"] if each["container"] == shown.identity
        )
        assert tuple(attachment["addresses"]) == shown.addresses
        assert set(shown.addresses) <= addresses_of(clean, vm).keys()


def addresses_of(site: Site, vm: str) -> dict[str, str]:
    """The name of the ip-configuration of each address of a VM's NIC, as the resource manager has it."""
    nic = next(each for each in site.lab.status()["resources"] if each["name"] == f"{vm}-nic")
    configurations = nic["properties"]["ipConfigurations"]
    return {each["properties"]["privateIPAddress"]: each["name"] for each in configurations}


def test_containers_reach_the_internet_from_the_public_address_of_their_vm(clean: Site) -> None:
    public = {}
    for vm, engine in clean.engines.items():
        engine.run("outward")
        public[vm] = engine.execute("outward", "nc", "-w", "2", INTERNET, "7070").strip()
    assert sorted(public.values()) == ["203.0.113.1", "203.0.113.2"]


def test_a_port_of_the_vm_leads_to_its_container(clean: Site) -> None:
    clean.engines["vm2"].run("published", ports=[(8080, 80)])
    caller = clean.engines["vm1"].run("caller")
    for address in ADDRESSES["vm2"]:
        assert whoami(clean.engines["vm1"], "caller", address, 8080) in caller.addresses
    clean.engines["vm2"].remove("published")
    assert whoami(clean.engines["vm1"], "caller", ADDRESSES["vm2"][0], 8080) == ""


def test_a_security_group_holds_for_one_container_by_its_application_group(clean: Site) -> None:
    guarded, free = clean.engines["vm1"].run("guarded"), clean.engines["vm1"].run("free")
    caller = clean.engines["vm2"].run("caller")
    resources = clean.fabric.declared
    resources["networkSecurityGroups/guard"]["properties"] = {
        "securityRules": [deny("no-web", 100, "Inbound", destination=("web",))]
    }
    name = addresses_of(clean, "vm1")[guarded.address]
    configurations = resources["networkInterfaces/vm1-nic"]["properties"]["ipConfigurations"]
    member = next(each for each in configurations if each["name"] == name)["properties"]
    member["applicationSecurityGroups"] = [{"id": "applicationSecurityGroups/web"}]
    clean.fabric.apply(resources)
    try:
        assert whoami(clean.engines["vm2"], "caller", guarded.address) == ""
        assert whoami(clean.engines["vm2"], "caller", free.address) == caller.address
    finally:
        clean.fabric.apply(clean.fabric.declared)
    assert whoami(clean.engines["vm2"], "caller", guarded.address) == caller.address


def test_a_burst_of_containers_comes_up_and_goes_without_a_trace(
    clean: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = clean.engines["vm1"]
    names = [f"burst-{number}" for number in range(BURST)]
    with ThreadPoolExecutor(BURST) as crowd:
        began = time.monotonic()
        made = list(crowd.map(engine.run, names))
        up = time.monotonic() - began
        assert len({address for each in made for address in each.addresses}) == 2 * BURST
        clean.engines["vm2"].run("caller")
        sampled = made[:: max(1, BURST // 8)]
        assert [whoami(clean.engines["vm2"], "caller", each.address) for each in sampled].count("") == 0
        began = time.monotonic()
        list(crowd.map(engine.remove, names))
        down = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{type(engine).__name__}: {BURST} containers up in {up:.1f} s, down in {down:.1f} s")  # noqa: T201 - the figures


def test_containers_outlive_their_engine_and_it_knows_them_when_it_is_back(clean: Site) -> None:
    made = two_on_each(clean)
    for engine in clean.engines.values():
        engine.end(signal.SIGKILL)
    servers = [each.address for each in made.values()]
    assert [clean.reached(address) for address in servers] == [True] * 4
    for engine in clean.engines.values():
        engine.start()
    assert whoami(clean.engines["vm1"], "vm1-first", servers[-1]) == servers[0]
    for (vm, _), each in made.items():
        clean.engines[vm].remove(each.name)
    clean.assert_clean()


# Docker waits for the agent instead: test_docker.py.
@pytest.mark.parametrize("site", ["containerd", "podman"], indirect=True, scope="module")
def test_containers_outlive_the_agent_and_what_goes_meanwhile_is_tidied_up_by_the_next(clean: Site) -> None:
    made = two_on_each(clean)
    engine = clean.engines["vm1"]
    with contextlib.closing(Runtime(clean.lab, "vm1")) as runtime:
        runtime.end_agent(signal.SIGKILL)
    assert whoami(engine, "vm1-first", made["vm2", "first"].address) == made["vm1", "first"].address
    with pytest.raises(REFUSALS, match="agent"):
        engine.run("refused")
    with contextlib.suppress(*REFUSALS):  # kubelet asks again; podman drops the error
        engine.remove("vm1-second")
    clean.install("vm1")
    engine.run("accepted")
    assert whoami(engine, "accepted", made["vm1", "first"].address) != ""


def test_a_vm_that_is_rebooted_has_no_containers_and_gets_new_ones(clean: Site) -> None:
    engine = clean.engines["vm1"]

    def rebooted() -> frozenset[str]:
        podvnet("vm", "reboot", "vm1")
        clean.lab.reopen()
        engine.start()
        engine.remove_all()
        return settled(clean.lab, "vm1", engine)

    empty = rebooted()
    two_on_each(clean)
    clean.before["vm1"] = rebooted()
    assert unnumbered(clean.before["vm1"]) == unnumbered(empty)
    again = engine.run("again")
    assert whoami(clean.engines["vm2"], "vm2-first", again.address) != ""


def unnumbered(facts: frozenset[str]) -> set[str]:
    """Facts without the numbers that links get anew at every boot."""
    return {re.sub(r'"ifindex": \d+', "", fact) for fact in facts}
