"""The agent, or the fabric, is killed between any two steps of carrying out or undoing what is asked for a pod.

Real agents run in processes forked from this one, so that they start quickly and can be told to end, by SIGKILL, before
or after their n-th touch of the disk, the ledger, the kernel or the resource manager, for every n until they get
through. After the next start everything asked for is there and the pod attached, or nothing of either is left: on the
NIC, beside it, on the disk, in the ledger.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int
from functools import partial
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import pytest

from podvnet.agent import process
from podvnet.agent.grant_store import GrantStore
from podvnet.agent.ledger import Ledger
from podvnet.agent.pool_growth import GrowthSettings
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.agent.server import QUERY
from podvnet.agent.source import Source, SourceKind
from podvnet.agent.wiring import Wiring
from podvnet.azure.resource_manager import ResourceManager
from podvnet.plan.pool_target import PoolPolicy
from podvnet.plugin.frame import call
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import RUN, Json, Runtime, Sandbox, configuration, eventually
from podvnet.testing.lab import laboratory
from podvnet.testing.outage import FABRIC_LOCK, holder_of, start_fabric

GROUP = "podvnet"
TOUCHES: tuple[tuple[type, str], ...] = (
    (GrantStore, "put"),
    (GrantStore, "forget"),
    (ReservedAddresses, "take"),
    (ReservedAddresses, "take_any"),
    (ReservedAddresses, "give_back"),
    (ResourceManager, "put"),
    (ResourceManager, "delete"),
    (Ledger, "begin"),
    (Ledger, "publish"),
    (Ledger, "leave"),
    (Ledger, "release"),
    (Wiring, "build"),
    (Wiring, "take_down"),
)
EVERYTHING: Json = {
    "groups": ["web", "db"],
    "publicAddress": True,
    "backendPools": ["public/pods"],
    "inboundNatRules": ["public/ssh"],
}
OWN = "10.1.1.77"
ASKS = {
    "of the pool": configuration(args={"cni": {"azure": EVERYTHING}}),
    "of its own": configuration(args={"cni": {"azure": EVERYTHING | {"address": OWN, "sticky": True}}}),
}
_ENDING = -2
ARGS = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"


class Life:
    """Agents of one VM, one after another."""

    def __init__(self, vm: Runtime, cloud: Cloud) -> None:
        self.vm = vm
        self.cloud = cloud
        self.left = RawValue(c_int, -1)
        """Touches until the end; negative for no end."""
        self.victim = RawValue(c_int, 0)
        """The process that ends; 0 for the agent."""
        self._child = 0

    def start(self, crash_at: int = -1) -> None:
        """Start an agent; return when it serves, or has ended."""
        self.left.value = crash_at
        self._child, ready = self.vm.do(self._fork)
        with ready:
            ready.settimeout(60)
            with contextlib.suppress(ConnectionResetError):  # it has ended
                ready.recv(64)

    def _fork(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        child = os.fork()
        if child:
            theirs.close()
            return child, ours
        try:
            ours.close()
            for owner, name in TOUCHES:
                setattr(owner, name, self._counting(getattr(owner, name), remote=owner is ResourceManager))
            process._notify_ready = lambda: theirs.send(b"READY=1")  # type: ignore[assignment]
            growth = GrowthSettings(PoolPolicy(), ca=Path("/etc/podvnet/ca.pem"))
            process.run(process.Settings(source=Source(SourceKind.ARM), growth=growth, rest=0.0, interval=0.5))
        finally:
            os._exit(1)

    def _counting(self, original: Callable[..., Any], *, remote: bool) -> Callable[..., Any]:
        @functools.wraps(original)
        def touch(*args: Any, **kwargs: Any) -> Any:
            self._count(remote=remote)
            outcome = original(*args, **kwargs)
            self._count(remote=remote)
            return outcome

        return touch

    def _count(self, *, remote: bool) -> None:
        if self.victim.value and not remote:
            return
        if self.left.value == 0:
            self.left.value = _ENDING
            os.kill(self.victim.value or os.getpid(), signal.SIGKILL)
        if self.left.value > 0:
            self.left.value -= 1

    def kill_fabric_at(self, point: int) -> None:
        """Kill the fabric at the n-th touch of the resource manager, and let the agent live."""
        self.victim.value = holder_of(FABRIC_LOCK)
        self.left.value = point

    def fabric_back(self) -> bool:
        """Wait until the fabric is killed and start it again; tell whether it was."""
        while self.left.value >= 0:
            eventually(lambda: self.left.value < 0, timeout=1)
        killed = bool(self.left.value == _ENDING)
        self.left.value, self.victim.value = -1, 0
        if killed:
            start_fabric()
        return killed

    def ended(self) -> bool:
        """Tell whether the agent has ended."""
        if self._child and self.left.value == _ENDING and not self.victim.value:
            os.waitpid(self._child, 0)
            self._child = 0
        return self._child == 0

    def end(self) -> None:
        """Kill the agent."""
        if not self.ended():
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0

    def let_live(self) -> None:
        """From now on nothing is counted; an agent that has ended is followed by another."""
        if self.ended():
            self.start()
        self.left.value = -1

    # -- what there is

    def grants(self) -> list[Json]:
        try:
            _, answer = self.vm.do(lambda: call(str(RUN / "agent.sock"), {QUERY: "asks"}, b"{}"))
        except OSError:
            return [{"state": "the agent has ended", "address": ""}]
        found: list[Json] = json.loads(answer)
        return found

    def traces(self) -> dict[str, set[str]]:
        """By private address, what the resource manager has of an ask; by "" what has none."""
        found: dict[str, set[str]] = {}
        nic = self.cloud.network.network_interfaces.get(GROUP, "vm1-nic")
        for each in nic.ip_configurations or ():
            groups = {str(group.id).rpartition("/")[2] for group in each.application_security_groups or ()}
            has = {f"group {group}" for group in groups if groups != {"vms"}}
            has |= {"pool" for _ in each.load_balancer_backend_address_pools or ()}
            has |= {"rule" for _ in each.load_balancer_inbound_nat_rules or ()}
            has |= {"public"} if each.public_ip_address else set()
            if has or (each.name or "").startswith("podvnet-pod-"):
                found[each.private_ip_address or ""] = has
        for public in self.cloud.network.public_ip_addresses.list(GROUP):
            if public.name not in {"front", "ready"} and public.ip_configuration is None:
                found.setdefault("", set()).add(f"public {public.name}")
        return found

    def whole(self, pod: Sandbox) -> bool:
        """The pod is attached and has everything."""
        address = {holder: address for address, holder in self.vm.held().items()}.get(pod.container, "none")
        everything = {"group web", "group db", "pool", "rule", "public"}
        return (
            self.vm.ledger("SELECT state FROM attachments WHERE container = ?", pod.container) == [("attached",)]
            and self.traces() == {address: everything}
            and [(each["address"], each["state"]) for each in self.grants()] == [(address, "granted")]
        )

    def gone(self, pod: Sandbox) -> bool:
        """Nothing is left of the pod, nor of what was asked for it, but what is kept for its name."""
        grants = self.grants()
        kept = [each["address"] for each in grants]
        reserved = [each for (each,) in self.vm.ledger("SELECT address FROM reserved")]
        return (
            self.vm.ledger("SELECT 1 FROM attachments WHERE container = ?", pod.container) == []
            and all(each["state"] == "kept" for each in grants)
            and self.traces() == {each: set() for each in kept}
            # One that was taken off the NIC is nobody's until the platform can list it no more.
            and reserved in (kept, [OWN])
        )

    def whole_or_gone(self, pod: Sandbox) -> bool:
        return self.whole(pod) or self.gone(pod)

    def ended_or_gone(self, pod: Sandbox) -> bool:
        return self.ended() or self.gone(pod)

    def forget(self) -> None:
        """Keep nothing for the pod's name."""
        if self.grants():
            body = b'{"pod": "default/web"}'
            self.vm.do(lambda: call(str(RUN / "agent.sock"), {QUERY: "release"}, body))
            assert eventually(lambda: self.grants() == [])


