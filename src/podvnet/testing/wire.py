"""Frames into and out of many namespaces at once: sent from any interface, heard where they come in.

Source: packet(7). One socket a namespace hears all its interfaces; what goes out of them is not heard.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from podvnet.linux import namespace

_ALL_PROTOCOLS = 3
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_RECEIVE_BUFFER_FORCE = 33
_BUFFER = 8 << 20
_TIMESTAMP_NS = 35
_TIMESTAMP = struct.Struct("@ll")
_LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame that came in. ``time``: nanoseconds, by the kernel's clock, which is one for all namespaces."""

    time: int
    namespace: str
    interface: str
    frame: bytes


class Wire:
    """Packet sockets in named namespaces. A context manager."""

    def __init__(self, labels: list[str]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._labels: dict[int, str] = {}
        self._poll = select.poll()
        for label in labels:
            with namespace.opened(label) as descriptor:
                made = namespace.run_inside(
                    descriptor,
                    lambda: socket.socket(
                        socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ALL_PROTOCOLS)
                    ),
                )
            self._sockets[label] = made
            made.setblocking(False)
            made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
            made.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
            made.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
            self._labels[made.fileno()] = label
            self._poll.register(made, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets.values():
            each.close()

    def send(self, label: str, interface: str, frame: bytes) -> None:
        """Send a frame out of an interface of a namespace."""
        self._sockets[label].sendto(frame, (interface, 0))

    def hear(self, note: Callable[[Heard], None], enough: Callable[[], bool], seconds: float, quiet: float) -> None:
        """Note every frame that comes in.

        Args:
            note: called with each.
            enough: all that is awaited has come.
            seconds: how long to wait for that.
            quiet: then, for how many seconds nothing may come any more.
        """
        end = time.monotonic() + seconds
        while not enough() and (left := end - time.monotonic()) > 0:
            self._drain(note, left)
        while self._drain(note, quiet) and time.monotonic() < end + seconds:
            pass

    def _drain(self, note: Callable[[Heard], None], seconds: float) -> bool:
        ready = self._poll.poll(seconds * 1000)
        for descriptor, _ in ready:
            label = self._labels[descriptor]
            while True:
                try:
                    frame, ancillary, _, sender = self._sockets[label].recvmsg(_LONGEST, 64)
                except BlockingIOError:
                    break
                stamp = next(data for _, kind, data in ancillary if kind == _TIMESTAMP_NS)
                whole, rest = _TIMESTAMP.unpack(stamp)
                note(Heard(whole * 1_000_000_000 + rest, label, sender[0], frame))
        return bool(ready)
