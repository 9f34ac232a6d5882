"""The responders beside the services, to whom their firewalls lead those whom they do not take."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import structlog
import uvicorn

from podvnet.fabric.platform_server import QuietServer
from podvnet.fabric.services.processes import directory_of
from podvnet.fabric.services.recipe import CERTIFICATE, KEY
from podvnet.fabric.services.refusal import SqlRefusal, refuse_storage
from podvnet.linux import namespace
from podvnet.model.intent import Intent
from podvnet.model.service import Service, ServiceKind
from podvnet.plan import names
from podvnet.plan.services_program import REFUSAL_PORTS

_log = structlog.get_logger()


class Responders:
    """The responders' servers. For the event loop's thread.

    Args:
        intent: gives the intent as it is now.
        state: where the services' certificates are.
    """

    def __init__(self, intent: Callable[[], Intent], state: Path) -> None:
        self._intent = intent
        self._state = state
        self._place: tuple[int, int] | None = None
        """The namespace that they listen in."""
        self._closers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def follow(self) -> None:
        """Listen in the services' namespace, as long as there is one."""
        there = namespace.exists(names.SERVICES)
        place = namespace.identity(namespace.path(names.SERVICES)) if there else None
        if place != self._place:
            await self.close()
            if there:
                await self._open()
            self._place = place

    async def close(self) -> None:
        """Stop all."""
        for close in self._closers:
            close()
        await asyncio.gather(*self._tasks)
        self._closers, self._tasks, self._place = [], [], None

    async def _open(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sni_callback = self._choose
        with namespace.opened(names.SERVICES) as descriptor:
            sockets = {
                key: namespace.run_inside(descriptor, partial(_listen, port)) for key, port in REFUSAL_PORTS.items()
            }
        storage = [found for (kind, _), found in sockets.items() if kind is ServiceKind.STORAGE]
        server = _storage_server(context)
        self._tasks.append(asyncio.create_task(server.serve(sockets=storage), name="refusals-storage"))
        self._closers.append(partial(_stop, server))
        for by_endpoint in (False, True):
            refusal = SqlRefusal(self._server_at, context, by_endpoint=by_endpoint)
            listener = await asyncio.start_server(refusal.serve, sock=sockets[ServiceKind.SQL, by_endpoint])
            self._closers.append(listener.close)
        _log.info("refusals_served", namespace=names.SERVICES)

    def _choose(self, tls: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> int | None:
        """Take the certificate of the service that a client names. Who names none can be shown none."""
        service = next((each for each in self._services() if name in dict(each.endpoints)), None)
        if service is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        directory = directory_of(service, self._state)
        chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chosen.load_cert_chain(directory / CERTIFICATE, directory / KEY)
        tls.context = chosen
        return None

    def _server_at(self, address: str) -> Service | None:
        return next((each for each in self._services() if IPv4Address(address) in each.addresses), None)

    def _services(self) -> list[Service]:
        return list(self._intent().services.values())


def _storage_server(context: ssl.SSLContext) -> QuietServer:
    config = uvicorn.Config(refuse_storage, log_config=None, access_log=False, lifespan="off", server_header=False)
    config.load()
    config.ssl = context
    return QuietServer(config)


def _stop(server: QuietServer) -> None:
    server.should_exit = True
    server.force_exit = True


def _listen(port: int) -> socket.socket:
    listener = socket.create_server(("0.0.0.0", port), backlog=256)
    listener.setblocking(False)
    return listener
