"""What is kept of what was measured."""

from __future__ import annotations

from podvnet.fabric.metrics.definition import USED, VIP
from podvnet.fabric.metrics.history import History
from podvnet.fabric.metrics.point import Point


def test_an_hour_is_kept() -> None:
    history = History()
    for minute in range(0, 70 * 60, 60):
        history.put(minute, [Point("lb", VIP, ("f", "80"), 100.0)])
    found = [minute for minute, _ in history.of("lb", "VipAvailability", 0, 1e9)]
    assert found == list(range(10 * 60, 70 * 60, 60))


def test_the_last_word_on_a_minute_counts() -> None:
    history = History()
    for value in (1.0, 2.0):
        history.put(60, [Point("lb", USED, ("f", "b", "TCP"), value)])
    assert [(minute, point.value) for minute, point in history.of("lb", "UsedSnatPorts", 60, 61)] == [(60, 2.0)]


def test_only_what_is_asked_for_is_found() -> None:
    history = History()
    history.put(60, [Point("lb", USED, (), 1.0), Point("lb", VIP, (), 2.0), Point("other", USED, (), 3.0)])
    assert [point.value for _, point in history.of("lb", "UsedSnatPorts", 0, 120)] == [1.0]
    assert not list(history.of("lb", "UsedSnatPorts", 61, 120))
    assert not list(history.of("lb", "UsedSnatPorts", 0, 60))


def test_what_is_as_before_is_held_once() -> None:
    history = History()
    for minute in (60, 120):
        history.put(minute, [Point("lb", USED, ("f",), 1.0)])
    (_, first), (_, second) = history.of("lb", "UsedSnatPorts", 0, 1e9)
    assert first is second
