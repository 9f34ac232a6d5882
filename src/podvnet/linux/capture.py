"""Frames as they pass an interface, by a packet socket.

Source: packet(7). Frames have the kernel's timestamps. They are seen before segmentation and before checksums are
filled in, where a virtual cable leaves both out: a frame may be longer than the MTU, and its checksum not right yet.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Self

from podvnet.linux import namespace
from podvnet.linux.error import KernelError
from podvnet.model.pcap import SNAPSHOT_LENGTH, CapturedFrame

_ALL_PROTOCOLS = 3
_OUTGOING = 4
_TIMESTAMP_NS = 35
_TIMESTAMP = struct.Struct("@ll")
_SOL_PACKET, _STATISTICS = 263, 6
_COUNTS = struct.Struct("=II")
_RECEIVE_BUFFER_FORCE = 33
_BUFFER = 16 << 20
"""Bytes of frames that may wait while this process is busy."""


class Capture:
    """An ear on one interface of a namespace, or on all. Frames count from the moment it is made.

    Args:
        descriptor: the open namespace.
        interface: a name; empty for all interfaces.

    Raises:
        KernelError: there is no such interface, or it may not be listened on.
    """

    def __init__(self, descriptor: int, interface: str = "") -> None:
        self._interface = interface
        self._dropped = 0
        self._buffer = bytearray(SNAPSHOT_LENGTH)
        # Protocol 0: nothing is heard before the socket is bound, least of all from other interfaces.
        protocol = 0 if interface else socket.htons(_ALL_PROTOCOLS)
        self._socket = namespace.run_inside(
            descriptor, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        )
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
            if interface:
                self._socket.bind((interface, _ALL_PROTOCOLS))
        except OSError as error:
            self._socket.close()
            raise self._failure(error) from None

    @property
    def dropped(self) -> int:
        """Frames the kernel had no room for, until now."""
        _, since_asked = _COUNTS.unpack(self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size))
        self._dropped += since_asked
        return self._dropped

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def frames(self, stop: int, seconds: float | None = None) -> Iterator[CapturedFrame | None]:
        """Yield each frame, and None when no other is there yet: time to show what was held back.

        Args:
            stop: a descriptor; once it is readable, what has been heard so far is yielded and the iteration ends.
            seconds: how long to listen; None for ever.

        Raises:
            KernelError: the interface went down or away.
        """
        end = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(stop, select.POLLIN)
        ended = False
        while not ended:
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            ready = {descriptor for descriptor, _ in poll.poll(left)}
            ended = stop in ready or (end is not None and time.monotonic() >= end)
            limit = time.time_ns()
            for frame in self._heard():
                yield frame
                if frame.time > limit:
                    break  # on a busy interface there is always another one, and the end would not be noticed
            yield None

    def _heard(self) -> Iterator[CapturedFrame]:
        view = memoryview(self._buffer)
        while True:
            try:
                length, ancillary, _, sender = self._socket.recvmsg_into([self._buffer], 64, socket.MSG_TRUNC)
            except BlockingIOError:
                return
            except OSError as error:
                raise self._failure(error) from None
            stamp = next(data for _, kind, data in ancillary if kind == _TIMESTAMP_NS)
            seconds, nanoseconds = _TIMESTAMP.unpack(stamp)
            yield CapturedFrame(
                seconds * 1_000_000_000 + nanoseconds,
                bytes(view[: min(length, SNAPSHOT_LENGTH)]),
                length,
                sender[0],
                sender[2] == _OUTGOING,
            )

    def _failure(self, error: OSError) -> KernelError:
        return KernelError(error.errno or 0, f"capture on {self._interface or 'all interfaces'}")
