"""The agent's side of Kubernetes: what pods ask for by annotations, what they are told, and what the Node says.

The threads of ``kube/`` speak to the API; here, in the agent's one thread, is what they found out. An ADD of a pod that
asks for nothing is answered from memory: from the annotations that the runtime hands over, or from the watch. Only
where neither says so the API is asked, and ADD waits for it; when it does not answer in time, ADD fails with code 11,
because to attach the pod without what it asks for (a group that protects it, an address that others expect) is worse
than to have kubelet try again.

Imports ``kube``, so it is imported only where an agent is told of a cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.pod_grants import PodGrants
from podvnet.azure.error import SourceError
from podvnet.kube.node_api import Connector
from podvnet.kube.node_reporter import NodeReporter
from podvnet.kube.pod_annotations import asking
from podvnet.kube.pod_events import granted_text
from podvnet.kube.pod_inquiry import Answer, PodInquiry, PodName
from podvnet.kube.pod_record import is_static
from podvnet.kube.pod_teller import PodTeller, given, refused
from podvnet.kube.pod_watch import PodWatch
from podvnet.model.pod_ask import PodAsk
from podvnet.plan.address_pressure import AddressFigures
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.request import Request

_PATIENCE = 10.0
"""Seconds that an ADD waits for the API, before kubelet is told to try again."""


class Kubernetes:
    """For the agent's one thread.

    Args:
        kubeconfig: the node's credentials; see :func:`podvnet.kube.node_access.read_access`.
        node: the Node's name.
        grants: what is asked for pods; None when the agent asks nothing of the resource manager.
        heard: called in the agent's thread with what the Node said last of a shortage of addresses, and with kubelet's
            limit of pods.
    """

    def __init__(
        self, kubeconfig: Path, node: str, grants: PodGrants | None, heard: Callable[[bool, int], None]
    ) -> None:
        self._grants = grants
        self._node = node
        self._answers: dict[PodName, Answer] = {}
        self._asked: set[PodName] = set()
        self._obstacle: SourceError | None = None
        self._submit: Callable[[Callable[[], None]], None]
        self._changed: Callable[[], None]
        connect = Connector(kubeconfig)
        with contextlib.suppress(SourceError):
            connect()  # reads YAML: imported now, not while pods are attached; what is wrong the threads will tell
        self._watch = PodWatch(connect, node, lambda: self._submit(self.tell))
        self._inquiry = PodInquiry(connect, self._watch.find, lambda pod, found: self._submit(self._heard(pod, found)))
        self._teller = PodTeller(connect, node)
        self._reporter = NodeReporter(connect, node, lambda low, pods: self._submit(lambda: heard(low, pods)))

    def start(self, submit: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            submit: runs something in the agent's thread.
            changed: called there when those who wait should try again.
        """
        self._submit, self._changed = submit, changed
        for each in (self._watch, self._inquiry, self._teller, self._reporter):
            each.start()

    def stop(self) -> None:
        """Stop the threads; none is waited for."""
        for each in (self._watch, self._inquiry, self._teller, self._reporter):
            each.stop()

    # -- ADD

    def asked_by(self, request: Request) -> PodAsk | None:
        """What a pod asks for by its annotations; None for nothing.

        Raises:
            CniError: it is refused.
            MustWaitError: that is not known yet.
        """
        pod = _named(request)
        if pod is None:
            return None
        handed_over = request.config.runtime_config.annotations
        if handed_over and not asking(handed_over):
            return None  # kubelet's own are among them, so they are the pod's
        if pod not in self._answers:
            record = self._watch.find(pod.namespace, pod.name, pod.uid)
            if record is not None and not record.asking:
                return None
            if pod not in self._asked:
                self._asked.add(pod)
                self._inquiry.ask(pod)
            raise self._not_yet(pod)
        answer = self._answers[pod]
        if isinstance(answer, CniError):
            raise answer
        return answer

    def refused(self, request: Request, error: CniError) -> None:
        """Tell a pod that it does not get what it asks for, by an Event."""
        pod = _named(request)
        if pod is not None and error.code is not Code.TRY_AGAIN:
            self._teller.tell(refused(pod, error.msg, error.details))

    def done(self, request: Request) -> None:
        """An ADD has an answer: the next is to ask anew."""
        pod = _named(request)
        if pod is not None:
            self._asked.discard(pod)
            self._answers.pop(pod, None)
            self._inquiry.forget(pod)

    def _heard(self, pod: PodName, found: Answer | SourceError) -> Callable[[], None]:
        def take_in() -> None:
            if pod not in self._asked:
                return
            if isinstance(found, SourceError):
                self._obstacle = found
            else:
                self._obstacle = None
                self._answers[pod] = found
            self._changed()

        return take_in

    def _not_yet(self, pod: PodName) -> MustWaitError:
        reason = f"what {pod} asks for by annotations is not known yet"
        if self._obstacle is not None:
            reason = f"{reason}: {self._obstacle.message}"
        error = CniError(Code.TRY_AGAIN, reason, self._obstacle.remedy if self._obstacle else "try again")
        return MustWaitError(0.0, error, growing=True, asking=True, patience=_PATIENCE)

    # -- telling

    def tell(self) -> None:
        """Have every pod on this node say what it was given; what it says already is left alone."""
        for grant, public in self._grants.granted() if self._grants else ():
            namespace, _, name = grant.pod.partition("/")
            record = self._watch.find(namespace, name, grant.uid) if grant.uid else None
            if record is None or not record.asking:
                continue  # it is told once the watch has seen it; others were asked for by other means
            text = granted_text(grant, public)
            if record.granted != text:
                self._teller.tell(given(PodName(namespace, name, grant.uid), text))

    def follow(self, figures: AddressFigures, reason: str) -> None:
        """Have the Node say how the pool stands; ``reason``: why it is no larger."""
        self._reporter.follow(figures, reason)

    def report(self) -> dict[str, Any]:
        """How it stands with the API, for JSON."""
        obstacle = self._watch.obstacle or self._reporter.obstacle
        return {
            "node": self._node,
            "pods": len(self._watch.records()),
            "obstacle": obstacle.message if obstacle else "",
            "remedy": obstacle.remedy if obstacle else "",
        }


def _named(request: Request) -> PodName | None:
    """The pod that a request is for, when it is one that the API may know annotations of."""
    pod = PodName(request.pod_namespace, request.pod_name, request.pod_uid)
    return pod if pod.namespace and pod.name and pod.uid and not is_static(pod.uid) else None
