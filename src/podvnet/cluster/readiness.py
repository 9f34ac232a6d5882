"""Waiting for a cluster: bounded, and with a reason when it does not come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BETWEEN = 0.25


class NotReadyError(Exception):
    """Something did not become ready in time; the message says what, and what was last heard of it."""


def until(check: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Ask until the answer is yes.

    Args:
        check: what is asked.
        seconds: how long.
        what: says what is wrong, when it has not come.

    Raises:
        NotReadyError: it did not come.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not check():
        if time.monotonic() > deadline:
            raise NotReadyError(what())
        pause.wait(_BETWEEN)
