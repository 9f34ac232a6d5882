"""What counts as an answer to a probe, from servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.fabric.identity.authority import ensure_authority
from podvnet.fabric.probes.question import is_answered
from podvnet.fabric.probes.target import Target
from podvnet.model.load_balancer import Probe, ProbeProtocol
from podvnet.testing.draft import network_id

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TCP, HTTP, HTTPS = ProbeProtocol.TCP, ProbeProtocol.HTTP, ProbeProtocol.HTTPS


def asked(serve: Serve, protocol: ProbeProtocol, *, timeout: int = 5, context: ssl.SSLContext | None = None) -> bool:
    """Whether a server's answer is one; nothing may be left open."""

    async def run() -> bool:
        served = asyncio.Event()

        async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, EOFError, ssl.SSLError):
                await serve(reader, writer)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            served.set()

        server = await asyncio.start_server(serve_and_close, "127.0.0.1", ssl=context)
        port = server.sockets[0].getsockname()[1]
        probe = Probe(network_id("loadBalancers", "lb").child("probes", "p"), protocol, port, "/ready", timeout)
        async with server:
            found = await is_answered(Target(probe, ip_address("127.0.0.1"), "", 0), own)
            await served.wait()
        return found

    with socket.socket() as own:
        own.setblocking(False)
        found = asyncio.run(run())
        assert own.fileno() == -1
    return found


def saying(text: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)

    return serve


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_tcp_probe_needs_a_handshake_and_closes() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())

    assert asked(serve, TCP)
    assert seen == [b""]


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.0 200\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", False),
        (b"HTTP/1.1 503 Wait\r\n\r\n", False),
        (b"200\r\n", False),
        (b"SSH-2.0 200 x\r\n", False),
        (b"", False),
        (b"HTTP/1.1 200 " + b"x" * 10_000, False),
    ],
)
def test_an_http_probe_takes_status_200_and_nothing_else(answer: bytes, healthy: bool) -> None:
    assert asked(saying(answer), HTTP) is healthy


def test_what_is_asked_for_is_the_path() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    assert asked(serve, HTTP)
    assert seen[0].startswith(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:")


def test_a_certificate_is_not_looked_at(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path, dt.datetime.now(dt.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server_certificate, authority.server_key)
    assert asked(saying(b"HTTP/1.1 200 OK\r\n\r\n"), HTTPS, context=context)
    assert not asked(saying(b"HTTP/1.1 500 No\r\n\r\n"), HTTPS, context=context)


@pytest.mark.parametrize("protocol", [HTTP, HTTPS])
def test_who_does_not_answer_in_time_does_not_answer(protocol: ProbeProtocol) -> None:
    assert not asked(silent, protocol, timeout=1)


def test_nobody_listens() -> None:
    async def run() -> bool:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            probe = Probe(network_id("loadBalancers", "lb").child("probes", "p"), TCP, taken.getsockname()[1])
            own = socket.socket()
            own.setblocking(False)
            found = await is_answered(Target(probe, ip_address("127.0.0.1"), "", 0), own)
            assert own.fileno() == -1
            return found

    assert not asyncio.run(run())
