"""Service principals: who may get a token, and what they may do with it.

Kept beside the fabric's store; of a secret only a salted hash is kept, so it can be shown once, when it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

TENANT = "00000000-0000-0000-0000-0000000000aa"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS principals (
    client TEXT PRIMARY KEY, object TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
    salt BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
"""
_ROUNDS = 16384


class Role(StrEnum):
    """What a principal may do, by Azure's built-in names."""

    CONTRIBUTOR = "Contributor"
    READER = "Reader"


@dataclass(frozen=True, slots=True)
class Principal:
    """A service principal: its client (application) id, its object id, its name and role."""

    client: str
    object: str
    name: str
    role: Role


class Principals:
    """The principals of a fabric. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def make(self, name: str, role: Role) -> tuple[Principal, str]:
        """Make a principal; return it and its secret, which nobody can read again."""
        principal = Principal(str(uuid.uuid4()), str(uuid.uuid4()), name, role)
        secret, salt = secrets.token_urlsafe(30), secrets.token_bytes(16)
        self._connection.execute(
            "INSERT INTO principals VALUES (?, ?, ?, ?, ?, ?)",
            (principal.client, principal.object, name, role, salt, _hash(secret, salt)),
        )
        return principal, secret

    def any(self) -> bool:
        """Tell whether there is a principal."""
        return self._connection.execute("SELECT 1 FROM principals LIMIT 1").fetchone() is not None

    def find(self, client: str) -> Principal | None:
        """The principal of a client id."""
        row = self._connection.execute(
            "SELECT client, object, name, role FROM principals WHERE client = ?", (client.lower(),)
        ).fetchone()
        return None if row is None else Principal(row[0], row[1], row[2], Role(row[3]))

    def check(self, client: str, secret: str) -> Principal | None:
        """The principal, when the secret is its own."""
        row = self._connection.execute(
            "SELECT salt, hash FROM principals WHERE client = ?", (client.lower(),)
        ).fetchone()
        salt, wanted = row or (b"\0" * 16, b"")
        # Hashing also for unknown clients: the time taken must not tell who exists.
        matches = hmac.compare_digest(_hash(secret, salt), wanted)
        return self.find(client) if matches else None


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=_ROUNDS, r=8, p=1)
