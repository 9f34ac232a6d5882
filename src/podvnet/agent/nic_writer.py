"""A thread that writes the VM's NIC: reads it, has the change decided, writes it, and tries again when it must.

One write is under way at a time. A write names the etag of what was read, so a change by somebody else in between is
met (412) by reading again. Nothing is noted down: after a crash the next read of the NIC tells how far it came.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from podvnet.azure.error import SourceError
from podvnet.model.address import Mac
from podvnet.model.limits import ADDRESSES_PER_NIC
from podvnet.model.nic_pool import NicPool
from podvnet.plan.pool_target import PoolChange

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
"""Seconds between tries: from the one, doubled each time, to the other."""
_COLLISIONS = 5
"""How often a NIC may change under us before we wait."""

_log = structlog.get_logger()


class Nic(Protocol):
    """The VM's NIC at the resource manager. Its errors are :class:`SourceError`."""

    def read(self) -> NicPool:
        """Read it anew."""

    def write(self, change: PoolChange) -> NicPool:
        """Write a change of what was last read or written."""


class NicChangedError(SourceError):
    """Somebody else has written the NIC since it was read."""


class SubnetFullError(SourceError):
    """The subnet has not as many addresses."""


class CertainlyRefusedError(SourceError):
    """The write was refused, and trying again changes nothing."""


@dataclass(frozen=True, slots=True)
class Written:
    """The NIC is as it should be.

    Attributes:
        pool: what it holds.
        change: what was written; false for nothing.
        seconds: how long reading and writing took.
    """

    pool: NicPool
    change: PoolChange
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The NIC could not be read or written; it is tried again after ``wait`` seconds."""

    error: SourceError
    wait: float


def waiting_time(error: SourceError, failures: int, chance: float) -> float:
    """Seconds to wait after a failure.

    Args:
        error: what came back; its ``retry_after`` is the least, and what trying again cannot mend waits longest.
        failures: how many in a row, this one included.
        chance: from 0 to 1; spreads the VMs of a subnet that failed at one moment.
    """
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 10)) if error.retryable else _LONGEST_WAIT
    return max(longest * (1 + chance) / 2, (error.retry_after or 0.0) * (1 + chance / 10))


def _bug(problem: Exception) -> SourceError:
    return SourceError(
        f"a bug in the agent: {type(problem).__name__}: {problem}", "see the agent's log", retryable=False
    )


class NicWriter:
    """The thread.

    Args:
        connect: finds the NIC with a MAC; may raise :class:`SourceError`.
        decide: gives the change for what was read. Called in the thread; the last word on what may be removed.
        report: called in the thread with every outcome.
        clock, chance: seconds, and numbers from 0 to 1.
    """

    def __init__(
        self,
        connect: Callable[[Mac], Nic],
        decide: Callable[[NicPool], PoolChange],
        report: Callable[[Written | Failed], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connect = connect
        self._decide = decide
        self._report = report
        self._clock = clock
        self._chance = chance
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._mac: Mac | None = None
        self._nic: Nic | None = None
        self._nic_mac: Mac | None = None
        self._thread = threading.Thread(target=self._run, name="nic-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; it waits to be asked."""
        self._thread.start()

    def ask(self, mac: Mac) -> None:
        """Look at the NIC with this MAC as soon as possible, and write it if need be."""
        self._mac = mac
        self._asked.set()

    def stop(self) -> None:
        """Stop; a request under way ends by its own time-out, and what it wrote the next start reads."""
        self._stopped.set()
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._stopped.is_set() or self._mac is None:
                return
            self.settle(self._mac, self._stopped.wait)

    def settle(self, mac: Mac, pause: Callable[[float], bool]) -> None:
        """Look at the NIC and write it until it is as it should be.

        Args:
            mac: of the NIC.
            pause: waits for some seconds; true when it is not worth going on.
        """
        failures = 0
        while True:
            try:
                self._report(self._once(mac))
            except Exception as problem:  # noqa: BLE001 - a bug must not end the thread: the pool would never grow again
                if not isinstance(problem, SourceError):
                    _log.exception("bug", doing="write the NIC")
                error = problem if isinstance(problem, SourceError) else _bug(problem)
                failures += 1
                wait = waiting_time(error, failures, self._chance())
                if not error.retryable:
                    self._nic = None  # what is wrong may be with where we look
                self._report(Failed(error, wait))
                if pause(wait):
                    return
            else:
                return

    def _once(self, mac: Mac) -> Written:
        began = self._clock()
        if self._nic is None or self._nic_mac != mac:
            self._nic, self._nic_mac = self._connect(mac), mac
        nic = self._nic
        collisions = 0
        shortage: SubnetFullError | None = None
        most = ADDRESSES_PER_NIC  # ip-configurations that the subnet may have room for
        pool = nic.read()
        while True:
            wanted = self._decide(pool)
            change = replace(wanted, add=min(wanted.add, most))
            if shortage is not None and wanted and not change:
                raise shortage
            if not change:
                return Written(pool, change, self._clock() - began)
            try:
                pool = nic.write(change)
            except NicChangedError:
                collisions += 1
                if collisions > _COLLISIONS:
                    raise
                pool = nic.read()
            except SubnetFullError as error:
                if not change.add:
                    raise
                shortage, most = error, change.add // 2
            else:
                written = Written(pool, change, self._clock() - began)
                if shortage is None:
                    return written
                # Half of what there was no room for: go on until nothing fits.
                self._report(written)
                most = change.add // 2
