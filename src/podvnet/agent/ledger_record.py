"""What the ledger keeps: its tables, and its rows and counts as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address, Interface
from podvnet.model.attachment import Attachment

SCHEMA = """
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
SCHEMA_VERSION = 1
"""Changes when another version could not do with what this one writes; those before it wrote 0 and the same tables."""


class State(StrEnum):
    """How far an attachment has come."""

    BUILDING = "building"
    ATTACHED = "attached"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Row:
    """An attachment as the ledger has it. ``attachment.mode`` is None-like when ``ipam_only``."""

    attachment: Attachment
    state: State
    ipam_only: bool
    sandbox: str
    sandbox_id: str
    pod: str
    result: bytes


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """An address the source lists for pods."""

    interface: Interface
    gateway: Address


@dataclass(frozen=True, slots=True)
class PoolCount:
    """How a pool stands.

    Attributes:
        total: addresses that are held or may be given out at some time.
        held: by pods, or reserved for one.
        resting: released too recently to be given out.
        lost: held, but the source names them no more.
        withdrawn: addresses, not part of the total, that are given to nobody because their removal has begun.
    """

    total: int
    held: int
    resting: int
    lost: int
    withdrawn: int

    @property
    def free(self) -> int:
        """How many can be given out now."""
        return self.total - self.held - self.resting


class NoFreeAddressError(Exception):
    """Nothing can be given out now. ``wait`` is the seconds until something rested is free, or None: all are held."""

    def __init__(self, version: int, wait: float | None) -> None:
        super().__init__(f"no free IPv{version} address")
        self.version = version
        self.wait = wait


class AddressNotToBeHadError(Exception):
    """A wanted address is not of the pool, or somebody else's."""
