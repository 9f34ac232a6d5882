"""What the ledger keeps, as values: its rows and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address, Interface
from podvnet.model.attachment import Attachment


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
