"""One call of the engine at a time, whatever becomes of those who wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from podvnet.fabric.turn import Turn


def test_actions_run_one_at_a_time_in_the_order_of_asking() -> None:
    done: list[int] = []
    inside = threading.Lock()

    def action(number: int) -> int:
        assert inside.acquire(blocking=False), "two actions at once"
        done.append(number)
        inside.release()
        return number

    async def run() -> list[int]:
        turn = Turn()
        return await asyncio.gather(*(turn.take(lambda n=n: action(n)) for n in range(20)))  # type: ignore[misc]

    assert asyncio.run(run()) == list(range(20)) == done


def test_an_error_is_passed_on_and_the_turn_with_it() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def run() -> str:
        turn = Turn()
        with pytest.raises(ValueError, match="no"):
            await turn.take(fail)
        return await turn.take(lambda: "next")

    assert asyncio.run(run()) == "next"


def test_who_is_cancelled_keeps_the_turn_until_the_action_has_ended() -> None:
    """A thread cannot be stopped: letting the next one in would put two into the engine."""
    began, gate, order = threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        began.set()
        assert gate.wait(10)
        order.append("slow")

    async def run() -> None:
        turn = Turn()
        first = asyncio.ensure_future(turn.take(slow))
        assert await asyncio.to_thread(began.wait, 10)
        first.cancel()
        second = asyncio.ensure_future(turn.take(lambda: order.append("next")))
        asyncio.get_running_loop().call_soon(gate.set)
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())
    assert order == ["slow", "next"]


def test_who_leaves_while_waiting_loses_the_turn_without_having_run() -> None:
    gate, order = threading.Event(), list[str]()

    async def run() -> None:
        turn = Turn()
        first = asyncio.ensure_future(turn.take(lambda: gate.wait(10)))
        second = asyncio.ensure_future(turn.take(lambda: order.append("left")))
        third = asyncio.ensure_future(turn.take(lambda: order.append("stayed")))
        asyncio.get_running_loop().call_soon(second.cancel)
        asyncio.get_running_loop().call_soon(gate.set)
        assert await first
        await third
        assert second.cancelled()

    asyncio.run(run())
    assert order == ["stayed"]


def test_the_rest_of_an_action_is_waited_for_while_others_have_their_turn() -> None:
    """As a VM that boots within a turn, and asks the resource manager before it is up."""
    began, served, order = threading.Event(), threading.Event(), list[str]()

    def boot() -> str:
        order.append("boot")
        began.set()
        return "booted"

    def rest() -> Callable[[], None] | None:
        return wait if order == ["boot"] else None

    def wait() -> None:
        assert served.wait(10), "nobody else had a turn"
        order.append("up")

    async def run() -> str:
        turn = Turn(rest)
        first = asyncio.ensure_future(turn.take(boot))
        assert await asyncio.to_thread(began.wait, 10)
        await turn.take(lambda: order.append("asked"))
        served.set()
        return await first

    assert asyncio.run(run()) == "booted"
    assert order == ["boot", "asked", "up"]


def test_the_rest_of_an_action_that_failed_is_nobody_elses() -> None:
    rests = [lambda: pytest.fail("not to be waited for")]

    def fail() -> None:
        raise ValueError("no")

    async def run() -> str:
        turn = Turn(lambda: rests.pop() if rests else None)
        with pytest.raises(ValueError, match="no"):
            await turn.take(fail)
        return await turn.take(lambda: "next")

    assert asyncio.run(run()) == "next"


def test_what_goes_wrong_in_the_rest_is_told_to_whose_it_is() -> None:
    def fail() -> None:
        raise ValueError("it did not come up")

    async def run() -> None:
        with pytest.raises(ValueError, match="did not come up"):
            await Turn(lambda: fail).take(lambda: "done")

    asyncio.run(run())
