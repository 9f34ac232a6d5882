"""The API of a cluster at a port of this machine: connections go on from the namespace of the control plane's VM."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from podvnet.linux import namespace

_CHUNK = 65536


async def forward(listener: socket.socket, through: str, address: str, port: int) -> None:
    """Pass connections on until cancelled.

    Args:
        listener: where they come in.
        through: the name of the network namespace that they go on from.
        address: where they go.
        port: of the address.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with namespace.opened(through) as descriptor, namespace.entered(descriptor):
                onward = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            await asyncio.get_running_loop().sock_connect(onward, (address, port))
            far_reader, far_writer = await asyncio.open_connection(sock=onward)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(serve, sock=listener)
    async with server:
        await server.serve_forever()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes until there is no more, or nobody takes it."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError):
        if sink.can_write_eof():
            sink.write_eof()
            return
    sink.close()
