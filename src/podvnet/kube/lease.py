"""Who of several controllers acts: the one that holds a Lease, as others of Kubernetes do it.

Source: Kubernetes documentation, "Leases"; client-go's leader election, whose times these are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from podvnet.kube.cluster_api import Api, ApiError, Document

_DURATION, _RETRY = 15.0, 2.0
_DEADLINE = 10.0
"""Seconds without a renewal after which the holder acts no more; others wait for :data:`_DURATION`."""
_NOT_FOUND, _CONFLICT = 404, 409

_log = structlog.get_logger()


def wanted_lease(
    there: Document | None, holder: str, now: datetime, unchanged_for: float, *, name: str, namespace: str
) -> Document | None:
    """The Lease as ``holder`` may write it now; None while somebody else holds it.

    Args:
        there: the Lease as it is; None when there is none.
        holder: who asks.
        now: written down as the time of renewal.
        unchanged_for: seconds for which it has been seen as it is. Clocks of others are not relied on.
        name: of the Lease.
        namespace: of the Lease.
    """
    spec = dict(there.get("spec") or {}) if there else {}
    current = spec.get("holderIdentity") or ""
    if current not in {"", holder} and unchanged_for < float(spec.get("leaseDurationSeconds") or _DURATION):
        return None
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if current != holder:
        spec["acquireTime"] = stamp
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if there else 0)
    spec |= {"holderIdentity": holder, "renewTime": stamp, "leaseDurationSeconds": int(_DURATION)}
    metadata = there["metadata"] if there else {"name": name, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class Lease:
    """A Lease, and whether it is ours.

    Args:
        api: the cluster's.
        holder: a name that nobody else has.
        changed: called when it becomes ours, or is lost.
        busy: whether something is under way that must be over before it is another's: then it runs out by itself.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        holder: str,
        changed: Callable[[], object],
        *,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._namespace, self._name = namespace, name
        self._holder = holder
        self._changed = changed
        self._busy = busy
        self._seen: tuple[str, float] = "", 0.0
        self._renewed = float("-inf")

    @property
    def held(self) -> bool:
        """Whether it is ours now."""
        return time.monotonic() - self._renewed < _DEADLINE

    async def keep(self) -> None:
        """Get it and renew it until cancelled; then give it up."""
        try:
            while True:
                before = self.held
                await self._try()
                if self.held != before:
                    _log.info("the lease is ours" if self.held else "the lease is another's", lease=self._name)
                    self._changed()
                await asyncio.sleep(_RETRY)
        finally:
            if self.held and not self._busy():
                await asyncio.shield(self._give_up())

    async def _try(self) -> None:
        begun = time.monotonic()
        try:
            there = await self._read()
            document = wanted_lease(
                there, self._holder, datetime.now(UTC), self._age(there), name=self._name, namespace=self._namespace
            )
            if document is None:
                self._renewed = float("-inf")
                return
            await self._write(document, new=there is None)
            self._renewed = begun
        except ApiError as error:
            if error.status != _CONFLICT:
                _log.warning("the lease cannot be renewed", error=str(error))

    async def _give_up(self) -> None:
        self._renewed = float("-inf")
        try:
            there = await self._read()
            if there and there["spec"].get("holderIdentity") == self._holder:
                await self._write({**there, "spec": {**there["spec"], "holderIdentity": ""}}, new=False)
        except ApiError as error:
            _log.info("the lease runs out by itself", error=str(error))

    def _age(self, there: Document | None) -> float:
        version = there["metadata"]["resourceVersion"] if there else ""
        if version != self._seen[0]:
            self._seen = version, time.monotonic()
        return time.monotonic() - self._seen[1]

    async def _read(self) -> Document | None:
        try:
            return await self._api.ask("GET", f"{self._path}/{self._name}")
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def _write(self, document: Document, *, new: bool) -> None:
        if new:
            await self._api.ask("POST", self._path, document)
        else:
            await self._api.ask("PUT", f"{self._path}/{self._name}", document)

    @property
    def _path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"
