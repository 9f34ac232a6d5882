"""The resolver of one virtual network, over UDP and TCP; the caller opens the sockets in the network's namespace.

What is known here is answered at once. What public DNS must be asked is waited for beside everything else, so that a
slow resolver there holds up only those who want something of it. A VM and its pods together may ask 1,000 questions a
second and have 200 under way; what is more is not answered, as in Azure.
Sources: Azure document "Name resolution for resources in Azure virtual networks" (the limits of a VM); RFC 7766
(several questions on one TCP connection, answered in any order; idle ones are closed).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from dns.rrset import RRset

from podvnet.fabric.dns import message
from podvnet.fabric.dns.chain import until_private
from podvnet.fabric.dns.forwarder import Forwarder
from podvnet.fabric.dns.message import LONGEST, Query
from podvnet.fabric.dns.resolution import FAILED, Resolution, resolve
from podvnet.fabric.dns.view import View
from podvnet.fabric.imds import TokenBucket
from podvnet.model.limits import DNS_QUERIES_PENDING, DNS_QUERIES_PER_SECOND

_IDLE = 10.0
"""Seconds until a TCP connection is closed on which nobody asks."""
_CONNECTIONS = 100
"""TCP connections of one VM."""
_ALIASES = 16
"""Ways from a private name to a public one and back that are gone at most."""

Reply = Callable[[bytes], None]


class NetworkResolver:
    """Answers the VMs of one virtual network and their pods. For the event loop's thread.

    Args:
        view: gives what names mean there now; None when the network is gone.
        forwarder: asks public DNS.
        clock: seconds, never going back.
        rate: questions of a VM in a second.
        pending: questions of a VM under way.
    """

    def __init__(
        self,
        view: Callable[[], View | None],
        forwarder: Forwarder,
        clock: Callable[[], float] = time.monotonic,
        *,
        rate: int = DNS_QUERIES_PER_SECOND,
        pending: int = DNS_QUERIES_PENDING,
    ) -> None:
        self._view = view
        self._forwarder = forwarder
        self._clock = clock
        self._rate = rate
        self._most_pending = pending
        self._buckets: dict[str, TokenBucket] = {}
        self._pending: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._datagrams: asyncio.DatagramTransport | None = None
        self._streams: asyncio.Server | None = None

    async def serve(self, datagrams: socket.socket, streams: socket.socket) -> None:
        """Answer on two sockets, the second of which listens."""
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        self._streams = await asyncio.start_server(self._converse, sock=streams)

    def close(self) -> None:
        """Answer no more."""
        if self._datagrams:
            self._datagrams.close()
        if self._streams:
            self._streams.close()
        for task in self._tasks:
            task.cancel()

    def take(self, wire: bytes, source: str, reply: Reply, *, is_stream: bool) -> asyncio.Task[None] | None:
        """Answer a message of a VM or pod, now or later, or never.

        Args:
            wire: the message.
            source: the address that it comes from.
            reply: takes the answer.
            is_stream: it came over TCP.

        Returns:
            What will answer later, where something will.
        """
        view = self._view()
        owner = view.owners.get(source) if view else None
        if view is None or owner is None or not self._may_ask(owner, view):
            return None
        query = message.read(wire)
        if isinstance(query, Query):
            return self._answer(query, view, owner, reply, LONGEST if is_stream else query.payload)
        if query is not None:
            reply(query)
        return None

    def _answer(self, query: Query, view: View, owner: str, reply: Reply, limit: int) -> asyncio.Task[None] | None:
        resolution = resolve(view, query.name, query.kind)
        if not resolution.forward:
            reply(message.answer(query, resolution, limit=limit))
        elif not query.recursive:
            reply(message.refusal(query))
        elif self._pending[owner] < self._most_pending:
            self._pending[owner] += 1
            task = asyncio.create_task(self._forward(query, view, resolution, reply, limit))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(done, owner))
            return task
        return None

    def _done(self, task: asyncio.Task[None], owner: str) -> None:
        self._tasks.discard(task)
        self._pending[owner] -= 1
        if not self._pending[owner]:
            del self._pending[owner]

    async def _forward(self, query: Query, view: View, resolution: Resolution, reply: Reply, limit: int) -> None:
        """Go on in public DNS, and back here where an alias leads to a name that has another meaning here."""
        kind = query.kind
        sets: list[RRset] = []
        for _ in range(_ALIASES):
            found = await self._forwarder.ask((resolution.forward, kind))
            held, alias = until_private(found, view, resolution.forward, kind)
            sets += held
            if alias is None:
                final = replace(resolution, rcode=found.rcode)
                reply(message.answer(query, final, sets, found.authority, limit=limit))
                return
            here = resolve(view, alias, kind)
            sets += message.rrsets(here)
            if not here.forward:
                reply(message.answer(query, replace(here, answers=resolution.answers), sets, limit=limit))
                return
            resolution = replace(resolution, forward=here.forward)
        reply(message.answer(query, Resolution(FAILED), limit=limit))

    def _may_ask(self, owner: str, view: View) -> bool:
        """Take a token of the VM. Buckets of VMs that are gone are dropped whenever a new VM comes."""
        now = self._clock()
        if owner not in self._buckets:
            known = set(view.owners.values())
            self._buckets = {each: bucket for each, bucket in self._buckets.items() if each in known}
        bucket = self._buckets.get(owner) or TokenBucket(now, float(self._rate), self._rate)
        self._buckets[owner], wait = bucket.take(now)
        return not wait

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection."""
        source: str = writer.get_extra_info("peername")[0]
        view = self._view()
        owner = view.owners.get(source, "") if view else ""
        self._connections[owner] += 1
        later: set[asyncio.Task[None]] = set()

        def reply(wire: bytes) -> None:
            if not writer.is_closing():
                writer.write(len(wire).to_bytes(2) + wire)

        try:
            while owner and self._connections[owner] <= _CONNECTIONS:
                async with asyncio.timeout(_IDLE):
                    size = int.from_bytes(await reader.readexactly(2))
                    wire = await reader.readexactly(size)
                    await writer.drain()
                task = self.take(wire, source, reply, is_stream=True)
                if task is not None:
                    later.add(task)
                    task.add_done_callback(later.discard)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            # The client is done, or says no more. It may still wait for answers.
            await asyncio.gather(*later, return_exceptions=True)
        finally:
            self._connections[owner] -= 1
            if not self._connections[owner]:
                del self._connections[owner]
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket of a virtual network."""

    def __init__(self, resolver: NetworkResolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        def reply(wire: bytes) -> None:
            if self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(wire, addr)

        self._resolver.take(data, addr[0], reply, is_stream=False)

    def error_received(self, exc: Exception) -> None:
        """A client that has gone cannot be told."""
