"""The agent, or the fabric, is killed between any two steps of carrying out or undoing what is asked for a pod.

Both run in processes forked from this one, so that they start quickly and can be told to end, by SIGKILL, before or
after their n-th touch of the disk, the ledger, the kernel or the resource manager, for every n until they get through.
After the next start everything asked for is there, the pod attached and reached from the internet, or nothing of either
is left: on the NIC, beside it, on the disk, in the ledger, in the kernel; and nobody reaches anything.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from podvnet.testing.cloud import access_for, cloud_for
from podvnet.testing.cni import Json, Runtime, Sandbox, configuration, eventually
from podvnet.testing.crash_stage import GROUP, HEALTH, OWN, POD, CrashStage
from podvnet.testing.lab import laboratory

EVERYTHING: Json = {
    "groups": ["web", "db"],
    "publicAddress": True,
    "backendPools": ["public/pods"],
    "inboundNatRules": ["public/ssh"],
}
OF_ITS_OWN = EVERYTHING | {"address": OWN, "sticky": True}
ASKS = {
    "of the pool": configuration(args={"cni": {"azure": EVERYTHING}}),
    "of its own": configuration(args={"cni": {"azure": OF_ITS_OWN}}),
}
ARGS = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"


@pytest.fixture(scope="module")
def stage() -> Iterator[CrashStage]:
    """One lab for all. At its end `podvnet doctor` finds that kernel and store agree."""
    with laboratory(Path(__file__).with_name("pod-asks.yaml")) as lab, Runtime(lab, "vm1") as vm:
        lab.install("vm1")
        vm.end_agent()
        made = CrashStage(vm, cloud_for(lab, access_for()))
        assert eventually(lambda: vm.ledger("SELECT count(*) FROM addresses WHERE listed") == [(16,)])
        yield made
        made.let_live()
        found = {each["subject"]: each for each in lab.findings()}
        assert found["kernel"]["state"] == "ok", found["kernel"]
        made.end()


@pytest.mark.parametrize("kind", ASKS)
def test_an_add_whose_agent_is_killed_anywhere_is_wholly_there_or_wholly_gone(stage: CrashStage, kind: str) -> None:
    config = ASKS[kind]
    for point in itertools.count():
        with stage.pod() as pod:
            stage.agent.doom(point)
            answer = stage.vm.call("ADD", pod, config, args=ARGS)
            through = not stage.agent.ended()
            stage.let_live()
            if answer.code == 0:
                assert stage.whole(pod)
            else:
                assert eventually(partial(stage.whole_or_gone, pod)), (point, stage.traces(), stage.grants())
            assert stage.vm.call("DEL", pod, config, args=ARGS).silent
            assert eventually(partial(stage.gone, pod)), (point, stage.traces(), stage.grants())
        if through:
            assert point >= 10, "an ask touches disk, ledger, kernel and resource manager more often than that"
            return


@pytest.mark.parametrize("kind", ASKS)
def test_a_del_whose_agent_is_killed_anywhere_leaves_nothing(stage: CrashStage, kind: str) -> None:
    config = ASKS[kind]
    for point in itertools.count():
        with stage.pod() as pod:
            stage.vm.add(pod, config, args=ARGS)
            stage.agent.doom(point)
            answer = stage.vm.call("DEL", pod, config, args=ARGS)
            assert eventually(partial(stage.ended_or_gone, pod))
            through = not stage.agent.ended()
            stage.let_live()
            if answer.code:
                assert stage.vm.call("DEL", pod, config, args=ARGS).silent, "a runtime repeats what has failed"
            assert eventually(partial(stage.gone, pod)), (point, stage.traces(), stage.grants())
        if through:
            assert point >= 8
            return


def test_a_recovery_that_is_killed_anywhere_is_gone_on_with(stage: CrashStage) -> None:
    """The pod ended while no agent was there; agents that come die of what they find, one step later each."""
    with stage.pod() as pod:
        stage.vm.add(pod, ASKS["of its own"], args=ARGS)
        stage.agent.end()
    for point in range(1, 100):
        stage.agent.start(crash_at=point)
        assert eventually(partial(stage.ended_or_gone, pod))
        if not stage.agent.ended():
            assert point >= 3, "each life undoes something that the next need not"
            break
    stage.let_live()
    assert stage.gone(pod)
    stage.forget()


def test_what_is_asked_or_released_ahead_of_the_pod_is_wholly_noted_or_not_at_all(stage: CrashStage) -> None:
    for point in itertools.count():
        with stage.pod() as pod:
            stage.agent.doom(point)
            asked = stage.ask_agent("ask", pod=POD, ask=OF_ITS_OWN)
            assert eventually(lambda: stage.agent.ended() or stage.ahead())
            through = not stage.agent.ended()
            stage.let_live()
            assert eventually(stage.ahead if asked else stage.ahead_or_nothing), stage.grants()
            if not asked:
                stage.ask_agent("ask", pod=POD, ask=OF_ITS_OWN)
                assert eventually(stage.ahead)
            if through:
                assert point >= 4
                stage.vm.add(pod, args=ARGS)
                assert stage.whole(pod), "what was noted is had by the pod that comes"
                assert stage.vm.call("DEL", pod, args=ARGS).silent
                return
            stage.agent.doom(point)
            released = stage.ask_agent("release", pod=POD)
            assert eventually(lambda: stage.agent.ended() or stage.nothing_ahead())
            stage.let_live()
            assert eventually(stage.nothing_ahead if released is not None else stage.ahead_or_nothing), stage.grants()


def test_the_fabric_is_killed_before_and_after_every_request_for_a_pod_and_the_agent_goes_on(
    stage: CrashStage,
) -> None:
    for point in itertools.count():
        with stage.pod() as pod:
            stage.kill_fabric_at(point)
            killed = an_ask_outlives(stage, pod)
            stage.spare()
        if not killed:
            assert point >= 8, "two public addresses' requests and two of the NIC, before and after each"
            return


def test_the_fabric_is_killed_at_every_step_of_carrying_out_an_ask(stage: CrashStage) -> None:
    """Every other step while it is carried out, and those between while it is undone: the same ones."""
    for point in itertools.count(0, 2):
        with stage.pod() as pod:
            stage.fabric.doom(point)
            killed = an_ask_outlives(stage, pod, undoing=partial(stage.fabric.doom, point + 1))
            stage.spare()
        if not killed:
            assert point >= 14, "two writes, each in the store, in the kernel, and told of"
            return


def an_ask_outlives(stage: CrashStage, pod: Sandbox, undoing: Callable[[], None] = lambda: None) -> bool:
    """Attach a pod with everything and detach it; tell whether the fabric was killed on the way."""
    config = ASKS["of its own"]
    call = stage.vm.begin(stage.vm.environment("ADD", pod, args=ARGS), json.dumps(config).encode())
    killed = stage.fabric_back(call.done)
    assert call.result().code == 0
    assert eventually(partial(stage.whole, pod)), (stage.traces(), stage.grants())
    undoing()
    assert stage.vm.call("DEL", pod, args=ARGS).silent
    killed |= stage.fabric_back(stage.let_go)
    assert eventually(partial(stage.gone, pod)), (stage.traces(), stage.grants())
    return killed


def test_the_fabric_is_killed_at_every_step_of_taking_in_that_a_pod_answers(stage: CrashStage) -> None:
    front = str(stage.cloud.network.public_ip_addresses.get(GROUP, "front").ip_address)
    with stage.pod() as pod, stage.probed(pod):
        stage.vm.add(pod, ASKS["of the pool"], args=ARGS)
        for point in itertools.count():
            stage.fabric.end()
            HEALTH.unlink(missing_ok=True)  # as after a reboot of the machine: nobody has been asked
            stage.fabric.start(crash_at=point)
            killed = stage.fabric_back(partial(stage.reached, front))
            stage.spare()
            killed |= stage.fabric_back(lambda: True)  # packets may pass before the last step
            assert stage.agrees()
            assert eventually(lambda: stage.reached(front))
            assert stage.whole(pod)
            if not killed:
                assert point >= 4, "the file before and after it is written, and the kernel"
                break
        assert stage.vm.call("DEL", pod, args=ARGS).silent
        assert eventually(partial(stage.gone, pod))
        assert not stage.reached(front)
