"""What a VM of the fabric has in the place of an init: it keeps the programs of units running.

It starts every unit it finds, starts it again when it ends, and on SIGHUP looks again: units that are new are started,
those that are gone are ended, those that changed are started anew. On SIGTERM it ends all, the last begun first. When
it is killed its programs are ended with it, as those of a machine are.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import structlog

from podvnet.cluster.programs import PATH
from podvnet.cluster.unit import UNITS, Unit

LOCK = Path("/run/podvnet/keeper.lock")
"""Held as long as it runs; holds its process id."""
STATE = Path("/run/podvnet/units.json")
"""What runs: by unit, the id of its process, or 0, and how often it was started."""
LOGS = Path("/var/log")
_SECONDS_BETWEEN_STARTS = 1.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_log = structlog.get_logger()


class AlreadyRunningError(Exception):
    """Another keeper runs on this VM."""


class _Kept:
    """A unit and its process."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.process: subprocess.Popen[bytes] | None = None
        self.descriptor = -1
        self.not_before = 0.0
        self.starts = 0

    def start(self) -> None:
        """Start it, its output to its log."""
        self.starts += 1
        self.not_before = time.monotonic() + _SECONDS_BETWEEN_STARTS
        _end_holder(self.unit)
        with (LOGS / f"{self.unit.name}.log").open("ab") as output:
            try:
                self.process = subprocess.Popen(
                    self.unit.argv,
                    env={"PATH": PATH, "HOME": "/root", **dict(self.unit.environment)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd="/",
                    preexec_fn=_die_with_keeper,  # noqa: PLW1509 - there is one thread
                )
            except OSError as error:
                _log.error("unit_not_started", unit=self.unit.name, reason=str(error))
                return
        self.descriptor = os.pidfd_open(self.process.pid)
        _log.info("unit_started", unit=self.unit.name, process=self.process.pid)

    def reap(self) -> None:
        """Forget a process that has ended."""
        if self.process is not None:
            code = self.process.wait()
            os.close(self.descriptor)
            self.process, self.descriptor = None, -1
            _log.warning("unit_ended", unit=self.unit.name, code=code)

    def end(self) -> None:
        """End it, by force if it must be."""
        if self.process is not None:
            _end(self.process.pid, self.descriptor, self.unit.seconds_to_end)
            self.reap()


def keep(ready: int = -1) -> None:
    """Keep the VM's units running until SIGTERM.

    Args:
        ready: a descriptor that is written to once all are started.

    Raises:
        AlreadyRunningError: another keeper does.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    # Whoever reads the file takes the number for the process that holds it.
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise AlreadyRunningError(f"a keeper runs already: {LOCK}") from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    kept: dict[str, _Kept] = {}
    _follow(kept)
    _publish(kept)
    if ready >= 0:
        os.write(ready, b"1")
        os.close(ready)
    while True:
        waiting = [each.not_before for each in kept.values() if each.process is None]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else None
        running = {each.descriptor: each for each in kept.values() if each.process is not None}
        found, _, _ = select.select([woken.fileno(), *running], [], [], timeout)
        told = set(woken.recv(4096)) if woken.fileno() in found else set()
        if told & {signal.SIGTERM, signal.SIGINT}:
            for each in reversed(list(kept.values())):
                each.end()
            STATE.unlink(missing_ok=True)
            return
        for descriptor in found:
            if descriptor in running:
                running[descriptor].reap()
        if signal.SIGHUP in told:
            _follow(kept)
        for each in kept.values():
            if each.process is None and time.monotonic() >= each.not_before:
                each.start()
        _publish(kept)


def _publish(kept: dict[str, _Kept]) -> None:
    """Tell what runs."""
    found = {
        name: {"process": each.process.pid if each.process else 0, "starts": each.starts} for name, each in kept.items()
    }
    temporary = STATE.with_name(f".{STATE.name}")
    temporary.write_text(json.dumps(found), encoding="ascii")
    temporary.rename(STATE)


def holder(lock: Path) -> int | None:
    """The id in a lock file, if that process has the file open: a number in a file may be another's by now."""
    try:
        process = int(lock.read_text(encoding="ascii"))
        holds = any(each.samefile(lock) for each in Path(f"/proc/{process}/fd").iterdir() if each.exists())
    except (OSError, ValueError):
        return None
    return process if holds else None


def end_holder(lock: Path, seconds: float) -> bool:
    """End the process that holds a lock file; tell whether there was one."""
    process = holder(lock)
    if process is None:
        return False
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return False
    try:
        _end(process, descriptor, seconds)
    finally:
        os.close(descriptor)
    return True


def _follow(kept: dict[str, _Kept]) -> None:
    """Start what is new, end what is gone, start anew what has changed."""
    found = {unit.name: unit for unit in _units()}
    for name, each in list(kept.items()):
        if found.get(name) != each.unit:
            each.end()
            del kept[name]
    for name, unit in found.items():
        if name not in kept:
            kept[name] = _Kept(unit)
            kept[name].start()


def _units() -> list[Unit]:
    files = sorted(UNITS.glob("*.json")) if UNITS.exists() else []
    return [Unit.read(json.loads(each.read_text(encoding="utf-8"))) for each in files]


def _end_holder(unit: Unit) -> None:
    if unit.lock and end_holder(Path(unit.lock), unit.seconds_to_end):
        _log.info("unit_taken_over", unit=unit.name)


def _end(process: int, descriptor: int, seconds: float) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(descriptor, how)
        except ProcessLookupError:
            return
        if select.select([descriptor], [], [], seconds)[0]:
            return
    _log.error("process_does_not_end", process=process)


def _die_with_keeper() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
