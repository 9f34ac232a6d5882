"""One question of a probe, asked from the address that Azure asks from.

Source: Azure document "Load Balancer health probes": a TCP probe opens a connection and closes it; an HTTP or HTTPS
probe is answered by status 200 and nothing else, and a certificate is not looked at. Probes come from 168.63.129.16,
and to an IPv6 address from fe80::1234:5678:9abc.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import cache
from typing import Any

from podvnet.fabric.probes.target import Target
from podvnet.model.address import GATEWAY6, WIRESERVER_ADDRESS
from podvnet.model.load_balancer import ProbeProtocol

_BIND_ADDRESS_NO_PORT = 24
"""Leaves the choice of the port to ``connect``, which may take one that is in use towards somebody else."""
_LONGEST_LINE = 4096


def open_socket(target: Target) -> socket.socket:
    """A socket to ask with, of the calling thread's namespace: that of the target's virtual network.

    Raises:
        OSError: there is no such address or port in the namespace, or no file is left to open.
    """
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
    own = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        own.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        if family is socket.AF_INET:
            own.bind((str(WIRESERVER_ADDRESS), 0))
        else:
            own.bind((str(GATEWAY6), 0, 0, target.port))
    except OSError:
        own.close()
        raise
    return own


async def is_answered(target: Target, own: socket.socket) -> bool:
    """Ask; tell whether the answer says that the member can serve. The socket is closed by then."""
    try:
        async with asyncio.timeout(target.timeout):
            try:
                await asyncio.get_running_loop().sock_connect(own, (str(target.address), target.probe.port))
            except BaseException:
                own.close()
                raise
            if target.probe.protocol is ProbeProtocol.TCP:
                own.close()
                return True
            return await _is_ok(target, own)
    except (OSError, TimeoutError, EOFError, ValueError):
        return False


async def _is_ok(target: Target, own: socket.socket) -> bool:
    """Whether a request is answered with status 200. The socket is closed by then.

    Raises:
        OSError, EOFError, ValueError: the connection broke, ended early, or did not carry HTTP.
    """
    probe = target.probe
    options: dict[str, Any] = {}
    if probe.protocol is ProbeProtocol.HTTPS:
        options = {"ssl": _uncertified(), "server_hostname": "", "ssl_handshake_timeout": target.timeout}
    reader, writer = await asyncio.open_connection(sock=own, limit=_LONGEST_LINE, **options)
    try:
        host = f"[{target.address}]" if target.address.version == 6 else str(target.address)
        writer.write(
            f"GET {probe.path} HTTP/1.1\r\nHost: {host}:{probe.port}\r\nUser-Agent: Load Balancer Agent\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        version, status = (await reader.readuntil(b"\n")).split(None, 2)[:2]
        return version.startswith(b"HTTP/1.") and status == b"200"
    except asyncio.LimitOverrunError as error:
        msg = "the first line of the answer does not end"
        raise ValueError(msg) from error
    finally:
        writer.transport.abort()  # what else there is of the answer is nobody's business


@cache
def _uncertified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
