"""DEL: always succeeds, always wins, and never leaves anything, whatever happened before."""

from __future__ import annotations

import json
import os
import signal
import socket

import pytest

from podvnet.runtime.probe import seen_as
from podvnet.testing.cni import Runtime, address_of, configuration, eventually, receive

MODES = ("transparent", "bridge", "tunnel")
OTHER_VM = "10.1.2.4"
NO_POOL = ("--pool-source", "file", "--pool-file", "/run/nothing.json")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_del_takes_away_all_that_add_made_and_again_is_no_error(cni: Runtime, mode: str) -> None:
    cni.add(cni.sandbox(), configuration(mode))
    pod = cni.sandbox()
    cni.run("ip", "-n", pod.name, "link", "set", "lo", "up")
    before = cni.state(), cni.state_in(pod)
    result = cni.add(pod, configuration(mode))
    previous = configuration(mode, prevResult=result)
    assert cni.call("DEL", pod, previous).silent
    assert cni.call("DEL", pod, previous).silent
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert eventually(lambda: cni.state() == before[0])
    assert cni.state_in(pod) == before[1]


def test_del_of_the_unknown_succeeds_and_touches_nobody(cni: Runtime) -> None:
    cni.add(cni.sandbox())
    pod = cni.sandbox()
    before = cni.state()
    assert cni.call("DEL", pod).silent
    assert cni.call("DEL", pod, ifname="eth7").silent
    assert cni.call("DEL", pod, configuration(network="never-heard-of")).silent
    assert cni.state() == before


@pytest.mark.parametrize("path", ["", "/run/netns/gone", "/etc/hostname", "/proc/self/ns/net", "/"])
def test_del_needs_no_namespace(cni: Runtime, path: str) -> None:
    pod = cni.sandbox()
    before = cni.state()
    cni.add(pod)
    variables = cni.environment("DEL", pod) | {"CNI_NETNS": path}
    assert cni.execute(variables, json.dumps(configuration()).encode()).silent
    assert eventually(lambda: cni.state() == before)


def test_del_without_the_variable_of_the_namespace_succeeds(cni: Runtime) -> None:
    pod = cni.sandbox()
    cni.add(pod)
    variables = cni.environment("DEL", pod)
    del variables["CNI_NETNS"]
    assert cni.execute(variables, json.dumps(configuration()).encode()).silent
    assert cni.held() == {}


def test_del_leaves_another_namespace_at_the_same_path_alone(cni: Runtime) -> None:
    pod = cni.sandbox()
    cni.add(pod)
    cni.run("ip", "netns", "delete", pod.name)
    cni.run("ip", "netns", "add", pod.name)
    cni.run("ip", "-n", pod.name, "link", "add", "eth0", "type", "bridge")
    before = cni.state_in(pod)
    assert cni.call("DEL", pod).silent
    assert cni.state_in(pod) == before
    assert eventually(lambda: cni.pod_links() == [])


def test_del_after_the_namespace_ended_frees_the_address(cni: Runtime, mode: str) -> None:
    cni.add(cni.sandbox(), configuration(mode))
    before = cni.state()
    pod = cni.sandbox()
    cni.add(pod, configuration(mode))
    cni.unmake(pod)
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert eventually(lambda: cni.state() == before)


def test_the_interface_is_gone_from_the_pod_when_del_returns(cni: Runtime, mode: str) -> None:
    pod = cni.sandbox()
    cni.add(pod, configuration(mode))
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert "eth0" not in cni.links_in(pod)


def test_the_namespace_can_be_used_again_at_once(cni: Runtime, mode: str) -> None:
    pod = cni.sandbox()
    for _ in range(5):
        cni.add(pod, configuration(mode))
        assert cni.call("DEL", pod, configuration(mode)).silent


def test_a_configuration_that_would_be_refused_for_add_does_not_stop_del(cni: Runtime) -> None:
    pod = cni.sandbox()
    cni.add(pod)
    broken = configuration("transparent-vlan", multiTenancy=True, mtu="huge", prevResult={"ips": 7})
    assert cni.call("ADD", pod, broken).error["code"] == 6
    assert cni.call("DEL", pod, broken, args="IP=nonsense").silent
    assert cni.held() == {}


# -- against an ADD that is not done


def test_del_before_the_add_is_read_wins(cni: Runtime) -> None:
    pod = cni.sandbox()
    before = cni.state()
    with cni.connect() as late:  # the ADD's process has connected, and got no further
        assert cni.call("DEL", pod).silent
        cni.send(late, "ADD", pod)
        error = receive(late).error
    assert error["code"] == 11
    assert "deleted" in error["msg"]
    assert cni.state() == before
    assert cni.add(pod)["ips"]


def test_del_ends_an_add_that_waits_for_an_address(small: Runtime) -> None:
    pods = [small.sandbox() for _ in range(4)]
    for pod in pods[:3]:
        small.add(pod)
    assert small.call("DEL", pods[0]).silent
    with small.connect() as waiting:
        small.send(waiting, "ADD", pods[3])
        small.settle()
        assert small.call("DEL", pods[3]).silent
        error = receive(waiting).error
    assert error["code"] == 11
    assert "deleted while this ADD waited" in error["msg"]
    assert set(small.held().values()) == {pods[1].container, pods[2].container}


