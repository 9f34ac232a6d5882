"""What is asked for a pod is had, seen in the resource manager's own documents, and nothing of it is left afterwards.

The agent asks as the VM's own identity, over TLS; the documents are read with the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podvnet.agent.server import QUERY
from podvnet.plugin.frame import call
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import RUN, Json, Runtime, Sandbox, address_of, configuration, eventually
from podvnet.testing.lab import PODVNET, laboratory
from podvnet.testing.outage import kill_fabric, start_fabric

GROUP = "podvnet"
OPTIONS = ("--pool-source", "arm", "--rest", "0")
EVERYTHING: Json = {
    "groups": ["web", "db"],
    "publicAddress": True,
    "idleTimeout": 9,
    "backendPools": ["public/pods"],
    "inboundNatRules": ["public/ssh"],
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with laboratory(Path(__file__).with_name("pod-asks.yaml")) as lab:
        yield cloud_for(lab, access_for())


@pytest.fixture(scope="module")
def agent(cloud: Cloud) -> Iterator[Runtime]:
    """A VM with an agent that has fetched the first batch."""
    with Runtime(cloud.lab, "vm1", hands=8) as runtime:
        runtime.lab.install("vm1")
        runtime.end_agent()
        runtime.start_agent(*OPTIONS)
        assert eventually(lambda: len(pool(runtime)) == 16)
        yield runtime
        runtime.clear()
        runtime.end_agent()


@pytest.fixture
def vm(agent: Runtime, cloud: Cloud) -> Iterator[Runtime]:
    yield agent
    agent.clear()
    for each in asks(agent):
        if each["state"] in {"kept", "noted"}:
            query(agent, "release", pod=each["pod"])
    assert eventually(lambda: clean(cloud, agent)), (members(cloud), publics(cloud), asks(agent))


def asked(**ask: Any) -> Json:
    return configuration(args={"cni": {"azure": ask}})


def named(pod: str) -> str:
    return f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={pod}"


def pool(vm: Runtime) -> list[Any]:
    return vm.ledger("SELECT address FROM addresses WHERE listed")


def query(vm: Runtime, name: str, **body: str) -> list[Json]:
    """Ask the agent's own API."""
    code, answer = vm.do(lambda: call(str(RUN / "agent.sock"), {QUERY: name}, json.dumps(body).encode()))
    assert code == 0, answer
    found: list[Json] = json.loads(answer)
    return found


def asks(vm: Runtime) -> list[Json]:
    return query(vm, "asks")


def configurations(cloud: Cloud) -> list[Any]:
    return list(cloud.network.network_interfaces.get(GROUP, "vm1-nic").ip_configurations or ())


def members(cloud: Cloud) -> dict[str, Json]:
    """By private address, what each ip-configuration has that one of the pool has not."""
    found = {}
    for each in configurations(cloud):
        has = {
            "groups": sorted(group.id.rpartition("/")[2] for group in each.application_security_groups or ()),
            "pools": [part_of(pool.id) for pool in each.load_balancer_backend_address_pools or ()],
            "rules": [part_of(rule.id) for rule in each.load_balancer_inbound_nat_rules or ()],
            "public": each.public_ip_address.id.rpartition("/")[2] if each.public_ip_address else "",
        }
        if has != {"groups": ["vms"], "pools": [], "rules": [], "public": ""}:
            found[each.private_ip_address] = has
    return found


def part_of(identity: str) -> str:
    """``balancer/pool`` of the id of a pool."""
    words = identity.split("/")
    return f"{words[-3]}/{words[-1]}"


def publics(cloud: Cloud) -> dict[str, Any]:
    """The public addresses beyond those of the file."""
    every = cloud.network.public_ip_addresses.list(GROUP)
    return {str(each.name): each for each in every if each.name not in {"front", "ready"}}


def clean(cloud: Cloud, vm: Runtime) -> bool:
    """Nothing of any ask is left: on the NIC, beside it, on the disk, in the ledger."""
    names = [each.name for each in configurations(cloud)]
    return (
        not members(cloud)
        and not publics(cloud)
        and not any(name.startswith("podvnet-pod-") for name in names)
        and not asks(vm)
        and vm.ledger("SELECT address FROM reserved") == []
    )


def attach(vm: Runtime, config: Json, args: str = "") -> tuple[Sandbox, str]:
    pod = vm.sandbox()
    return pod, address_of(vm.add(pod, config, args=args))


