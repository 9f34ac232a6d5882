"""Docker's networks: told to the driver once, when they are made, and in use for years. They outlive a reboot.

A database of its own below /var/lib, written to the disk before Docker is answered: Docker does not repeat itself. It
is read once; what is asked for with every container is answered from memory.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import structlog

from podvnet.agent.docker.protocol import DockerError
from podvnet.model.address import Address, Prefix

FILE = "docker.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS networks (
    id TEXT PRIMARY KEY, internal INTEGER NOT NULL, mtu INTEGER NOT NULL,
    subnets TEXT NOT NULL, auxiliary TEXT NOT NULL      -- JSON lists
) STRICT;
"""
_ELSEWHERE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
"""What SQLite says of a disk, a folder or a rival: the file itself may be sound."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Network:
    """A network of Docker's.

    Attributes:
        internal: nothing outside its subnets is reached.
        mtu: bytes of an IP packet; 0: the NIC's.
        auxiliary: addresses set aside.
    """

    id: str
    internal: bool
    mtu: int
    subnets: tuple[Prefix, ...]
    auxiliary: tuple[Address, ...]


class Networks:
    """The database.

    A file that cannot be understood is set aside under a name with the time, and a new one begun: the agent serves
    others than Docker too.

    Args:
        path: of the file, on the VM's disk.

    Raises:
        OSError, sqlite3.Error: there cannot be such a file here.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            self._connection, self._known = _opened(path)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _ELSEWHERE:
                raise
            aside = _set_aside(path)
            _log.error("docker_networks_lost", file=str(path), kept_as=str(aside), reason=str(error), remedy=_REMEDY)
            self._connection, self._known = _opened(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, network: Network) -> None:
        """Remember a network.

        Raises:
            DockerError: the disk does not take it.
        """
        self._write(
            "INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?, ?)",
            network.id,
            int(network.internal),
            network.mtu,
            json.dumps([str(each) for each in network.subnets]),
            json.dumps([str(each) for each in network.auxiliary]),
        )
        self._known[network.id] = network

    def remove(self, identifier: str) -> None:
        """Forget a network.

        Raises:
            DockerError: the disk does not take it.
        """
        self._write("DELETE FROM networks WHERE id = ?", identifier)
        self._known.pop(identifier, None)

    def find(self, identifier: str) -> Network | None:
        """The network with an id."""
        return self._known.get(identifier)

    def all(self) -> list[Network]:
        """Every network."""
        return list(self._known.values())

    def _write(self, statement: str, *values: str | int) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise DockerError(
                f"the agent's file of networks cannot be written: {error}", "is the disk full?"
            ) from error


_REMEDY = "docker network rm each azure-vnet network and create it again; what runs goes on"


def _opened(path: Path) -> tuple[sqlite3.Connection, dict[str, Network]]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_SCHEMA)
        faults = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if faults != "ok":
            msg = f"the check of the file says: {faults}"
            raise ValueError(msg)
        found = connection.execute("SELECT id, internal, mtu, subnets, auxiliary FROM networks")
        return connection, {row[0]: _network(*row) for row in found}
    except BaseException:
        connection.close()
        raise


def _network(identifier: str, internal: int, mtu: int, subnets: str, auxiliary: str) -> Network:
    return Network(
        identifier,
        bool(internal),
        mtu,
        tuple(ip_network(each) for each in json.loads(subnets)),
        tuple(ip_address(each) for each in json.loads(auxiliary)),
    )


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.unreadable-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    for suffix in ("", "-wal", "-shm"):
        file = Path(f"{path}{suffix}")
        if file.exists():
            file.rename(f"{aside}{suffix}")
    return aside
