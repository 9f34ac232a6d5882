"""When each of many is due, at an interval of its own. Pure: the time is given.

What was late is due again when it would have been: an interval does not stretch by the time that asking takes.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Generic, TypeVar

K = TypeVar("K")


class Schedule(Generic[K]):
    """The times of all that are asked again and again."""

    def __init__(self) -> None:
        self._next: dict[K, float] = {}
        self._intervals: dict[K, float] = {}
        self._queue: list[tuple[float, int, K]] = []
        self._sequence = 0

    def keep(self, intervals: Mapping[K, float], now: float) -> None:
        """Ask these, by their intervals in seconds, and nobody else. Who is new is due at once."""
        for key in self._next.keys() - intervals.keys():
            del self._next[key], self._intervals[key]
        for key, interval in intervals.items():
            if self._intervals.get(key) != interval:
                self._intervals[key] = interval
                self._put(key, now)

    def due(self, now: float) -> list[K]:
        """Who is due, in the order of their times; each is due again an interval later."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            at, _, key = heapq.heappop(self._queue)
            if self._next.get(key) == at:
                found.append(key)
                interval = self._intervals[key]
                self._put(key, at + interval * (1 + (now - at) // interval))
        return found

    @property
    def next(self) -> float | None:
        """When the next one is due; None when nobody is."""
        while self._queue and self._next.get(self._queue[0][2]) != self._queue[0][0]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def _put(self, key: K, at: float) -> None:
        self._next[key] = at
        self._sequence += 1
        heapq.heappush(self._queue, (at, self._sequence, key))
