"""When each is due: at once, and then at its interval, whatever time asking takes."""

from __future__ import annotations

from podvnet.fabric.probes.schedule import Schedule


def test_each_has_its_own_interval_from_when_it_came() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.keep({"a": 5, "b": 7}, 100)
    asked = {now: schedule.due(now) for now in range(100, 116)}
    assert {now: keys for now, keys in asked.items() if keys} == {
        100: ["a", "b"], 105: ["a"], 107: ["b"], 110: ["a"], 114: ["b"], 115: ["a"],
    }  # fmt: skip
    assert schedule.next == 120


def test_one_that_comes_later_moves_nobody() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.keep({"a": 5}, 0)
    assert schedule.due(0) == ["a"]
    schedule.keep({"a": 5, "b": 5}, 3)
    assert [schedule.due(now) for now in (3, 5, 8)] == [["b"], ["a"], ["b"]]


def test_what_was_late_keeps_its_time_and_is_not_asked_twice() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.keep({"a": 5}, 0)
    schedule.due(0)
    assert schedule.due(17.5) == ["a"]
    assert schedule.next == 20


def test_who_is_gone_is_not_asked_and_comes_back_as_new() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.keep({"a": 5}, 0)
    schedule.due(0)
    schedule.keep({}, 1)
    assert schedule.next is None
    assert schedule.due(100) == []
    schedule.keep({"a": 5}, 101)
    assert schedule.due(101) == ["a"]
    assert schedule.next == 106


def test_another_interval_counts_at_once() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.keep({"a": 60}, 0)
    schedule.due(0)
    schedule.keep({"a": 5}, 10)
    assert schedule.due(10) == ["a"]
    assert schedule.next == 15
