"""Single flows between namespaces: sent, awaited, and accounted for by the counters of whatever drops them.

What does not arrive is told by the counter that rises, not by time that passes: a test never waits for silence.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from podvnet.linux import namespace, ruleset
from podvnet.plan.names import TABLE

TCP, UDP, ICMP = "tcp", "udp", "icmp"
PASSES = "passes"
LOST = "lost"
"""What neither arrived nor was counted anywhere: a guest dropped it."""
_ANSWER = "answer: "

_OPENS = re.compile(r"\t(?:chain|counter) (\S+) \{")
_NAMED = re.compile(r"\t\tpackets (\d+) bytes")
_RULE = re.compile(r'counter packets (\d+) bytes \d+ drop comment "[^/"]*/([^"]*)"')
_GROUP = re.compile(r"nsg-(?:in|out|platform)-(.*)-[0-9a-f]{12}")
_NOISE = {"spoofed"}
"""Guests announce their multicast groups, which no virtual network carries."""
_LONGEST, _LOOK_SECONDS = 3.0, 0.02
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PING = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}
_numbers = itertools.count()
"""Of echo requests and source ports: each flow is a new one, whatever the kernel still knows of earlier ones."""
_FIRST_PORT, _PORTS = 10_000, 22_000
"""Below those that the kernel chooses from."""


@dataclass(frozen=True)
class Place:
    """Where flows begin and end: an open namespace, and the addresses that are used there, by IP version."""

    descriptor: int
    addresses: dict[int, str]


def drops(networks: Iterable[int]) -> Counter[str]:
    """How many packets were dropped so far in the namespaces of virtual networks.

    Returns:
        Counts by what dropped: ``GROUP RULE`` for a security rule, else the name of the counter.
    """
    found: Counter[str] = Counter()
    for descriptor in networks:
        text = namespace.run_inside(descriptor, lambda: ruleset.run(f"list table inet {TABLE}"))
        opened = ""
        for line in text.splitlines():
            if opens := _OPENS.match(line):
                opened = opens[1]
            elif (named := _NAMED.match(line)) and opened not in _NOISE:
                found[opened] += int(named[1])
            elif rule := _RULE.search(line):
                group = _GROUP.fullmatch(opened)
                found[f"{group[1] if group else opened} {rule[2]}"] += int(rule[1])
    return found


class Watch:
    """What is dropped from now on.

    Args:
        networks: the open namespaces of the virtual networks on the way.
        but: whose drops are of no interest, such as a rule's that others meet all the time.
    """

    def __init__(self, networks: Iterable[int], but: Iterable[str] = ()) -> None:
        self._networks = tuple(networks)
        self._but = frozenset(but)
        self._before = drops(self._networks)

    def culprits(self) -> str:
        """What has dropped since, in alphabetical order; empty when nothing has."""
        return ", ".join(sorted((drops(self._networks) - self._before).keys() - self._but))

    def until(self, *sockets: socket.socket, writable: bool = False, seconds: float = _LONGEST) -> str:
        """Wait until one of the sockets is ready, or something is dropped, or nothing at all has come of it.

        Returns:
            ``passes`` when a socket is ready, else what has dropped, or ``lost``.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked = ([], sockets) if writable else (sockets, [])
            if any(select.select(*asked, [], _LOOK_SECONDS)):
                return PASSES
            if dropped := self.culprits():
                return dropped
        return LOST


def outcome(caller: Place, called: Place, protocol: str, version: int, watch: Watch, *, port: int = 0) -> str:
    """Begin a flow; tell what became of it.

    Args:
        caller: where it begins.
        called: where it leads.
        protocol: ``tcp``, ``udp``, ``icmp``, or the number of a protocol of which one packet is sent.
        version: of IP.
        watch: what is dropped meanwhile; it must be fresh.
        port: the destination's.

    Returns:
        ``passes`` when an answer came back, else what dropped the packet, ``answer: `` before what dropped the answer,
        or ``lost``.
    """
    match protocol:
        case "tcp":
            return _call(caller, called, version, watch, port)
        case "udp":
            return _datagram(caller, called, version, watch, port)
        case "icmp":
            return _echo(caller, called, version, watch)
        case _:
            return _bare(caller, called, version, watch, int(protocol))


