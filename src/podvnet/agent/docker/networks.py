"""Docker's networks: told to the driver once, when they are made, and in use for years. They outlive a reboot.

A database of its own below /var/lib, written to the disk before Docker is answered: Docker does not repeat itself.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from podvnet.model.address import Address, Prefix

FILE = "docker.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS networks (
    id TEXT PRIMARY KEY, internal INTEGER NOT NULL, mtu INTEGER NOT NULL,
    subnets TEXT NOT NULL, auxiliary TEXT NOT NULL      -- JSON lists
) STRICT;
"""


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

    Args:
        path: of the file, on the VM's disk.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, network: Network) -> None:
        """Remember a network."""
        self._connection.execute(
            "INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?, ?)",
            (
                network.id,
                int(network.internal),
                network.mtu,
                json.dumps([str(each) for each in network.subnets]),
                json.dumps([str(each) for each in network.auxiliary]),
            ),
        )

    def remove(self, identifier: str) -> None:
        """Forget a network."""
        self._connection.execute("DELETE FROM networks WHERE id = ?", (identifier,))

    def find(self, identifier: str) -> Network | None:
        """The network with an id."""
        return next((each for each in self.all() if each.id == identifier), None)

    def all(self) -> list[Network]:
        """Every network."""
        return [
            Network(
                identifier,
                bool(internal),
                mtu,
                tuple(ip_network(each) for each in json.loads(subnets)),
                tuple(ip_address(each) for each in json.loads(auxiliary)),
            )
            for identifier, internal, mtu, subnets, auxiliary in self._connection.execute("SELECT * FROM networks")
        ]
