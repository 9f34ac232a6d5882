"""Asks every member of every pool, as its probe says, and tells the engine when what is thought of one changes.

For the event loop's thread. Sockets are opened in the namespace of the member's virtual network, so that questions meet
its security groups; the process itself stays outside.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby

import structlog

from podvnet.fabric.probes.opinion import Opinion
from podvnet.fabric.probes.question import is_answered, open_socket
from podvnet.fabric.probes.schedule import Schedule
from podvnet.fabric.probes.target import Key, Target, find_targets
from podvnet.linux import namespace
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.intent import Intent

Health = frozenset[Key]
"""Those who answer."""

_MOST = 1024
"""Questions under way at once. When members let so many wait, the others' come later than they should."""
_AT_ONCE = 16
"""Questions begun before everybody else in this process has a turn."""

_log = structlog.get_logger()


class Prober:
    """The probes of all load balancers.

    Args:
        intent: gives the intent as it is now.
        tell: is told who is healthy whenever that has changed.
        clock: seconds, of a clock that is not set.
    """

    def __init__(
        self,
        intent: Callable[[], Intent],
        tell: Callable[[Health], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intent = intent
        self._tell = tell
        self._clock = clock
        self._schedule: Schedule[Key] = Schedule()
        self._targets: dict[Key, Target] = {}
        self._opinions: dict[Key, Opinion] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_MOST)
        self._followed = asyncio.Event()
        self._flipped = asyncio.Event()

    def follow(self) -> None:
        """Ask whom the intent says, and nobody else. Who is new counts as unhealthy until the first answer.

        At the first call, what the intent says of members is taken over: it was found before this process started.
        """
        intent = self._intent()
        self._targets = find_targets(intent)
        if self._opinions is None:
            before = {key: Opinion(healthy=True, proven=True) for key in intent.healthy}
        else:
            before = self._opinions
        self._opinions = {key: before.get(key) or Opinion() for key in self._targets}
        self._schedule.keep({key: target.probe.interval for key, target in self._targets.items()}, self._clock())
        self._followed.set()
        if self.healthy != intent.healthy:
            self._flipped.set()

    @property
    def healthy(self) -> Health:
        """Who is thought healthy."""
        return frozenset(key for key, opinion in (self._opinions or {}).items() if opinion.healthy)

    async def ask(self) -> None:
        """Ask everybody when they are due, until cancelled."""
        try:
            while True:
                self._followed.clear()
                await self._ask(self._schedule.due(self._clock()))
                await self._wait()
        finally:
            for each in self._asked:
                each.cancel()
            await asyncio.gather(*self._asked, return_exceptions=True)

    async def tell(self) -> None:
        """Tell what has changed, until cancelled. What changes while the engine is busy is told at once."""
        while True:
            await self._flipped.wait()
            self._flipped.clear()
            healthy = self.healthy
            try:
                await self._tell(healthy)
            except (ArmErrorsError, OSError) as refusal:
                _log.error("health_not_carried_out", reason=str(refusal))

    async def _wait(self) -> None:
        """Wait until somebody is due, or others are to be asked."""
        then = self._schedule.next
        seconds = None if then is None else max(0, then - self._clock())
        try:
            async with asyncio.timeout(seconds):
                await self._followed.wait()
        except TimeoutError:
            return

    async def _ask(self, due: list[Key]) -> None:
        wanted = sorted((self._targets[key] for key in due), key=lambda target: target.label)
        for label, group in groupby(wanted, key=lambda target: target.label):
            targets = list(group)
            for start in range(0, len(targets), _AT_ONCE):
                some = targets[start : start + _AT_ONCE]
                for _ in some:
                    await self._places.acquire()
                for target, own in self._open(label, some):
                    task = asyncio.create_task(self._question(target, own))
                    self._asked.add(task)
                    task.add_done_callback(self._asked.discard)
                await asyncio.sleep(0)

    def _open(self, label: str, targets: list[Target]) -> Iterable[tuple[Target, socket.socket]]:
        """A socket for each. A question that cannot be put says nothing of the member: it is asked again in time."""
        found: list[tuple[Target, socket.socket]] = []
        try:
            with namespace.opened(label) as descriptor, namespace.entered(descriptor):
                for target in targets:
                    found.append((target, open_socket(target)))  # noqa: PERF401 - those before a failure are asked
        except OSError as error:
            _log.warning("probe_not_sent", namespace=label, reason=str(error))
            for _ in targets[len(found) :]:
                self._places.release()
        return found

    async def _question(self, target: Target, own: socket.socket) -> None:
        try:
            answered = await is_answered(target, own)
        finally:
            self._places.release()
        key = target.probe.id, target.address
        opinion = (self._opinions or {}).get(key)
        # Who has been taken out, or changed, meanwhile was asked in vain.
        if self._targets.get(key) != target or opinion is None:
            return
        if opinion.note(answered=answered, threshold=target.probe.threshold):
            _log.info("probed", probe=str(target.probe.id), member=str(target.address), healthy=answered)
            self._flipped.set()
