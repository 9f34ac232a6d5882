"""Addresses that Docker has asked for: they are in the ledger of all attachments, so nobody else is given them.

Docker asks for an address before it says what for, and gives it back after the endpoint is gone. In between the
endpoint's attachment holds it; but of a network of another driver no endpoint is told (``docker network create -d
bridge --ipam-driver azure-vnet``), and the reservation is all there is, for as long as the container lives. So no time
ends one. When Docker starts anew it knows of no address that no container has; then what nobody on the VM has is
dropped: Docker's calls that would have used it, or given it back, were lost.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_interface

import structlog

from podvnet.agent.docker.protocol import DockerError, LaterError
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import AddressNotToBeHadError, NoFreeAddressError, Row
from podvnet.agent.pool_growth import Prospect
from podvnet.model.address import Address, Interface, Mac, Prefix
from podvnet.model.attachment import ENGINES_IFNAME, Attachment, AttachmentKey, Mode

# No network of CNI has such a name.
_RESERVED, _AUXILIARY = "docker/reserved", "docker/auxiliary"
_DROP_EMPTY = (
    "DELETE FROM attachments WHERE network = ? AND number NOT IN"
    " (SELECT holder FROM addresses WHERE holder IS NOT NULL)"
)
_NO_MAC = Mac("00:00:00:00:00:00")

_log = structlog.get_logger()


class Reservations:
    """Docker's part of the ledger.

    Args:
        ledger: of the VM.
        rest: seconds that a released address is left alone.
        prospect: tells whether the pool may grow by itself.
        living: tells the addresses that somebody on the VM has, or None when that cannot be known.
    """

    def __init__(
        self,
        ledger: Ledger,
        rest: float,
        prospect: Callable[[], Prospect],
        living: Callable[[], frozenset[Address] | None],
    ) -> None:
        self._ledger = ledger
        self._rest = rest
        self._prospect = prospect
        self._living = living

    def take(self, version: int, wanted: Address | None, within: Prefix | None) -> Interface:
        """Reserve an address, a particular one or the one that has been free longest.

        Raises:
            DockerError: it cannot be had.
            LaterError: none is free now.
        """
        try:
            attachment = self._ledger.begin(
                AttachmentKey(_RESERVED, secrets.token_hex(16), ENGINES_IFNAME),
                None,
                mac=_NO_MAC,
                mtu=0,
                sandbox="",
                sandbox_id="",
                pod="a reservation of Docker",
                versions=(version,),
                wanted=(wanted,) if wanted else (),
                within=within,
                now=time.monotonic(),
                rest=self._rest,
            )
        except AddressNotToBeHadError as error:
            raise DockerError(*self._why(wanted, error)) from None
        except NoFreeAddressError as error:
            raise self._shortage(version, within, error.wait or 0.0) from None
        self._ledger.publish(attachment.number, b"")
        return attachment.addresses[0]

    def holder(self, address: Address) -> Row | None:
        """Who holds an address."""
        return self._ledger.holder(address)

    def bind(self, key: AttachmentKey, interfaces: Iterable[Interface], *, mac: Mac, mtu: int, pod: str) -> Attachment:
        """Open an attachment, in the state ``building``, that takes its addresses over from their reservations.

        One that is not reserved any more is reserved again.

        Raises:
            DockerError: somebody else holds one.
        """
        addresses = []
        for interface in interfaces:
            row = self.holder(interface.ip)
            if row is None:
                self.take(interface.version, interface.ip, None)
            elif row.attachment.key.network != _RESERVED:
                raise DockerError(f"{interface.ip} is in use by {describe(row)}", "ask for another address")
            addresses.append(str(interface.ip))
        with self._ledger.transaction() as db:
            cursor = db.execute(
                "INSERT INTO attachments (network, container, ifname, state, mode, mac, mtu, sandbox, sandbox_id, pod)"
                " VALUES (?, ?, ?, 'building', ?, ?, ?, '', '', ?)",
                (key.network, key.container, key.ifname, Mode.TRANSPARENT, mac, mtu, pod),
            )
            marks = ", ".join("?" * len(addresses))
            db.execute(
                f"UPDATE addresses SET holder = ? WHERE address IN ({marks})",  # noqa: S608 - question marks only
                (cursor.lastrowid, *addresses),
            )
            db.execute(_DROP_EMPTY, (_RESERVED,))
        row = self._ledger.find(key)
        if row is None:
            msg = f"{key} was entered and is not there"
            raise AssertionError(msg)
        return row.attachment

    def unbind(self, row: Row) -> None:
        """Make an attachment, taken down, a reservation again: Docker gives its addresses back one by one."""
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE attachments SET network = ?, container = ?, mode = '', state = 'attached', result = NULL,"
                " pod = 'a reservation of Docker' WHERE number = ?",
                (_RESERVED, secrets.token_hex(16), row.attachment.number),
            )

    def keep_auxiliary(self, network: str, addresses: Iterable[Address]) -> None:
        """Make the reservations of a network's auxiliary addresses last as long as the network.

        After a start of the VM they are made anew.

        Raises:
            DockerError: somebody else holds one.
        """
        for address in addresses:
            row = self.holder(address)
            if row is None:
                self.take(address.version, address, None)
                row = self.holder(address)
            if row is None or row.attachment.key.network not in {_RESERVED, _AUXILIARY}:
                raise DockerError(f"{address} is in use by {describe(row) if row else 'nobody'}", "choose another")
            with self._ledger.transaction() as db:
                db.execute(
                    "UPDATE attachments SET network = ?, container = ?, pod = ? WHERE number = ?",
                    (
                        _AUXILIARY,
                        f"{network}/{address}",
                        f"Docker network {network[:12]} (auxiliary address)",
                        row.attachment.number,
                    ),
                )

    def release(self, address: Address) -> bool:
        """Give a reserved address back; tell whether it was reserved."""
        row = self.holder(address)
        if row is None or row.attachment.key.network not in {_RESERVED, _AUXILIARY}:
            return False
        with self._ledger.transaction() as db:
            db.execute(
                "UPDATE addresses SET holder = NULL, released = ? WHERE address = ?", (time.monotonic(), str(address))
            )
            db.execute("DELETE FROM addresses WHERE holder IS NULL AND NOT listed")
            db.execute(_DROP_EMPTY, (row.attachment.key.network,))
        return True

    def release_auxiliary(self, network: str) -> None:
        """Give back what a network had set aside."""
        for row in self._ledger.rows():
            key = row.attachment.key
            if key.network == _AUXILIARY and key.container.startswith(f"{network}/"):
                self._ledger.release(row.attachment.number, time.monotonic())

    def forget(self) -> None:
        """Give back what is reserved and what nobody on the VM has: Docker has been started and knows nothing of it."""
        reserved = [row for row in self._ledger.rows() if row.attachment.key.network == _RESERVED]
        living = self._living() if reserved else frozenset()
        for row in reserved:
            addresses = [each.ip for each in row.attachment.addresses]
            if living is None or not living.isdisjoint(addresses):
                _log.info("reservation_kept", addresses=[str(each) for each in addresses])
            else:
                _log.info("reservation_forgotten", addresses=[str(each) for each in addresses])
                self._ledger.release(row.attachment.number, time.monotonic())

    def _shortage(self, version: int, within: Prefix | None, wait: float) -> LaterError:
        prospect = self._prospect() if version == 4 else Prospect()
        words = f"no IPv{version} address of {within} is free on this VM"
        remedy = "add ip-configurations to the NIC (az network nic ip-config create), or run fewer containers"
        if prospect.obstacle:
            words = f"{words}, and it gets no more: {prospect.obstacle.message}"
            remedy = prospect.obstacle.remedy
        elif prospect.growing:
            remedy = "the pool is being enlarged; try again"
        return LaterError(words, remedy, wait, wanted=version, growing=prospect.growing)

    def _why(self, wanted: Address | None, error: AddressNotToBeHadError) -> tuple[str, str]:
        row = self.holder(wanted) if wanted else None
        if row is not None:
            return f"{wanted} is in use by {describe(row)}", "ask for another address"
        return (
            f"the address asked for cannot be had: {error}",
            "only ip-configurations of the VM's NIC can be used; az network nic ip-config create adds one",
        )


def describe(row: Row) -> str:
    """Who holds an address, for people."""
    return row.pod or f"{row.attachment.key.ifname} of {row.attachment.key.container[:12]}"


def is_endpoint(row: Row) -> bool:
    """Tell whether a row is an attachment of Docker's."""
    return row.attachment.offered and not row.ipam_only


def interface_of(text: str) -> Interface:
    """Read an address with prefix length.

    Raises:
        DockerError: it is none.
    """
    try:
        return ip_interface(text)
    except ValueError:
        raise DockerError(f"{text!r} is not an address with prefix length") from None
