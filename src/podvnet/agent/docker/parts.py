"""What Docker's drivers are given of the agent and of the VM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from podvnet.agent.docker.flows import Flows
from podvnet.agent.ledger import Ledger
from podvnet.agent.pool_growth import Prospect
from podvnet.agent.wiring import Wiring
from podvnet.model.address import Address


@dataclass(frozen=True, slots=True)
class Parts:
    """For the agent's one thread.

    Attributes:
        ledger, wiring: of the agent.
        flows: the connections of the VM.
        admit: lets containers pass Docker's own firewall; tells whether they do.
        prospect: tells whether the pool may grow by itself.
        living: tells the addresses that somebody on the VM has, or None when that cannot be known.
    """

    ledger: Ledger
    wiring: Wiring
    flows: Flows
    admit: Callable[[], bool]
    prospect: Callable[[], Prospect]
    living: Callable[[], frozenset[Address] | None]
