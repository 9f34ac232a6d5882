"""The fabric's resources on disk: SQLite, one row a resource.

The store is the truth about what should be; the kernel is made to agree with it at every start. A change and its
carrying out in the kernel are one transaction: if the kernel refuses, the row is as before.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from podvnet.fabric.arm.world import Document, World

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    key TEXT PRIMARY KEY,           -- the id in lower case
    position INTEGER NOT NULL,      -- the order of creation
    origin TEXT NOT NULL,           -- 'file' when a file declared it, 'api' when the API made it
    document TEXT NOT NULL          -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS groups (
    key TEXT PRIMARY KEY,           -- subscription and name in lower case, with a slash between
    document TEXT NOT NULL          -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS deployments (
    key TEXT PRIMARY KEY,           -- the id in lower case
    document TEXT NOT NULL,         -- JSON, as a GET shows it
    operations TEXT NOT NULL        -- JSON, what became of each resource
) STRICT;
"""
_VERSION = 2
_UPGRADED = {0, 1}
"""Versions whose files become this one's by the tables they lack: a new file, and one without deployments."""


class Store:
    """The database. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in {*_UPGRADED, _VERSION}:
            self._connection.close()
            msg = f"{path} was written by another version of podvnet (schema {found}, this one knows {_VERSION})"
            raise ValueError(msg)
        self._connection.executescript(_SCHEMA)
        self._connection.execute(f"PRAGMA user_version={_VERSION}")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def load(self) -> tuple[World, dict[str, str]]:
        """Read every resource; also the origin of each, by key."""
        world, origins = World(), {}
        for key, origin, text in self._connection.execute(
            "SELECT key, origin, document FROM resources ORDER BY position"
        ):
            document: Document = json.loads(text)
            world.put(document)
            origins[key] = origin
        return world, origins

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing of it when it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def write(self, documents: Iterable[Document], origin: str) -> None:
        """Add or replace resources; one that is there keeps its position and origin."""
        self._connection.executemany(
            "INSERT INTO resources (key, position, origin, document)"
            " VALUES (?, (SELECT coalesce(max(position), 0) + 1 FROM resources), ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET document = excluded.document",
            ((document["id"].lower(), origin, json.dumps(document)) for document in documents),
        )

    def remove(self, keys: Iterable[str]) -> None:
        """Take resources out."""
        self._connection.executemany("DELETE FROM resources WHERE key = ?", ((key,) for key in keys))

    def groups(self) -> dict[str, Document]:
        """The resource groups that were made by name, by key."""
        return {key: json.loads(text) for key, text in self._connection.execute("SELECT key, document FROM groups")}

    def write_group(self, key: str, document: Document) -> None:
        """Add or replace a resource group."""
        self._connection.execute(
            "INSERT INTO groups VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET document = excluded.document",
            (key, json.dumps(document)),
        )

    def remove_group(self, key: str) -> None:
        """Take a resource group out."""
        self._connection.execute("DELETE FROM groups WHERE key = ?", (key,))

    def deployments(self) -> dict[str, tuple[Document, list[Document]]]:
        """The records of deployments and their operations, by key, in the order of creation."""
        rows = self._connection.execute("SELECT key, document, operations FROM deployments ORDER BY rowid")
        return {key: (json.loads(document), json.loads(operations)) for key, document, operations in rows}

    def write_deployment(self, key: str, document: Document, operations: list[Document]) -> None:
        """Add or replace the record of a deployment."""
        self._connection.execute(
            "INSERT INTO deployments VALUES (?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET document = excluded.document, operations = excluded.operations",
            (key, json.dumps(document), json.dumps(operations)),
        )

    def remove_deployments(self, keys: Iterable[str]) -> None:
        """Forget the records of deployments."""
        self._connection.executemany("DELETE FROM deployments WHERE key = ?", ((key,) for key in keys))
