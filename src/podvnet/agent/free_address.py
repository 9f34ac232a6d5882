"""Which address of the pool is given: one that is asked for, or the one that has been free longest."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from ipaddress import ip_address

from podvnet.agent.ledger_record import AddressNotToBeHadError, NoFreeAddressError
from podvnet.model.address import Address, Prefix

Found = tuple[str, str, str]
"""An address, with its prefix's length, and its gateway; as text, as the ledger has them."""


def particular(db: sqlite3.Connection, address: Address, granted: Address | None) -> Found:
    """An address that is asked for, rested or not.

    Args:
        db: the ledger's, in a transaction.
        address: which.
        granted: the one that is reserved for who asks.

    Raises:
        AddressNotToBeHadError: it is not of the pool, or another's.
    """
    row = db.execute(
        "SELECT address, interface, gateway, holder, listed, address IN (SELECT address FROM reserved)"
        " FROM addresses WHERE address = ? AND address NOT IN (SELECT address FROM withdrawn)",
        (str(address),),
    ).fetchone()
    if row is None or not row[4]:
        msg = f"{address} is not an address of this VM's pool"
        raise AddressNotToBeHadError(msg)
    if row[3] is not None:
        msg = f"{address} is in use by another attachment"
        raise AddressNotToBeHadError(msg)
    if row[5] and address != granted:
        msg = f"{address} is reserved for another pod"
        raise AddressNotToBeHadError(msg)
    return row[0], row[1], row[2]


def oldest(
    db: sqlite3.Connection,
    version: int,
    now: float,
    rest: float,
    *,
    within: Prefix | None = None,
    but: Collection[Address] = (),
) -> Found:
    """The address that has been free longest: those never held first, in the source's order.

    Args:
        db: the ledger's, in a transaction.
        version: of IP.
        now: seconds since boot.
        rest: seconds that a released address is left alone.
        within: limits the choice, in its IP version, to a subnet.
        but: those that will not do.

    Raises:
        NoFreeAddressError: there is none, or none has rested.
    """
    found = db.execute(
        "SELECT address, interface, gateway, released FROM addresses"
        " WHERE holder IS NULL AND listed = 1 AND version = ? AND address NOT IN (SELECT address FROM withdrawn)"
        " AND address NOT IN (SELECT address FROM reserved)"
        " ORDER BY released, position",  # in the index's order
        (version,),
    )
    for address, interface, gateway, released in found:
        if within is not None and within.version == version and ip_address(address) not in within:
            continue
        if but and ip_address(address) in but:
            continue
        if released is not None and released > now - rest:
            raise NoFreeAddressError(version, released + rest - now)
        return address, interface, gateway
    raise NoFreeAddressError(version, None)
