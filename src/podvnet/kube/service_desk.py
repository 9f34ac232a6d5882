"""What Services are told: finalizer and claim, the addresses in their status, Events.

Source: Kubernetes documentation, "Service" (load balancer status), "Finalizers"; API reference "Event v1 core".
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from podvnet.kube.cluster_api import MERGE_PATCH, Api, ApiError, Document
from podvnet.kube.notice import Notice
from podvnet.kube.service import CLAIM, CLEANUP, GROUPS, Service
from podvnet.model.address import Address

COMPONENT = "podvnet-controller"
_CONFLICT, _NOT_FOUND, _TROUBLE = 409, 404, 500
_AT_ONCE, _EVERY = 25.0, 60.0
"""Events of one Service: so many, and one more each so many seconds. Source: client-go's event correlator."""
_LONGEST_MESSAGE = 1000
_REMEMBERED = 10_000

_log = structlog.get_logger()


class StaleError(Exception):
    """The Service has changed since it was seen.

    Attributes:
        document: as it is.
    """

    def __init__(self, document: Document) -> None:
        super().__init__("changed since it was seen")
        self.document = document


class ServiceDesk:
    """Writes to Services.

    Args:
        api: the cluster's.
        cluster: whose the finalizer is.
        find: a Service's document as it is known, by uid without dashes.
        learn: takes in a Service as it was answered.
        forget: takes in that a Service is gone, by uid as the API has it.
        clock: seconds.
    """

    def __init__(
        self,
        api: Api,
        cluster: str,
        find: Callable[[str], Document | None],
        learn: Callable[[Document], object],
        forget: Callable[[str], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._cluster = cluster
        self._find = find
        self._learn = learn
        self._forget = forget
        self._clock = clock
        self._said: dict[str, set[Notice]] = {}
        self._left: dict[str, tuple[float, float]] = {}
        """By uid, how many Events more there may be, and when that was so."""

    async def claim(self, service: Service, groups: tuple[str, ...]) -> Document | None:
        """Give a Service the finalizer; see :meth:`report` for what is answered and raised."""
        finalizers = list(dict.fromkeys((*self._finalizers(service), CLEANUP)))
        marks: dict[str, Any] = {CLAIM: self._cluster} | ({GROUPS: ",".join(groups)} if groups else {})
        return await self._patch(service, {"metadata": {"finalizers": finalizers, "annotations": marks}})

    async def release(self, service: Service) -> Document | None:
        """Take the finalizer away; see :meth:`report`."""
        finalizers = [each for each in self._finalizers(service) if each != CLEANUP]
        marks = {CLAIM: None, GROUPS: None}
        return await self._patch(service, {"metadata": {"finalizers": finalizers, "annotations": marks}})

    async def report(self, service: Service, addresses: tuple[Address, ...]) -> Document | None:
        """Write the addresses into a Service's status.

        Returns:
            The Service as it is then; None when it is gone.

        Raises:
            StaleError: it has changed since it was seen.
            ApiError: it is refused, or nobody answers.
        """
        ingress = [{"ip": str(each), "ipMode": "VIP"} for each in addresses]
        return await self._patch(service, {"status": {"loadBalancer": {"ingress": ingress}}}, "/status")

    async def say(self, service: Service, notice: Notice) -> None:
        """Make an Event of what is to be said, or count one that was made; once for as long as it is remembered."""
        if notice in self._said.get(service.uid, ()):
            return
        document = self._find(service.uid)
        if document is None or not self._may_say(service.uid):
            return
        await self._event(service, document["metadata"]["uid"], notice)
        self._said.setdefault(service.uid, set()).add(notice)
        while len(self._said) > _REMEMBERED:
            self._said.pop(next(iter(self._said)))

    def _may_say(self, uid: str) -> bool:
        """Whether one more Event of a Service is no flood; what is not said now is said later, if it still holds."""
        now = self._clock()
        left, since = self._left.pop(uid, (_AT_ONCE, now))
        left = min(left + (now - since) / _EVERY, _AT_ONCE)
        spent = left >= 1.0
        self._left[uid] = left - spent, now
        while len(self._left) > _REMEMBERED:
            self._left.pop(next(iter(self._left)))
        return spent

    def unsay(self, service: Service, kept: set[Notice]) -> None:
        """Forget what has been said of a Service but for what still holds: it is news when it comes back."""
        said = self._said.get(service.uid, set())
        said -= {each for each in said if each.warning and each not in kept}

    async def _event(self, service: Service, uid: str, notice: Notice) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha256(f"{uid} {notice}".encode()).hexdigest()[:16]
        name, events = f"{service.name}.{digest}", f"/api/v1/namespaces/{service.namespace}/events"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": service.namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Service", "name": service.name, "namespace": service.namespace, "uid": uid,
            },
            "type": "Warning" if notice.warning else "Normal",
            "reason": notice.reason,
            "message": notice.message[:_LONGEST_MESSAGE],
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }  # fmt: skip
        try:
            try:
                await self._api.ask("POST", events, event)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
                there = await self._api.ask("GET", f"{events}/{name}")
                again = {"count": int(there.get("count") or 1) + 1, "lastTimestamp": now}
                await self._api.ask("PATCH", f"{events}/{name}", again, content=MERGE_PATCH)
        except ApiError as error:
            if not 0 < error.status < _TROUBLE:
                raise
            # Nothing is made any more in a namespace that is going, others have a quota, or a webhook that denies
            # them; Services are served, and let go, all the same.
            _log.warning("an Event is refused", service=service.name, reason=notice.reason, error=str(error))

    def _finalizers(self, service: Service) -> list[str]:
        """Those of the version that is named when it is written: a patch replaces them all."""
        known = self._find(service.uid)
        return list(known["metadata"].get("finalizers") or ()) if known else []

    async def _patch(self, service: Service, patch: Document, what: str = "") -> Document | None:
        known = self._find(service.uid)
        if known is None:
            return None
        path = f"/api/v1/namespaces/{service.namespace}/services/{service.name}"
        precondition = {"uid": known["metadata"]["uid"], "resourceVersion": known["metadata"]["resourceVersion"]}
        body = {**patch, "metadata": {**precondition, **patch.get("metadata", {})}}
        try:
            answered = await self._api.ask("PATCH", f"{path}{what}", body, content=MERGE_PATCH)
        except ApiError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise
            there = await self._read_again(path, known["metadata"]["uid"])
            if there is not None:
                raise StaleError(there) from error
            return None
        self._learn(answered)
        return answered

    async def _read_again(self, path: str, uid: str) -> Document | None:
        """A Service as it is now; None when it is gone, though another one may have its name."""
        try:
            there = await self._api.ask("GET", path)
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            there = None
        if there is None or there["metadata"]["uid"] != uid:
            self._forget(uid)
            return None
        self._learn(there)
        return there
