"""Keeps a service's program running: starts it, knows when it answers, starts it again when it ends, ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

import structlog

from podvnet.fabric.services.program import MissingProgramError
from podvnet.fabric.services.recipe import PreparationError, Recipe
from podvnet.linux import namespace
from podvnet.linux.readable import is_readable
from podvnet.plan import names

_log = structlog.get_logger()

_SECONDS_TO_ANSWER = 60.0
_SECONDS_TO_END = 3.0
"""Azurite waits for its clients to go, for longer than anybody waits for it."""
_SECONDS_BETWEEN_STARTS = 1.0
_SECONDS_BETWEEN_TRIES = 0.05


class Keeper:
    """Keeps one program. It is begun at once, in a thread of its own.

    Args:
        recipe: how it is started.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.failure = ""
        """Why it did not come up, once :meth:`wait` has returned."""
        self._discard = False
        self._settled = threading.Event()
        self._stop, self._told = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._keep, name=f"service-{recipe.service.id.name}", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the program answers, or has failed to."""
        self._settled.wait()

    def end(self, *, discard: bool) -> None:
        """End the program and wait until it has ended; with ``discard`` what it has not written yet may be lost."""
        self._discard = discard
        os.close(self._told)
        self._thread.join()
        os.close(self._stop)

    def _keep(self) -> None:
        name = self.recipe.service.id.name
        while True:
            try:
                self.recipe.prepare()
                with self.recipe.spawn() as process:
                    if not self._run(process):
                        return
                self.failure = self.recipe.last_words()
            except (PreparationError, MissingProgramError, OSError, subprocess.SubprocessError) as error:
                self.failure = str(error)
            _log.error("service_ended", service=name, reason=self.failure)
            self._settled.set()
            if is_readable(_SECONDS_BETWEEN_STARTS, self._stop):
                return

    def _run(self, process: subprocess.Popen[bytes]) -> bool:
        """Follow a program to its end; tell whether it ended by itself."""
        descriptor = os.pidfd_open(process.pid)
        try:
            places, deadline = list(self.recipe.places), _SECONDS_TO_ANSWER
            while places and not is_readable(_SECONDS_BETWEEN_TRIES, descriptor, self._stop):
                places = [place for place in places if not _answers(*place)]
                deadline -= _SECONDS_BETWEEN_TRIES
                if deadline <= 0:
                    break
            if not places:
                self.failure = ""
                self._settled.set()
                _log.info("service_up", service=self.recipe.service.id.name, process=process.pid)
                is_readable(None, descriptor, self._stop)
            by_itself = is_readable(0, descriptor)
            if not by_itself:
                end(process.pid, descriptor, kill=self._discard)
            return by_itself or not is_readable(0, self._stop)
        finally:
            os.close(descriptor)
            self._settled.set()


def end(process: int, descriptor: int, *, kill: bool = False) -> None:
    """End a process, by force if it must be. SIGINT is to PostgreSQL the fast way, to Azurite one like another."""
    for how in (signal.SIGKILL,) if kill else (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, how)
        if is_readable(_SECONDS_TO_END, descriptor):
            return


def end_strays(directory: Path) -> None:
    """End the programs whose files are below a directory: those that another life of the fabric left.

    Not those of a bubble, whose fabric has directories of the same names.
    """
    own, processes = f"{directory}/", namespace.identity("/proc/self/ns/pid")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has ended
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(word.startswith(own) for word in words) and namespace.identity(f"{entry}/ns/pid") == processes:
                descriptor = os.pidfd_open(int(entry.name))
                try:
                    end(int(entry.name), descriptor)
                finally:
                    os.close(descriptor)


def _answers(address: str, port: int) -> bool:
    try:
        with namespace.opened(names.SERVICES) as descriptor:
            namespace.run_inside(descriptor, partial(socket.create_connection, (address, port), 1.0)).close()
    except OSError:
        return False
    return True