@contextlib.contextmanager
def opened(
    place: Place, version: int, kind: socket.SocketKind, port: int = 0, protocol: int = 0
) -> Iterator[socket.socket]:
    """A socket of a place, bound to its address."""
    with namespace.entered(place.descriptor):
        made = socket.socket(_FAMILIES[version], kind, protocol)
    with made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections are closed by a reset, so that nothing of one flow is left for the next one's watch.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The kernel's choice could be the port of an earlier flow, which is still known and passes whatever the rules.
        chosen = port or (0 if kind == socket.SOCK_RAW else _FIRST_PORT + next(_numbers) % _PORTS)
        made.bind((place.addresses[version], chosen))
        made.setblocking(False)
        yield made


@contextlib.contextmanager
def connected(caller: Place, called: Place, version: int, port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection that is established: the caller's end and the called one's.

    Raises:
        TimeoutError: it did not come about.
    """
    with (
        opened(called, version, socket.SOCK_STREAM, port) as listener,
        opened(caller, version, socket.SOCK_STREAM) as near,
    ):
        listener.listen()
        near.settimeout(_LONGEST)
        near.connect((called.addresses[version], port))
        listener.settimeout(_LONGEST)
        far, _ = listener.accept()
        with far:
            far.settimeout(_LONGEST)
            yield near, far


def still_flows(near: socket.socket, far: socket.socket) -> bool:
    """Tell whether an established connection carries bytes both ways."""
    for sender, receiver in ((near, far), (far, near)):
        token = os.urandom(8)
        sender.sendall(token)
        try:
            if receiver.recv(64) != token:
                return False
        except TimeoutError:
            return False
    return True


def _call(caller: Place, called: Place, version: int, watch: Watch, port: int) -> str:
    with opened(called, version, socket.SOCK_STREAM, port) as listener:
        listener.listen()
        return call(caller, called.addresses[version], version, watch, port)


def call(caller: Place, address: str, version: int, watch: Watch, port: int) -> str:
    """Make a TCP connection to whoever serves at an address; see :func:`outcome`."""
    with opened(caller, version, socket.SOCK_STREAM) as near:
        near.connect_ex((address, port))
        found = watch.until(near, writable=True)
        refusal = near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return os.strerror(refusal) if found == PASSES and refusal else found


def _datagram(caller: Place, called: Place, version: int, watch: Watch, port: int) -> str:
    with opened(called, version, socket.SOCK_DGRAM, port) as far, opened(caller, version, socket.SOCK_DGRAM) as near:
        token = os.urandom(8)
        near.sendto(token, (called.addresses[version], port))
        found = watch.until(far)
        if found != PASSES:
            return found
        data, sender = far.recvfrom(64)
        far.sendto(data, sender)
        found = watch.until(near)
        return PASSES if found == PASSES and near.recv(64) == token else _ANSWER + found


def _echo(caller: Place, called: Place, version: int, watch: Watch) -> str:
    protocol, request_type, reply_type = _PING[version]
    token = struct.pack(">HH", next(_numbers) % (1 << 16), 0) + os.urandom(8)
    with opened(caller, version, socket.SOCK_RAW, protocol=protocol) as near:
        body = bytes([request_type, 0, 0, 0]) + token
        # Of ICMPv6 the kernel makes the checksum.
        near.sendto(checksummed(body) if version == 4 else body, (called.addresses[version], 0))
        while (found := watch.until(near)) == PASSES:
            data = near.recv(2048)
            reply = data[(data[0] & 15) * 4 :] if version == 4 else data
            if reply[0] == reply_type and reply[4:] == token:
                return PASSES
    return found


def _bare(caller: Place, called: Place, version: int, watch: Watch, protocol: int) -> str:
    with (
        opened(called, version, socket.SOCK_RAW, protocol=protocol) as far,
        opened(caller, version, socket.SOCK_RAW, protocol=protocol) as near,
    ):
        # An authentication header before one of UDP, which IPv6 reads; to other protocols the bytes mean nothing.
        header = bytes([socket.IPPROTO_UDP, 4, 0, 0]) + os.urandom(20)
        near.sendto(header + struct.pack(">HHHH", 5000, 7001, 8, 0), (called.addresses[version], 0))
        return watch.until(far)


def checksummed(message: bytes) -> bytes:
    """An ICMP message of IPv4 with its checksum in the place of the two bytes of zero."""
    total = sum(int.from_bytes(message[at : at + 2], "big") for at in range(0, len(message), 2))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return message[:2] + (~total & 0xFFFF).to_bytes(2, "big") + message[4:]
