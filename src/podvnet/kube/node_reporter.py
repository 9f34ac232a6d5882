"""A thread that keeps the Node object saying how its VM's addresses stand.

It reads the Node before it writes, at intervals and when the figures change: kubelet takes a capacity away that it does
not know when it registers its node anew, and a Node can be made anew as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import structlog

from podvnet.azure.error import SourceError
from podvnet.kube.node_api import STRATEGIC, Api, ApiError
from podvnet.kube.node_truth import patch_of, pods_of, was_low
from podvnet.plan.address_pressure import AddressFigures

_LEAST, _LONGEST = 1.0, 30.0
"""Seconds between looks: after a change, and without one."""

_log = structlog.get_logger()


class NodeReporter:
    """The thread.

    Args:
        connect: makes what speaks to the API; may raise :class:`SourceError`.
        node: its name.
        heard: called in the thread with what the Node said last of a shortage, and with kubelet's limit of pods.
    """

    def __init__(self, connect: Callable[[], Api], node: str, heard: Callable[[bool, int], None]) -> None:
        self._connect = connect
        self._node = node
        self._heard = heard
        self._path = f"/api/v1/nodes/{quote(node, safe='')}"
        self._wanted: tuple[AddressFigures, str] | None = None
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-reporter", daemon=True)
        self.obstacle: SourceError | None = None

    def start(self) -> None:
        """Start the thread; it waits for figures."""
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        self._stopped.set()
        self._changed.set()

    def follow(self, figures: AddressFigures, reason: str) -> None:
        """Say this of the Node.

        Args:
            figures: how the pool stands.
            reason: why it is no larger.
        """
        if (figures, reason) != self._wanted:
            self._wanted = (figures, reason)
            self._changed.set()

    def _run(self) -> None:
        while True:
            self._changed.wait(_LONGEST)
            self._changed.clear()
            if self._stopped.is_set():
                return
            if self._wanted is None:
                continue
            try:
                self._report(*self._wanted)
                self.obstacle = None
            except SourceError as error:
                if self.obstacle is None:
                    _log.warning("node_not_reported", reason=error.message, remedy=error.remedy)
                self.obstacle = error
            except Exception:  # noqa: BLE001 - a bug must not end the thread
                _log.exception("bug", doing="report to the Node")
            if self._stopped.wait(_LEAST):
                return

    def _report(self, figures: AddressFigures, reason: str) -> None:
        api = self._connect()
        node = api.get(self._path)
        patch, event = patch_of(node, figures, reason, datetime.now(UTC))
        if event is not None:
            try:
                api.post(event.path, event.document(self._node, datetime.now(UTC)))
            except ApiError as error:
                # What is told is for people; what the Node says is what pods are scheduled by.
                if error.retryable:
                    raise
                if error.status != 409:
                    _log.warning("not_told", node=self._node, reason=error.message, remedy=error.remedy)
        if patch is not None:
            node = api.patch(f"{self._path}/status", patch, STRATEGIC)
        self._heard(was_low(node), pods_of(node))