@pytest.fixture(scope="module")
def life() -> Iterator[Life]:
    with laboratory(Path(__file__).with_name("pod-asks.yaml")) as lab, Runtime(lab, "vm1") as vm:
        lab.install("vm1")
        vm.end_agent()
        made = Life(vm, cloud_for(lab, access_for()))
        made.start()
        assert eventually(lambda: vm.ledger("SELECT count(*) FROM addresses WHERE listed") == [(16,)])
        yield made
        made.let_live()
        vm.clear()
        made.end()


@pytest.mark.parametrize("kind", ASKS)
def test_an_add_whose_agent_is_killed_anywhere_is_wholly_there_or_wholly_gone(life: Life, kind: str) -> None:
    config = ASKS[kind]
    for point in itertools.count():
        pod = life.vm.sandbox()
        life.let_live()
        life.left.value = point
        answer = life.vm.call("ADD", pod, config, args=ARGS)
        through = not life.ended()
        life.let_live()
        if answer.code == 0:
            assert life.whole(pod)
        else:
            assert eventually(partial(life.whole_or_gone, pod)), (point, life.traces(), life.grants())
        assert life.vm.call("DEL", pod, config, args=ARGS).silent
        assert eventually(partial(life.gone, pod)), (point, life.traces(), life.grants())
        life.forget()
        life.vm.unmake(pod)
        if through:
            assert point >= 14, "an ask touches disk, ledger, kernel and resource manager more often than that"
            return


