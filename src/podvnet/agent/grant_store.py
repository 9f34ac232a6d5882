"""The grants on disk: what is asked of the resource manager for pods, and what is kept for pods by their names.

SQLite with every commit on the disk, for a grant must outlive the machine: what is not in this file any more, nobody
would take back. So a row is written before the resource manager is asked, and deleted when nothing is left.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import structlog

from podvnet.model.attachment import AttachmentKey
from podvnet.model.pod_ask import PodAsk
from podvnet.model.pod_grant import GrantState, PodGrant
from podvnet.plugin.document import Document
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.pod_ask import parse_ask

GRANTS = "grants.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS grants (
    address TEXT PRIMARY KEY,
    pod TEXT NOT NULL, ifname TEXT NOT NULL,
    network TEXT, container TEXT,                -- NULL: kept for the pod's name
    ask TEXT NOT NULL,
    state TEXT NOT NULL,
    expires REAL,                                -- Unix time
    public TEXT NOT NULL,                        -- the public address that is made for it
    kept INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS asks (pod TEXT, ifname TEXT, ask TEXT NOT NULL, PRIMARY KEY (pod, ifname)) STRICT;
CREATE TABLE IF NOT EXISTS uids (address TEXT PRIMARY KEY, uid TEXT NOT NULL) STRICT;
"""
# A column more in a table would keep the version before from writing: what is added is a table of its own.
_EVERY = "SELECT grants.*, coalesce(uid, '') FROM grants LEFT JOIN uids USING (address)"

_log = structlog.get_logger()


class GrantStore:
    """The file, and what is in it as values. For one thread.

    Attributes:
        grants: by address.
        holders: the addresses of attachments.
        kept: the addresses that are kept for pods, by pod and interface.
        asks: what the agent's API was told to ask for pods, by pod and interface.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        try:
            self._connection = self._open(path)
        except sqlite3.DatabaseError:
            # It is put aside: it may tell a person which public addresses nobody takes back now.
            _log.exception("grants_lost", path=str(path), kept=f"{path}.bad")
            path.replace(f"{path}.bad")
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._connection = self._open(path)
        self.grants: dict[IPv4Address, PodGrant] = {}
        self.holders: dict[AttachmentKey, IPv4Address] = {}
        self.kept: dict[tuple[str, str], IPv4Address] = {}
        for each in map(_grant, self._connection.execute(_EVERY)):
            self._enter(each)
        self.asks = {(pod, ifname): _ask(text) for pod, ifname, text in self._connection.execute("SELECT * FROM asks")}

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def put(self, *grants: PodGrant) -> None:
        """Write grants, each over the one with its address.

        Raises:
            CniError: the disk refuses; as it was, it is.
        """
        if not grants:
            return
        with self._transaction():
            self._write(grants)
        self._replace(grants)

    def forget(self, address: IPv4Address) -> None:
        """Delete a grant of which nothing is left."""
        with self._transaction():
            self._connection.execute("DELETE FROM grants WHERE address = ?", (str(address),))
            self._connection.execute("DELETE FROM uids WHERE address = ?", (str(address),))
        self._leave(address)

    def note(self, pod: str, ifname: str, ask: PodAsk, *grants: PodGrant) -> None:
        """Keep what is to be asked for a pod when it comes, and write grants: both, or neither.

        Raises:
            CniError: the disk refuses; as it was, it is.
        """
        text = json.dumps(ask.values())
        with self._transaction():
            self._write(grants)
            self._connection.execute("INSERT OR REPLACE INTO asks VALUES (?, ?, ?)", (pod, ifname, text))
        self._replace(grants)
        self.asks[pod, ifname] = ask

    def drop(self, pod: str, ifname: str, *grants: PodGrant) -> bool:
        """Forget what is to be asked for a pod, and write grants: both, or neither.

        Returns:
            Whether anything was to be asked.

        Raises:
            CniError: the disk refuses; as it was, it is.
        """
        with self._transaction():
            self._write(grants)
            self._connection.execute("DELETE FROM asks WHERE pod = ? AND ifname = ?", (pod, ifname))
        self._replace(grants)
        return self.asks.pop((pod, ifname), None) is not None

    def _write(self, grants: tuple[PodGrant, ...]) -> None:
        for each in grants:
            self._connection.execute("INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(each))
            if each.uid:
                self._connection.execute("INSERT OR REPLACE INTO uids VALUES (?, ?)", (str(each.address), each.uid))
            else:
                self._connection.execute("DELETE FROM uids WHERE address = ?", (str(each.address),))

    def _replace(self, grants: tuple[PodGrant, ...]) -> None:
        for each in grants:
            self._leave(each.address)
            self._enter(each)

    def _enter(self, grant: PodGrant) -> None:
        self.grants[grant.address] = grant
        if grant.holder is not None:
            self.holders[grant.holder] = grant.address
        if grant.ask.sticky and grant.state is not GrantState.LEAVING:
            self.kept[grant.pod, grant.ifname] = grant.address

    def _leave(self, address: IPv4Address) -> None:
        grant = self.grants.pop(address, None)
        if grant is None:
            return
        if grant.holder is not None:
            self.holders.pop(grant.holder, None)
        if self.kept.get((grant.pod, grant.ifname)) == address:
            del self.kept[grant.pod, grant.ifname]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that the block changes, on the disk, or nothing.

        Raises:
            CniError: the disk refuses.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise CniError(
                Code.IO_FAILURE, f"{self._path} cannot be written: {error}", "is the disk full, or read-only?"
            ) from error


def _row(grant: PodGrant) -> tuple[Any, ...]:
    holder = grant.holder
    return (
        str(grant.address),
        grant.pod,
        grant.ifname,
        holder.network if holder else None,
        holder.container if holder else None,
        json.dumps(grant.ask.values()),
        str(grant.state),
        grant.expires,
        grant.public,
        int(grant.kept),
    )


def _grant(row: tuple[Any, ...]) -> PodGrant:
    address, pod, ifname, network, container, ask, state, expires, public, kept, uid = row
    holder = None if container is None else AttachmentKey(network, container, ifname)
    return PodGrant(
        IPv4Address(address), pod, ifname, holder, _ask(ask), GrantState(state), expires, public, bool(kept), uid
    )


def _ask(text: str) -> PodAsk:
    # A later version may have written what this one does not know: the rest of the ask is undone all the same.
    return parse_ask(Document(json.loads(text), lenient=True)) or PodAsk()
