"""What a service says to those whom its firewall does not take, in its own protocol, over TLS.

Sources: REST reference of the storage services, "Status and error codes" (AuthorizationFailure, 403); errors 40914,
40615 and 47073 of Azure SQL Database; "Message Formats" of PostgreSQL's protocol, version 3.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import uuid
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from podvnet.model.service import Service

_CODE = "AuthorizationFailure"
_TEXT = "This request is not authorized to perform this operation."

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_LONGEST_GREETING = 10_000
"""Bytes of the first message. Source: PostgreSQL's MAX_STARTUP_PACKET_LENGTH."""
_SECONDS_TO_GREET = 10.0


async def refuse_storage(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer any request with 403: an ASGI application."""
    request = Request(scope, receive)
    async for _ in request.stream():
        pass  # who is still sending does not listen
    identity, now = str(uuid.uuid4()), dt.datetime.now(dt.UTC).isoformat()
    message = f"{_TEXT}\nRequestId:{identity}\nTime:{now}"
    if ".table." in request.headers.get("host", ""):
        text = json.dumps({"odata.error": {"code": _CODE, "message": {"lang": "en-US", "value": message}}})
        kind = "application/json;odata=minimalmetadata"
    else:
        error = f"<Error><Code>{_CODE}</Code><Message>{message}</Message></Error>"
        text, kind = f'\ufeff<?xml version="1.0" encoding="utf-8"?>{error}', "application/xml"
    headers = {"x-ms-error-code": _CODE, "x-ms-request-id": identity, "x-ms-version": "2021-12-02"}
    await Response(text, 403, headers, kind)(scope, receive, send)


class SqlRefusal:
    """Refuses clients of Sql servers.

    Args:
        server: finds the server at an address.
        context: for TLS, which all such clients are made to use.
        by_endpoint: clients come by a service endpoint.
    """

    def __init__(self, server: Callable[[str], Service | None], context: ssl.SSLContext, *, by_endpoint: bool) -> None:
        self._server = server
        self._context = context
        self._by_endpoint = by_endpoint

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client's greeting and refuse it."""
        try:
            async with asyncio.timeout(_SECONDS_TO_GREET):
                await self._refuse(reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # who does not greet is told nothing
        finally:
            writer.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        source = writer.get_extra_info("peername")[0]
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            if not 8 <= length <= _LONGEST_GREETING:
                return
            request = int.from_bytes((await reader.readexactly(length - 4))[:4], "big")
            if request == _GSS_REQUEST:
                writer.write(b"N")
            elif request == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
            else:
                break
        server = self._server(address)
        if server:
            writer.write(_error(reason(server, source, by_endpoint=self._by_endpoint)))
            await writer.drain()


def reason(server: Service, source: str, *, by_endpoint: bool) -> str:
    """Why a server does not take a client, as Azure words it, after the number of the error."""
    name = server.id.name
    if not server.public_access:
        return (
            "47073: An instance-specific error occurred while establishing a connection to SQL Server. The public"
            " network interface on this server is not accessible. To connect to this server, use the Private Endpoint"
            " from inside your virtual network."
        )
    if by_endpoint:
        return f"40914: Cannot open server '{name}' requested by the login. Client is not allowed to access the server."
    return (
        f"40615: Cannot open server '{name}' requested by the login. Client with IP address '{source}' is not allowed"
        " to access the server."
    )


def _error(message: str) -> bytes:
    """An ErrorResponse: a refusal of authorization."""
    fields = {"S": "FATAL", "V": "FATAL", "C": "28000", "M": message}
    body = b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body
