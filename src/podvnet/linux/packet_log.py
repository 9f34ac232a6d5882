"""Packets that rules with ``log … group N`` have seen, by nfnetlink_log.

Source: Linux ``include/uapi/linux/netfilter/nfnetlink_log.h``. Numbers are big-endian. The kernel is told to
send each packet at once rather than many a second later. One socket a group and namespace: another one is refused.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from podvnet.linux.error import KernelError
from podvnet.linux.netlink import NETFILTER, Message, NetlinkSocket, attribute, attributes

_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = 0, 1
_GENERIC = struct.Struct(">BBH")
_COMMAND, _MODE, _THRESHOLD = 1, 2, 5
_BIND = b"\1"
_COPY_PACKET = 2
_TIMESTAMP, _IN, _OUT, _PAYLOAD, _PREFIX = 3, 4, 5, 9, 10
_MICROSECONDS = struct.Struct(">QQ")
_BUFFER = 8 << 20

HEADER_BYTES = 128
"""Bytes of each packet that are kept: its headers."""


@dataclass(frozen=True, slots=True)
class LoggedPacket:
    """A packet that a rule has logged.

    Attributes:
        prefix: what the rule writes before it.
        header: its first bytes, from the IP header on.
        time: nanoseconds since 1970, when it passed.
        incoming: the index of the interface it came in by; 0 for none, as for a packet that is sent from here.
        outgoing: the index of the interface it leaves by; 0 where that is not known yet.
    """

    prefix: str
    header: bytes
    time: int
    incoming: int
    outgoing: int


class PacketLog:
    """What is logged to a group in the calling thread's namespace, from now on. A context manager.

    Raises:
        KernelError: the group has a listener already (``EPERM``, as without rights), or the kernel refused.
    """

    def __init__(self, group: int) -> None:
        self.overruns = 0
        """How often packets were lost, because nobody received for too long."""
        self._netlink = NetlinkSocket(NETFILTER)
        self._netlink.enlarge(_BUFFER)
        head = _GENERIC.pack(0, 0, group)
        mode = attribute(_MODE, struct.pack(">IBx", HEADER_BYTES, _COPY_PACKET))
        threshold = attribute(_THRESHOLD, (1).to_bytes(4, "big"))
        doing = f"listen to packet log group {group}"
        kind = _SUBSYSTEM | _CONFIG
        # What the group is like can be said only once it is bound.
        for body in (head + attribute(_COMMAND, _BIND), head + mode + threshold):
            [refused] = self._netlink.transact([Message(kind, 0, body, doing)])
            if refused:
                self._netlink.close()
                raise refused

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when packets have been logged."""
        return self._netlink.fileno()

    def packets(self) -> Iterator[LoggedPacket]:
        """Wait for packets and yield those that came together.

        Raises:
            KernelError: the kernel refused.
        """
        try:
            for kind, body in self._netlink.unasked():
                if kind == _SUBSYSTEM | _PACKET:
                    yield _read(body)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise KernelError(error.errno or 0, "receive logged packets") from error
            self.overruns += 1


def _read(body: bytes) -> LoggedPacket:
    got = attributes(body, _GENERIC.size)
    if _TIMESTAMP in got:
        seconds, microseconds = _MICROSECONDS.unpack(got[_TIMESTAMP])
        moment = seconds * 1_000_000_000 + microseconds * 1000
    else:
        moment = time.time_ns()  # what is sent from here has no time of arrival
    return LoggedPacket(
        prefix=got.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace"),
        header=got.get(_PAYLOAD, b""),
        time=moment,
        incoming=int.from_bytes(got.get(_IN, b""), "big"),
        outgoing=int.from_bytes(got.get(_OUT, b""), "big"),
    )
