"""The Node says how its addresses stand, whoever refuses Events."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.kube.node_api import ApiError, Document
from podvnet.kube.node_reporter import NodeReporter
from podvnet.kube.node_truth import CONDITION, condition_of
from podvnet.plan.address_pressure import AddressFigures


class NodeWithoutEvents:
    """A Node, and an API that takes no Events."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.patched: queue.Queue[Document] = queue.Queue()
        self.node: Document = {"metadata": {"name": "node1"}, "status": {"capacity": {"pods": "110"}}}

    def get(self, path: str, **query: Any) -> Document:
        return self.node

    def post(self, path: str, body: Document) -> Document:
        raise ApiError("denied by a webhook", "", self.status)

    def patch(self, path: str, body: Document, kind: str = "") -> Document:
        self.patched.put(body)
        return {**self.node, **body}

    def watch(self, path: str, **query: Any) -> Iterator[Document]:
        raise NotImplementedError

    def stop(self) -> None:
        """Nothing is followed."""


@pytest.mark.parametrize("status", [403, 409, 422])
def test_a_shortage_stands_at_the_node_though_its_event_is_refused(status: int) -> None:
    api = NodeWithoutEvents(status)
    reporter = NodeReporter(lambda: api, "node1", lambda low, pods: None)
    reporter.start()
    reporter.follow(AddressFigures(10, 10), "")
    patch = api.patched.get(timeout=60)
    reporter.stop()
    found = condition_of(patch)
    assert found is not None
    assert (found["type"], found["status"]) == (CONDITION, "True")
