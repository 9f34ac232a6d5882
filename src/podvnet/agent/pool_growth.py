"""Lets the pool follow its use: the half that runs in the agent's thread, where the ledger is.

An address is withdrawn in the ledger before the write that removes it begins, and stays withdrawn until the platform no
longer lists it, so no pod is given an address that is on its way out. An address that a write has added is given out
when the platform lists it, not when the resource manager names it: only then are packets for it delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from podvnet.agent.ledger import Ledger
from podvnet.agent.nic_writer import CertainlyRefusedError, Failed, Nic, NicWriter, Written
from podvnet.azure.error import SourceError
from podvnet.model.address import Address, Mac
from podvnet.model.limits import ADDRESSES_PER_NIC
from podvnet.model.nic_pool import NicPool
from podvnet.plan.pool_target import PoolChange, PoolPolicy, Usage, pool_change, target

_LISTING_LIMIT = 60.0
"""Seconds within which the platform should list what was written."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """How the pool grows.

    Attributes:
        policy: how far.
        endpoint: of the resource manager; empty is Azure's.
        ca: certificates to trust instead of the well-known authorities'.
        identity: the client id of a user-assigned identity, if it is one.
    """

    policy: PoolPolicy = field(default_factory=PoolPolicy)
    endpoint: str = ""
    ca: Path | None = None
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether an ADD that finds no address may hope for one.

    Attributes:
        growing: the pool may get more by itself.
        obstacle: why it does not, and what to do; None when nothing stands against it.
    """

    growing: bool = False
    obstacle: SourceError | None = None


class PoolGrowth:
    """Decides, withdraws, and tells how things stand.

    Args:
        ledger: whose addresses.
        policy: how far the pool follows.
        rest: seconds that a released address is left alone.
        connect: finds the NIC with a MAC, in another thread.
        look: has the platform asked often, for so many seconds at most.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: PoolPolicy,
        rest: float,
        connect: Callable[[Mac], Nic],
        look: Callable[[float], None],
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._rest = rest
        self._look = look
        self._writer = NicWriter(connect, self._decide_for_writer, self._reported)
        self._mac: Mac | None = None
        self._pool: NicPool | None = None
        self._listed: frozenset[Address] = frozenset()
        self._waiting = 0
        self._busy = False
        self._listing_by = 0.0
        self._obstacle: SourceError | None = None
        self._retry_at = 0.0
        self._writes = 0

    def start(self, submit: Callable[[Callable[[], None]], None], changed: Callable[[], None]) -> None:
        """Start the writer.

        Args:
            submit: runs something in the agent's thread.
            changed: called there when those who wait should try again.
        """
        self._submit, self._changed = submit, changed
        self._writer.start()

    def stop(self) -> None:
        """Stop the writer."""
        self._writer.stop()

    def listed(self, mac: Mac, addresses: frozenset[Address]) -> bool:
        """Take note of what the platform lists for pods, and tell whether that is what the NIC should have."""
        news = addresses != self._listed
        self._mac, self._listed = mac, addresses
        if self._pool is None or addresses == self._pool.addresses:
            self._listing_by = 0.0
            return True
        if time.monotonic() < self._listing_by:
            return False
        if news:
            self._pool = None  # somebody else has changed the NIC: it is read before the next decision
        return True

    def consider(self, waiting: int) -> None:
        """Have the NIC looked at if the pool is not as large as it should be; ``waiting`` ADDs want an address."""
        self._waiting = waiting
        if self._busy or self._mac is None or (self._pool is not None and self._fits(self._pool)):
            return
        self._busy = True
        self._writer.ask(self._mac)

    @property
    def ceiling(self) -> int:
        """The size that the pool never goes above."""
        return self._policy.ceiling

    def prospect(self) -> Prospect:
        """Whether there will be more addresses."""
        if self._obstacle is not None and not self._obstacle.retryable:
            return Prospect(False, self._obstacle)
        full = self._pool is not None and (
            len(self._pool.addresses) >= self._policy.ceiling
            or len(self._pool.configurations) + self._pool.others >= ADDRESSES_PER_NIC
        )
        return Prospect(not full or time.monotonic() < self._listing_by, self._obstacle)

    def report(self) -> dict[str, Any]:
        """How growth stands, for JSON."""
        obstacle = self._obstacle
        return {
            "shape": str(self._policy.shape),
            "batch": self._policy.batch,
            "ceiling": self._policy.ceiling,
            "size": None if self._pool is None else len(self._pool.addresses),
            "writes": self._writes,
            "obstacle": obstacle.message if obstacle else "",
            "remedy": obstacle.remedy if obstacle else "",
            "retryIn": round(max(0.0, self._retry_at - time.monotonic()), 1) if obstacle else 0.0,
        }

    def _fits(self, pool: NicPool) -> bool:
        """Tell whether nothing is to be written; after most requests two counts tell already."""
        count = self._ledger.count(time.monotonic(), self._rest)
        size = len(pool.addresses)
        used = count.held - count.lost + count.resting + self._waiting
        if target(used, size, self._policy) == size and not count.withdrawn:
            return True
        return not pool_change(pool, self._usage(), self._policy)

    def _usage(self) -> Usage:
        held, resting, withdrawn = self._ledger.usage(time.monotonic(), self._rest)
        return Usage(held, resting, withdrawn, self._waiting)

    # -- for the writer's thread

    def _decide_for_writer(self, pool: NicPool) -> PoolChange:
        decided: Future[PoolChange] = Future()

        def decide() -> None:
            try:
                decided.set_result(self._decide(pool))
            except BaseException as error:
                decided.set_exception(error)
                raise

        self._submit(decide)
        return decided.result()

    def _reported(self, outcome: Written | Failed) -> None:
        self._submit(lambda: self._take_in(outcome))

    # -- the agent's thread again

    def _decide(self, pool: NicPool) -> PoolChange:
        change = pool_change(pool, self._usage(), self._policy)
        self._ledger.withdraw(
            address for each in pool.configurations if each.name in change.remove for address in each.addresses
        )
        return change

    def _take_in(self, outcome: Written | Failed) -> None:
        if isinstance(outcome, Failed):
            self._failed(outcome)
            return
        self._pool, self._busy = outcome.pool, False
        self._obstacle = None
        if outcome.change:
            self._writes += 1
            _log.info(
                "pool_written",
                added=outcome.change.add,
                removed=len(outcome.change.remove),
                addresses=len(outcome.pool.addresses),
                seconds=round(outcome.seconds, 3),
            )
        # What the NIC has after a write stays there, also when it had been given back and is granted anew.
        self._ledger.keep(outcome.pool.addresses)
        if outcome.pool.addresses != self._listed:
            self._listing_by = time.monotonic() + _LISTING_LIMIT
            self._look(_LISTING_LIMIT)

    def _failed(self, outcome: Failed) -> None:
        error = outcome.error
        self._busy = True  # the writer tries again without being asked
        self._obstacle, self._retry_at = error, time.monotonic() + outcome.wait
        _log.warning("pool_not_written", reason=error.message, remedy=error.remedy, retry_in=round(outcome.wait, 1))
        if isinstance(error, CertainlyRefusedError):
            self._ledger.keep(self._listed)
        if not error.retryable:
            self._changed()
