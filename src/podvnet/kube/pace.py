"""When the controller may write again: not sooner than an interval after, later when the resource manager is short.

Source: Azure document "Resource Manager throttling": Retry-After is to be waited for; the headers of what is left tell
how near the limit is.
"""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_DOUBLINGS = 10
"""Of the first wait, at most: after some days of failures 2 to their number is no float any more."""
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
        # "Retry-After: 0" says no more than that it may be tried again.
        wait = retry_after or min(_FIRST_WAIT * 2 ** min(self.failures, _DOUBLINGS), _LONGEST_WAIT)
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
