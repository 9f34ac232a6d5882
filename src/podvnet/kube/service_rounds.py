"""Carries out what is to be done for Services, step by step, until nothing is.

A round ends when all is as it is wanted, or when something has to be waited for. A refusal that will not pass by itself
is met by leaving the Service that it is about as it is, and going on with the others; when a request was about several,
they are tried one by one, so that nobody waits for another's mistake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from podvnet.azure.error import SourceError
from podvnet.azure.resource_manager import RefusedError
from podvnet.kube.cluster_api import ApiError, Document
from podvnet.kube.holdings import Holdings
from podvnet.kube.home import Home
from podvnet.kube.notice import Notice
from podvnet.kube.service import Service, read_service
from podvnet.kube.service_desk import StaleError
from podvnet.kube.service_steps import Chart, Claim, Delete, Outlook, Put, Release, Report, Step, look, owners
from podvnet.kube.write_tally import WriteTally
from podvnet.kube.written_documents import WrittenDocuments
from podvnet.model.address import Address

_LOOKS = 200
"""In a round, at most. A look finds several steps; that many looks are a circle."""
_COLLISIONS = 5
"""How often somebody else may write what we are about to, before we wait."""
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 600.0
"""Seconds for which a Service that was refused is left alone, unless it changes: doubled each time."""
_CHANGED, _MISSING = 412, 404
_LASTING = frozenset({409, 500})
"""Statuses that pass, or do not: the same resource's are counted."""
_OF_ALL = frozenset({401, 408, 429})
"""Refusals of the API server that are not about the one Service."""

_log = structlog.get_logger()


class Desk(Protocol):
    """What Services are told; see :class:`podvnet.kube.service_desk.ServiceDesk`."""

    async def claim(self, service: Service, groups: tuple[str, ...]) -> Document | None:
        """Give it the finalizer."""

    async def report(self, service: Service, addresses: tuple[Address, ...]) -> Document | None:
        """Write its status."""

    async def release(self, service: Service) -> Document | None:
        """Take the finalizer away."""

    async def say(self, service: Service, notice: Notice) -> None:
        """Make an Event."""

    def unsay(self, service: Service, kept: set[Notice]) -> None:
        """Forget what does not hold any more."""


class InterruptedRoundError(Exception):
    """A round could not be finished, and is to be begun again.

    Attributes:
        retry_after: seconds to wait, when somebody named them.
    """

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass
class _Refused:
    service: Service | None
    until: float
    pause: float


@dataclass(frozen=True, slots=True)
class Done:
    """A round that was finished.

    Attributes:
        writes: requests that changed something at the resource manager.
        untidy: security groups still let in more than they need to.
        wanting: somebody waits for something that others may do.
        waiting: seconds until a Service that was refused is tried again.
    """

    writes: int
    untidy: bool
    wanting: bool
    waiting: float | None


