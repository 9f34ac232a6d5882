"""Processes that are killed at a step of their own, forked from this one so that they start quickly."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
from collections.abc import Callable, Iterable
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing.sharedctypes import RawValue
from typing import Any

_ENDING = -2
_SECONDS_TO_START = 60


@dataclass(frozen=True, slots=True)
class Touch:
    """A function that changes something: a process may end before it begins, and after it has returned.

    Attributes:
        owner: a class or module.
        name: of the function in it.
        before: whether before it is a point of its own. It is none where nothing happens since another touch.
        after: the same for after it.
        remote: it asks another process for something, which may be what ends.
    """

    owner: Any
    name: str
    before: bool = True
    after: bool = True
    remote: bool = False


class Doomed:
    """One process after another that do the same, each of which may be told to end by SIGKILL at its n-th touch.

    Args:
        work: what they do; it is given what to call once it serves.
        touches: where they may end.
        place: calls something in the namespaces in which they are to run.
    """

    def __init__(
        self,
        work: Callable[[Callable[[], None]], None],
        touches: Iterable[Touch],
        place: Callable[[Callable[[], tuple[int, socket.socket]]], tuple[int, socket.socket]] = lambda fork: fork(),
    ) -> None:
        self._work = work
        self._touches = tuple(touches)
        self._place = place
        self._left = RawValue(c_int, -1)
        """Touches until the end; negative for no end."""
        self._victim = RawValue(c_int, 0)
        """The process that ends; 0 for the one that touches."""
        self._child = 0

    def start(self, crash_at: int = -1) -> None:
        """Start one; return when it serves, or has ended."""
        self.doom(crash_at)
        self._child, ready = self._place(self._fork)
        with ready:
            ready.settimeout(_SECONDS_TO_START)
            with contextlib.suppress(ConnectionResetError):  # it has ended
                ready.recv(64)

    def doom(self, point: int, victim: int = 0) -> None:
        """From now on count touches, and kill at the n-th; only those of others, if another process is to be killed."""
        self._victim.value = victim
        self._left.value = point

    def spare(self) -> None:
        """Count no more, unless the end has come already."""
        if self._left.value >= 0:
            self._left.value = -1

    @property
    def number(self) -> int:
        """The id of the process."""
        return self._child

    @property
    def struck(self) -> bool:
        """Whether the end has come, for this process or the other."""
        return bool(self._left.value == _ENDING)

    def ended(self) -> bool:
        """Tell whether it has ended by itself."""
        if self._child and self.struck and not self._victim.value:
            os.waitpid(self._child, 0)
            self._child = 0
        return self._child == 0

    def end(self) -> None:
        """Kill it."""
        if not self.ended():
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0

    def let_live(self) -> None:
        """From now on nothing is counted; one that has ended is followed by another."""
        if self.ended():
            self.start()
        self.spare()

    def _fork(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        child = os.fork()
        if child:
            theirs.close()
            return child, ours
        try:
            ours.close()
            for each in self._touches:
                setattr(each.owner, each.name, self._counting(each))
            self._work(lambda: theirs.sendall(b"READY=1"))
        finally:
            os._exit(1)

    def _counting(self, touch: Touch) -> Callable[..., Any]:
        original = getattr(touch.owner, touch.name)

        @functools.wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if touch.before:
                self._count(remote=touch.remote)
            outcome = original(*args, **kwargs)
            if touch.after:
                self._count(remote=touch.remote)
            return outcome

        return counted

    def _count(self, *, remote: bool) -> None:
        if self._victim.value and not remote:
            return
        if self._left.value == 0:
            self._left.value = _ENDING
            os.kill(self._victim.value or os.getpid(), signal.SIGKILL)
        if self._left.value > 0:
            self._left.value -= 1
