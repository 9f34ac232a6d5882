"""Asks with packets: servers that tell every caller which address it came from, and callers that ask them.

Sockets stay in the namespace they were made in, so one process speaks from all of them, without a program in any pod.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from podvnet.linux import namespace

PORT = 7070

_DO_NOT_FRAGMENT = 2
_MTU_OPTIONS = {
    socket.AF_INET: (socket.IPPROTO_IP, 10, 28),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 48),
}
"""By family: the socket option of path MTU discovery, and the bytes of an IP and a UDP header."""


def family_of(address: str) -> socket.AddressFamily:
    """The family of an address in text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def open_inside(mount_namespace: Path, path: str) -> int:
    """Open a file of another mount namespace: a pod's network namespace, seen from its VM.

    Raises:
        OSError: it is not there.
    """
    opened: list[int] = []
    failure: list[OSError] = []

    def enter() -> None:
        try:
            # A thread must share no working directory with others to change its mount namespace.
            namespace.unshare(namespace.CLONE_FS)
            with mount_namespace.open("rb") as pin:
                namespace.set_namespace(pin.fileno(), namespace.CLONE_NEWNS)
            opened.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            failure.append(error)

    visitor = threading.Thread(target=enter, name="open-inside")
    visitor.start()
    visitor.join()
    if failure:
        raise failure[0]
    return opened[0]


class WhoAmI:
    """Servers, TCP and UDP, that answer each caller with the address it comes from. Datagrams are answered at length.

    A context manager; its one thread ends with the block.
    """

    def __init__(self, port: int = PORT) -> None:
        self.port = port
        self.callers: list[tuple[str, str]] = []
        """(address called, address of the caller) of every call so far."""
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="who-am-i", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake)

    def listen(self, descriptor: int, address: str) -> None:
        """Serve at an address of a namespace."""
        family = family_of(address)
        with namespace.entered(descriptor):
            stream = socket.create_server((address, self.port), family=family, backlog=512, reuse_port=False)
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            datagram.bind((address, self.port))
        for each in (stream, datagram):
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ, address)
        os.eventfd_write(self._wake, 2)  # the selector may be waiting with the old list

    def forget(self, address: str) -> None:
        """Serve at an address no more."""
        for key in list(self._selector.get_map().values()):
            if key.data == address and isinstance(key.fileobj, socket.socket):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._wake or key.fileobj == self._wake:
                    if os.eventfd_read(self._wake) % 2:
                        return
                    continue
                with contextlib.suppress(OSError):  # a caller that left is no concern of the others
                    self._answer(key.fileobj, key.data)  # type: ignore[arg-type]

    def _answer(self, listener: socket.socket, address: str) -> None:
        if listener.type == socket.SOCK_STREAM:
            accepted, peer = listener.accept()
            self.callers.append((address, peer[0]))
            with accepted:
                accepted.sendall(peer[0].encode())
            return
        data, peer = listener.recvfrom(1 << 16)
        self.callers.append((address, peer[0]))
        listener.sendto(peer[0].encode().ljust(len(data)), peer)


def seen_as(descriptor: int, destination: str, *, port: int = PORT, source: str = "", timeout: float = 1.0) -> str:
    """Call a server by TCP from a namespace.

    Returns:
        The address the server saw, or an empty text when no connection came about in ``timeout`` seconds.
    """
    with namespace.entered(descriptor):
        caller = socket.socket(family_of(destination), socket.SOCK_STREAM)
    with caller:
        caller.settimeout(timeout)
        try:
            if source:
                caller.bind((source, 0))
            caller.connect((destination, port))
            return caller.recv(64).decode()
        except OSError:
            return ""


def datagram_passes(descriptor: int, destination: str, size: int, *, port: int = PORT, timeout: float = 1.0) -> bool:
    """Tell whether an IP packet of ``size`` bytes that must not be fragmented comes and goes.

    A server answers with a packet of the same size.
    """
    family = family_of(destination)
    level, option, headers = _MTU_OPTIONS[family]
    with namespace.entered(descriptor):
        caller = socket.socket(family, socket.SOCK_DGRAM)
    with caller:
        caller.settimeout(timeout)
        caller.setsockopt(level, option, _DO_NOT_FRAGMENT)
        try:
            caller.sendto(bytes(size - headers), (destination, port))
            return len(caller.recv(1 << 16)) == size - headers
        except TimeoutError:
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return False
            raise


def echo(descriptor: int, destination: str, *, timeout: float = 1.0) -> bool:
    """Send one ICMP echo request from a namespace; tell whether it was answered."""
    if family_of(destination) is socket.AF_INET6:
        return _echo6(descriptor, destination, timeout)
    with namespace.entered(descriptor):
        caller = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with caller:
        caller.settimeout(timeout)
        request = _checksummed(bytes([8, 0, 0, 0]) + os.urandom(2) + b"\0\1" + b"podvnet")
        try:
            caller.sendto(request, (destination, 0))
            while True:
                packet, (sender, _) = caller.recvfrom(2048)
                reply = packet[(packet[0] & 0xF) * 4 :]
                if sender == destination and reply[0] == 0 and reply[4:8] == request[4:8]:
                    return True
        except OSError:
            return False


def _echo6(descriptor: int, destination: str, timeout: float) -> bool:
    with namespace.entered(descriptor):
        caller = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    with caller:
        caller.settimeout(timeout)
        request = bytes([128, 0, 0, 0]) + os.urandom(2) + b"\0\1" + b"podvnet"  # the kernel adds the checksum
        try:
            caller.sendto(request, (destination, 0))
            while True:
                reply, peer = caller.recvfrom(2048)
                if peer[0] == destination and reply[0] == 129 and reply[4:8] == request[4:8]:
                    return True
        except OSError:
            return False


def _checksummed(message: bytes) -> bytes:
    padded = message + bytes(len(message) % 2)
    total = sum(int.from_bytes(padded[i : i + 2], "big") for i in range(0, len(padded), 2))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return message[:2] + (~total & 0xFFFF).to_bytes(2, "big") + message[4:]


@contextlib.contextmanager
def frames(descriptor: int, interface: str) -> Iterator[socket.socket]:
    """A socket for raw Ethernet frames on an interface of a namespace."""
    with namespace.entered(descriptor):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    with raw:
        raw.bind((interface, 0))
        yield raw
