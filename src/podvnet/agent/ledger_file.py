"""The ledger's file: its tables, its version, and the boot that it is of."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS boot (id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS attachments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice in a boot
    network TEXT NOT NULL, container TEXT NOT NULL, ifname TEXT NOT NULL,
    state TEXT NOT NULL,
    mode TEXT NOT NULL,                         -- '' when only addresses were asked for
    mac TEXT NOT NULL, mtu INTEGER NOT NULL,
    sandbox TEXT NOT NULL, sandbox_id TEXT NOT NULL,
    pod TEXT NOT NULL,
    result BLOB,
    UNIQUE (network, container, ifname)
) STRICT;
CREATE TABLE IF NOT EXISTS addresses (
    address TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    interface TEXT NOT NULL, gateway TEXT NOT NULL,
    listed INTEGER NOT NULL,                    -- the source still names it
    position INTEGER NOT NULL,                  -- in the source's order
    holder INTEGER REFERENCES attachments (number),
    released REAL                               -- seconds since boot; NULL: never held
) STRICT;
CREATE INDEX IF NOT EXISTS free ON addresses (version, listed, released, position) WHERE holder IS NULL;
CREATE INDEX IF NOT EXISTS held ON addresses (holder) WHERE holder IS NOT NULL;
CREATE TABLE IF NOT EXISTS withdrawn (address TEXT PRIMARY KEY) STRICT;  -- on their way out: given to nobody
CREATE TABLE IF NOT EXISTS reserved (address TEXT PRIMARY KEY) STRICT;   -- one pod's, of the pool or not
CREATE TABLE IF NOT EXISTS node (
    one INTEGER PRIMARY KEY CHECK (one = 1), nic_name TEXT NOT NULL, nic_index INTEGER NOT NULL, nic_mac TEXT NOT NULL,
    primaries TEXT NOT NULL, subnets TEXT NOT NULL, mtu INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS networks (
    name TEXT PRIMARY KEY, prefixes TEXT NOT NULL, exceptions TEXT NOT NULL, bridged INTEGER NOT NULL
) STRICT;
"""
_VERSION = 1
"""Changes when another version could not do with what this one writes; those before it wrote 0 and the same tables."""


def open_file(path: Path, boot_id: str) -> sqlite3.Connection:
    """Open the database, made or made anew unless it is one of this version and this boot.

    Args:
        path: on tmpfs.
        boot_id: the machine's; another one empties the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        return _open(path, boot_id)
    except sqlite3.DatabaseError:
        # Not a database any more, or one of a version that it was not meant for: nothing in it can be believed.
        # The kernel's state is adopted instead.
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return _open(path, boot_id)


def _open(path: Path, boot_id: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        path.chmod(0o600)
        _prepare(connection, boot_id)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, boot_id: str) -> None:
    """Make a database one of this version and this boot.

    Raises:
        sqlite3.DatabaseError: it is none, or of another version.
    """
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")  # tmpfs: a commit outlives the process, nothing outlives a reboot
    connection.execute("PRAGMA foreign_keys=ON")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, _VERSION}:
        msg = f"the ledger is of version {version}"
        raise sqlite3.DatabaseError(msg)
    connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
    found = connection.execute("SELECT id FROM boot").fetchone()
    if found != (boot_id,):
        connection.executescript(
            "BEGIN; DELETE FROM addresses; DELETE FROM withdrawn; DELETE FROM attachments;"
            " DELETE FROM reserved; DELETE FROM networks; DELETE FROM node; DELETE FROM boot; COMMIT;"
        )
        connection.execute("INSERT INTO boot VALUES (?)", (boot_id,))
