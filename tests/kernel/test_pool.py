"""The pool: every address of the NIC can be a pod's, none is anybody's twice, and one that was released rests."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import POOL, Json, Runtime, Sandbox, address_of, configuration, eventually, receive

FROM_FILE = ("--pool-source", "file", "--pool-file", str(POOL))
WHOLE_POOL = {f"10.1.1.{number}" for number in range(5, 255)}
OTHER_VM = "10.1.2.4"


def attach(runtime: Runtime, count: int, config: Json | None = None) -> dict[str, Sandbox]:
    pods: dict[str, Sandbox] = {}
    for _ in range(count):
        pod = runtime.sandbox()
        pods[address_of(runtime.add(pod, config))] = pod
    return pods


def released(runtime: Runtime, pod: Sandbox) -> None:
    assert runtime.call("DEL", pod).silent


@pytest.fixture
def restless(cni: Runtime) -> Iterator[Runtime]:
    """The larger VM, where addresses do not rest, so that one test can use the pool twice."""
    cni.end_agent()
    cni.lose_ledger()
    cni.start_agent("--rest", "0")
    yield cni
    cni.clear()
    cni.end_agent()
    cni.lab.install("vm1")


@pytest.mark.parametrize("mode", ["transparent", "bridge", "tunnel"])
def test_250_pods_run_the_251st_is_refused_and_all_addresses_come_back(restless: Runtime, mode: str) -> None:
    vm1, servers = restless, restless.lab.servers
    config = configuration(mode)
    attach(vm1, 1, config)
    vm1.clear()
    before = vm1.state()
    for _ in range(2):
        pods = attach(vm1, 250, config)
        assert pods.keys() == WHOLE_POOL
        for address, pod in pods.items():
            servers.listen(pod.descriptor, address)
        vm2 = vm1.lab.vm("vm2")
        assert [address for address in pods if seen_as(vm2, address) != OTHER_VM] == []
        full = vm1.state()
        surplus = vm1.sandbox()
        error = vm1.call("ADD", surplus, config).error
        assert error["code"] == 101
        assert surplus.container[:12] in error["msg"]
        assert "all 250 secondary addresses of NIC eth0 (10.1.1.4) are in use (250 held, 0 resting)" in error["msg"]
        assert "az network nic ip-config create" in error["details"]
        vm1.unmake(surplus)
        assert vm1.state() == full
        for address, pod in pods.items():
            servers.forget(address)
            assert vm1.call("DEL", pod, config).silent
            vm1.unmake(pod)
        assert vm1.ledger("SELECT count(*), count(holder) FROM addresses") == [(250, 0)]
        assert eventually(lambda: vm1.state() == before)


def test_an_address_just_released_is_not_given_out_while_others_are_free(small: Runtime) -> None:
    given: list[str] = []
    for _ in range(3):
        pods = attach(small, 1)
        given += pods
        for pod in pods.values():
            released(small, pod)
    assert given == ["10.1.2.5", "10.1.2.6", "10.1.2.7"]


def test_addresses_are_given_out_in_the_order_in_which_they_were_released(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "0")
    pods = attach(small, 3)
    for address in ("10.1.2.6", "10.1.2.5", "10.1.2.7"):
        released(small, pods[address])
    assert list(attach(small, 3)) == ["10.1.2.6", "10.1.2.5", "10.1.2.7"]


def test_an_add_waits_for_a_resting_address(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "1.5")
    pods = attach(small, 3)
    released(small, pods["10.1.2.6"])
    waiting_pod = small.sandbox()
    with small.connect() as waiting:
        small.send(waiting, "ADD", waiting_pod)
        small.settle()
        assert select.select([waiting], [], [], 0)[0] == []
        assert small.call("STATUS").silent
        assert address_of(receive(waiting).result) == "10.1.2.6"
    assert small.held()["10.1.2.6"] == waiting_pod.container


def test_an_add_that_waits_does_not_ask_the_platform_again_and_again(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "1.5", "--pool-interval", "600")
    pods = attach(small, 3)
    released(small, pods["10.1.2.6"])
    account = Path(f"/proc/{small.agent_process()}/io")

    def reads() -> int:
        return int(account.read_text().split("syscr:")[1].split()[0])

    before = reads()
    attach(small, 1)
    assert reads() - before < 100


def test_those_who_wait_are_served_in_the_order_in_which_they_came(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "1.5")
    pods = attach(small, 3)
    first, second = small.sandbox(), small.sandbox()
    released(small, pods["10.1.2.7"])
    with small.connect() as early, small.connect() as late:
        small.send(early, "ADD", first)
        small.settle()
        small.send(late, "ADD", second)
        small.settle()
        released(small, pods["10.1.2.5"])
        assert address_of(receive(early).result) == "10.1.2.7"
        assert address_of(receive(late).result) == "10.1.2.5"


def test_a_released_address_still_rests_after_the_agent_was_killed(small: Runtime) -> None:
    pods = attach(small, 2)
    released(small, pods["10.1.2.5"])
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "60")
    assert list(attach(small, 1)) == ["10.1.2.7"]


def test_an_add_that_failed_costs_no_rest(small: Runtime) -> None:
    pod = small.sandbox()
    small.run("ip", "-n", pod.name, "link", "add", "eth0", "type", "bridge")
    for _ in range(5):
        assert small.call("ADD", pod).error["code"] == 100
    assert list(attach(small, 3)) == ["10.1.2.5", "10.1.2.6", "10.1.2.7"]


def test_new_addresses_of_the_nic_are_given_out_and_lost_ones_are_not(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--rest", "0", "--pool-interval", "0.1")
    pods = attach(small, 1)
    small.write_pool((7, 8))
    assert eventually(lambda: small.ledger("SELECT count(*) FROM addresses WHERE listed") == [(2,)])
    assert small.held().keys() == pods.keys() == {"10.1.2.5"}
    assert list(attach(small, 2)) == ["10.1.2.7", "10.1.2.8"]
    released(small, pods["10.1.2.5"])
    assert small.call("ADD", small.sandbox()).error["code"] == 101


def test_an_add_on_a_full_vm_asks_the_platform_before_it_fails(small: Runtime) -> None:
    small.end_agent()
    small.start_agent(*FROM_FILE, "--pool-interval", "600")
    attach(small, 3)
    small.write_pool((5, 6, 7, 8))
    assert list(attach(small, 1)) == ["10.1.2.8"]
