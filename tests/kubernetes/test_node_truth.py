"""What the Node says of its addresses before they have run out, and what the agent measures: a real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.cni import Json, Runtime, Sandbox, eventually
from podvnet.testing.lab import PODVNET, laboratory
from podvnet.testing.nodeless_api import KUBECONFIG, NodelessApi

FILE = Path(__file__).parents[1] / "kernel" / "pod-asks.yaml"
LIMIT = 20
OPTIONS = (
    "--pool-source", "arm", "--rest", "0", "--pool-interval", "1", "--pool-limit", str(LIMIT), "--pool-batch", "20",
    "--kubeconfig", str(KUBECONFIG), "--node-name", "vm1", "--metrics", "127.0.0.1:9464",
)  # fmt: skip
SECONDS = 120.0


@pytest.fixture(scope="module")
def agent() -> Iterator[Runtime]:
    with laboratory(FILE) as lab, Runtime(lab, "vm1", hands=8) as runtime:
        runtime.lab.install("vm1")
        runtime.end_agent()
        yield runtime
        runtime.end_agent()


@pytest.fixture(scope="module")
def api(agent: Runtime) -> Iterator[NodelessApi]:
    """An API whose Node says that kubelet runs 110 pods, and an agent whose pool can never hold as many."""
    with NodelessApi(agent, "10.1.1.4", "vm1") as server:
        server.say_of_node({"capacity": {"pods": "110"}, "allocatable": {"pods": "110"}})
        agent.start_agent(*OPTIONS)
        yield server


@pytest.fixture
def vm(agent: Runtime, api: NodelessApi) -> Iterator[Runtime]:
    yield agent
    agent.clear()
    assert eventually(lambda: condition(api)["status"] == "False", SECONDS)
    api.forget_events()


def condition(api: NodelessApi) -> Json:
    """What the Node says of a shortage."""
    found = [each for each in api.node()["conditions"] if each["type"] == "PodAddressPressure"]
    return found[0] if found else {"status": "", "message": ""}


def reasons(api: NodelessApi) -> list[str]:
    return [each["reason"] for each in sorted(api.events("vm1"), key=lambda each: str(each["lastTimestamp"]))]


def attach(vm: Runtime, count: int) -> list[Sandbox]:
    pods = [vm.sandbox() for _ in range(count)]
    for each in pods:
        vm.add(each)
    return pods


def metrics(vm: Runtime) -> dict[str, float]:
    """The samples by name and labels."""
    text = vm.run("curl", "-sS", "--fail", "http://127.0.0.1:9464/metrics")
    samples = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, flags=re.MULTILINE)
    return {name: float(value) for name, value in samples}


def test_the_node_says_how_many_pods_can_have_an_address_and_says_it_again(vm: Runtime, api: NodelessApi) -> None:
    assert eventually(lambda: api.node()["capacity"].get("podvnet.io/addresses") == str(LIMIT), SECONDS)
    assert eventually(lambda: condition(api)["status"] == "False", SECONDS)
    assert "20 addresses of the virtual network for pods, and kubelet runs up to 110 pods" in condition(api)["message"]
    assert reasons(api) == [], "that all is well is no event"
    # As kubelet does when it registers its node anew.
    api.say_of_node({"capacity": {"podvnet.io/addresses": "0"}, "allocatable": {"podvnet.io/addresses": "0"}})
    assert eventually(lambda: api.node()["allocatable"]["podvnet.io/addresses"] == str(LIMIT), SECONDS)


def test_a_shortage_is_said_before_it_is_one_and_taken_back_with_a_distance(vm: Runtime, api: NodelessApi) -> None:
    pods = attach(vm, LIMIT - 3)
    assert eventually(lambda: metrics(vm)["podvnet_pool_low"] == 0.0)
    pods += attach(vm, 1)
    assert eventually(lambda: condition(api)["status"] == "True", SECONDS)
    assert reasons(api) == ["PodAddressesLow"]
    assert metrics(vm)["podvnet_pool_low"] == 1.0
    assert vm.call("STATUS").silent, "it is no outage yet"
    assert "PodAddressPressure" in api.described("node", "vm1")
    assert "PodAddressesLow" in api.described("node", "vm1")
    vm.end_agent()
    for each in pods[:2]:
        vm.unmake(each)
    vm.start_agent(*OPTIONS)
    assert eventually(lambda: metrics(vm)['podvnet_attachments{state="attached"}'] == LIMIT - 4)
    assert eventually(lambda: metrics(vm)["podvnet_pool_low"] == 1.0), "four are left: an agent that is new says so too"
    assert vm.call("DEL", pods[2]).silent
    assert eventually(lambda: condition(api)["status"] == "False", SECONDS)
    assert reasons(api) == ["PodAddressesLow", "PodAddressesEnough"]


def test_a_node_whose_kubelet_stops_before_the_addresses_do_is_never_short(vm: Runtime, api: NodelessApi) -> None:
    api.say_of_node({"capacity": {"pods": str(LIMIT)}})
    try:
        attach(vm, 1)
        assert eventually(lambda: f"kubelet runs up to {LIMIT} pods" in condition(api)["message"], SECONDS)
        attach(vm, LIMIT - 2)
        assert eventually(lambda: metrics(vm)['podvnet_pool_addresses{family="4",state="held"}'] == LIMIT - 1)
        assert (metrics(vm)["podvnet_pool_low"], condition(api)["status"]) == (0.0, "False")
    finally:
        api.say_of_node({"capacity": {"pods": "110"}})


def test_what_is_measured_is_what_happened(vm: Runtime, api: NodelessApi) -> None:
    assert eventually(lambda: metrics(vm)["podvnet_kubernetes_followed"] == 1.0, SECONDS), "an agent that is new lists"
    before = metrics(vm)
    pods = attach(vm, 3)
    assert vm.call("ADD", vm.sandbox(), args="AZURE_EGRESS=sideways").error["code"] == 6
    assert vm.call("CHECK", vm.sandbox()).error["code"] == 3
    assert vm.call("DEL", pods[0]).silent
    after = metrics(vm)
    grown = {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name)}
    assert grown['podvnet_requests_total{command="ADD",code="0"}'] == 3
    assert grown['podvnet_requests_total{command="CHECK",code="3"}'] == 1
    assert grown['podvnet_requests_total{command="DEL",code="0"}'] == 1
    assert grown['podvnet_request_seconds_count{command="ADD"}'] == 3
    assert grown['podvnet_request_seconds_bucket{command="ADD",le="+Inf"}'] == 3
    assert 0 < grown['podvnet_request_seconds_sum{command="ADD"}'] < 3 * 5
    assert grown['podvnet_attachments{state="attached"}'] == 2
    assert after["podvnet_ready"] == after["podvnet_kubernetes_followed"] == 1
    assert after["podvnet_pool_limit_addresses"] == LIMIT
    text = vm.run(*PODVNET, "status", "--metrics")
    assert "# TYPE podvnet_request_seconds histogram" in text
