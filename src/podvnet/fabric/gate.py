"""The resource manager's door: a TLS socket on loopback, and who may come in by it."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from podvnet.fabric.api.application import ResourceManager
from podvnet.fabric.arm.world import World
from podvnet.fabric.engine import Fabric
from podvnet.fabric.identity.authority import Authority, ensure_authority
from podvnet.fabric.identity.managed import ManagedTokens
from podvnet.fabric.identity.principals import TENANT, Principals, Role
from podvnet.fabric.identity.tokens import Signer, load_key
from podvnet.fabric.metrics.sampler import Sampler
from podvnet.fabric.platform_server import QuietServer
from podvnet.fabric.turn import Turn
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION

PORT = 8443


class Gate:
    """The door of one fabric.

    Args:
        directory: where keys, certificates and principals are kept; closed to others.
        port: of the socket, on 127.0.0.1 only.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._authority: Authority = ensure_authority(directory, dt.datetime.now(dt.UTC))
        self._principals = Principals(directory / "principals.db")
        self._port = port
        self._signer = Signer(load_key(directory / "token.key"), f"{self.url}/{TENANT}/v2.0")

    @property
    def url(self) -> str:
        """The address clients are given."""
        return f"https://localhost:{self._port}"

    def listen(self) -> socket.socket:
        """The socket. Loopback only: a fabric is its user's own."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=256)
        # Connections have it from here. The event loop sets it only on sockets that name their protocol, which those of
        # Python's own making do not; without it a body waits 40 ms for the acknowledgement of its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener

    def application(self, fabric: Fabric, turn: Turn, sampler: Sampler) -> ASGIApp:
        """The resource manager in front of an engine."""
        return ResourceManager(fabric, turn, self._principals, self._signer, sampler).application()

    def tokens(self, world: Callable[[], World]) -> ManagedTokens:
        """What signs tokens for the managed identities among the resources."""
        return ManagedTokens(self._signer, world)

    def server(self, application: ASGIApp) -> QuietServer:
        """An HTTPS server of the resource manager."""
        return QuietServer(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                ssl_certfile=str(self._authority.server_certificate),
                ssl_keyfile=str(self._authority.server_key),
            )
        )

    def describe(self) -> dict[str, Any]:
        """What a client must know to come in; secrets are not known any more."""
        return {
            "endpoint": self.url,
            "tenant": TENANT,
            "subscription": DEFAULT_SUBSCRIPTION,
            "ca": str(self._authority.certificate),
        }

    def new_principal(self, name: str, role: str) -> dict[str, Any]:
        """Make a service principal. Its secret is in the answer, and nowhere else ever after."""
        principal, secret = self._principals.make(name, Role(role))
        made = {"client": principal.client, "secret": secret, "name": name, "role": role}
        return self.describe() | made

    def close(self) -> None:
        """Close what is open."""
        self._principals.close()
