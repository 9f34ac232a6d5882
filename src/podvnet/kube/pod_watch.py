"""The pods of one node, kept in memory by a thread that lists them once and then follows what changes.

So an ADD of a pod that asks for nothing costs a look into a dictionary. A list that is refused or breaks off leaves
what is known as it is, and is tried again ever later; pods that are not known meanwhile are asked about one by one.
Source: Kubernetes document "Kubernetes API Concepts": a list gives the resource version that a watch begins at; 410
means that it is too old, and bookmarks keep it young.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from podvnet.azure.error import SourceError
from podvnet.kube.node_api import Api
from podvnet.kube.pod_record import PodRecord, read_pod

PODS = "/api/v1/pods"
_PAGE = 500
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_BETWEEN = 0.2
"""Seconds between a watch that has ended and the next: an API that ends them at once is not to be asked in a circle."""

_log = structlog.get_logger()


class PodWatch:
    """The thread, and what it knows.

    Args:
        connect: makes what speaks to the API; may raise :class:`SourceError`. Called in the thread.
        node: whose pods.
        changed: called in the thread when something of a pod, or the obstacle, is other than before.
        chance: numbers from 0 to 1.
    """

    def __init__(
        self,
        connect: Callable[[], Api],
        node: str,
        changed: Callable[[], None],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connect = connect
        self._node = node
        self._changed = changed
        self._chance = chance
        self._pods: Mapping[tuple[str, str], PodRecord] = {}
        self._failures = 0
        self._stopped = threading.Event()
        self._api: Api | None = None
        self._thread = threading.Thread(target=self._run, name="pod-watch", daemon=True)
        self.obstacle: SourceError | None = SourceError("the pods of this node are being listed", "wait a moment", True)
        """Why what is known may be old; None while the watch stands."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        self._stopped.set()
        if self._api is not None:
            self._api.stop()

    def find(self, namespace: str, name: str, uid: str) -> PodRecord | None:
        """What is known of a pod; nothing of another of the same name."""
        found = self._pods.get((namespace, name))
        return found if found is not None and found.uid == uid else None

    def records(self) -> list[PodRecord]:
        """Every pod that is known."""
        return [*self._pods.values()]

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                api = self._api = self._connect()
                version = self._list(api)
                self._follow(api, version)
            except SourceError as error:
                if self._stopped.is_set():
                    return
                self._failures += 1
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(self._failures - 1, 10)) * (0.5 + self._chance() / 2)
                wait = max(wait, error.retry_after or 0.0)
                if self.obstacle is None or self.obstacle.message != error.message:
                    _log.warning("pods_not_followed", reason=error.message, remedy=error.remedy)
                self._say(error)
                self._stopped.wait(wait)
            except Exception:  # noqa: BLE001 - a bug must not end the thread: its pods are asked about one by one
                _log.exception("bug", doing="follow the pods of this node")
                self._say(SourceError("a bug in the agent", "see the agent's log", retryable=True))
                self._stopped.wait(_LONGEST_WAIT)

    def _list(self, api: Api) -> str:
        """Know exactly the pods there are; return the resource version they were read at."""
        selector: dict[str, str | int] = {"fieldSelector": f"spec.nodeName={self._node}", "limit": _PAGE}
        found: dict[tuple[str, str], PodRecord] = {}
        page = api.get(PODS, **selector)
        while True:
            found |= {record.key: record for record in map(_read, page["items"])}
            more = page["metadata"].get("continue")
            if not more:
                break
            page = api.get(PODS, **selector, **{"continue": more})
        self._pods = found
        self._say(None)
        return str(page["metadata"]["resourceVersion"])

    def _follow(self, api: Api, version: str) -> None:
        while not self._stopped.is_set():
            selector = f"spec.nodeName={self._node}"
            for event in api.watch(PODS, fieldSelector=selector, resourceVersion=version):
                document = event["object"]
                version = str(document["metadata"]["resourceVersion"])
                self._failures = 0
                if event["type"] != "BOOKMARK":
                    self._take_in(event["type"], _read(document))
                if self._stopped.is_set():
                    return
            self._failures = 0
            self._stopped.wait(_BETWEEN)

    def _take_in(self, kind: str, record: PodRecord) -> None:
        known = self._pods.get(record.key)
        if kind == "DELETED":
            if known is None or known.uid != record.uid:
                return
            self._pods = {key: each for key, each in self._pods.items() if key != record.key}
        elif known == record:
            return
        else:
            self._pods = {**self._pods, record.key: record}
        self._changed()

    def _say(self, obstacle: SourceError | None) -> None:
        self.obstacle = obstacle
        self._changed()


def _read(document: Mapping[str, Any]) -> PodRecord:
    try:
        return read_pod(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{PODS}: no document of a pod: {error!r}", "is that a Kubernetes API?", True) from error
