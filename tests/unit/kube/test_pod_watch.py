"""The pods of a node in memory: lists, what follows them, and what goes wrong in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.azure.error import SourceError
from podvnet.kube import pod_watch
from podvnet.kube.node_api import ApiError, Document
from podvnet.kube.pod_watch import PodWatch
from podvnet.testing.cni import eventually


def pod(name: str, uid: str = "1", version: str = "1", **annotations: str) -> Document:
    own = {f"podvnet.io/{key}": text for key, text in annotations.items()}
    meta = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version, "annotations": own}
    return {"metadata": meta}


def event(kind: str, document: Document) -> Document:
    return {"type": kind, "object": document}


class ScriptedApi:
    """Answers lists and watches from a script; after its end a watch lasts until it is stopped."""

    def __init__(self) -> None:
        self.lists: list[list[Document] | SourceError] = []
        self.watches: list[list[Document | SourceError]] = []
        self.versions: list[str] = []
        self.ended = threading.Event()
        self.asker: threading.Thread | None = None

    def get(self, path: str, **query: Any) -> Document:
        assert query["fieldSelector"] == "spec.nodeName=node1"
        self.asker = threading.current_thread()
        found = self.lists.pop(0)
        if isinstance(found, SourceError):
            raise found
        if "continue" not in query and len(found) > 1:
            self.lists.insert(0, found[1:])
            return {"items": found[:1], "metadata": {"continue": "more", "resourceVersion": "7"}}
        return {"items": found, "metadata": {"resourceVersion": "7"}}

    def watch(self, path: str, **query: Any) -> Iterator[Document]:
        self.versions.append(query["resourceVersion"])
        if not self.watches:
            self.ended.wait(60)
            return
        for each in self.watches.pop(0):
            if isinstance(each, SourceError):
                raise each
            yield each

    def post(self, path: str, body: Document) -> Document:
        raise NotImplementedError

    def patch(self, path: str, body: Document, kind: str = "") -> Document:
        raise NotImplementedError

    def stop(self) -> None:
        self.ended.set()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> ScriptedApi:
    monkeypatch.setattr(pod_watch, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(pod_watch, "_BETWEEN", 0.01)
    return ScriptedApi()


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def watch(api: ScriptedApi, changes: list[int]) -> Iterator[PodWatch]:
    made = PodWatch(lambda: api, "node1", lambda: changes.append(1), chance=lambda: 0.0)
    yield made
    made.stop()


def names(watch: PodWatch) -> list[str]:
    return sorted(f"{each.name} {each.uid}" for each in watch.records())


def test_pods_are_listed_page_by_page_and_followed(api: ScriptedApi, watch: PodWatch) -> None:
    api.lists = [[pod("a"), pod("b")]]
    api.watches = [
        [event("ADDED", pod("c", version="8")), event("DELETED", pod("a", version="9"))],
        [event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})],
    ]
    watch.start()
    assert eventually(lambda: api.versions == ["7", "9", "20"])
    assert names(watch) == ["b 1", "c 1"]
    assert watch.obstacle is None
    assert watch.find("shop", "c", "1") is not None
    assert watch.find("shop", "c", "2") is None, "another pod of the name"


def test_the_end_of_a_pod_says_nothing_of_the_next_of_its_name(api: ScriptedApi, watch: PodWatch) -> None:
    api.lists = [[pod("a", "1")]]
    api.watches = [[event("ADDED", pod("a", "2", "8")), event("DELETED", pod("a", "1", "9"))]]
    watch.start()
    assert eventually(lambda: api.versions == ["7", "9"])
    assert names(watch) == ["a 2"]


def test_a_version_that_is_too_old_is_met_by_a_new_list(api: ScriptedApi, watch: PodWatch) -> None:
    api.lists = [[pod("a")], [pod("b")]]
    api.watches = [[ApiError("too old", "", 410)]]
    watch.start()
    assert eventually(lambda: names(watch) == ["b 1"])


def test_what_is_known_stays_known_while_the_api_is_away(api: ScriptedApi, watch: PodWatch) -> None:
    silence = SourceError("away", "", retryable=True)
    api.lists = [[pod("a")], silence, silence, [pod("a"), pod("b")]]
    api.watches = [[silence]]
    watch.start()
    assert eventually(lambda: watch.obstacle is not None or names(watch) == ["a 1", "b 1"])
    assert watch.find("shop", "a", "1") is not None
    assert eventually(lambda: names(watch) == ["a 1", "b 1"])
    assert watch.obstacle is None


def test_a_watch_that_is_refused_is_asked_for_ever_later_though_lists_are_answered(
    api: ScriptedApi, watch: PodWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    original = threading.Event.wait

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is api.asker and self is not api.ended:
            waits.append(timeout or 0.0)
            return original(self, 0)
        return original(self, timeout)

    monkeypatch.setattr(threading.Event, "wait", wait)
    api.lists = [[pod("a")] for _ in range(6)]
    api.watches = [[ApiError("forbidden", "", 403)] for _ in range(5)]
    watch.start()
    assert eventually(lambda: len(api.versions) == 6)
    assert waits == [0.005, 0.01, 0.02, 0.04, 0.08]


def test_what_changes_of_a_pod_without_concerning_us_is_no_change(
    api: ScriptedApi, watch: PodWatch, changes: list[int]
) -> None:
    api.lists = [[pod("a")]]
    api.watches = [[event("MODIFIED", pod("a", version="8"))], [event("MODIFIED", pod("a", version="9", egress="pod"))]]
    watch.start()
    assert eventually(lambda: api.versions == ["7", "8", "9"])
    assert len(changes) == 2, "the list, and the annotation"
