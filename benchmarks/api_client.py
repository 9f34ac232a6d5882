"""A client that adds next to nothing to what it measures: the standard library's HTTP connection, kept open.

The SDKs of both clouds spend more on a call than the servers do.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 600


class Call(NamedTuple):
    """One request: method, path with query, body."""

    method: str
    path: str
    body: bytes = b""


class Reply(NamedTuple):
    """Seconds from the first byte sent to the last one read, and the body."""

    wall: float
    body: bytes


class RefusedError(Exception):
    """A server answered with an error; the message is what it said."""


@dataclass(frozen=True)
class Client:
    """How a server is reached.

    Attributes:
        url: the server's, ``https://localhost:8443``.
        headers: sent with every call.
        authority: the file of the certificate that the server's is signed with.
    """

    url: str
    headers: dict[str, str]
    authority: str = ""

    @contextlib.contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for the block."""
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            made = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
        else:
            context = ssl.create_default_context(cafile=self.authority)
            made = http.client.HTTPSConnection(parts.netloc, timeout=_TIMEOUT_SECONDS, context=context)
        made.connect()
        try:
            yield Connection(made, self.headers)
        finally:
            made.close()

    def call(self, call: Call) -> Reply:
        """Make one request by a connection of its own.

        Raises:
            RefusedError: the answer is not one of success.
        """
        with self.connected() as connection:
            return connection.call(call)


@dataclass(frozen=True)
class Connection:
    """An open connection. A server that closes it gets a new one, within what is measured."""

    http: http.client.HTTPConnection
    headers: dict[str, str]

    def call(self, call: Call) -> Reply:
        """Make a request.

        Raises:
            RefusedError: the answer is not one of success.
        """
        start = time.perf_counter()
        self.http.request(call.method, call.path, call.body or None, self.headers)
        response = self.http.getresponse()
        body = response.read()
        wall = time.perf_counter() - start
        if response.status >= http.client.BAD_REQUEST:
            raise RefusedError(f"{call.method} {call.path}: {response.status} {body[:2000].decode(errors='replace')}")
        return Reply(wall, body)


class Block(NamedTuple):
    """Calls, of each connection in their order, and the seconds all took."""

    replies: list[Reply]
    elapsed: float

    @property
    def walls(self) -> list[float]:
        """Seconds of each call."""
        return [reply.wall for reply in self.replies]


def one_after_another(client: Client, calls: Sequence[Call]) -> Block:
    """Make calls by one connection."""
    with client.connected() as connection:
        start = time.perf_counter()
        replies = [connection.call(call) for call in calls]
        return Block(replies, time.perf_counter() - start)


def at_once(client: Client, calls: Sequence[Call], width: int) -> Block:
    """Make calls by ``width`` connections of a thread each.

    Raises:
        RefusedError: one was refused; the others have been made.
    """
    waiting, lock = iter(calls), threading.Lock()

    def work(own: Connection) -> list[Reply]:
        replies: list[Reply] = []
        while True:
            with lock:
                call = next(waiting, None)
            if call is None:
                return replies
            replies.append(own.call(call))

    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(client.connected()) for _ in range(width)]
        pool = stack.enter_context(ThreadPoolExecutor(width))
        start = time.perf_counter()
        parts = [pool.submit(work, each) for each in connections]
        replies = [reply for part in parts for reply in part.result()]
        return Block(replies, time.perf_counter() - start)
