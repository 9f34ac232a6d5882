"""A thread that finds out what a pod asks for, when that is not known from memory to be nothing.

The API is asked for the pod if the watch has not seen it yet, and for its namespace always: what that may ask for is
read when it counts. A question without an answer is asked again until it has one, or nobody wants to know any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog

from podvnet.azure.error import SourceError
from podvnet.kube.node_api import Api, ApiError
from podvnet.kube.pod_annotations import ask_of, refusal
from podvnet.kube.pod_record import PodRecord, read_pod
from podvnet.kube.retried_rounds import RetriedRounds
from podvnet.model.pod_ask import PodAsk
from podvnet.plugin.error import CniError, Code

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PodName:
    """Whose annotations are asked about: a name, and which pod of that name."""

    namespace: str
    name: str
    uid: str

    @property
    def path(self) -> str:
        """Of the pod in the API."""
        return f"{self.namespace_path}/pods/{quote(self.name, safe='')}"

    @property
    def namespace_path(self) -> str:
        """Of its namespace."""
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Answer = PodAsk | CniError | None
"""What a pod asks for, why it may not, or that it asks for nothing."""


def judge(pod: PodName, record: PodRecord | None, api: Api) -> Answer:
    """Find out what a pod asks for.

    Args:
        pod: which.
        record: it, if the watch has seen it.
        api: asked for what is not known.

    Raises:
        SourceError: there is no answer now.
    """
    if record is None:
        try:
            record = _read(api.get(pod.path), pod.path)
        except ApiError as error:
            if error.status != 404:
                raise
            return _another(pod, "no pod of that name any more")
    if record.uid != pod.uid:
        return _another(pod, f"another pod of that name (UID {record.uid})")
    if not record.asking:
        return None
    meta = api.get(pod.namespace_path).get("metadata") or {}
    refused = refusal(record.asking, pod.namespace, meta.get("labels") or {}, meta.get("annotations") or {})
    if refused is not None:
        return refused
    try:
        return ask_of(record.asking, record.ordinal)
    except CniError as error:
        return error


def _another(pod: PodName, known: str) -> CniError:
    """A pod must never get what another of its name asks for; kubelet tries again with what it knows by then."""
    return CniError(
        Code.TRY_AGAIN,
        f"{pod} (UID {pod.uid}) is to be attached, and the Kubernetes API knows {known}",
        "nothing is asked for it; the pod is being replaced",
    )


def _read(document: Mapping[str, Any], path: str) -> PodRecord:
    try:
        return read_pod(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{path}: no document of a pod: {error!r}", "is that a Kubernetes API?", True) from error


class PodInquiry:
    """The thread.

    Args:
        connect: makes what speaks to the API; may raise :class:`SourceError`.
        find: what the watch knows of a pod.
        deliver: called in the thread with each answer, and with what keeps an answer away.
    """

    def __init__(
        self,
        connect: Callable[[], Api],
        find: Callable[[str, str, str], PodRecord | None],
        deliver: Callable[[PodName, Answer | SourceError], None],
    ) -> None:
        self._connect = connect
        self._find = find
        self._deliver = deliver
        self._wanted: dict[PodName, None] = {}
        self._lock = threading.Lock()
        self._rounds = RetriedRounds("pod-inquiry", self._round, first=_FIRST_WAIT, longest=_LONGEST_WAIT)

    def start(self) -> None:
        """Start the thread; it waits to be asked."""
        self._rounds.start()

    def stop(self) -> None:
        """Stop; a question under way ends by its own time-out."""
        self._rounds.stop()

    def ask(self, pod: PodName) -> None:
        """Find out what a pod asks for."""
        with self._lock:
            self._wanted[pod] = None
        self._rounds.wake()

    def forget(self, pod: PodName) -> None:
        """Nobody wants to know any more."""
        with self._lock:
            self._wanted.pop(pod, None)

    def _round(self) -> bool:
        """Ask about every pod that is waited for; tell whether all have got an answer."""
        with self._lock:
            pods = [*self._wanted]
        answered = True
        for pod in pods:
            try:
                answer = judge(pod, self._find(pod.namespace, pod.name, pod.uid), self._connect())
            except SourceError as error:
                answered = False
                self._deliver(pod, error)
                continue
            except Exception as problem:  # noqa: BLE001 - a bug must not end the thread; the pod is told
                _log.exception("bug", doing="find out what a pod asks for", pod=str(pod))
                answer = CniError(Code.INTERNAL, f"what {pod} asks for was not found out: {problem!r}")
            self.forget(pod)
            self._deliver(pod, answer)
        return answered
