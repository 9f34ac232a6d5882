"""Traffic that never pauses: is anything of it lost while something happens to those who made its way?"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Self

from podvnet.runtime.probe import seen_as


class Talk:
    """A context manager: a pod calls another all the time, in the background.

    Attributes:
        calls: how many were ``answered``, and how many ``lost``.

    Args:
        caller: the open namespace of the one.
        called: the address of the other, which answers callers.
    """

    def __init__(self, caller: int, called: str) -> None:
        self._caller, self._called = caller, called
        self._stop = threading.Event()
        self.calls = Counter[str]()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.calls["lost" if seen_as(self._caller, self._called, timeout=0.5) == "" else "answered"] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
