"""A name server in a namespace: a resolver of the internet, or the own one of a virtual network.

It knows a few names. Some it answers only when it is let, as a slow or dead server does; long answers it cuts short
over UDP. It counts what it is asked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from podvnet.linux import namespace

_PORT = 53
Names = Mapping[tuple[str, str], tuple[str, ...]]
"""By name and type, the lines of the answer as in a zone file."""


class NameServer:
    """Answers on an address.

    Args:
        descriptor: the namespace.
        address: in it.
        names: what it knows; all else does not exist.
        held: the end of names that are answered only once :attr:`let` is set.
    """

    def __init__(self, descriptor: int, address: str, names: Names, held: str = ".slow.test") -> None:
        self._names = names
        self._held = held
        self.let = threading.Event()
        self.asked: Counter[str] = Counter()
        self._datagrams = namespace.run_inside(descriptor, partial(_bound, socket.SOCK_DGRAM, address))
        self._streams = namespace.run_inside(descriptor, partial(_bound, socket.SOCK_STREAM, address))
        self._streams.listen(16)
        self._threads = [threading.Thread(target=each) for each in (self._serve_datagrams, self._serve_streams)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Answer no more."""
        self.let.set()
        for each in (self._datagrams, self._streams):
            with contextlib.suppress(OSError):  # one that is not connected says so, and wakes up all the same
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._datagrams, self._streams):
            each.close()

    def _serve_datagrams(self) -> None:
        while True:
            wire, client = self._datagrams.recvfrom(65_535)
            if not client:
                return
            self._take(wire, partial(self._send, client), limit=512)

    def _send(self, client: tuple[str, int], answer: bytes) -> None:
        with contextlib.suppress(OSError):  # closed while an answer was held
            self._datagrams.sendto(answer, client)

    def _serve_streams(self) -> None:
        while True:
            try:
                connection, _ = self._streams.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                wire = stream.read(int.from_bytes(stream.read(2)))
                self._take(wire, partial(_write, connection), limit=65_535)

    def _take(self, wire: bytes, reply: Callable[[bytes], None], limit: int) -> None:
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        self.asked[name] += 1
        if name.endswith(self._held) and not self.let.is_set():
            threading.Thread(target=self._answer_late, args=(reply, self._answer(query, name, limit))).start()
        else:
            reply(self._answer(query, name, limit))

    def _answer_late(self, reply: Callable[[bytes], None], answer: bytes) -> None:
        self.let.wait()
        reply(answer)

    def _answer(self, query: dns.message.Message, name: str, limit: int) -> bytes:
        response = dns.message.make_response(query)
        kind = query.question[0].rdtype.name
        lines = self._names.get((name, kind), ())
        for line in lines:
            owner, ttl, *rest = line.split(maxsplit=4)
            response.answer.append(dns.rrset.from_text(owner, int(ttl), *rest))
        if not any(known == name for known, _ in self._names):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=limit, prefer_truncation=True)


@contextlib.contextmanager
def name_server(descriptor: int, address: str, names: Names) -> Iterator[NameServer]:
    """A name server for the block."""
    server = NameServer(descriptor, address, names)
    try:
        yield server
    finally:
        server.close()


def _write(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(len(answer).to_bytes(2) + answer)


def _bound(kind: socket.SocketKind, address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, _PORT))
    return made
