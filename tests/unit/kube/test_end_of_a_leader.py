"""A controller that ends gives the Lease up, unless a write of it is still under way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from podvnet.azure.resource_manager import Resource, ResourceManager
from podvnet.kube.cluster_api import ApiError, Document, Query
from podvnet.kube.edge import ManagerEdge
from podvnet.kube.lease import Lease
from podvnet.model.resource_id import Scope, parse

GUARD = parse("networkSecurityGroups/guard", Scope())


class OneLease:
    """An API with one Lease."""

    def __init__(self) -> None:
        self.lease: Document | None = None

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = "", query: Query | None = None
    ) -> Document:
        if method == "GET":
            if self.lease is None:
                raise ApiError("there is none", 404)
            return self.lease
        assert body is not None
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": method}}
        return self.lease

    async def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        for each in list[Document]():
            yield each


@pytest.mark.parametrize(("busy", "holder"), [(False, ""), (True, "me")])
def test_a_lease_is_given_up_when_nothing_is_under_way_any_more(busy: bool, holder: str) -> None:
    async def run() -> Document | None:
        api, held = OneLease(), asyncio.Event()
        lease = Lease(api, "kube-system", "x", "me", held.set, busy=lambda: busy)
        task = asyncio.create_task(lease.keep())
        await held.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return api.lease

    lease = asyncio.run(run())
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == holder


class SlowManager:
    """A resource manager that is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def put(self, *_: Any) -> Resource:
        self.asked.set()
        self.answer.wait(60)
        return Resource({}, "1")

    def settle(self, resource: Any, written: Resource) -> Resource:
        return written


def test_a_write_that_nobody_waits_for_any_more_is_still_under_way() -> None:
    manager = SlowManager()

    async def run() -> tuple[bool, bool, bool]:
        edge = ManagerEdge(lambda: cast("ResourceManager", manager))
        before = edge.writing
        task = asyncio.create_task(edge.put(GUARD, {}, ""))
        await asyncio.to_thread(manager.asked.wait, 60)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        meanwhile = edge.writing
        manager.answer.set()
        await edge.ask(lambda _: None)
        return before, meanwhile, edge.writing

    assert asyncio.run(run()) == (False, True, False)
