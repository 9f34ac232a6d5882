"""GC and STATUS: what a runtime asks of a plug-in between pods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podvnet.testing.cni import Json, Runtime, Sandbox, configuration, eventually, receive

FROM_FILE = ("--pool-source", "file", "--pool-file")


def listed(*pods: Sandbox, key: str = "cni.dev/valid-attachments", **more: str) -> Json:
    entries = [{"containerID": pod.container, "ifname": "eth0"} for pod in pods]
    return configuration(**more) | {key: entries}


# -- GC


@pytest.mark.parametrize("mode", ["transparent", "bridge", "tunnel"])
def test_gc_removes_exactly_the_unlisted(cni: Runtime, mode: str) -> None:
    kept = [cni.sandbox() for _ in range(3)]
    for pod in kept:
        cni.add(pod, configuration(mode))
    before = cni.state()
    gone = [cni.sandbox() for _ in range(3)]
    for pod in gone:
        cni.add(pod, configuration(mode))
    for pod in gone:
        cni.unmake(pod)
    assert cni.call("GC", None, listed(*kept, mode=mode)).silent
    assert eventually(lambda: cni.state() == before)
    assert set(cni.held().values()) == {pod.container for pod in kept}


def test_gc_knows_an_attachment_by_container_and_interface(cni: Runtime) -> None:
    pod = cni.sandbox()
    cni.add(pod)
    entry = {"containerID": pod.container, "ifname": "eth1"}
    assert cni.call("GC", None, configuration() | {"cni.dev/valid-attachments": [entry]}).silent
    assert cni.held() == {}


def test_gc_leaves_other_networks_alone(cni: Runtime) -> None:
    ours, theirs = cni.sandbox(), cni.sandbox()
    cni.add(ours)
    cni.add(theirs, configuration(network="other"))
    assert cni.call("GC", None, listed(network="other")).silent
    assert set(cni.held().values()) == {ours.container}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"cni.dev/valid-attachments": None},
        {"cni.dev/valid-attachments": []},
        {"cni.dev/valid-attachments": None, "cni.dev/attachments": None},
    ],
    ids=["absent", "null", "empty", "both null"],
)
def test_gc_without_a_list_takes_none_for_valid(cni: Runtime, keys: Json) -> None:
    before = cni.state()
    pod = cni.sandbox()
    cni.add(pod)
    assert cni.call("GC", None, configuration() | keys).silent
    cni.unmake(pod)
    assert eventually(lambda: cni.state() == before)


def test_gc_reads_the_key_that_older_libraries_send(cni: Runtime) -> None:
    kept, gone = cni.sandbox(), cni.sandbox()
    for pod in (kept, gone):
        cni.add(pod)
    assert cni.call("GC", None, listed(kept, key="cni.dev/attachments")).silent
    assert set(cni.held().values()) == {kept.container}


def test_gc_with_a_list_that_cannot_be_read_removes_nobody(cni: Runtime) -> None:
    pod = cni.sandbox()
    cni.add(pod)
    before = cni.state()
    for broken in ("all", [{"containerID": pod.container}], [pod.container], {"containerID": pod.container}):
        error = cni.call("GC", None, configuration() | {"cni.dev/valid-attachments": broken}).error
        assert error["code"] == 7
    assert cni.state() == before


def test_gc_releases_addresses_of_the_delegate_too(cni: Runtime) -> None:
    pod = cni.sandbox()
    config = configuration(network="delegated")
    variables = cni.environment("ADD", pod)
    assert cni.execute(variables, _json(config), "azure-vnet-ipam").result["ips"]
    assert cni.execute({"CNI_COMMAND": "GC"}, _json(config), "azure-vnet-ipam").silent
    assert cni.held() == {}


# -- STATUS


def test_status_is_silent_while_pods_can_be_attached(cni: Runtime) -> None:
    before = cni.state()
    assert cni.call("STATUS").silent
    assert cni.state() == before


def test_status_fails_before_the_pool_is_there_and_mends_itself(small: Runtime) -> None:
    late = Path("/run/late.json")
    small.end_agent()
    small.lose_ledger()
    small.start_agent(*FROM_FILE, str(late), "--pool-interval", "0.2", ready=False)
    assert eventually(lambda: str(late) in small.call("STATUS").error["msg"])
    error = small.call("STATUS").error
    assert error["code"] == 50
    assert error["details"]
    refused = small.call("ADD", small.sandbox()).error
    assert refused["code"] == 11
    assert str(late) in refused["msg"]
    small.write_pool((5, 6, 7), late)
    assert eventually(lambda: small.call("STATUS").silent)


def test_an_add_waits_for_the_pool_of_an_agent_that_starts(small: Runtime) -> None:
    late = Path("/run/later.json")
    small.end_agent()
    small.lose_ledger()
    small.start_agent(*FROM_FILE, str(late), "--pool-interval", "600", ready=False)
    assert eventually(lambda: str(late) in small.call("STATUS").error["msg"])
    pod = small.sandbox()
    with small.connect() as waiting:
        small.send(waiting, "ADD", pod)
        assert small.call("STATUS").error["code"] == 50
        small.write_pool((5, 6, 7), late)
        assert receive(waiting).result["ips"]


def test_status_fails_while_every_address_is_held(small: Runtime) -> None:
    pods = [small.sandbox() for _ in range(3)]
    for pod in pods:
        assert small.call("STATUS").silent
        small.add(pod)
    error = small.call("STATUS").error
    assert error["code"] == 50
    assert "3 secondary addresses of NIC eth0" in error["msg"]
    assert "ip-config" in error["details"]
    assert small.call("DEL", pods[0]).silent
    assert small.call("STATUS").silent


def test_a_nic_without_secondary_addresses_is_said_to_have_none(small: Runtime) -> None:
    small.write_pool((), Path("/run/bare.json"))
    small.end_agent()
    small.lose_ledger()
    small.start_agent(*FROM_FILE, "/run/bare.json")
    error = small.call("STATUS").error
    assert error["code"] == 50
    assert "no secondary address" in error["msg"]
    refused = small.call("ADD", small.sandbox()).error
    assert refused["code"] == 101
    assert "no secondary address" in refused["msg"]
    assert refused["details"]
    assert small.pod_links() == []


def _json(config: Json) -> bytes:
    return json.dumps(config).encode()
