"""What an interface sees of a flow: which way its packets take."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

from podvnet.runtime.probe import frames

_ADDRESSES = {4: (14 + 12, 4), 6: (14 + 8, 16)}
"""Where the source stands in an Ethernet frame, and how long it is; the destination follows."""


class Sight:
    """The frames that an interface sees."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire

    def forget(self) -> None:
        """Count from now on."""
        for _ in self._seen():
            pass

    def directions(self, one: str, other: str) -> str:
        """Which ways between two addresses were seen since this was last asked: ``>`` there, ``<`` back."""
        at, length = _ADDRESSES[ip_address(one).version]
        seen = {frame[at : at + 2 * length] for frame in self._seen()}
        there, back = (
            ip_address(first).packed + ip_address(last).packed for first, last in ((one, other), (other, one))
        )
        return ">" * (there in seen) + "<" * (back in seen)

    def _seen(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                yield self._wire.recv(2048)


@contextlib.contextmanager
def sight(descriptor: int, interface: str = "eth0") -> Iterator[Sight]:
    """Watch an interface of a namespace for the block."""
    with frames(descriptor, interface) as wire:
        wire.setblocking(False)
        yield Sight(wire)