@pytest.mark.parametrize("kind", ["of its own"])
def test_a_del_whose_agent_is_killed_anywhere_leaves_nothing(life: Life, kind: str) -> None:
    config = ASKS[kind]
    for point in itertools.count():
        pod = life.vm.sandbox()
        life.let_live()
        life.vm.add(pod, config, args=ARGS)
        life.left.value = point
        answer = life.vm.call("DEL", pod, config, args=ARGS)
        assert eventually(partial(life.ended_or_gone, pod))
        through = not life.ended()
        life.let_live()
        if answer.code:
            assert life.vm.call("DEL", pod, config, args=ARGS).silent, "a runtime repeats what has failed"
        assert eventually(partial(life.gone, pod)), (point, life.traces(), life.grants())
        life.forget()
        life.vm.unmake(pod)
        if through:
            assert point >= 14
            return


def test_a_recovery_that_is_killed_anywhere_is_gone_on_with(life: Life) -> None:
    """The pod ended while no agent was there; agents that come die of what they find, one step later each."""
    pod = life.vm.sandbox()
    life.let_live()
    life.vm.add(pod, ASKS["of its own"], args=ARGS)
    life.end()
    life.vm.unmake(pod)
    for point in range(1, 100):
        life.start(crash_at=point)
        assert eventually(partial(life.ended_or_gone, pod))
        if not life.ended():
            assert point >= 3, "each life undoes something that the next need not"
            break
    life.let_live()
    assert life.gone(pod)


def test_the_fabric_is_killed_before_and_after_every_request_for_a_pod_and_the_agent_goes_on(life: Life) -> None:
    life.let_live()
    for point in itertools.count():
        pod = life.vm.sandbox()
        life.kill_fabric_at(point)
        with ThreadPoolExecutor(1) as thread:
            back = thread.submit(life.fabric_back)
            answer = life.vm.call("ADD", pod, ASKS["of its own"], args=ARGS)
            if answer.code == 0:
                assert eventually(partial(life.whole, pod), timeout=20)
            assert life.vm.call("DEL", pod, args=ARGS).silent
            assert eventually(partial(life.gone, pod), timeout=30), (back, life.traces(), life.grants())
            life.left.value = -1 if life.left.value >= 0 else life.left.value
            through = not back.result()
        life.forget()
        life.vm.unmake(pod)
        if through:
            assert point >= 8, "two public addresses' requests and two of the NIC, before and after each"
            return
