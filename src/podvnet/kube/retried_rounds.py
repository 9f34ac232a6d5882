"""A thread that makes a round when it is woken, and one that failed again, later and later."""

from __future__ import annotations

import threading
from collections.abc import Callable


class RetriedRounds:
    """The thread.

    Args:
        name: of the thread.
        make: makes a round, and tells whether all of it is done. It must not raise.
        first: seconds that it waits after a failure, doubled with every failure in a row, the first included.
        longest: seconds; it never waits longer.
    """

    def __init__(self, name: str, make: Callable[[], bool], *, first: float, longest: float) -> None:
        self._make = make
        self._first = first
        self._longest = longest
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; it waits to be woken."""
        self._thread.start()

    def stop(self) -> None:
        """Make no further round; one under way goes on."""
        self._stopped = True
        self._wake.set()

    def wake(self) -> None:
        """Make a round now, or another one after that under way."""
        self._wake.set()

    def _run(self) -> None:
        failures = 0
        while True:
            self._wake.wait(min(self._longest, self._first * 2 ** min(failures, 10)) if failures else None)
            self._wake.clear()
            if self._stopped:
                return
            failures = 0 if self._make() else failures + 1
