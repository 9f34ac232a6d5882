"""The controller of Services: follows the cluster, and brings load balancers to what is wanted, round by round.

Level-triggered: a round looks at all that is wanted now, so a thousand changes between two rounds are one. Rounds that
write keep a distance; what is wanted by then is what is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

from podvnet.kube.cluster_api import Api, ApiError, Document
from podvnet.kube.controller_metrics import Readings
from podvnet.kube.edge import Edge
from podvnet.kube.endpoint_pool import Slice, read_slice
from podvnet.kube.holdings import Holdings
from podvnet.kube.home import Home
from podvnet.kube.lease import Lease
from podvnet.kube.object_watch import ObjectWatch
from podvnet.kube.pace import Pace
from podvnet.kube.service import Service, read_service, short_uid
from podvnet.kube.service_desk import ServiceDesk
from podvnet.kube.service_rounds import Done, InterruptedRoundError, ServiceRounds
from podvnet.kube.service_steps import Chart

LOAD_BALANCER_CLASS = "podvnet.io/pods"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
LEASE = "podvnet-controller"
_BREATH = 0.05
"""Seconds between two rounds that write nothing: changes that come together are one."""
_WANTING = 30.0
"""Seconds after which what somebody waits for may have come into being."""

_Value = TypeVar("_Value")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """How the controller is run.

    Attributes:
        chosen: the load balancer class of ours.
        default: Services that name no class are ours as well.
        interval: seconds between two rounds of writes, at least.
        tidy_after: seconds of quiet after which security groups are written to let in less.
        resync: seconds after which everything is read again: others may have changed it.
        namespace: of the Lease.
    """

    chosen: str = LOAD_BALANCER_CLASS
    default: bool = False
    interval: float = 2.0
    tidy_after: float = 10.0
    resync: float = 300.0
    namespace: str = "kube-system"


class _Parsed(Generic[_Value]):
    """Objects that are read once a version."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self._known: dict[str, tuple[str, _Value]] = {}

    def read(self, objects: dict[str, Document]) -> list[_Value]:
        known: dict[str, tuple[str, _Value]] = {}
        for uid, document in objects.items():
            version = document["metadata"]["resourceVersion"]
            found = self._known.get(uid)
            known[uid] = found if found and found[0] == version else (version, self._read(document))
        self._known = known
        return [value for _, value in known.values()]


@dataclass
class ServiceController:
    """Puts the parts together."""

    api: Api
    edge: Edge
    home: Home
    settings: ControllerSettings = field(default_factory=ControllerSettings)

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._behind: float | None = None
        """Since when something is wanted that is not carried out."""
        self._outcomes: Counter[str] = Counter()
        self._services = ObjectWatch(self.api, SERVICES, self._changed)
        self._slices = ObjectWatch(self.api, SLICES, self._changed)
        self._parsed_services = _Parsed[Service](read_service)
        self._parsed_slices = _Parsed[Slice | None](read_slice)
        holder = f"{socket.gethostname()}_{os.getpid()}_{os.urandom(4).hex()}"
        self._lease = Lease(
            self.api, self.settings.namespace, LEASE, holder, self._changed, busy=lambda: self.edge.writing
        )
        self._holdings = Holdings(self.edge, self.home)
        desk = ServiceDesk(self.api, self.home.names.cluster, self._find, self._services.learn, self._services.forget)
        self._rounds = ServiceRounds(self.home, self._holdings, desk, lambda: self._lease.held)
        self._pace = Pace(self.settings.interval)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self._services.follow(), self._slices.follow(), self._lease.keep(), self._work()):
                tasks.create_task(each)

    def readings(self) -> Readings:
        """What is measured now."""
        return Readings(
            leader=self._lease.held,
            services=self._rounds.states,
            behind=0.0 if self._behind is None else time.monotonic() - self._behind,
            rounds=self._outcomes,
            tally=self._rounds.tally,
            left=self.edge.writes_left,
            followed={"services": self._services.fresh, "endpointslices": self._slices.fresh},
        )

    def _changed(self) -> None:
        self._wake.set()
        if self._behind is None:
            self._behind = time.monotonic()

    async def _work(self) -> None:
        await self._services.listed.wait()
        await self._slices.listed.wait()
        wrote = read = time.monotonic()
        pause: float | None = 0.0
        fresh_for = self.settings.resync
        while True:
            await self._sleep(pause)
            if not self._lease.held:
                self._wake.clear()
                # Somebody else may write now, so nothing is known any more.
                self._holdings.forget_all()
                self._rounds.states, self._behind = {}, None
                pause = None
                continue
            await asyncio.sleep(max(_BREATH, self._pace.wait(time.monotonic())))
            self._wake.clear()
            now = time.monotonic()
            if now - read >= fresh_for:
                self._holdings.forget_all()
                read = now
            try:
                done = await self._rounds.carry_out(self._chart(), tidy=now - wrote >= self.settings.tidy_after)
            except (InterruptedRoundError, ApiError) as error:
                retry_after = error.retry_after if isinstance(error, InterruptedRoundError) else None
                wait = self._pace.failed(time.monotonic(), retry_after)
                self._outcomes["interrupted"] += 1
                _log.warning("interrupted; it is tried again", error=str(error), wait=wait)
                pause = wait
                continue
            self._outcomes["done"] += 1
            # What changed meanwhile changed after this round looked, so it waits since then at most.
            self._behind = now if self._wake.is_set() else None
            if done.writes:
                wrote = time.monotonic()
                self._pace.wrote(wrote, self.edge.writes_left)
            else:
                self._pace.failures = 0
            fresh_for = min(self.settings.resync, _WANTING) if done.wanting else self.settings.resync
            pause = self._next(done, wrote, read + fresh_for)

    def _next(self, done: Done, wrote: float, stale: float) -> float:
        """Seconds until there is something to do though nothing happens."""
        now = time.monotonic()
        waits = [stale - now]
        if done.untidy:
            waits.append(wrote + self.settings.tidy_after - now)
        if done.waiting is not None:
            waits.append(done.waiting)
        return max(min(waits), _BREATH)

    async def _sleep(self, seconds: float | None) -> None:
        # Not wait_for, which in Python 3.11 loses the cancellation that comes together with what is waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _chart(self) -> Chart:
        slices: dict[tuple[str, str], list[Slice]] = {}
        for each in self._parsed_slices.read(self._slices.objects):
            if each is not None:
                slices.setdefault(each.service, []).append(each)
        services = tuple(self._parsed_services.read(self._services.objects))
        return Chart(services, slices, self.settings.chosen, self.settings.default)

    def _find(self, uid: str) -> Document | None:
        """The document of a Service, by its uid without dashes."""
        return next((each for key, each in self._services.objects.items() if short_uid(key) == uid), None)
