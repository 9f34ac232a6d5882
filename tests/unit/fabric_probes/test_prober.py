"""Who is asked, and what the engine is told: with answers that are made up, and a clock that is moved."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from podvnet.fabric.probes import prober as prober_module
from podvnet.fabric.probes.prober import Health, Prober
from podvnet.fabric.probes.target import Target, find_targets
from podvnet.linux import namespace
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.intent import Intent
from podvnet.testing.balancing_draft import BalancingDraft, part

PROBE = part("lb", "probes", "probe")


def drafted(*running: str, pool: str = "") -> Intent:
    """VMs at 10.0.1.4 and .5, of which some run, behind one rule."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24")
    made.balancer("lb", "hub/front 10.0.1.100", pool=pool, rules={"r": "Tcp 80 probe", "s": "Udp 80 probe"})
    for name, address in (("one", "10.0.1.4"), ("two", "10.0.1.5")):
        made.nic(name, "hub/front", address, running=name in running)
        if not pool:
            made.join(name, "lb")
    return made.intent


def addresses(intent: Intent) -> list[str]:
    return sorted(str(address) for _, address in find_targets(intent))


def test_who_is_asked_are_members_on_vms_that_run() -> None:
    assert addresses(drafted("one", "two")) == ["10.0.1.4", "10.0.1.5"]
    assert addresses(drafted("two")) == ["10.0.1.5"]
    assert addresses(drafted("one", pool="hub 10.0.1.4=Down 10.0.1.5 10.0.1.99")) == ["10.0.1.4"]


def test_who_is_asked_are_members_that_a_rule_has_a_probe_for() -> None:
    intent = drafted("one")
    key, balancer = next(iter(intent.load_balancers.items()))
    rules = tuple(replace(rule, probe=None) for rule in balancer.rules)
    assert addresses(replace(intent, load_balancers={key: replace(balancer, rules=rules)})) == []


class Bench:
    """A prober in front of members whose answers are given, and an engine that takes in what it is told."""

    def __init__(self, intent: Intent) -> None:
        self.intent = intent
        self.now = 0.0
        self.answering: set[str] = set()
        self.asked: list[str] = []
        self.told: list[set[str]] = []
        self.refuses = False
        self.prober = Prober(lambda: self.intent, self._tell, lambda: self.now)

    async def _tell(self, healthy: Health) -> None:
        if self.refuses:
            raise ArmErrorsError((ArmError("InternalServerError", "the kernel refused"),))
        self.intent = replace(self.intent, healthy=healthy)
        self.told.append({str(address) for _, address in healthy})

    async def answer(self, target: Target, own: socket.socket) -> bool:
        own.close()
        self.asked.append(str(target.address))
        return str(target.address) in self.answering

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.prober.ask()), asyncio.create_task(self.prober.tell())]
        try:
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def at(self, now: float, *answering: str) -> list[str]:
        """Whom it asks at a time, when these answer."""
        self.now, self.answering, self.asked = now, set(answering), []
        self.prober.follow()
        for _ in range(20):  # turns of the loop: as many as the longest way takes, and more
            await asyncio.sleep(0)
        return sorted(self.asked)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(drafted("one", "two"))

    @contextlib.contextmanager
    def anywhere(_: object) -> Iterator[int]:
        yield 0

    monkeypatch.setattr(prober_module, "is_answered", made.answer)
    monkeypatch.setattr(prober_module, "open_socket", lambda _: socket.socket())
    monkeypatch.setattr(namespace, "opened", anywhere)
    monkeypatch.setattr(namespace, "entered", anywhere)
    return made


def test_members_are_asked_at_their_interval_and_flips_are_told(bench: Bench) -> None:
    async def run() -> None:
        async with bench.running():
            assert await bench.at(0, "10.0.1.4") == ["10.0.1.4", "10.0.1.5"]
            assert bench.told == [{"10.0.1.4"}]
            assert await bench.at(14, "10.0.1.4") == []
            assert await bench.at(15, "10.0.1.4") == ["10.0.1.4", "10.0.1.5"]
            assert len(bench.told) == 1, "nothing has changed"
            await bench.at(30, "10.0.1.5")
            assert bench.told[1:] == [{"10.0.1.5"}]

    asyncio.run(run())


def test_what_was_found_before_a_start_is_taken_over_once(bench: Bench) -> None:
    both = frozenset((PROBE, ip_address(each)) for each in ("10.0.1.4", "10.0.1.5"))
    bench.intent = replace(bench.intent, healthy=both)

    async def run() -> None:
        async with bench.running():
            await bench.at(0, "10.0.1.4", "10.0.1.5")
            assert bench.told == []
            bench.intent = replace(drafted("one"), healthy=both)
            assert await bench.at(15, "10.0.1.4") == ["10.0.1.4"]
            assert bench.told == [{"10.0.1.4"}], "a VM that stopped is not healthy"
            bench.intent = replace(drafted("one", "two"), healthy=bench.intent.healthy)
            await bench.at(16, "10.0.1.4")
            assert bench.told == [{"10.0.1.4"}], "and not when it starts, before it answers"

    asyncio.run(run())


def test_a_refusal_of_the_kernel_ends_nothing(bench: Bench) -> None:
    bench.refuses = True

    async def run() -> None:
        async with bench.running():
            await bench.at(0, "10.0.1.4")
            bench.refuses = False
            await bench.at(15, "10.0.1.4")
            assert bench.told == [{"10.0.1.4"}]

    asyncio.run(run())


def test_a_question_that_cannot_be_put_says_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: Target) -> socket.socket:
        raise OSError(24, "Too many open files")

    async def run() -> None:
        async with bench.running():
            await bench.at(0, "10.0.1.4")
            monkeypatch.setattr(prober_module, "open_socket", none)
            assert await bench.at(15) == []
            assert bench.told == [{"10.0.1.4"}]

    asyncio.run(run())
