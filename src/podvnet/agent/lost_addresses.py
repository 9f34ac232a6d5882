"""Addresses that pods hold and the NIC has no more."""

from __future__ import annotations

import structlog

from podvnet.agent.ledger import Ledger
from podvnet.model.address import Address

_REMEDY = "the platform delivers nothing to it any more: put it back on the NIC, or delete the pod"

_log = structlog.get_logger()


class LostAddresses:
    """Tells of them; for the agent's one thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._told: frozenset[Address] = frozenset()

    def tell(self) -> None:
        """Name the pods whose address the NIC has no more; each is named once."""
        lost = self._ledger.missing_from_source()
        for row in self._ledger.rows() if lost - self._told else ():
            for interface in row.attachment.addresses:
                if interface.ip in lost - self._told:
                    _log.warning(
                        "address_lost",
                        address=str(interface.ip),
                        pod=row.pod,
                        key=str(row.attachment.key),
                        remedy=_REMEDY,
                    )
        self._told = lost
