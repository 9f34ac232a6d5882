"""Where the time of a change goes, for its line in the log."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from its making on.

    Attributes:
        laps: milliseconds by part, in order.
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part: what went by since the one before belongs to it."""
        now = time.perf_counter()
        self.laps[part] = round((now - self._last) * 1000, 3)
        self._last = now
