"""The controller put together, with an API server in memory: from a Service that is seen to its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from podvnet.kube.cluster_api import ApiError, Document, Query
from podvnet.kube.service_controller import SERVICES, SLICES, ControllerSettings, ServiceController
from podvnet.testing.memory_cluster import MemoryCluster
from podvnet.testing.service_stage import ServiceStage


class MemoryApi:
    """Lists, watches and patches of the Services of a cluster in memory; anything else that is made is kept.

    Attributes:
        made: what was created or replaced, by its path.
        refused: paths that are refused with 403.
    """

    def __init__(self, cluster: MemoryCluster) -> None:
        self.made: dict[str, Document] = {}
        self.refused: set[str] = set()
        self._cluster = cluster
        self._versions = itertools.count(100)
        self._watches: dict[str, asyncio.Queue[Document]] = {SERVICES: asyncio.Queue(), SLICES: asyncio.Queue()}

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = "", query: Query | None = None
    ) -> Document:
        if path in self.refused:
            raise ApiError(f"{path} is forbidden", 403)
        if method == "GET" and path in self._watches:
            items = [*self._cluster.services.values()] if path == SERVICES else self._slices()
            for each in items:
                each["metadata"].setdefault("resourceVersion", "1")
            return {"metadata": {"resourceVersion": str(next(self._versions))}, "items": items}
        if method == "GET":
            if path not in self.made:
                raise ApiError(f"{path} is not there", 404)
            return self.made[path]
        assert body is not None
        if method == "PATCH":
            return self._patch(path.split("/")[6], body)
        place = path if method == "PUT" else f"{path}/{body['metadata']['name']}"
        self.made[place] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(next(self._versions))}}
        return self.made[place]

    async def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        while True:
            yield await self._watches[path].get()

    def change(self, name: str) -> None:
        """Something of a Service changes."""
        self._patch(name, {})

    def _slices(self) -> list[Document]:
        found = [each for many in self._cluster.slices.values() for each in many]
        for each in found:
            each["metadata"].setdefault("uid", each["metadata"]["name"] + each["addressType"])
        return found

    def _patch(self, name: str, body: Document) -> Document:
        there = self._cluster.services[name]
        metadata = {**there["metadata"], "resourceVersion": str(next(self._versions))}
        for key, value in body.get("metadata", {}).items():
            if key == "annotations":
                metadata[key] = {k: v for k, v in (metadata.get(key, {}) | value).items() if v is not None}
            elif key == "finalizers":
                metadata[key] = value
        self._cluster.services[name] = {**there, "metadata": metadata, "status": body.get("status", there["status"])}
        self._watches[SERVICES].put_nowait({"type": "MODIFIED", "object": self._cluster.services[name]})
        return self._cluster.services[name]


async def until(condition: Callable[[], Any], controller: asyncio.Task[None]) -> None:
    """Let the controller work until a condition holds."""
    async with asyncio.timeout(60):
        while not condition():
            assert not controller.done(), controller
            await asyncio.sleep(0.01)


def test_a_service_gets_its_address_and_the_lease_is_given_up_at_the_end(stage: ServiceStage) -> None:
    api = MemoryApi(stage.cluster)
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")

    async def run() -> ServiceController:
        controller = ServiceController(api, stage.edge, stage.home, ControllerSettings(interval=0.0))
        assert not controller.readings().leader
        task = asyncio.create_task(controller.run())
        await until(lambda: stage.cluster.addresses("web"), task)
        await until(lambda: controller.readings().behind == 0.0, task)
        readings = controller.readings()
        assert readings.leader
        assert readings.services == {"served": 1, "held": 0, "going": 0}
        assert readings.rounds["done"] >= 1
        assert readings.followed == {"services": True, "endpointslices": True}
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return controller

    asyncio.run(run())
    lease = api.made["/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/podvnet-controller"]
    assert lease["spec"]["holderIdentity"] == ""


def test_a_cluster_that_lets_nobody_list_is_waited_for_and_said(stage: ServiceStage) -> None:
    api = MemoryApi(stage.cluster)
    api.refused = {SLICES}
    stage.cluster.put("web")

    async def run() -> None:
        controller = ServiceController(api, stage.edge, stage.home, ControllerSettings(interval=0.0))
        task = asyncio.create_task(controller.run())
        await until(lambda: controller.readings().followed["services"], task)
        assert not controller.readings().followed["endpointslices"]
        assert stage.edge.writes == []
        api.refused = set()
        await until(lambda: stage.cluster.addresses("web"), task)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())


@pytest.mark.parametrize("ticks", range(6))
def test_it_ends_though_something_changes_at_the_same_moment(stage: ServiceStage, ticks: int) -> None:
    api = MemoryApi(stage.cluster)
    stage.cluster.put("web")

    async def run() -> bool:
        controller = ServiceController(api, stage.edge, stage.home, ControllerSettings(interval=0.0))
        task = asyncio.create_task(controller.run())
        await until(lambda: stage.cluster.addresses("web") and controller.readings().behind == 0.0, task)
        api.change("web")
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=20)
        return bool(done)

    assert asyncio.run(run())
