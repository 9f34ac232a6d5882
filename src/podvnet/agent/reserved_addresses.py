"""Addresses that are one pod's to have: the pool gives them to nobody else, and counts them as held.

Part of the ledger's database, so that no address is reserved that is held, and none given that is reserved. Written
anew at every start from the grants, which alone outlive a boot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address

from podvnet.agent.free_address import oldest
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import AddressNotToBeHadError
from podvnet.model.address import Address


class ReservedAddresses:
    """For the agent's one thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def replace(self, addresses: Iterable[Address]) -> None:
        """Reserve exactly these."""
        with self._ledger.transaction() as db:
            db.execute("DELETE FROM reserved")
            db.executemany("INSERT INTO reserved VALUES (?)", ((str(each),) for each in addresses))

    def take(self, address: Address) -> None:
        """Reserve an address, of the pool or not.

        Raises:
            AddressNotToBeHadError: a pod holds it, it is reserved, or it is on its way out of the pool.
        """
        text = str(address)
        with self._ledger.transaction() as db:
            for query, why in (
                ("SELECT 1 FROM addresses WHERE address = ? AND holder IS NOT NULL", "is in use by another attachment"),
                ("SELECT 1 FROM reserved WHERE address = ?", "is another pod's"),
                ("SELECT 1 FROM withdrawn WHERE address = ?", "is being taken off the NIC"),
            ):
                if db.execute(query, (text,)).fetchone():
                    msg = f"{text} {why}"
                    raise AddressNotToBeHadError(msg)
            db.execute("INSERT INTO reserved VALUES (?)", (text,))

    def take_any(self, but: Collection[Address], now: float, rest: float) -> IPv4Address:
        """Reserve the IPv4 address that has been free longest.

        Args:
            but: those that will not do.
            now: seconds since boot.
            rest: seconds that a released address is left alone.

        Raises:
            NoFreeAddressError: there is none.
        """
        with self._ledger.transaction() as db:
            text, _, _ = oldest(db, 4, now, rest, but=but)
            db.execute("INSERT INTO reserved VALUES (?)", (text,))
        return IPv4Address(text)

    def give_back(self, address: Address) -> None:
        """Reserve an address no longer."""
        with self._ledger.transaction() as db:
            db.execute("DELETE FROM reserved WHERE address = ?", (str(address),))