def test_an_add_that_was_killed_before_it_was_served_leaves_nothing(cni: Runtime) -> None:
    pod = cni.sandbox()
    before = cni.state()
    agent = cni.agent_process()
    os.kill(agent, signal.SIGSTOP)
    try:
        add = cni.launch(cni.environment("ADD", pod), json.dumps(configuration()).encode())
        add.kill()
        add.communicate()
        delete = cni.launch(cni.environment("DEL", pod), json.dumps(configuration()).encode())
    finally:
        os.kill(agent, signal.SIGCONT)
    assert delete.communicate(timeout=30)[0] == b""
    assert delete.returncode == 0
    assert cni.state() == before


def test_an_add_whose_caller_left_while_it_was_served_is_undone(cni: Runtime, mode: str) -> None:
    cni.add(cni.sandbox(), configuration(mode))
    pod = cni.sandbox()
    before = cni.state()
    made = cni.ledger("SELECT seq FROM sqlite_sequence WHERE name = 'attachments'")[0][0]
    with cni.connect() as deaf:
        deaf.shutdown(socket.SHUT_RD)  # it still looks alive, but no answer can be delivered
        cni.send(deaf, "ADD", pod, configuration(mode))
        cni.settle()
    assert cni.ledger("SELECT seq FROM sqlite_sequence WHERE name = 'attachments'") == [(made + 1,)]
    assert eventually(lambda: cni.state() == before)


def test_an_add_that_waits_is_dropped_when_its_caller_leaves(small: Runtime) -> None:
    pods = [small.sandbox() for _ in range(4)]
    for pod in pods[:3]:
        small.add(pod)
    assert small.call("DEL", pods[0]).silent
    with small.connect() as waiting:
        small.send(waiting, "ADD", pods[3])
        small.settle()
    small.settle()
    assert small.add(pods[3], args="IP=10.1.2.5")["ips"][0]["address"] == "10.1.2.5/24"
    assert len(small.held()) == 3


# -- with the agent's memory gone


def test_pods_are_adopted_when_agent_and_ledger_are_lost(cni: Runtime, mode: str) -> None:
    keeper, pod = cni.sandbox(), cni.sandbox()
    cni.add(keeper, configuration(mode))
    alone = cni.state()
    address = address_of(cni.add(pod, configuration(mode)))
    kernel, held = _kernel(cni.state()), cni.held()
    cni.lab.servers.listen(cni.lab.vm("vm2"), OTHER_VM)
    try:
        cni.end_agent()
        cni.lose_ledger()
        assert seen_as(pod.descriptor, OTHER_VM) == address
        cni.lab.install("vm1")
        assert seen_as(pod.descriptor, OTHER_VM) == address
    finally:
        cni.lab.servers.forget(OTHER_VM)
    assert _kernel(cni.state()) == kernel
    assert cni.held() == held
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert pod.container not in cni.held().values()
    assert eventually(lambda: _kernel(cni.state()) == _kernel(alone))


def test_add_of_an_adopted_pod_answers_as_before(cni: Runtime, mode: str) -> None:
    pod = cni.sandbox()
    first = cni.add(pod, configuration(mode))
    inside = cni.state_in(pod)
    cni.end_agent()
    cni.lose_ledger()
    cni.lab.install("vm1")
    assert cni.add(pod, configuration(mode)) == first
    assert cni.state_in(pod) == inside
    assert cni.call("CHECK", pod, configuration(mode, prevResult=first)).silent


@pytest.mark.parametrize("path", ["", "/etc/hostname", "/proc/self/ns/net", "/proc/self/ns/mnt"])
def test_del_of_an_adopted_pod_needs_no_namespace(cni: Runtime, path: str) -> None:
    before = cni.state()
    pod = cni.sandbox()
    cni.add(pod)
    cni.end_agent()
    cni.lose_ledger()
    cni.lab.install("vm1")
    variables = cni.environment("DEL", pod) | {"CNI_NETNS": path}
    assert cni.execute(variables, json.dumps(configuration()).encode()).silent
    cni.unmake(pod)
    assert eventually(lambda: cni.state() == before)


def test_the_namespace_of_an_adopted_pod_can_be_used_again_at_once(cni: Runtime, mode: str) -> None:
    pod = cni.sandbox()
    cni.add(pod, configuration(mode))
    cni.end_agent()
    cni.lose_ledger()
    cni.lab.install("vm1")
    assert cni.call("DEL", pod, configuration(mode)).silent
    assert cni.add(pod, configuration(mode))["ips"]


def test_del_before_the_adoption_is_not_forgotten(cni: Runtime, mode: str) -> None:
    pod = cni.sandbox()
    cni.add(pod, configuration(mode))
    cni.end_agent()
    cni.lose_ledger()
    cni.start_agent(*NO_POOL, ready=False)
    assert cni.call("DEL", pod, configuration(mode)).silent
    cni.end_agent()
    cni.lab.install("vm1")
    assert cni.held() == {}
    assert eventually(lambda: cni.pod_links() == [])
    assert not any(cni.elements().values())


def _kernel(state: frozenset[str]) -> frozenset[str]:
    """The facts of a state that the ledger does not tell."""
    return frozenset(fact for fact in state if not fact.startswith("attachment "))
