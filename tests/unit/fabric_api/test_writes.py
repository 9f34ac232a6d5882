"""Writes that meet: which waits, which is refused, which is superseded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest

from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.writes import SupersededError, Writes
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, Scope, make

HUB = make(Scope(), "Microsoft.Network/virtualNetworks", "hub")
SPOKE = make(Scope(), "Microsoft.Network/virtualNetworks", "spoke")
SUBNET = HUB.child("subnets", "front")

Step = Coroutine[Any, Any, object]


@dataclass
class Office:
    """The writes of a test. ``done`` are the names of those that were carried out, in order."""

    operations: Operations
    writes: Writes
    started: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    done: list[str] = field(default_factory=list)

    def put(self, resource: ResourceId, name: str, acceptable: Callable[[], bool] | None = lambda: True) -> Step:
        return self.writes.put(resource, lambda: self.done.append(name), acceptable)

    def change(self, resource: ResourceId, name: str) -> Step:
        return self.writes.change(resource, lambda: self.done.append(name))

    def slow(self, resource: ResourceId, name: str) -> Step:
        """A PUT that takes until the gate is opened."""

        def action() -> None:
            self.started.set()
            assert self.gate.wait(10)
            self.done.append(name)

        return self.writes.put(resource, action, lambda: True)

    async def open(self) -> None:
        """Let the slow one end. Tasks start in the order they were made, so what is gathered before this one waits."""
        self.gate.set()

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 10)


def play(scene: Callable[[Office], Coroutine[Any, Any, list[object]]]) -> tuple[Office, list[object]]:
    async def run() -> tuple[Office, list[object]]:
        operations = Operations()
        office = Office(operations, Writes(Turn(), operations))
        return office, await scene(office)

    return asyncio.run(run())


async def together(*steps: Step) -> list[object]:
    return await asyncio.gather(*steps, return_exceptions=True)


def code(result: object) -> str:
    return result.code if isinstance(result, ArmError) else ""


def status(office: Office, identity: str) -> Outcome:
    found = office.operations.find(identity)
    assert found is not None
    return found


def test_a_put_that_waits_is_superseded_by_a_newer_one_to_the_same_resource() -> None:
    office, results = play(
        lambda o: together(o.slow(SPOKE, "other"), o.put(HUB, "older"), o.put(HUB, "newer"), o.open())
    )
    assert office.done == ["other", "newer"]
    superseded = results[1]
    assert isinstance(superseded, SupersededError)
    assert superseded.code == "CanceledAndSupersededDueToAnotherOperation"
    assert superseded.status == HTTPStatus.CONFLICT
    outcome = status(office, superseded.operation)
    assert outcome.status == "Canceled"
    assert outcome.error is not None
    assert outcome.error["code"] == "Canceled"
    assert outcome.error["details"][0]["code"] == superseded.code
    newer = superseded.message.rstrip(".").rsplit(" ", 1)[1]
    assert status(office, newer).status == "Succeeded"


def test_only_the_newest_of_many_is_carried_out() -> None:
    office, results = play(
        lambda o: together(o.slow(SPOKE, "other"), *(o.put(HUB, f"put{n}") for n in range(5)), o.open())
    )
    assert office.done == ["other", "put4"]
    assert [isinstance(each, SupersededError) for each in results[1:6]] == [True, True, True, True, False]


def test_a_newer_one_that_would_be_refused_supersedes_nothing() -> None:
    def refuse() -> None:
        raise ArmError("InvalidRequestFormat", "no")

    office, results = play(
        lambda o: together(
            o.slow(SPOKE, "other"), o.put(HUB, "older"), o.writes.put(HUB, refuse, lambda: False), o.open()
        )
    )
    assert office.done == ["other", "older"]
    assert [code(each) for each in results] == ["", "", "InvalidRequestFormat", ""]


def test_a_conditional_put_supersedes_nothing_but_may_be_superseded() -> None:
    office, _ = play(
        lambda o: together(o.slow(SPOKE, "other"), o.put(HUB, "older"), o.put(HUB, "newer", None), o.open())
    )
    assert office.done == ["other", "older", "newer"]
    office, results = play(
        lambda o: together(o.slow(SPOKE, "other"), o.put(HUB, "older", None), o.put(HUB, "newer"), o.open())
    )
    assert office.done == ["other", "newer"]
    assert isinstance(results[1], SupersededError)


def test_a_put_that_is_being_carried_out_ends_and_the_newer_one_follows() -> None:
    async def scene(office: Office) -> list[object]:
        older = asyncio.ensure_future(office.slow(HUB, "older"))
        await office.begun()
        return await together(older, office.put(HUB, "newer"), office.open())  # type: ignore[arg-type]

    office, results = play(scene)
    assert office.done == ["older", "newer"]
    assert results == [None, None, None]


def test_a_child_does_not_supersede_its_parent_nor_a_sibling() -> None:
    office, _ = play(
        lambda o: together(
            o.slow(SPOKE, "other"),
            o.put(HUB, "parent"),
            o.put(SUBNET, "child"),
            o.put(HUB.child("subnets", "back"), "sibling"),
            o.open(),
        )
    )
    assert office.done == ["other", "parent", "child", "sibling"]


def test_what_meets_a_write_that_is_being_carried_out_is_told_to_come_again() -> None:
    async def scene(office: Office) -> list[object]:
        running = asyncio.ensure_future(office.slow(HUB, "running"))
        await office.begun()
        met = await together(
            office.change(HUB, "delete"), office.change(SUBNET, "delete child"), office.put(SUBNET, "put child")
        )
        office.gate.set()
        await running
        return [*met, *await together(office.change(HUB, "again"))]

    office, results = play(scene)
    assert [code(each) for each in results] == ["AnotherOperationInProgress"] * 3 + [""]
    assert all(each.status == HTTPStatus.TOO_MANY_REQUESTS for each in results if isinstance(each, ArmError))
    assert office.done == ["running", "again"]


def test_what_meets_a_write_of_something_else_or_one_that_waits_queues() -> None:
    office, results = play(
        lambda o: together(o.slow(SPOKE, "other"), o.put(HUB, "put"), o.change(HUB, "delete"), o.open())
    )
    assert office.done == ["other", "put", "delete"]
    assert results == [None] * 4


def test_a_write_that_fails_lets_the_next_ones_in() -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    office, results = play(lambda o: together(o.writes.change(HUB, fail), o.put(HUB, "put"), o.change(HUB, "delete")))
    assert isinstance(results[0], RuntimeError)
    assert office.done == ["put", "delete"]


def test_a_newer_one_whose_client_went_away_while_it_waited_supersedes_nothing() -> None:
    async def scene(office: Office) -> list[object]:
        other = asyncio.ensure_future(office.slow(SPOKE, "other"))
        await office.begun()
        older, newer = (asyncio.ensure_future(office.put(HUB, name)) for name in ("older", "newer"))
        leave = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(leave.set_result, None)
        await leave  # by now both have begun to wait
        newer.cancel()
        await asyncio.wait({newer})
        office.gate.set()
        return list(await asyncio.gather(other, older, newer, return_exceptions=True))

    office, results = play(scene)
    assert office.done == ["other", "older"]
    assert isinstance(results[2], asyncio.CancelledError)


@pytest.mark.parametrize("kind", ["put", "change"])
def test_nothing_is_kept_of_writes_that_have_ended(kind: str) -> None:
    office, _ = play(lambda o: together(o.put(HUB, "a") if kind == "put" else o.change(HUB, "a")))
    assert office.writes._puts == {}
    assert office.writes._begun == {}
