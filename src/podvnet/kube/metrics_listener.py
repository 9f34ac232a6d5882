"""A few lines of HTTP for those who collect metrics: GET of one path, then the connection is closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus

from podvnet.model.exposition import CONTENT_TYPE, PATH

_PATIENCE = 10.0
_LARGEST = 1 << 14
"""Bytes of a request."""
_MOST = 16
"""Connections at a time; more are closed."""


class ListenError(Exception):
    """It cannot be listened there."""


@contextlib.asynccontextmanager
async def serving(address: tuple[str, int], read: Callable[[], str]) -> AsyncIterator[int]:
    """Serve metrics meanwhile; the value is the port.

    Args:
        address: host and port to listen at; port 0 is any.
        read: gives the text.

    Raises:
        ListenError: it cannot listen.
    """
    busy: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        busy.add(task)
        try:
            if len(busy) <= _MOST:
                async with asyncio.timeout(_PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_response(head, read))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # who goes, or sends what is no request, is not answered
        finally:
            busy.discard(task)
            writer.close()

    try:
        listening = await asyncio.start_server(answer, *address, limit=_LARGEST)
    except OSError as error:
        msg = f"metrics cannot be served at {address[0]}, port {address[1]}: {error}"
        raise ListenError(msg) from error
    async with listening as server:
        yield int(server.sockets[0].getsockname()[1])


def _response(head: bytes, read: Callable[[], str]) -> bytes:
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    path = words[1].partition("?")[0] if len(words) == 3 else ""
    status, text = HTTPStatus.OK, ""
    if words[0] not in {"GET", "HEAD"}:
        status = HTTPStatus.METHOD_NOT_ALLOWED
    elif path != PATH:
        status = HTTPStatus.NOT_FOUND
    else:
        text = read()
    body = text.encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body if words[0] != "HEAD" else b"")
