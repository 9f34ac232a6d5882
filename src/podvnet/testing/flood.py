"""Datagrams that never stop coming."""

from __future__ import annotations

import errno
import itertools
import socket
import threading
import time
from collections.abc import Sequence
from typing import Self

from podvnet.linux import namespace
from podvnet.testing.traffic import Place

_PAUSE = 0.0005
"""Seconds between two rounds: what leaves the processor to those who are tested."""
_RECEIVE_BUFFER_FORCE, _BUFFER, _LOOK_SECONDS = 33, 16 << 20, 0.05
_SILENT = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
"""What a socket is told when nobody listened to an earlier datagram."""


class Flood:
    """Sends numbered datagrams round and round while its block runs.

    Args:
        place: where they come from.
        targets: addresses and ports.
        version: of IP.
        fresh: each datagram is the first of a flow of its own.

    Attributes:
        sent: how many were sent to each target; the last one's number is one less.
    """

    def __init__(
        self, place: Place, targets: Sequence[tuple[str, int]], version: int = 4, *, fresh: bool = False
    ) -> None:
        self._place = place
        self._targets = targets
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._version = version
        self._fresh = fresh
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood")
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with namespace.entered(self._place.descriptor):
            kept = self._socket()
            for number in itertools.count():
                payload = number.to_bytes(8, "big")
                for target in self._targets:
                    if self._fresh:
                        with self._socket() as once:
                            once.sendto(payload, target)
                    else:
                        self._send(kept, payload, target)
                self.sent = number + 1
                if self._stop.is_set():
                    break
                time.sleep(_PAUSE)
            kept.close()

    def _socket(self) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        made.bind((self._place.addresses[self._version], 0))
        return made

    @staticmethod
    def _send(sender: socket.socket, payload: bytes, target: tuple[str, int]) -> None:
        try:
            sender.sendto(payload, target)
        except OSError as error:
            if error.errno not in _SILENT:
                raise


class Arrivals:
    """The numbers of the datagrams that arrive at a socket, read as they come. A context manager."""

    def __init__(self, receiver: socket.socket) -> None:
        receiver.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
        receiver.settimeout(_LOOK_SECONDS)
        self._receiver = receiver
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arrivals")
        self.numbers: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.numbers.add(int.from_bytes(self._receiver.recv(64), "big"))
            except TimeoutError:
                continue
