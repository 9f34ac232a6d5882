"""Whether the VM's addresses are about to run out, followed from request to request."""

from __future__ import annotations

import structlog

from podvnet.agent.ledger_record import PoolCount
from podvnet.agent.pool_growth import Prospect
from podvnet.plan.address_pressure import AddressFigures, is_low

_log = structlog.get_logger()


class AddressWatch:
    """For the agent's one thread.

    Attributes:
        figures: how the pool stands.
        low: whether addresses are about to run out.
    """

    def __init__(self) -> None:
        self.figures = AddressFigures(0, 0)
        self.low = False
        self._pods = 0

    def heard(self, low: bool, pods: int) -> None:
        """Take in what the Node says: of a shortage, perhaps by an agent before this one, and kubelet's limit."""
        self.low, self._pods = low, pods

    def see(self, count: PoolCount, ceiling: int, prospect: Prospect) -> None:
        """Take in how the pool stands.

        Args:
            count: of IPv4.
            ceiling: the size that a pool that grows never goes above; 0 for one that does not.
            prospect: whether it grows.
        """
        limit = max(count.total, ceiling) if prospect.growing else count.total
        figures = AddressFigures(limit, count.held, self._pods)
        if figures == self.figures:
            return
        low, self.figures = is_low(figures, self.low), figures
        if low is not self.low:
            self.low = low
            tell = _log.warning if low else _log.info
            tell("addresses_low" if low else "addresses_enough", limit=limit, held=count.held)
