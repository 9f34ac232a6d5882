"""The connections a namespace tracks, by ctnetlink: listed, marked, forgotten, and told of when they end.

Source: Linux ``include/uapi/linux/netfilter/nfnetlink_conntrack.h`` and ``nf_conntrack_common.h``. Numbers are
big-endian. The kernel is not asked to choose among entries: a dump reads the whole table, at some 20 µs an entry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from podvnet.linux.error import KernelError
from podvnet.linux.netlink import NETFILTER, Message, NetlinkSocket, attribute, attributes, nested
from podvnet.model.flow import Flow

_SUBSYSTEM = 1 << 8
_NEW, _GET, _DELETE, _STATISTICS = 0, 1, 2, 4
_GENERIC = struct.Struct(">BBH")
_FAMILIES = {4: 2, 6: 10}

_ORIGINAL, _REPLY, _STATUS, _TIMEOUT, _MARK = 1, 2, 3, 7, 8
_COUNTERS_ORIGINAL, _COUNTERS_REPLY, _ID, _ZONE = 9, 10, 12, 18
_TUPLE_ADDRESSES, _TUPLE_PROTOCOL, _TUPLE_ZONE = 1, 2, 3
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_PACKETS, _BYTES = 1, 2
_INSERT_FAILED = 9


class Status(IntFlag):
    """What has become of a connection."""

    EXPECTED = 0x1
    SEEN_REPLY = 0x2
    ASSURED = 0x4
    CONFIRMED = 0x8
    SOURCE_NAT = 0x10
    DESTINATION_NAT = 0x20
    DYING = 0x200


@dataclass(frozen=True, slots=True)
class Count:
    """What has passed in one direction; nothing is counted unless the setting ``nf_conntrack_acct`` is on."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry of the table.

    Attributes:
        original: as the first packet came in, before translation. Ports are 0 for protocols that have none, ICMP too.
        reply: as an answer comes in.
        mark: the connection's.
        zone: the one it is tracked in; 0 is the usual one.
        status: what has become of it.
        timeout: seconds until it is forgotten, unless another packet comes.
        sent: in the original direction.
        received: in the other.
        key: its original tuple and its id in the kernel's form: what it is named by when it is changed.
    """

    original: Flow
    reply: Flow
    mark: int
    zone: int
    status: Status
    timeout: int
    sent: Count
    received: Count
    key: tuple[bytes, bytes] = field(repr=False, compare=False)


class ConntrackSocket:
    """A socket for the connections of the calling thread's namespace, for ever that one's. A context manager."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connections(self) -> Iterator[Connection]:
        """All connections, of both families and all zones. One that comes or goes meanwhile may be missed.

        Raises:
            KernelError: the kernel refused.
        """
        for _, body in self._netlink.dump(_SUBSYSTEM | _GET, _GENERIC.pack(0, 0, 0), "list connections"):
            yield read_connection(body)

    def failures(self) -> int:
        """How many connections were dropped so far because their translated tuple was in use: no port was left.

        Raises:
            KernelError: the kernel refused.
        """
        answers = self._netlink.dump(_SUBSYSTEM | _STATISTICS, _GENERIC.pack(0, 0, 0), "count failed connections")
        found = [attributes(body, _GENERIC.size) for _, body in answers]  # one for each processor
        return sum(int.from_bytes(each.get(_INSERT_FAILED, b""), "big") for each in found)

    def mark(self, connections: Iterable[Connection], mark: int) -> int:
        """Set the mark of connections; return how many of them were still there.

        Raises:
            KernelError: the kernel refused one, for another reason than that it is gone; others may have been marked.
        """
        packed = attribute(_MARK, mark.to_bytes(4, "big"))
        return self._change(_NEW, "mark", connections, lambda _: packed)

    def delete(self, connections: Iterable[Connection]) -> int:
        """Forget connections; return how many of them were still there. Their next packet is a new connection's.

        Raises:
            KernelError: the kernel refused one, for another reason than that it is gone; others may be forgotten.
        """
        # The id: a connection that has taken the place of the one that was meant is left alone.
        return self._change(_DELETE, "forget", connections, lambda each: attribute(_ID, each.key[1]))

    def _change(
        self, operation: int, verb: str, connections: Iterable[Connection], more: Callable[[Connection], bytes]
    ) -> int:
        messages = [
            Message(_SUBSYSTEM | operation, 0, _named(each) + more(each), f"{verb} connection {each.original}")
            for each in connections
        ]
        outcome: Sequence[KernelError | None] = self._netlink.transact(messages)
        refused = [error for error in outcome if error is not None]
        for error in refused:
            if not error.is_gone:
                raise error
        return len(messages) - len(refused)


def read_connection(body: bytes) -> Connection:
    """Read a message about a connection: the four bytes of the general header, then attributes."""
    got = attributes(body, _GENERIC.size)
    original = got[_ORIGINAL]
    tuple_zone = attributes(original).get(_TUPLE_ZONE, b"")  # a zone of one direction only stands in its tuple
    return Connection(
        original=_flow(original),
        reply=_flow(got[_REPLY]),
        mark=int.from_bytes(got.get(_MARK, b""), "big"),
        zone=int.from_bytes(got.get(_ZONE, tuple_zone), "big"),
        status=Status(int.from_bytes(got.get(_STATUS, b""), "big")),
        timeout=int.from_bytes(got.get(_TIMEOUT, b""), "big"),
        sent=_count(got.get(_COUNTERS_ORIGINAL, b"")),
        received=_count(got.get(_COUNTERS_REPLY, b"")),
        key=(original, got.get(_ID, b"")),
    )


def _named(connection: Connection) -> bytes:
    """What every change starts with. Without a tuple the kernel would understand: all connections."""
    header = _GENERIC.pack(_FAMILIES[connection.original.source.version], 0, 0)
    zone = attribute(_ZONE, connection.zone.to_bytes(2, "big"))
    return header + nested(_ORIGINAL, connection.key[0]) + zone


def _flow(data: bytes) -> Flow:
    got = attributes(data)
    source, destination = attributes(got[_TUPLE_ADDRESSES]).values()
    form = IPv4Address if len(source) == 4 else IPv6Address
    protocol = attributes(got[_TUPLE_PROTOCOL])
    return Flow(
        protocol[_NUMBER][0],
        form(source),
        form(destination),
        int.from_bytes(protocol.get(_SOURCE_PORT, b""), "big"),
        int.from_bytes(protocol.get(_DESTINATION_PORT, b""), "big"),
    )


def _count(data: bytes) -> Count:
    got = attributes(data)
    return Count(int.from_bytes(got.get(_PACKETS, b""), "big"), int.from_bytes(got.get(_BYTES, b""), "big"))
