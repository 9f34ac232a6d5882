from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "fabric.db"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def written(path: Path, world: World, origin: str = "file") -> None:
    with opened(path) as store, store.transaction():
        store.write(world.documents.values(), origin)


def loaded(path: Path) -> tuple[World, dict[str, str]]:
    with opened(path) as store:
        return store.load()


def host(name: str, address: str = "8.8.8.8") -> Document:
    return {"id": f"/X/{name}", "type": "Podvnet.Fabric/internetHosts", "properties": {"address": address}}


def order(path: Path) -> list[str]:
    return [document["id"] for document in loaded(path)[0].documents.values()]


def test_a_new_store_is_empty(path: Path) -> None:
    assert loaded(path) == (World(), {})


def test_what_is_written_is_read_by_the_next_process(path: Path, world: World) -> None:
    written(path, world)
    again, origins = loaded(path)
    assert again == world
    assert list(again.documents) == list(world.documents)
    assert origins == dict.fromkeys(world.documents, "file")


def test_the_order_of_creation_is_kept(path: Path) -> None:
    with opened(path) as store:
        store.write([host("c"), host("a"), host("b")], "file")
        store.write([host("a", "8.8.4.4"), host("d")], "file")
    assert order(path) == ["/X/c", "/X/a", "/X/b", "/X/d"]
    with opened(path) as store:
        store.remove(["/x/c"])
        store.write([host("c")], "file")
    assert order(path) == ["/X/a", "/X/b", "/X/d", "/X/c"]
    assert loaded(path)[0].documents["/x/a"]["properties"]["address"] == "8.8.4.4"


def test_the_first_origin_is_kept(path: Path) -> None:
    with opened(path) as store:
        store.write([host("a")], "api")
        store.write([host("A"), host("b")], "file")
    assert loaded(path)[1] == {"/x/a": "api", "/x/b": "file"}
    assert order(path) == ["/X/A", "/X/b"]


def test_removing_what_is_not_there_is_no_error(path: Path) -> None:
    with opened(path) as store:
        store.write([host("a")], "file")
        store.remove(["/x/b"])
    assert order(path) == ["/X/a"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_transaction_that_fails_leaves_nothing(path: Path, failure: type[BaseException]) -> None:
    def change_and_fail() -> None:
        with store.transaction():
            store.remove(["/x/kept"])
            store.write([host("changed", "8.8.4.4"), host("new")], "file")
            raise failure

    with opened(path) as store:
        store.write([host("kept"), host("changed")], "file")
        with pytest.raises(failure):
            change_and_fail()
        # The store is as usable as before.
        with store.transaction():
            store.write([host("later")], "file")
    assert order(path) == ["/X/kept", "/X/changed", "/X/later"]
    assert loaded(path)[0].documents["/x/changed"]["properties"]["address"] == "8.8.8.8"


def test_what_is_not_committed_is_not_seen(path: Path) -> None:
    with opened(path) as store, contextlib.closing(sqlite3.connect(path)) as reader:
        with store.transaction():
            store.write([host("a")], "file")
            assert reader.execute("SELECT key FROM resources").fetchall() == []
        assert reader.execute("SELECT key FROM resources").fetchall() == [("/x/a",)]


def test_only_the_owner_may_read_it(path: Path, world: World) -> None:
    with opened(path) as store:
        store.write(world.documents.values(), "file")
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_store_of_another_version_is_refused(path: Path) -> None:
    written(path, World())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ValueError, match=r"another version of podvnet \(schema 99, this one knows 2\)"):
        Store(path)


def test_text_of_every_kind_survives(path: Path) -> None:
    document = host("a") | {"tags": {"Grüße": "\U0001f310", "quote": "'\"", "nul": "\0"}}
    with opened(path) as store:
        store.write([document], "file")
    assert loaded(path)[0].documents["/x/a"] == document


def test_a_store_of_the_first_version_is_upgraded_in_place(path: Path, world: World) -> None:
    written(path, world)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE deployments")
        connection.execute("PRAGMA user_version=1")
    with opened(path) as store:
        assert store.load()[0] == world
        assert store.deployments() == {}
        store.write_deployment("/x/d", {"id": "/X/d"}, [])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with opened(path) as store:
        assert store.deployments() == {"/x/d": ({"id": "/X/d"}, [])}


def test_deployments_are_kept_in_the_order_of_creation(path: Path) -> None:
    with opened(path) as store:
        for name in ("c", "a", "b"):
            store.write_deployment(f"/x/{name}", {"id": name}, [{"operationId": "0"}])
        store.write_deployment("/x/a", {"id": "a", "again": True}, [])
        store.remove_deployments(["/x/b", "/x/nothing"])
    with opened(path) as store:
        found = store.deployments()
    assert list(found) == ["/x/c", "/x/a"]
    assert found["/x/a"] == ({"id": "a", "again": True}, [])
    assert found["/x/c"] == ({"id": "c"}, [{"operationId": "0"}])
