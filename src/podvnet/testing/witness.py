"""As whom a host sees those who call it: the source of what arrives there, and that the answer comes back to them.

:mod:`podvnet.testing.traffic` tells whether a flow passes; on the way out to the internet it matters as whom, and on
the way in by which address.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from podvnet.testing.traffic import PASSES, Place, Watch, checksummed, opened

PORT = 7001
_ANSWER = "answer: "
_REQUEST, _REPLY = 8, 0
"""The types of ICMP's echo. Source: RFC 792."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A caller, as the called one sees it. ``port`` is 0 where the protocol has none."""

    address: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A flow of IPv4 to be begun.

    Attributes:
        caller, called: where it begins, and who serves.
        protocol: ``tcp``, ``udp`` or ``icmp``.
        port: the destination's.
        by: what the caller calls the other by; the other's own address, where it is left out.
        source_port: the caller's; one that no earlier flow had, where it is left out.
    """

    caller: Place
    called: Place
    protocol: str
    port: int = PORT
    by: str = ""
    source_port: int = 0

    @property
    def address(self) -> str:
        """What the caller calls the other by."""
        return self.by or self.called.addresses[4]

    def seen(self, watch: Watch) -> Seen | str:
        """Begin it; tell as whom it arrived. ``watch`` is what is dropped meanwhile; nothing has been yet.

        Returns:
            The source that the called one saw, once its answer has come back from the address that was called; else
            what dropped the packet, ``answer: `` before what dropped the answer, or ``lost``.
        """
        match self.protocol:
            case "tcp":
                return self._connection(watch)
            case "udp":
                return self._datagram(watch)
            case "icmp":
                return self._echo(watch)
        raise ValueError(f"{self.protocol} is neither tcp nor udp nor icmp")

    def _connection(self, watch: Watch) -> Seen | str:
        with (
            opened(self.called, 4, socket.SOCK_STREAM, self.port) as listener,
            opened(self.caller, 4, socket.SOCK_STREAM, self.source_port) as near,
        ):
            listener.listen()
            near.connect_ex((self.address, self.port))
            # The listener knows of a caller once its own answer has been answered.
            found = watch.until(listener)
            if found != PASSES:
                return found
            far, peer = listener.accept()
            with far:
                return Seen(*peer)

    def _datagram(self, watch: Watch) -> Seen | str:
        with (
            opened(self.called, 4, socket.SOCK_DGRAM, self.port) as far,
            opened(self.caller, 4, socket.SOCK_DGRAM, self.source_port) as near,
        ):
            token = os.urandom(8)
            near.sendto(token, (self.address, self.port))
            while (found := watch.until(far)) == PASSES:
                data, peer = far.recvfrom(64)
                if data == token:
                    far.sendto(token, peer)
                    return self._answered(near, token, Seen(*peer), watch)
            return found

    def _answered(self, near: socket.socket, token: bytes, peer: Seen, watch: Watch) -> Seen | str:
        found = watch.until(near)
        if found != PASSES:
            return _ANSWER + found
        data, source = near.recvfrom(64)
        return peer if (data, source) == (token, (self.address, self.port)) else f"{_ANSWER}from {source}"

    def _echo(self, watch: Watch) -> Seen | str:
        request = checksummed(bytes([_REQUEST, 0, 0, 0]) + os.urandom(12))
        icmp = socket.IPPROTO_ICMP
        with (
            opened(self.called, 4, socket.SOCK_RAW, protocol=icmp) as far,
            opened(self.caller, 4, socket.SOCK_RAW, protocol=icmp) as near,
        ):
            near.sendto(request, (self.address, 0))
            peer = ""
            while (found := watch.until(near if peer else far)) == PASSES:
                data, (sender, _) = (near if peer else far).recvfrom(2048)
                message = data[(data[0] & 15) * 4 :]
                # The identifier may be another on the way.
                if message[6:] == request[6:] and message[0] == (_REPLY if peer else _REQUEST):
                    if peer:
                        return Seen(peer) if sender == self.address else f"{_ANSWER}from {sender}"
                    peer = sender
        return (_ANSWER if peer else "") + found
