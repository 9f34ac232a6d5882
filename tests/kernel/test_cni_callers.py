"""Callers that do not speak the executable's protocol, and the executable when nobody answers it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podvnet.testing.cni import Runtime, configuration, receive


@pytest.fixture
def vm(runtimes: dict[str, Runtime]) -> Runtime:
    return runtimes["vm1"]


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff", b"\4\0\0\0abcd", b"\1\0\0\0\0", b"\1\0\0\0\0more"],
    ids=ascii,
)
def test_noise_on_the_socket_is_answered_with_an_error(vm: Runtime, noise: bytes) -> None:
    before = vm.state()
    with vm.connect() as connection:
        connection.sendall(noise)
        answer = receive(connection)
    assert answer.error["code"] in {4, 6}
    assert vm.state() == before


def test_half_a_request_and_silence_keep_nobody_waiting(vm: Runtime) -> None:
    with vm.connect() as idle, vm.connect() as half:
        half.sendall(b"\0\1\0\0CNI_")
        assert vm.call("STATUS").silent
        idle.close()
        assert vm.call("STATUS").silent


def test_one_that_waits_and_goes_on_talking_is_refused_and_the_agent_lives(small: Runtime) -> None:
    pods = [small.sandbox() for _ in range(4)]
    for pod in pods[:3]:
        small.add(pod)
    assert small.call("DEL", pods[0]).silent
    agent = small.agent_process()
    with small.connect() as talker:
        small.send(talker, "ADD", pods[3])
        small.settle()
        talker.sendall(b"and another thing")
        assert receive(talker).error["code"] == 6
    assert small.call("DEL", pods[1]).silent
    assert small.call("STATUS").silent
    assert small.agent_process() == agent
    assert set(small.held().values()) == {pods[2].container}


# -- no agent


@pytest.fixture(scope="module")
def deserted(runtimes: dict[str, Runtime]) -> Iterator[Runtime]:
    """A VM whose agent was killed: its socket is still there."""
    runtime = runtimes["vm2"]
    runtime.end_agent()
    yield runtime
    runtime.lab.install("vm2")


@pytest.mark.parametrize(("verb", "code"), [("ADD", 11), ("DEL", 11), ("CHECK", 11), ("GC", 11), ("STATUS", 50)])
@pytest.mark.parametrize("socket_there", [True, False], ids=["stale socket", "no socket"])
def test_without_an_agent_the_answer_says_how_to_start_it(
    deserted: Runtime, verb: str, code: int, socket_there: bool
) -> None:
    if not socket_there:
        deserted.run("rm", "-f", "/run/podvnet/agent.sock")
    error = deserted.call(verb, deserted.sandbox(), configuration(version="1.0.0")).error
    assert (error["code"], error["cniVersion"]) == (code, "1.0.0")
    assert "/run/podvnet/agent.sock" in error["msg"]
    assert "podvnet agent" in error["details"]


def test_without_an_agent_version_is_answered(deserted: Runtime) -> None:
    assert "1.1.0" in deserted.execute({"CNI_COMMAND": "VERSION"}, b"").result["supportedVersions"]