@dataclass
class ServiceRounds:
    """Does what is to be done.

    Attributes:
        may_write: asked before every write: whether it is still upon us.
        clock: seconds.
        tally: of requests that write.
        states: how many Services stand how, as the last look saw them.
    """

    home: Home
    holdings: Holdings
    desk: Desk
    may_write: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.monotonic
    _refused: dict[str, _Refused] = field(default_factory=dict)
    tally: WriteTally = field(default_factory=WriteTally)
    states: Mapping[str, int] = field(default_factory=dict)
    _alone: list[str] | None = None
    """The uids still to be tried one by one; None: all are tried together."""
    _conflicts: dict[str, int] = field(default_factory=dict)
    """By resource, how often in a row it was refused for what goes on there."""
    _written: WrittenDocuments = field(default_factory=WrittenDocuments)
    _collisions: int = 0
    _writes: int = 0

    async def carry_out(self, chart: Chart, *, tidy: bool) -> Done:
        """Do all that is to be done.

        Raises:
            InterruptedRoundError: not all is done; begin again with what is wanted then.
        """
        self._writes, self._collisions = 0, 0
        self._written.clear()
        for _ in range(_LOOKS):
            outlook = await self._look(chart, tidy=tidy)
            self.states = outlook.states
            await self._tell(chart, outlook)
            if not outlook.steps:
                if self._alone is None:
                    return self._done(outlook)
                self._alone = self._alone[1:] or None
                continue
            for step in outlook.steps:
                changed = await self._try(chart, step)
                if changed is None:
                    break
                chart = changed
        left = ", ".join(sorted({type(step).__name__ for step in outlook.steps}))
        msg = f"after {_LOOKS} looks there is still something to do: {left}"
        raise InterruptedRoundError(msg)

    async def _look(self, chart: Chart, *, tidy: bool) -> Outlook:
        cluster = self.home.names.cluster
        concerned = [each for each in chart.services if chart.is_ours(each) or chart.lets_go(each, cluster)]
        groups = [group for each in concerned for group in _groups(each)]
        try:
            estate = await self.holdings.estate(groups)
        except SourceError as error:
            raise InterruptedRoundError(str(error), error.retry_after) from error
        waiting = self._waiting(chart)
        if self._alone is not None:
            everybody = {each.uid for each in chart.services} | {uid for uid in owners(self.home, estate) if uid}
            waiting |= everybody - set(self._alone[:1])
        return look(chart, self.home, estate, waiting, tidy=tidy, settled=self._settled)

    def _settled(self, step: Put) -> bool:
        """Whether this very document was taken in this round: what is kept in another form is not asked for twice."""
        if not self._written.has(step.id, step.document):
            return False
        _log.warning("not kept as it was written", resource=str(step.id))
        return True

    def _waiting(self, chart: Chart) -> set[str]:
        """Services that were refused, and have neither changed nor waited long enough."""
        known = {each.uid: replace(each, ingress=()) for each in chart.services}
        for uid, each in list(self._refused.items()):
            if known.get(uid) != each.service:
                del self._refused[uid]
        return {uid for uid, each in self._refused.items() if each.until > self.clock()}

    async def _try(self, chart: Chart, step: Step) -> Chart | None:
        """Do a step; None: look again."""
        if not self.may_write():
            msg = "another controller holds the lease"
            raise InterruptedRoundError(msg)
        if isinstance(step, Put | Delete):
            return chart if await self._write(chart, step) else None
        try:
            document = await self._mark(step)
        except StaleError as error:
            document = error.document
        except ApiError as error:
            if not 400 <= error.status < 500 or error.status in _OF_ALL:
                raise
            await self._leave(chart, step.service.uid, error)
            return None
        others = tuple(each for each in chart.services if each.uid != step.service.uid)
        return replace(chart, services=(*others, read_service(document)) if document else others)

    async def _mark(self, step: Claim | Report | Release) -> Document | None:
        if isinstance(step, Claim):
            await self.desk.say(step.service, Notice("EnsuringLoadBalancer", "A load balancer is made", warning=False))
            return await self.desk.claim(step.service, step.groups)
        if isinstance(step, Release):
            said = Notice("DeletedLoadBalancer", "The load balancer is gone", warning=False)
            await self.desk.say(step.service, said)
            return await self.desk.release(step.service)
        document = await self.desk.report(step.service, step.addresses)
        if step.addresses:
            text = f"Pods are reached at {' and '.join(map(str, step.addresses))}"
            await self.desk.say(step.service, Notice("EnsuredLoadBalancer", text, warning=False))
        return document

    async def _write(self, chart: Chart, step: Put | Delete) -> bool:
        """Write a resource; False: look again."""
        self._writes += 1
        self.tally.wrote(step.id)
        try:
            if isinstance(step, Put):
                await self.holdings.put(step.id, step.document)
            else:
                await self.holdings.delete(step.id)
        except RefusedError as error:
            self.tally.failed(error)
            if error.status == _CHANGED or (error.status == _MISSING and step.id.top != step.id):
                return self._collided(step, error)
            if error.retryable and not self._persists(step, error):
                raise InterruptedRoundError(str(error), error.retry_after) from error
            await self._blame(chart, step, error)
            return False
        except SourceError as error:
            self.tally.failed(error)
            raise InterruptedRoundError(str(error), error.retry_after) from error
        self._conflicts.pop(step.id.key, None)
        if isinstance(step, Put):
            self._written.note(step.id, step.document)
        for uid in step.movers:
            self._refused.pop(uid, None)
        _log.info("written" if isinstance(step, Put) else "deleted", resource=str(step.id))
        return True

    def _persists(self, step: Put | Delete, error: RefusedError) -> bool:
        """Whether a trouble is none of those that pass: it has not after several rounds."""
        if error.status not in _LASTING:
            return False
        self._conflicts[step.id.key] = self._conflicts.get(step.id.key, 0) + 1
        return self._conflicts[step.id.key] > _COLLISIONS

    def _collided(self, step: Put | Delete, error: RefusedError) -> bool:
        self.holdings.forget(step.id)
        self._collisions += 1
        if self._collisions > _COLLISIONS:
            raise InterruptedRoundError(str(error), None) from error
        return False

    async def _blame(self, chart: Chart, step: Put | Delete, error: RefusedError) -> None:
        """See to it that what was refused is not tried again at once."""
        if not step.movers:
            raise InterruptedRoundError(str(error), _LONGEST_PAUSE / 10) from error
        if len(step.movers) > 1:
            _log.warning("refused; the Services are tried one by one", resource=str(step.id), error=str(error))
            self._alone = sorted(step.movers, key=lambda uid: _age(chart, uid))
            return
        (uid,) = step.movers
        await self._leave(chart, uid, error)

    async def _leave(self, chart: Chart, uid: str, error: RefusedError | ApiError) -> None:
        """Leave a Service as it is for a while."""
        before = self._refused.get(uid)
        pause = min(2 * before.pause, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        service = next((each for each in chart.services if each.uid == uid), None)
        subject = replace(service, ingress=()) if service else None
        self._refused[uid] = _Refused(subject, self.clock() + pause, pause)
        _log.warning("refused", service=service.spoken if service else uid, error=str(error), wait=pause)
        if service:
            await self.desk.say(service, Notice("SyncLoadBalancerFailed", str(error)))

    async def _tell(self, chart: Chart, outlook: Outlook) -> None:
        for service in chart.services:
            notices = outlook.notices.get(service.uid, ())
            self.desk.unsay(service, {*notices})
            for each in notices:
                await self.desk.say(service, each)

    def _done(self, outlook: Outlook) -> Done:
        now = self.clock()
        self._refused = {uid: each for uid, each in self._refused.items() if each.until > now}
        waits = [each.until - now for each in self._refused.values()]
        wanting = any(each.warning for said in outlook.notices.values() for each in said)
        return Done(self._writes, outlook.untidy, wanting, min(waits, default=None))


def _groups(service: Service) -> tuple[str, ...]:
    """The resource groups that may hold public addresses of a Service."""
    return (*service.kept_groups, *service.asked_groups)


def _age(chart: Chart, uid: str) -> tuple[str, str]:
    return next(((each.created, uid) for each in chart.services if each.uid == uid), ("", uid))
