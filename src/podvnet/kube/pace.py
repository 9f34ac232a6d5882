"""When the controller may write again: not sooner than an interval after, later when the resource manager is short.

Source: Azure document "Resource Manager throttling": Retry-After is to be waited for; the headers of what is left tell
how near the limit is.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_PLENTY = 200
"""Writes left from which on nobody needs to save any."""


@dataclass
class Pace:
    """Times are seconds of one clock.

    Attributes:
        interval: between two rounds of writes, at least.
        failures: in a row.
        free: when the next round may begin.
    """

    interval: float
    failures: int = 0
    free: float = 0.0

    def wrote(self, now: float, left: int | None) -> None:
        """A round of writes is done; the resource manager takes so many more."""
        self.failures = 0
        self.free = max(self.free, now + self.spacing(left))

    def failed(self, now: float, retry_after: float | None) -> float:
        """A request failed, and may not the next time; return for how many seconds nothing is asked."""
        wait = retry_after if retry_after is not None else min(_FIRST_WAIT * 2**self.failures, _LONGEST_WAIT)
        self.failures += 1
        self.free = max(self.free, now + wait)
        return wait

    def spacing(self, left: int | None) -> float:
        """Seconds between two rounds of writes, when so many more are taken."""
        if left is None or left >= _PLENTY:
            return self.interval
        return min(max(self.interval, 0.1) * _PLENTY / max(left, 1), _LONGEST_WAIT)

    def wait(self, now: float) -> float:
        """Seconds until the next round may begin."""
        return max(0.0, self.free - now)