def test_everything_asked_for_a_pod_is_on_its_ip_configuration_when_add_answers_and_off_it_after_del(
    vm: Runtime, cloud: Cloud
) -> None:
    pod, address = attach(vm, asked(**EVERYTHING), named("web"))
    made = publics(cloud)
    assert len(made) == 1
    name, public = made.popitem()
    assert name.startswith("pod-default-web-")
    assert (public.sku.name, public.public_ip_allocation_method, public.idle_timeout_in_minutes) == (
        "Standard", "Static", 9,
    )  # fmt: skip
    assert public.tags == {"podvnet-nic": "vm1-nic", "podvnet-pod": "default/web"}
    assert members(cloud) == {
        address: {
            "groups": ["db", "web"],
            "pools": ["public/pods"],
            "rules": ["public/ssh"],
            "public": name,
        }
    }
    assert [(each["pod"], each["state"]) for each in asks(vm)] == [("default/web", "granted")]
    assert vm.add(pod, asked(**EVERYTHING), args=named("web"))["ips"], "the same again is answered the same"
    assert vm.call("CHECK", pod, asked(**EVERYTHING)).silent
    assert vm.call("DEL", pod, asked(**EVERYTHING)).silent
    assert eventually(lambda: clean(cloud, vm))


@pytest.mark.parametrize(
    ("config", "args", "expected"),
    [
        (asked(groups=["web"]), "", {"groups": ["web"]}),
        (asked(groups=[]), "", {"groups": []}),
        (configuration(runtimeConfig={"azure": {"publicAddress": "ready"}}), "", {"public": "ready"}),
        (configuration(), "AZURE_BACKEND_POOLS=public/pods;AZURE_GROUPS=web,db", {
            "groups": ["db", "web"], "pools": ["public/pods"],
        }),
        (configuration(), "AZURE_NAT_RULES=public/ssh", {"rules": ["public/ssh"]}),
    ],
)  # fmt: skip
def test_each_kind_of_ask_by_each_way_of_asking(
    vm: Runtime, cloud: Cloud, config: Json, args: str, expected: Json
) -> None:
    pod, address = attach(vm, config, args)
    assert members(cloud) == {address: {"groups": ["vms"], "pools": [], "rules": [], "public": ""} | expected}
    assert vm.call("DEL", pod, config).silent
    assert eventually(lambda: clean(cloud, vm))


def test_an_address_that_the_nic_has_not_is_put_on_it_for_the_pod_and_taken_off_after_it(
    vm: Runtime, cloud: Cloud
) -> None:
    pod, address = attach(vm, asked(address="10.1.1.77", groups=["db"]))
    assert address == "10.1.1.77"
    found = next(each for each in configurations(cloud) if each.private_ip_address == address)
    assert (found.name, found.private_ip_allocation_method) == ("podvnet-pod-10-1-1-77", "Static")
    assert members(cloud)[address]["groups"] == ["db"]
    again = vm.call("ADD", vm.sandbox(), asked(address="10.1.1.77")).error
    assert (again["code"], "is in use by another attachment" in again["msg"]) == (7, True)
    assert vm.call("DEL", pod).silent
    assert eventually(lambda: clean(cloud, vm))


def test_an_address_of_the_pool_stays_the_pools_after_the_pod(vm: Runtime, cloud: Cloud) -> None:
    address = max(text for (text,) in pool(vm))
    pod, found = attach(vm, asked(address=address, groups=["db"]))
    assert (found, members(cloud)[address]["groups"]) == (address, ["db"])
    assert vm.call("DEL", pod).silent
    assert eventually(lambda: clean(cloud, vm))
    assert (address,) in pool(vm)


def test_a_sticky_address_waits_for_its_pod_over_restarts_of_pod_and_agent_until_it_is_released(
    vm: Runtime, cloud: Cloud
) -> None:
    pod, address = attach(vm, asked(sticky=True, groups=["web"], publicAddress=True), named("db-0"))
    second = vm.call("ADD", vm.sandbox(), configuration(), args=named("db-0")).error
    assert (second["code"], f"{address} is kept for default/db-0" in second["msg"]) == (11, True)
    assert vm.call("DEL", pod).silent
    assert eventually(lambda: [each["state"] for each in asks(vm)] == ["kept"])
    assert (members(cloud), publics(cloud)) == ({}, {}), "what goes with the pod is off the address that stays"
    others = [attach(vm, configuration())[1] for _ in range(18)]
    assert address not in others
    vm.end_agent()
    vm.start_agent(*OPTIONS)
    other = vm.call("ADD", vm.sandbox(), asked(address=address), args=named("thief")).error
    assert (other["code"], "kept for default/db-0" in other["msg"]) == (7, True)
    pod, again = attach(vm, configuration(), named("db-0"))
    assert (again, members(cloud)) == (address, {}), "the pod's name is enough, and asks for nothing else"
    vm.run(*PODVNET, "pod", "release", "db-0")
    assert vm.call("DEL", pod).silent


