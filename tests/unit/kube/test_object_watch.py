"""What is known of objects, when answers and watches come in either order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from podvnet.kube.cluster_api import ApiError, Document, Query
from podvnet.kube.object_watch import ObjectWatch
from podvnet.kube.service import CLEANUP, read_service
from podvnet.kube.service_desk import ServiceDesk, StaleError

PATH = "/api/v1/services"


def service(version: int, uid: str = "a", finalizers: tuple[str, ...] = ()) -> Document:
    metadata = {"uid": uid, "name": "web", "namespace": "default", "resourceVersion": str(version)}
    return {"metadata": {**metadata, "finalizers": list(finalizers)}, "spec": {"type": "LoadBalancer"}}


class Scripted:
    """An API whose lists and watches are written down; afterwards nothing comes any more."""

    def __init__(self, *watches: list[Document] | ApiError) -> None:
        self.watches = list(watches)
        self.lists: list[list[Document]] = []
        self.asked: list[tuple[str, str, Document | None]] = []
        self.answers: list[Document | ApiError] = []

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = "", query: Query | None = None
    ) -> Document:
        if path == PATH and method == "GET":
            if not self.lists:
                await asyncio.Event().wait()
            return {"metadata": {"resourceVersion": "1"}, "items": self.lists.pop(0)}
        self.asked.append((method, path, body))
        answer = self.answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        if not self.watches:
            await asyncio.Event().wait()
        script = self.watches.pop(0)
        if isinstance(script, ApiError):
            raise script
        for each in script:
            yield each


def followed(api: Scripted) -> ObjectWatch:
    """A watch that has followed all there is."""

    async def run() -> ObjectWatch:
        watch = ObjectWatch(api, PATH, lambda: None)
        task = asyncio.create_task(watch.follow())
        await watch.listed.wait()
        for _ in range(1000):
            await asyncio.sleep(0)
        task.cancel()
        return watch

    return asyncio.run(run())


def test_what_a_watch_says_comes_after_the_list_and_bookmarks_change_nothing() -> None:
    api = Scripted(
        [
            {"type": "MODIFIED", "object": service(5)},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
            {"type": "ADDED", "object": service(10, "b")},
        ]
    )
    api.lists = [[service(1)]]
    assert followed(api).objects == {"a": service(5), "b": service(10, "b")}


@pytest.mark.parametrize(
    "end", [ApiError("too old", 410), [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}]]
)
def test_after_a_watch_that_is_too_old_what_is_no_longer_listed_is_gone(end: Any) -> None:
    api = Scripted(end)
    api.lists = [[service(1), service(2, "b")], [service(3)]]
    assert followed(api).objects == {"a": service(3)}


def test_an_answer_is_taken_in_unless_something_later_is_known_or_the_object_is_gone() -> None:
    api = Scripted()
    api.lists = [[service(5)]]
    watch = followed(api)
    watch.learn(service(7))
    watch.learn(service(6))
    watch.learn(service(8, "gone"))
    assert watch.objects == {"a": service(7)}


def desk(api: Scripted, watch: ObjectWatch) -> ServiceDesk:
    return ServiceDesk(api, "test", watch.objects.get, watch.learn, watch.forget)


def test_a_service_that_is_gone_while_another_has_its_name_is_forgotten() -> None:
    api = Scripted()
    api.lists = [[service(5, finalizers=(CLEANUP,))]]
    watch = followed(api)
    api.answers = [ApiError("conflict", 409), service(9, "another")]
    assert asyncio.run(desk(api, watch).release(read_service(service(5)))) is None
    assert watch.objects == {}


def test_a_service_that_has_changed_is_known_as_it_is_then() -> None:
    api = Scripted()
    api.lists = [[service(5)]]
    watch = followed(api)
    api.answers = [ApiError("conflict", 409), service(9)]
    with pytest.raises(StaleError):
        asyncio.run(desk(api, watch).claim(read_service(service(5)), ()))
    assert watch.objects == {"a": service(9)}


def test_finalizers_of_others_stay() -> None:
    api = Scripted()
    api.lists = [[service(6, finalizers=("theirs", CLEANUP))]]
    watch = followed(api)
    api.answers = [service(7, finalizers=("theirs",))]
    asyncio.run(desk(api, watch).release(read_service(service(5, finalizers=(CLEANUP,)))))
    ((_, _, body),) = api.asked
    assert body is not None
    assert body["metadata"]["finalizers"] == ["theirs"]
    assert body["metadata"]["resourceVersion"] == "6"


@pytest.mark.parametrize(
    "end",
    [ApiError("not allowed to watch", 403), ApiError("too old", 410), []],
    ids=["refused", "always too old", "ended at once"],
)
def test_a_watch_that_tells_nothing_is_not_asked_for_in_a_circle(end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 10:
            raise asyncio.CancelledError

    monkeypatch.setattr("podvnet.kube.object_watch.asyncio.sleep", sleep)
    api = Scripted(*[end] * 10)
    api.lists = [[service(1)]] * 10
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ObjectWatch(api, PATH, lambda: None).follow())
    assert waits[0] <= 0.2
    assert sorted(waits) == waits
    assert waits[-1] == 10.0


def test_a_watch_that_has_told_something_and_is_too_old_then_is_begun_anew_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    api = Scripted(
        [{"type": "MODIFIED", "object": service(5)}, {"type": "ERROR", "object": {"code": 410, "message": "old"}}],
        ApiError("over", -1),
    )
    api.lists = [[service(1)], [service(6)]]
    monkeypatch.setattr("podvnet.kube.object_watch.asyncio.sleep", sleep)

    async def run() -> dict[str, Document]:
        watch = ObjectWatch(api, PATH, lambda: None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(watch.follow(), 0.05)
        return watch.objects

    assert asyncio.run(run()) == {"a": service(6)}
    assert waits[0] == 0.0
