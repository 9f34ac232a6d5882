"""A thread that keeps something running, is told of changes, and is stopped."""

from __future__ import annotations

import contextlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import structlog

from podvnet.linux.readable import is_readable

_log = structlog.get_logger()


class Keeper(ABC):
    """Keeps something.

    Args:
        name: of the thread.
        run: for the files of what is kept; closed to others.
        changed: called from the thread whenever what there is to find has changed.
    """

    def __init__(self, name: str, run: Path, changed: Callable[[], None]) -> None:
        self._run = run
        self._changed = changed
        self.failure = ""
        """Why what is kept does not run, once :meth:`wait` has returned."""
        self.lost = False
        """Its thread has ended for a reason that nobody has thought of, and nobody keeps it any more."""
        self._settled = threading.Event()
        self._to_reset = threading.Event()
        self._over = threading.Event()
        self._said = ""
        """The failure that was logged last."""
        self._discard = False
        self._lock = threading.Lock()
        self._heard, self._bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run_thread, name=name, daemon=True)

    def _run_thread(self) -> None:
        """Keep it. Should keeping end for a reason that nobody has thought of, whoever waits is told."""
        kept = False
        try:
            self._keep()
            kept = True
        finally:
            if not kept:
                self.failure = self.failure or "what keeps it has ended, which is an error of podvnet's own"
                _log.error("keeper_ended", keeper=self._thread.name)  # why is said by whoever takes what it raised
                self._lose()
                self.lost = True
            self._settled.set()

    @abstractmethod
    def _keep(self) -> None:
        """Keep it until told to stop; the thread's own."""

    @abstractmethod
    def _lose(self) -> None:
        """Say of what is kept that nothing is known of it any more; the thread's own."""

    def wait(self) -> None:
        """Wait until what is kept answers, or has failed to."""
        self._settled.wait()

    def reset(self) -> None:
        """Take down what is there and have it come back."""
        self._to_reset.set()
        self._ring()

    def finish(self, *, discard: bool) -> None:
        """Stop keeping; with ``discard`` what is kept is ended, otherwise it goes on by itself."""
        self._discard = discard
        self._over.set()
        self._ring()
        self._thread.join()
        with self._lock:  # whoever asks for a reset meanwhile rings no descriptor that is somebody else's by now
            os.close(self._heard)
            os.close(self._bell)
            self._bell = -1

    def _complain(self) -> None:
        """Log why what is kept does not run: once, however often it is begun in vain."""
        if self.failure != self._said:
            _log.error("program_failed", keeper=self._thread.name, reason=self.failure)
        self._said = self.failure

    def _answers_now(self) -> None:
        """What is kept runs: whoever waits may go on, and the next failure is another one."""
        self.failure = self._said = ""
        self._settled.set()

    def _is_over(self) -> bool:
        return self._over.is_set()

    def _ring(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            if self._bell >= 0:
                os.write(self._bell, b"\0")

    def _rest(self, seconds: float, *others: int) -> None:
        """Wait until told something, one of other descriptors is ready, or for so long."""
        is_readable(seconds, self._heard, *(each for each in others if each >= 0))
        with contextlib.suppress(BlockingIOError):
            while os.read(self._heard, 64):
                pass


def written(path: Path, text: str, mode: int) -> None:
    """Replace a file as a whole."""
    draft = path.with_name(f"{path.name}.new")
    draft.touch(mode=mode)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
