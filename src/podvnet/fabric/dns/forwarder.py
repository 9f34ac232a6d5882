"""Questions that public DNS is to answer, asked of the resolvers of the simulated internet.

Sockets are opened in the internet's namespace. Whoever asks what is being asked already waits for the same answer.
Without a resolver there is no name beyond those that the fabric itself gives out: the internet here is as large as it
is, and a name that is not in it does not exist.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from podvnet.fabric.dns.cache import Cache, PublicAnswer, Question
from podvnet.fabric.dns.resolution import FAILED, NO_SUCH_NAME
from podvnet.linux import namespace

_PORT = 53
_PATIENCE = 1.5
"""Seconds that one resolver is waited for before the next is asked, or the same one again."""
_DEADLINE = 4.0
"""Seconds until a question is given up: before clients do, who wait five."""
_PAYLOAD = 1232
_ROUNDS = 2
_NOWHERE = dns.rrset.from_text(".", 10, "IN", "SOA", "a.root-servers.net. nstld.verisign-grs.com. 1 1800 900 604800 10")


class Forwarder:
    """Asks public DNS. For the event loop's thread.

    Args:
        servers: gives the addresses of the resolvers, the one to be asked first in front.
        label: the internet's namespace.
        clock: seconds, never going back.
    """

    def __init__(
        self, servers: Callable[[], list[str]], label: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers = servers
        self._label = label
        self._clock = clock
        self._cache = Cache()
        self._asked: dict[Question, asyncio.Task[PublicAnswer]] = {}
        self._door: tuple[asyncio.DatagramTransport, _Door] | None = None

    def known(self, question: Question) -> PublicAnswer | None:
        """The answer, if it need not be waited for."""
        if not self._servers():
            return PublicAnswer(NO_SUCH_NAME, authority=(_NOWHERE,))
        return self._cache.find(question, self._clock())

    async def ask(self, question: Question) -> PublicAnswer:
        """The answer to a name and type; a failure when nobody has given one."""
        known = self.known(question)
        if known is not None:
            return known
        task = self._asked.get(question)
        if task is None:
            task = asyncio.create_task(self._exchange(question), name=f"dns-{question[0]}")
            self._asked[question] = task
            task.add_done_callback(lambda _: self._asked.pop(question, None))
        # Another may wait for the same answer, and goes on to when this one gives up.
        return await asyncio.shield(task)

    def close(self) -> None:
        """Give up what is being asked."""
        for task in list(self._asked.values()):
            task.cancel()
        if self._door:
            self._door[0].close()

    async def _exchange(self, question: Question) -> PublicAnswer:
        message = dns.message.make_query(question[0] + ".", question[1], use_edns=0, payload=_PAYLOAD)
        found = None
        try:
            async with asyncio.timeout(_DEADLINE):
                for server in self._servers() * _ROUNDS:
                    found = await self._try(server, message)
                    if found is not None and found.rcode != FAILED:
                        break
        except TimeoutError:
            found = None
        answer = found or PublicAnswer(FAILED)
        self._cache.keep(question, answer, self._clock())
        return answer

    async def _try(self, server: str, message: dns.message.Message) -> PublicAnswer | None:
        """One resolver's answer; None when it has none, or none in time."""
        _, door = await self._open()
        try:
            found = _read(await asyncio.wait_for(door.ask(server, message), _PATIENCE), message)
            if found is not None and found.truncated:
                found = _read(await asyncio.wait_for(self._ask_again(server, message), _PATIENCE), message)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return None
        return found

    async def _open(self) -> tuple[asyncio.DatagramTransport, _Door]:
        if self._door is None:
            with namespace.opened(self._label) as descriptor:
                own = namespace.run_inside(descriptor, partial(socket.socket, socket.AF_INET, socket.SOCK_DGRAM))
            own.setblocking(False)
            self._door = await asyncio.get_running_loop().create_datagram_endpoint(_Door, sock=own)
        return self._door

    async def _ask_again(self, server: str, message: dns.message.Message) -> bytes:
        """The answer over TCP."""
        with namespace.opened(self._label) as descriptor:
            own = namespace.run_inside(descriptor, partial(socket.socket, socket.AF_INET, socket.SOCK_STREAM))
        own.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(own, (server, _PORT))
        except BaseException:
            own.close()
            raise
        reader, writer = await asyncio.open_connection(sock=own)
        try:
            wire = message.to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()


class _Door(asyncio.DatagramProtocol):
    """The one socket for questions over UDP; who answers what is told by the server and the message's number."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[tuple[str, int], asyncio.Future[bytes]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        waiting = self._waiting.get((addr[0], int.from_bytes(data[:2])))
        if waiting is not None and not waiting.done() and addr[1] == _PORT:
            waiting.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: the question is asked again, or of another, when its time is over."""

    async def ask(self, server: str, message: dns.message.Message) -> bytes:
        """The answer of a server, whenever it comes."""
        key = (server, secrets.randbelow(1 << 16))
        while key in self._waiting:
            key = (server, secrets.randbelow(1 << 16))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[key] = answer
        wire = key[1].to_bytes(2) + message.to_wire()[2:]
        try:
            if self._transport is not None:
                self._transport.sendto(wire, (server, _PORT))
            return await answer
        finally:
            del self._waiting[key]


def _read(wire: bytes, message: dns.message.Message) -> PublicAnswer | None:
    """What a message says; None when it is none, or answers something else."""
    try:
        found = dns.message.from_wire(wire, raise_on_truncation=False, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    if not found.flags & dns.flags.QR or found.question != message.question:
        return None
    return PublicAnswer(
        dns.rcode.to_text(found.rcode()),
        tuple(found.answer),
        tuple(found.authority),
        truncated=bool(found.flags & dns.flags.TC),
    )
