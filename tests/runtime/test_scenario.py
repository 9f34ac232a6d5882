"""The same for every engine: two VMs, containers on both, and what happens when parts of it die."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import pytest

from podvnet.fabric.arm.world import Document
from podvnet.testing.cni import Runtime, configuration, eventually
from podvnet.testing.containerd import Containerd
from podvnet.testing.docker import Docker
from podvnet.testing.engine import Container, EngineError, answers, whoami
from podvnet.testing.lab import CommandError, podvnet
from podvnet.testing.rule import deny
from podvnet.testing.site import Site, settled, state
from podvnet.testing.stage import Resources

CROWD = 12
"""Containers that come and go at once; with every engine more would take too long for every run of all tests."""
BURST = int(os.environ.get("PODVNET_RUNTIME_BURST", "0"))
"""How many it is to be whatever the engine: ``scripts/test runtime-burst``."""
ADDRESSES = {"vm1": ("10.1.1.4", "fd00:1:0:1::4"), "vm2": ("10.1.2.4", "fd00:1:0:2::4")}
INTERNET = "198.51.100.10"
INNER = ("10.1.2.200", "fd00:1:0:2::200")
"""Frontends of the inner load balancer."""
POOLS = (
    ("inner/backendAddressPools/containers", "outer/backendAddressPools/containers"),
    ("inner/backendAddressPools/containers6",),
)
"""For each address of a container: those that it becomes a member of."""
CALLS = 24
"""That all lead to one of two members happens once in eight million times."""
CLIENT = ("10.1.2.100", "fd00:1:0:2::100")
"""Addresses of a VM without members: one's own member would answer a client directly, past the network."""
HEALTH = Path("/run/podvnet/fabric/health.json")
REFUSALS = (CommandError, EngineError, grpc.RpcError)


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


def configured(site: Site, resources: Resources, vm: str, address: str) -> Document:
    """The properties of the ip-configuration with an address, among those that a file declares, to be changed."""
    name = addresses_of(site, vm)[address]
    configurations = resources[f"networkInterfaces/{vm}-nic"]["properties"]["ipConfigurations"]
    found: Document = next(each for each in configurations if each["name"] == name)["properties"]
    return found


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
    member = configured(clean, resources, "vm1", guarded.address)
    member["applicationSecurityGroups"] = [{"id": "applicationSecurityGroups/web"}]
    clean.fabric.apply(resources)
    try:
        assert whoami(clean.engines["vm2"], "caller", guarded.address) == ""
        assert whoami(clean.engines["vm2"], "caller", free.address) == caller.address
    finally:
        clean.fabric.apply(clean.fabric.declared)
    assert whoami(clean.engines["vm2"], "caller", guarded.address) == caller.address


def test_load_balancers_lead_to_containers_of_both_vms_which_see_who_calls(clean: Site) -> None:
    members = {vm: engine.run(f"{vm}-member") for vm, engine in clean.engines.items()}
    hosts = {engine.execute(f"{vm}-member", "hostname").strip() for vm, engine in clean.engines.items()}
    resources = clean.fabric.declared
    for vm, member in members.items():
        for address, pools in zip(member.addresses, POOLS, strict=True):
            configured(clean, resources, vm, address)["loadBalancerBackendAddressPools"] = [
                {"id": f"loadBalancers/{pool}"} for pool in pools
            ]
    clean.fabric.apply(resources)
    try:
        assert eventually(lambda: {each.address for each in members.values()} <= healthy(), 20), healthy()
        for frontend, caller in zip(INNER, CLIENT, strict=True):
            found = answers(clean.lab.vm("vm3"), frontend, 8000, CALLS)
            assert found == {(host, caller) for host in hosts}
        outer = next(each for each in clean.lab.status()["resources"] if each["name"] == "outer-address")
        found = answers(clean.lab.internet(), outer["properties"]["ipAddress"], 80, CALLS, INTERNET)
        assert found == {(host, INTERNET) for host in hosts}
    finally:
        clean.fabric.apply(clean.fabric.declared)


def healthy() -> set[str]:
    """The members of pools that answer probes."""
    return {address for _, address in json.loads(HEALTH.read_text(encoding="utf-8"))} if HEALTH.exists() else set()


def test_a_burst_of_containers_comes_up_and_goes_without_a_trace(
    clean: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = clean.engines["vm1"], clean.engines["vm2"]
    count = BURST or (100 if isinstance(first, Containerd) else CROWD)
    wanted = [(first, f"burst-{number}") for number in range(count)]
    wanted += [(second, f"burst-{number}") for number in range(CROWD)]
    with ThreadPoolExecutor(len(wanted)) as crowd:
        began = time.monotonic()
        made = list(crowd.map(lambda each: each[0].run(each[1]), wanted))
        up = time.monotonic() - began
        assert len({address for each in made for address in each.addresses}) == 2 * len(made)
        for each in made[:: len(made) // 8]:
            assert eventually(partial(clean.reached, each.address)), each
        began = time.monotonic()
        list(crowd.map(lambda each: each[0].remove(each[1]), wanted))
        down = time.monotonic() - began
    with capsys.disabled():
        print(f"\n{type(first).__name__}: {count} + {CROWD} containers up in {up:.1f} s, down in {down:.1f} s")  # noqa: T201 - the figures


def test_an_engine_killed_in_the_middle_of_a_burst_leaves_nothing(clean: Site) -> None:
    engine, before = clean.engines["vm1"], clean.before["vm1"]
    with contextlib.closing(Runtime(clean.lab, "vm1")) as runtime, ThreadPoolExecutor(CROWD) as crowd:
        under_way = [crowd.submit(engine.run, f"burst-{number}") for number in range(CROWD)]
        assert eventually(lambda: len(runtime.held()) >= CROWD // 3, 30)
        engine.end(signal.SIGKILL)
        failures = list(filter(None, (each.exception() for each in under_way)))
        assert failures
        assert all(isinstance(each, REFUSALS) for each in failures)
        engine.start()
        with contextlib.suppress(CommandError):  # podman fails to remove what it had just begun
            engine.remove_all()
        if not isinstance(engine, Docker):
            # The others forget what they had just attached; GC says that nothing is theirs any more.
            assert runtime.call("GC", config=configuration()).silent
        # What it was just making it leaves, too; nothing of the network is in that.
        own = ("control group", *(["mount /var/lib/docker/"] if isinstance(engine, Docker) else ["mount", "namespace"]))
        eventually(lambda: all(fact.startswith(own) for fact in state(clean.lab, "vm1") - before))
        assert [fact for fact in state(clean.lab, "vm1") - before if not fact.startswith(own)] == []
    if state(clean.lab, "vm1") != before:
        clean.before["vm1"] = rebooted(clean)
        assert unnumbered(clean.before["vm1"]) <= unnumbered(before)


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
    empty = rebooted(clean)
    two_on_each(clean)
    clean.before["vm1"] = rebooted(clean)
    assert unnumbered(clean.before["vm1"]) == unnumbered(empty)
    again = clean.engines["vm1"].run("again")
    assert whoami(clean.engines["vm2"], "vm2-first", again.address) != ""


def rebooted(site: Site) -> frozenset[str]:
    """Boot the larger VM anew; what it holds when all its containers of before are removed."""
    engine = site.engines["vm1"]
    podvnet("vm", "reboot", "vm1")
    site.lab.reopen()
    engine.start()
    engine.remove_all()
    return settled(site.lab, "vm1", engine)


def unnumbered(facts: frozenset[str]) -> set[str]:
    """Facts without the numbers that links get anew at every boot."""
    return {re.sub(r'"ifindex": \d+', "", fact) for fact in facts}