def test_an_orchestrator_asks_ahead_of_the_pod_and_the_address_is_on_the_nic_before_it_comes(
    vm: Runtime, cloud: Cloud
) -> None:
    words = ["ask", "default/later", "--address", "10.1.1.88", "--sticky", "--backend-pool", "public/pods", "--json"]
    vm.run(*PODVNET, "pod", *words)
    assert eventually(lambda: [each["state"] for each in asks(vm)] == ["kept"])
    assert "10.1.1.88" in [each.private_ip_address for each in configurations(cloud)]
    assert members(cloud) == {}, "nothing leads to an address without a pod"
    pod, address = attach(vm, asked(groups=["db"]), named("later"))
    assert members(cloud) == {
        "10.1.1.88": {
            "groups": ["db"], "pools": ["public/pods"], "rules": [], "public": "",
        }
    }  # fmt: skip
    assert "default/later" in vm.run(*PODVNET, "pod", "asks")
    assert vm.call("DEL", pod).silent
    assert eventually(lambda: members(cloud) == {})
    vm.run(*PODVNET, "pod", "release", "default/later")
    assert eventually(lambda: clean(cloud, vm))
    assert address == "10.1.1.88"


def test_a_kept_address_is_let_go_when_its_time_is_over(vm: Runtime, cloud: Cloud) -> None:
    pod, _ = attach(vm, asked(address="10.1.1.79", sticky=True, keepFor=0), named("brief"))
    assert vm.call("DEL", pod).silent
    vm.end_agent()
    vm.start_agent(*OPTIONS, "--pool-interval", "0.2")
    assert eventually(lambda: clean(cloud, vm))


@pytest.mark.parametrize(
    ("ask", "code", "words"),
    [
        ({"groups": ["nobody"]}, 104, "nobody"),
        ({"address": "10.1.1.200"}, 104, "PrivateIPAddressInUse"),
        ({"address": "10.1.1.4"}, 104, "the VM's own address"),
        ({"address": "10.2.1.4"}, 7, "not in the NIC's subnet 10.1.1.0/24"),
        ({"backendPools": ["far/pods"], "publicAddress": True}, 104, "MustUseSameVnet"),
        ({"publicAddress": "front"}, 104, "PublicIPAddressInUse"),
        ({"sticky": True}, 7, "names no pod"),
        ({"address": "10.1.1.99", "groups": ["nobody"], "publicAddress": True}, 104, "nobody"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason_and_leaves_nothing(
    vm: Runtime, cloud: Cloud, ask: Json, code: int, words: str
) -> None:
    error = vm.call("ADD", vm.sandbox(), asked(**ask)).error
    assert (error["code"], words in error["msg"]) == (code, True), error
    assert eventually(lambda: clean(cloud, vm))


def test_one_ask_that_is_refused_does_not_spoil_those_beside_it(vm: Runtime, cloud: Cloud) -> None:
    wanted = [{"groups": ["web"]}, {"groups": ["nobody"]}, {"groups": ["db"]}, {"backendPools": ["far/pods"]}]
    pods = [vm.sandbox() for _ in wanted]
    calls = [
        vm.begin(vm.environment("ADD", pod), json.dumps(asked(**ask)).encode())
        for pod, ask in zip(pods, wanted, strict=True)
    ]
    answers = [call.result(60) for call in calls]
    assert [answer.code == 0 for answer in answers] == [True, False, True, False]
    found = members(cloud)
    assert found[address_of(answers[0].result)]["groups"] == ["web"]
    assert found[address_of(answers[2].result)]["groups"] == ["db"]


def test_an_add_whose_caller_leaves_while_it_is_carried_out_leaves_nothing(vm: Runtime, cloud: Cloud) -> None:
    kill_fabric()
    try:
        connection = vm.connect()
        vm.send(connection, "ADD", vm.sandbox(), asked(**EVERYTHING))
        assert eventually(lambda: [each["state"] for each in asks(vm)] == ["asked"])
        connection.close()
        assert eventually(lambda: [each["state"] for each in asks(vm)] == ["leaving"])
    finally:
        start_fabric()
    assert eventually(lambda: clean(cloud, vm))


def test_a_del_while_the_fabric_is_away_is_made_good_when_it_is_back(vm: Runtime, cloud: Cloud) -> None:
    pod, address = attach(vm, asked(**EVERYTHING))
    kill_fabric()
    try:
        assert vm.call("DEL", pod).silent, "a runtime is not kept waiting for what a machine elsewhere must do"
        assert address not in vm.held()
        assert vm.ledger("SELECT address FROM reserved") == [(address,)], "nobody gets it before it is clean"
    finally:
        start_fabric()
    assert eventually(lambda: clean(cloud, vm), timeout=20)
