"""How many requests the agent has answered, and how long they took; counted in its one thread."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0)
"""Seconds: a pod takes about a millisecond, one that waits for an address seconds."""


class RequestTally:
    """Counts since the agent started."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """By verb and code."""
        self._slower: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def note(self, command: str, code: int, seconds: float) -> None:
        """Count an answer.

        Args:
            command: the verb.
            code: of the error, 0 for a success.
            seconds: from when the caller came.
        """
        self.answers[command, code] += 1
        slots = self._slower.setdefault(command, [0] * (len(BOUNDS) + 1))
        slots[bisect.bisect_left(BOUNDS, seconds)] += 1
        self._seconds[command] = self._seconds.get(command, 0.0) + seconds

    def durations(self) -> Iterator[tuple[str, list[int], float]]:
        """By verb, how many took up to each of :data:`BOUNDS` and longer, not cumulated, and seconds altogether."""
        for command, slots in sorted(self._slower.items()):
            yield command, slots, self._seconds[command]
