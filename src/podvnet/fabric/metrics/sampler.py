"""Reads the connections of virtual networks once a minute, and whenever somebody asks for the minute that runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from podvnet.fabric.metrics.history import MINUTE, History
from podvnet.fabric.metrics.reading import NetworkReading, Translated, points, watched
from podvnet.linux import namespace
from podvnet.linux.conntrack import ConntrackSocket, Status
from podvnet.linux.error import KernelError
from podvnet.linux.nfnetlink import SetSocket
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names

_log = structlog.get_logger()

_Key = tuple[bytes, bytes]


@dataclass(slots=True)
class _Ledger:
    """What was known of a virtual network when the minute began, and what has begun since.

    Attributes:
        known: the connections.
        failed, unsupported: the kernel's counts.
        latest: the same of the last look.
    """

    known: frozenset[_Key] = frozenset()
    failed: int = 0
    unsupported: int = 0
    begun: dict[_Key, Translated] = field(default_factory=dict)
    latest: tuple[frozenset[_Key], int, int] = (frozenset(), 0, 0)

    def roll(self) -> None:
        """Begin a minute."""
        self.known, self.failed, self.unsupported = self.latest
        self.begun = {}


class Sampler:
    """Fills a history. For any thread.

    Args:
        intent: gives the intent as it is now.
        clock: seconds since 1970.
    """

    def __init__(self, intent: Callable[[], Intent], clock: Callable[[], float] = time.time) -> None:
        self._intent = intent
        self._clock = clock
        self.history = History()
        self._lock = threading.Lock()
        self._minute = 0
        self._ledgers: dict[ResourceId, _Ledger] = {}

    async def run(self) -> None:
        """Sample each minute as it ends, until cancelled."""
        await asyncio.to_thread(self.sample)
        while True:
            now = self._clock()
            ended = int(now) // MINUTE * MINUTE
            await asyncio.sleep(ended + MINUTE - now)
            await asyncio.to_thread(self.sample, ended)

    def sample(self, minute: int | None = None) -> None:
        """Measure, for a minute named by the second it began with; for the one that runs unless it is said."""
        with self._lock:
            minute = int(self._clock()) // MINUTE * MINUTE if minute is None else minute
            if minute < self._minute:
                return  # somebody has asked for the next one already
            first = not self._minute
            if minute != self._minute:
                for ledger in self._ledgers.values():
                    ledger.roll()
            self._minute = minute
            intent = self._intent()
            networks = watched(intent)
            self._ledgers = {each: self._ledgers.get(each) or _Ledger() for each in networks}
            readings = {}
            for network, ledger in self._ledgers.items():
                try:
                    readings[network.key] = self._read(network, ledger, first=first)
                except (OSError, KernelError) as error:
                    _log.warning("network_not_measured", network=network.name, reason=str(error))
            self.history.put(minute, points(intent, readings))

    @staticmethod
    def _read(network: ResourceId, ledger: _Ledger, *, first: bool) -> NetworkReading:
        """Look at a virtual network.

        Raises:
            OSError, KernelError: it has no namespace, or the kernel refused.
        """
        with namespace.opened(names.network_namespace(network)) as descriptor, namespace.entered(descriptor):
            with ConntrackSocket() as table:
                active = {
                    each.key: Translated(each.original, each.reply)
                    for each in table.connections()
                    if each.status & Status.SOURCE_NAT
                }
                failed = table.failures()
            sets = SetSocket()
            try:
                unsupported = sets.counters("inet", names.TABLE).get("nat_unsupported", 0)
            finally:
                sets.close()
        ledger.latest = frozenset(active), failed, unsupported
        if first:  # what this process finds has begun before it did
            ledger.roll()
        ledger.begun |= {key: each for key, each in active.items() if key not in ledger.known}
        return NetworkReading(
            tuple(active.values()),
            tuple(ledger.begun.values()),
            failed - ledger.failed,
            unsupported - ledger.unsupported,
        )
