"""Netlink: the socket, the header, the attribute, the acknowledgement.

Source: Linux ``Documentation/userspace-api/netlink/intro.rst`` and ``include/uapi/linux/netlink.h``. A batch is one
``sendmsg``. A message that fails does not stop those behind it, and the kernel tells of a failure unasked; so only the
last message asks for an acknowledgement, and what has not failed by then has succeeded.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from podvnet.linux.error import KernelError

ROUTE = 0
NETFILTER = 12

REQUEST = 0x1
MULTI = 0x2
ACK = 0x4
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400

NESTED = 0x8000

_ERROR = 2
_DONE = 3
_ACK_TLVS = 0x200
_EXT_ACK_MESSAGE = 1
_SOL_NETLINK = 270
_CAP_ACK = 10
_EXT_ACK = 11
_STRICT_CHECK = 12
_RECEIVE_BUFFER_FORCE = 33

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
_U32 = struct.Struct("=I")

_BATCH = 64
"""Messages a send: their acknowledgements must fit the receive buffer."""
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """A request: type and flags of the header, the packed body, and what it does in words for the error."""

    type: int
    flags: int
    body: bytes
    doing: str


def attribute(kind: int, payload: bytes) -> bytes:
    """Pack one attribute, padded to four bytes."""
    length = len(payload) + 4
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length & 3)


def u32(kind: int, value: int) -> bytes:
    """Pack a 32-bit attribute in the machine's byte order."""
    return _ATTRIBUTE.pack(8, kind) + _U32.pack(value)


def text(kind: int, value: str) -> bytes:
    """Pack a NUL-ended string attribute."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    """Pack an attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Unpack a run of attributes; of a repeated one the last counts. The nested flag is cleared."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def attribute_list(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Unpack a run of attributes in order, repeated ones included."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class NetlinkSocket:
    """A netlink socket. It belongs to the network namespace of the thread that makes it, for ever."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def strict(self) -> None:
        """Ask the kernel to honour the filters of dump requests."""
        self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transact(self, messages: Sequence[Message]) -> list[KernelError | None]:
        """Send messages in as few batches as fit, and return for each its error, or None."""
        outcome: list[KernelError | None] = []
        for start in range(0, len(messages), _BATCH):
            outcome += self._batch(messages[start : start + _BATCH])
        return outcome

    def _batch(self, messages: Sequence[Message]) -> list[KernelError | None]:
        first = self._sequence + 1
        self._sequence += len(messages)
        acknowledge = [0] * (len(messages) - 1) + [ACK]
        packed = b"".join(
            _HEADER.pack(16 + len(m.body), m.type, m.flags | REQUEST | ask, first + i, 0)
            + m.body
            + bytes(-len(m.body) & 3)
            for i, (m, ask) in enumerate(zip(messages, acknowledge, strict=True))
        )
        self._socket.sendall(packed)
        outcome: list[KernelError | None] = [None] * len(messages)
        for sequence, number, reason in self.acknowledgements(first, first + len(messages) - 1):
            if number:
                outcome[sequence - first] = KernelError(number, messages[sequence - first].doing, reason)
        return outcome

    def send(self, packed: bytes) -> None:
        """Send bytes that carry their own headers (nfnetlink batches)."""
        self._socket.sendall(packed)

    def fileno(self) -> int:
        """The descriptor, to wait for what the kernel sends unasked."""
        return self._socket.fileno()

    def enlarge(self, size: int) -> None:
        """Let so many bytes wait to be received, whatever the limit of the machine."""
        self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, size)

    def unasked(self) -> Iterator[tuple[int, bytes]]:
        """Wait for what the kernel sends unasked and yield (type, body) of each message that came together.

        Raises:
            OSError: ``ENOBUFS``: some was lost, because nobody received for too long.
        """
        data = self._socket.recv(_BUFFER)
        offset = 0
        while offset < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
            if kind not in {_ERROR, _DONE}:
                yield kind, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3

    def next_sequence(self, count: int = 1) -> int:
        """Reserve sequence numbers; return the first."""
        first = self._sequence + 1
        self._sequence += count
        return first

    def acknowledgements(self, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Yield (sequence, errno, reason) of failures, until the acknowledgement of ``last`` has come."""
        while True:
            data = self._socket.recv(_BUFFER)
            offset = 0
            while offset < len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                if kind == _ERROR and first <= sequence <= last:
                    number = -_ERRNO.unpack_from(data, offset + 16)[0]
                    yield sequence, number, _reason(data[offset : offset + length], flags)
                    if sequence == last:
                        return
                offset += (length + 3) & ~3

    def dump(self, kind: int, body: bytes, doing: str) -> Iterator[tuple[int, bytes]]:
        """Send a dump request and yield (type, body) of each answer.

        Raises:
            KernelError: the kernel refused, or the table changed so often that no consistent answer came.
        """
        sequence = self.next_sequence()
        self._socket.sendall(_HEADER.pack(16 + len(body), kind, REQUEST | DUMP, sequence, 0) + body)
        while True:
            data = self._socket.recv(_BUFFER)
            offset = 0
            while offset < len(data):
                length, answer, flags, got, _ = _HEADER.unpack_from(data, offset)
                if got == sequence:
                    if answer in {_DONE, _ERROR}:
                        number = -_ERRNO.unpack_from(data, offset + 16)[0] if length >= 20 else 0
                        if number and number != errno.ENOENT:
                            raise KernelError(number, doing, _reason(data[offset : offset + length], flags))
                        return
                    yield answer, data[offset + 16 : offset + length]
                offset += (length + 3) & ~3


def _reason(message: bytes, flags: int) -> str:
    """Read the kernel's own words from an error message with the extended-ack flag."""
    if not flags & _ACK_TLVS:
        return ""
    words = attributes(message, 16 + 4 + 16).get(_EXT_ACK_MESSAGE, b"")
    return words.rstrip(b"\0").decode(errors="replace")
