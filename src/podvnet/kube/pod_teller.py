"""A thread that tells pods what became of what they asked for.

What a pod was given is told until the annotation says it: Event first, then the annotation, so that an end in between
makes the next start tell again, which is no second Event. A refusal is an Event; the same one again counts it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from podvnet.azure.error import SourceError
from podvnet.kube.node_api import Api, ApiError
from podvnet.kube.pod_events import Event, Subject, again, granted_message, granted_patch
from podvnet.kube.pod_inquiry import PodName
from podvnet.kube.retried_rounds import RetriedRounds

GIVEN, REFUSED = "NetworkGranted", "NetworkAskRefused"
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_MOST = 1024
"""Tellings that wait for the API; beyond, the oldest is not told."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told about a pod: a refusal, or the text of what it was given."""

    pod: PodName
    event: Event
    granted: str = ""


def given(pod: PodName, text: str) -> Telling:
    """A pod has what it asked for."""
    return Telling(pod, Event(_subject(pod), GIVEN, granted_message(text)), text)


def refused(pod: PodName, reason: str, remedy: str) -> Telling:
    """A pod does not get what it asks for."""
    message = f"{reason}; {remedy}" if remedy else reason
    return Telling(pod, Event(_subject(pod), REFUSED, message, warning=True))


def _subject(pod: PodName) -> Subject:
    return Subject("Pod", pod.namespace, pod.name, pod.uid)


class PodTeller:
    """The thread.

    Args:
        connect: makes what speaks to the API; may raise :class:`SourceError`.
        node: who tells.
    """

    def __init__(self, connect: Callable[[], Api], node: str) -> None:
        self._connect = connect
        self._node = node
        self._waiting: dict[tuple[PodName, bool], Telling] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._rounds = RetriedRounds("pod-teller", self._round, first=_FIRST_WAIT, longest=_LONGEST_WAIT)

    def start(self) -> None:
        """Start the thread; it waits for something to tell."""
        self._rounds.start()

    def stop(self) -> None:
        """Stop; what is not told yet the next start tells, if it still holds."""
        self._rounds.stop()

    def tell(self, telling: Telling) -> None:
        """Tell this as soon as possible, instead of what of its kind is not told yet."""
        with self._lock:
            self._waiting[telling.pod, bool(telling.granted)] = telling
            if len(self._waiting) > _MOST:
                del self._waiting[next(iter(self._waiting))]
        self._rounds.wake()

    def _round(self) -> bool:
        """Tell what waits; tell whether the API took it."""
        with self._lock:
            waiting = [*self._waiting.items()]
        for key, telling in waiting:
            try:
                self._say(telling, self._connect())
            except SourceError as error:
                if error.retryable:
                    return False
                _log.warning("not_told", pod=str(telling.pod), reason=error.message, remedy=error.remedy)
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("bug", doing="tell a pod", pod=str(telling.pod))
            with self._lock:
                if self._waiting.get(key) is telling:
                    del self._waiting[key]
        return True

    def _say(self, telling: Telling, api: Api) -> None:
        try:
            self._record(telling.event, api, once=bool(telling.granted))
            if telling.granted:
                api.patch(f"{telling.pod.path}/status", granted_patch(telling.pod.uid, telling.granted))
        except ApiError as error:
            if error.status not in {404, 409}:
                raise  # the pod is gone, or another has its name: there is nobody to tell

    def _record(self, event: Event, api: Api, *, once: bool) -> None:
        now = datetime.now(UTC)
        count = self._counts[event.name] = self._counts.pop(event.name, 0) + 1
        if len(self._counts) > _MOST:
            del self._counts[next(iter(self._counts))]
        try:
            api.post(event.path, event.document(self._node, now))
        except ApiError as error:
            if error.status != 409:
                raise
            if not once:
                api.patch(f"{event.path}/{event.name}", again(now, max(count, 2)))
