"""The ledger: which pod holds which address, and how far each attachment has come.

SQLite on tmpfs, for one boot of the VM: pods do not outlive a reboot and neither does this file, and a copy left by an
earlier boot is recognised by its boot id and emptied. One writer. That no two attachments share an address is a primary
key, not a convention.

An attachment's state says what a crash may have left: ``building`` and ``leaving`` are taken back at the next start.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path

from podvnet.agent import free_address
from podvnet.agent.ledger_file import open_file
from podvnet.agent.ledger_record import NoFreeAddressError, PoolAddress, PoolCount, Row, State
from podvnet.agent.vm_record import VmRecord
from podvnet.model.address import Address, Mac, Prefix
from podvnet.model.attachment import Attachment, AttachmentKey, Mode

_COLUMNS = (
    "number, network, container, ifname, state, mode, mac, mtu, sandbox, sandbox_id, pod, result, interface, gateway"
)

# Reading an address takes longer than finding it, and those of a pool come again and again.
_interface = functools.lru_cache(2048)(ip_interface)
_gateway = functools.lru_cache(64)(ip_address)


class Ledger:
    """The database of one boot.

    Args:
        path: on tmpfs.
        boot_id: the machine's; another one empties the file.

    Attributes:
        vm: what is kept of the VM and its networks.
    """

    def __init__(self, path: Path, boot_id: str) -> None:
        self._versions: tuple[int, ...] | None = None  # asked for by every ADD; only a new list changes it
        self._connection = open_file(path, boot_id)
        self.vm = VmRecord(self._connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block changes, or, when it raises, nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # -- attachments

    def find(self, key: AttachmentKey) -> Row | None:
        """The row of a key."""
        rows = self._rows(
            "WHERE network = ? AND container = ? AND ifname = ?", (key.network, key.container, key.ifname)
        )
        return next(rows, None)

    def holder(self, address: Address) -> Row | None:
        """The row of the attachment that holds an address."""
        found = self._rows("WHERE number = (SELECT holder FROM addresses WHERE address = ?)", (str(address),))
        return next(found, None)

    def rows(self) -> list[Row]:
        """Every row, in the order of attachment."""
        return list(self._rows("", ()))

    def begin(
        self,
        key: AttachmentKey,
        mode: Mode | None,
        *,
        mac: Mac,
        mtu: int,
        sandbox: str,
        sandbox_id: str,
        pod: str,
        versions: Sequence[int],
        optional: Sequence[int] = (),
        wanted: Sequence[Address],
        within: Prefix | None,
        now: float,
        rest: float,
        granted: Address | None = None,
    ) -> Attachment:
        """Take addresses and open a row in the state ``building``, or change nothing.

        Args:
            key: whose; there must be no row.
            mode: None when only addresses are asked for.
            mac: of the pod's end.
            mtu: bytes of an IP packet.
            sandbox: the path the runtime gave for the pod's namespace.
            sandbox_id: which namespace that was.
            pod: what the runtime calls the pod, for people.
            versions: the IP versions to take one address of each.
            optional: those of which it is as well if none is free.
            wanted: particular addresses, taken if they are free (rested or not).
            within: limits the choice, in its IP version, to a subnet.
            now: seconds since boot.
            rest: seconds that a released address is left alone.
            granted: the one of the wanted that is reserved for this attachment.

        Raises:
            NoFreeAddressError: for one of the versions that are not optional.
            AddressNotToBeHadError: a wanted one.
        """
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO attachments (network, container, ifname, state, mode, mac, mtu, sandbox, sandbox_id, pod)"
                " VALUES (?, ?, ?, 'building', ?, ?, ?, ?, ?, ?)",
                (key.network, key.container, key.ifname, mode or "", mac, mtu, sandbox, sandbox_id, pod),
            )
            number = cursor.lastrowid or 0
            taken = []
            for version in versions:
                asked = next((address for address in wanted if address.version == version), None)
                try:
                    if asked:
                        address = free_address.particular(db, asked, granted)
                    else:
                        address = free_address.oldest(db, version, now, rest, within=within)
                except NoFreeAddressError:
                    if version not in optional:
                        raise
                    continue
                db.execute("UPDATE addresses SET holder = ? WHERE address = ?", (number, address[0]))
                taken.append(address)
        return Attachment(
            number=number,
            key=key,
            mode=mode or Mode.TRANSPARENT,
            mac=mac,
            mtu=mtu,
            addresses=tuple(ip_interface(text) for _, text, _ in taken),
            gateways=tuple(ip_address(text) for _, _, text in taken),
        )

    def publish(self, number: int, result: bytes) -> None:
        """The attachment is there; ``result`` is what ADD answered."""
        self._connection.execute(
            "UPDATE attachments SET state = 'attached', result = ? WHERE number = ?", (result, number)
        )

    def leave(self, number: int) -> None:
        """The attachment is about to be taken down."""
        self._connection.execute("UPDATE attachments SET state = 'leaving' WHERE number = ?", (number,))

    def release(self, number: int, now: float | None) -> None:
        """Forget an attachment; its addresses rest from ``now`` on, or not at all when nobody ever used them (None)."""
        with self.transaction() as db:
            db.execute(
                "UPDATE addresses SET holder = NULL, released = coalesce(?, released) WHERE holder = ?", (now, number)
            )
            db.execute("DELETE FROM addresses WHERE holder IS NULL AND NOT listed")
            db.execute("DELETE FROM attachments WHERE number = ?", (number,))

    def adopt(self, attachment: Attachment) -> None:
        """Enter an attachment that the kernel has and the ledger lost."""
        key = attachment.key
        with self.transaction() as db:
            db.execute(
                "INSERT INTO attachments"
                " (number, network, container, ifname, state, mode, mac, mtu, sandbox, sandbox_id, pod)"
                " VALUES (?, ?, ?, ?, 'attached', ?, ?, ?, '', '', '')",
                (
                    attachment.number,
                    key.network,
                    key.container,
                    key.ifname,
                    attachment.mode,
                    attachment.mac,
                    attachment.mtu,
                ),
            )
            for interface, gateway in zip(attachment.addresses, attachment.gateways, strict=True):
                db.execute(
                    "INSERT INTO addresses (address, version, interface, gateway, listed, position, holder)"
                    " VALUES (?, ?, ?, ?, 0, 0, ?) ON CONFLICT (address) DO UPDATE SET holder = excluded.holder",
                    (str(interface.ip), interface.version, str(interface), str(gateway), attachment.number),
                )

    def number_after(self, number: int) -> None:
        """Give attachments numbers above this one: links of a ledger that was lost may still be there."""
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'attachments'", (number,)
            ).rowcount
            if not changed:
                db.execute("INSERT INTO sqlite_sequence VALUES ('attachments', ?)", (number,))

    # -- the pool

    def fill(self, listed: Iterable[PoolAddress]) -> tuple[int, int]:
        """Make the pool hold exactly the listed addresses; return how many were added and dropped.

        One that is gone from the list but held stays until it is released.
        """
        entries = list(listed)
        self._versions = None
        with self.transaction() as db:
            before = {row[0] for row in db.execute("SELECT address FROM addresses WHERE listed")}
            db.execute("UPDATE addresses SET listed = 0")
            db.executemany(
                "INSERT INTO addresses (address, version, interface, gateway, listed, position)"
                " VALUES (?, ?, ?, ?, 1, ?)"
                " ON CONFLICT (address) DO UPDATE SET listed = 1, position = excluded.position,"
                " interface = excluded.interface, gateway = excluded.gateway",
                (
                    (str(each.interface.ip), each.interface.version, str(each.interface), str(each.gateway), position)
                    for position, each in enumerate(entries)
                ),
            )
            db.execute("DELETE FROM addresses WHERE holder IS NULL AND NOT listed")
            after = {str(each.interface.ip) for each in entries}
            # One that was never listed is still to come, and to go again.
            db.executemany("DELETE FROM withdrawn WHERE address = ?", ((address,) for address in before - after))
        return len(after - before), len(before - after)

    def count(self, now: float, rest: float, version: int = 4) -> PoolCount:
        """How the pool of an IP version stands. What is withdrawn is of IPv4."""
        found = self._connection.execute(
            "SELECT count(*), count(holder), coalesce(sum(holder IS NULL AND released > ?1), 0),"
            " coalesce(sum(holder IS NOT NULL AND NOT listed), 0), (SELECT count(*) FROM withdrawn WHERE ?2 = 4)"
            " FROM addresses WHERE version = ?2 AND address NOT IN (SELECT address FROM withdrawn)",
            (now - rest, version),
        ).fetchone()
        total, held, resting, lost, withdrawn = found
        # Counted from the few that are reserved, usually none, and not by asking of each address whether it is.
        kept, rested = self._connection.execute(
            "SELECT count(*), coalesce(sum(released > ?1), 0) FROM reserved CROSS JOIN addresses USING (address)"
            " WHERE holder IS NULL AND version = ?2 AND address NOT IN (SELECT address FROM withdrawn)",
            (now - rest, version),
        ).fetchone()
        return PoolCount(total, held + kept, resting - rested, lost, withdrawn)

    def tally(self) -> dict[str, int]:
        """How many attachments there are in each state."""
        found = dict(self._connection.execute("SELECT state, count(*) FROM attachments GROUP BY state").fetchall())
        return {str(state): found.get(state, 0) for state in State}

    def usage(self, now: float, rest: float) -> tuple[frozenset[Address], frozenset[Address], frozenset[Address]]:
        """The IPv4 addresses that are held or reserved, that rest, and that are withdrawn."""
        query = "SELECT address FROM addresses WHERE version = 4 AND "
        reserved = "address IN (SELECT address FROM reserved)"
        return (
            self._addresses(f"{query} (holder IS NOT NULL OR {reserved})"),
            self._addresses(f"{query} holder IS NULL AND NOT {reserved} AND released > ?", now - rest),
            self._addresses("SELECT address FROM withdrawn"),
        )

    def withdraw(self, addresses: Iterable[Address]) -> None:
        """Give these to nobody any more, until the source has listed them no longer or :meth:`keep` is called."""
        with self.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO withdrawn VALUES (?)", ((str(each),) for each in addresses))

    def keep(self, addresses: Iterable[Address]) -> None:
        """Take back what :meth:`withdraw` said of these."""
        with self.transaction() as db:
            db.executemany("DELETE FROM withdrawn WHERE address = ?", ((str(each),) for each in addresses))

    def versions(self) -> tuple[int, ...]:
        """The IP versions of which the pool has addresses."""
        if self._versions is None:
            found = self._connection.execute("SELECT DISTINCT version FROM addresses WHERE listed ORDER BY version")
            self._versions = tuple(row[0] for row in found)
        return self._versions

    def missing_from_source(self) -> frozenset[Address]:
        """Addresses that pods hold and the source names no more."""
        return self._addresses("SELECT address FROM addresses WHERE NOT listed")

    def _addresses(self, query: str, *parameters: object) -> frozenset[Address]:
        return frozenset(ip_address(row[0]) for row in self._connection.execute(query, parameters))

    def _rows(self, condition: str, parameters: tuple[object, ...]) -> Iterator[Row]:
        # One query for all: an attachment has a line for each of its addresses, or one without.
        lines = self._connection.execute(
            f"SELECT {_COLUMNS} FROM attachments LEFT JOIN addresses ON holder = number {condition}"  # noqa: S608 - both are constants of ours
            " ORDER BY number, version",
            parameters,
        ).fetchall()
        for columns, group in itertools.groupby(lines, key=lambda line: line[:-2]):
            number, network, container, ifname, state, mode, mac, mtu, sandbox, sandbox_id, pod, result = columns
            held = [line[-2:] for line in group if line[-1] is not None]
            attachment = Attachment(
                number=number,
                key=AttachmentKey(network, container, ifname),
                mode=Mode(mode or "transparent"),
                mac=Mac(mac),
                mtu=mtu,
                addresses=tuple(_interface(text) for text, _ in held),
                gateways=tuple(_gateway(text) for _, text in held),
            )
            yield Row(attachment, State(state), not mode, sandbox, sandbox_id, pod, result or b"")
