"""A thread that carries out what is asked for pods: reads the VM's NIC, has the change decided, writes it.

Asks that come together are one write. When that is refused they are written one by one, so that what is wrong with one
is only its own fault. A write names the etag of what was read: who else writes the NIC, the pool's own writer among
them, is met by reading again. It is another thread than the pool's: neither waits for what the other cannot have done.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Protocol

import structlog

from podvnet.agent.nic_writer import CertainlyRefusedError, NicChangedError, SubnetFullError, waiting_time
from podvnet.azure.error import SourceError
from podvnet.model.address import Mac
from podvnet.model.nic_membership import NicMembership
from podvnet.plan.grant_change import GrantChange

_COLLISIONS = 5
"""How often a NIC may change under us before we wait."""

_log = structlog.get_logger()


class Nic(Protocol):
    """The VM's NIC at the resource manager. Its errors are :class:`SourceError`."""

    def read(self) -> NicMembership:
        """Read it anew."""

    def write(self, change: GrantChange) -> NicMembership:
        """Write the ip-configurations of a change of what was last read or written."""

    def discard(self, name: str) -> None:
        """Delete a public address."""


class Decider(Protocol):
    """Decides, and is told what came of it; every method is called in the writer's thread."""

    def decide(self, nic: NicMembership) -> GrantChange:
        """What to write; nothing once the NIC is as it should be."""

    def discarded(self, name: str) -> None:
        """A public address is gone."""

    def refused(self, address: IPv4Address, error: SourceError) -> bool:
        """What is asked for an address is refused; tell whether the next decision does not want it any more."""

    def failed(self, error: SourceError | None, wait: float) -> None:
        """It goes on after ``wait`` seconds; None when all is as it should be."""


class GrantWriter:
    """The thread.

    Args:
        connect: finds the NIC with a MAC; may raise :class:`SourceError`.
        decider: see there.
        chance: numbers from 0 to 1.
    """

    def __init__(
        self, connect: Callable[[Mac], Nic], decider: Decider, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._connect = connect
        self._decider = decider
        self._chance = chance
        self._asked = threading.Event()
        self._stopped = threading.Event()
        self._mac: Mac | None = None
        self._nic: Nic | None = None
        self._nic_mac: Mac | None = None
        self._again: float | None = None
        self._stuck = 0
        self._thread = threading.Thread(target=self._run, name="grant-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; it waits to be asked."""
        self._thread.start()

    def ask(self, mac: Mac) -> None:
        """Look at the NIC with this MAC as soon as possible, and write it if need be."""
        self._mac = mac
        self._asked.set()

    def stop(self) -> None:
        """Stop; what a request under way wrote the next start reads."""
        self._stopped.set()
        self._asked.set()

    def _run(self) -> None:
        while True:
            self._asked.wait(self._again)
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
            self._again = None
            try:
                stuck = self._once(mac)
            except Exception as problem:  # noqa: BLE001 - a bug must not end the thread: nothing would be undone again
                if not isinstance(problem, SourceError):
                    _log.exception("bug", doing="carry out what is asked for pods")
                error = problem if isinstance(problem, SourceError) else _bug(problem)
                failures += 1
                wait = waiting_time(error, failures, self._chance())
                if not error.retryable:
                    self._nic = None  # what is wrong may be with where we look
                self._decider.failed(error, wait)
                if pause(wait):
                    return
            else:
                self._stuck = self._stuck + 1 if stuck else 0
                if stuck:
                    # Who asks for something meanwhile does not wait for that.
                    self._again = waiting_time(stuck, self._stuck, self._chance())
                self._decider.failed(stuck, self._again or 0.0)
                return

    def _once(self, mac: Mac) -> SourceError | None:
        """Write until nothing is to be written; return what keeps a public address from being deleted."""
        if self._nic is None or self._nic_mac != mac:
            self._nic, self._nic_mac = self._connect(mac), mac
        nic = self._nic
        collisions, together = 0, True
        stuck: dict[str, SourceError] = {}
        seen = nic.read()
        while True:
            wanted = self._decider.decide(seen)
            wanted = replace(wanted, discard=wanted.discard - stuck.keys())
            if not wanted:
                break
            change = wanted if together else wanted.one_by_one
            try:
                seen = nic.write(change) if change.put or change.remove else seen
            except NicChangedError:
                collisions += 1
                if collisions > _COLLISIONS:
                    raise
                seen = nic.read()
                continue
            except (CertainlyRefusedError, SubnetFullError) as error:
                if not change.put:
                    raise
                alone = len(change.put) == 1 and not change.remove
                if alone and not self._decider.refused(change.put[0].address, error):
                    raise
                together = False
                continue
            self._discard(nic, change.discard, stuck)
        return next(iter(stuck.values()), None)

    def _discard(self, nic: Nic, names: frozenset[str], stuck: dict[str, SourceError]) -> None:
        """Delete public addresses; what cannot be deleted now holds up nothing else."""
        for name in sorted(names):
            try:
                nic.discard(name)
            except SourceError as error:
                stuck[name] = error
            else:
                self._decider.discarded(name)


def _bug(problem: Exception) -> SourceError:
    return SourceError(
        f"a bug in the agent: {type(problem).__name__}: {problem}", "see the agent's log", retryable=False
    )
