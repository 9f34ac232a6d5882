"""A thread that asks which security groups filter the VM's NIC: at intervals, and at once when told to."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from podvnet.agent.nic_writer import waiting_time
from podvnet.azure.error import SourceError
from podvnet.model.address import Mac
from podvnet.model.nic_security import NicSecurity


class GroupWatcher:
    """The thread. It only asks; what it hears is handed on.

    Args:
        read: asks about the NIC with a MAC; may raise :class:`SourceError`.
        deliver: called in the thread with each answer.
        interval: seconds between questions; after a failure as long as failures of a NIC's writer make one wait.
        chance: numbers from 0 to 1.
    """

    def __init__(
        self,
        read: Callable[[Mac], NicSecurity],
        deliver: Callable[[NicSecurity | SourceError], None],
        interval: float,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._read = read
        self._deliver = deliver
        self._interval = interval
        self._chance = chance
        self._wake = threading.Event()
        self._stopped = False
        self._mac: Mac | None = None
        self._thread = threading.Thread(target=self._run, name="group-watcher", daemon=True)

    def start(self) -> None:
        """Start the thread; it waits to be told about which NIC to ask."""
        self._thread.start()

    def ask(self, mac: Mac) -> None:
        """Ask about the NIC with this MAC as soon as possible, and from then on at intervals."""
        self._mac = mac
        self._wake.set()

    def stop(self) -> None:
        """Stop; a question under way ends by its own time-out."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        failures = 0
        wait: float | None = None
        while True:
            self._wake.wait(wait)
            self._wake.clear()
            if self._stopped:
                return
            if self._mac is None:
                continue
            try:
                answer: NicSecurity | SourceError = self._read(self._mac)
                failures, wait = 0, self._interval
            except SourceError as error:
                failures += 1
                answer, wait = error, waiting_time(error, failures, self._chance())
            self._deliver(answer)
