"""The platform in every virtual network: IMDS, wireserver and resolver; and the resource manager on the internet.

Sockets are opened in the namespace, where 169.254.169.254 and 168.63.129.16 are addresses of ``lo``; the rules there
let in only whom Azure serves. The process itself stays outside. A VM is known by its address: the port chain has
already dropped every packet whose source is not its NIC's own. The resource manager is an address of the internet's
namespace, which a VM reaches by whatever way out it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address

import structlog
import uvicorn
from starlette.types import ASGIApp

from podvnet.fabric import imds, imds_identity, wireserver
from podvnet.fabric.dns.forwarder import Forwarder
from podvnet.fabric.dns.server import NetworkResolver
from podvnet.fabric.dns.view import Views
from podvnet.linux import namespace
from podvnet.model.address import IMDS_ADDRESS, MANAGEMENT_ADDRESS, WIRESERVER_ADDRESS
from podvnet.model.intent import Intent, VirtualMachine
from podvnet.plan import names

_DNS = 53
_HTTP = 80
_HTTPS = 443
_HOST_GA_PLUGIN = 32526
_BURST = 4 << 20
"""Bytes of questions that wait while something else is done, so that those of one VM do not push out another's."""
_RECEIVE_BUFFER_BEYOND_LIMIT = 33
"""The socket option ``SO_RCVBUFFORCE``, for which the library has no name. Source: socket(7)."""

_log = structlog.get_logger()


class QuietServer(uvicorn.Server):
    """A server among several in one process: signals are the process's own affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers alone."""
        yield


def quiet_server(app: ASGIApp) -> QuietServer:
    """A server without access log, whose answers do not name its software."""
    return QuietServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False))


class PlatformServer:
    """The servers of all virtual networks and of the internet. For the event loop's thread.

    Args:
        intent: gives the intent as it is now.
        mint: signs tokens for the identities of VMs.
        management: makes a server of the resource manager.
    """

    def __init__(
        self, intent: Callable[[], Intent], mint: imds_identity.Mint, management: Callable[[], QuietServer]
    ) -> None:
        self._intent = intent
        self._mint = mint
        self._management = management
        self._running: dict[str, tuple[list[QuietServer], list[asyncio.Task[None]]]] = {}
        self._views = Views(intent)
        self._forwarder = Forwarder(lambda: _upstream(intent()), names.INTERNET)
        self._resolvers: dict[str, NetworkResolver] = {}

    async def follow(self) -> None:
        """Serve every virtual network there is, and no other; also the internet, which there is always."""
        if names.INTERNET not in self._running:
            self._serve(names.INTERNET, [(self._management(), [(str(MANAGEMENT_ADDRESS), _HTTPS)])])
        wanted = {names.network_namespace(each.id): each.id.key for each in self._intent().virtual_networks.values()}
        for label in self._running.keys() - wanted.keys() - {names.INTERNET}:
            await self._stop(label)
        for label in wanted.keys() - self._running.keys():
            await self._start(label, wanted[label])

    async def close(self) -> None:
        """Stop all servers."""
        for label in list(self._running):
            await self._stop(label)
        self._forwarder.close()

    async def _start(self, label: str, network: str) -> None:
        def lookup(source: str) -> VirtualMachine | None:
            return machine_at(self._intent(), network, source)

        metadata = quiet_server(imds.imds_app(lookup, self._intent, self._mint))
        wire = quiet_server(wireserver.wireserver_app(lookup, self._intent))
        self._serve(
            label,
            [
                (metadata, [(str(IMDS_ADDRESS), _HTTP)]),
                (wire, [(str(WIRESERVER_ADDRESS), port) for port in (_HTTP, _HOST_GA_PLUGIN)]),
            ],
        )
        with namespace.opened(label) as descriptor:
            place = (str(WIRESERVER_ADDRESS), _DNS)
            datagrams = namespace.run_inside(descriptor, partial(_receive, *place))
            streams = namespace.run_inside(descriptor, partial(_listen, *place))
        self._resolvers[label] = NetworkResolver(lambda: self._views.find(network), self._forwarder)
        await self._resolvers[label].serve(datagrams, streams)

    def _serve(self, label: str, wanted: list[tuple[QuietServer, list[tuple[str, int]]]]) -> None:
        """Start servers, each on its addresses and ports inside a namespace."""
        with namespace.opened(label) as descriptor:
            sockets = [
                [namespace.run_inside(descriptor, partial(_listen, *place)) for place in places] for _, places in wanted
            ]
        servers = [server for server, _ in wanted]
        tasks = [
            asyncio.create_task(server.serve(sockets=own), name=f"platform-{label}")
            for server, own in zip(servers, sockets, strict=True)
        ]
        self._running[label] = (servers, tasks)
        _log.info("platform_served", namespace=label)

    async def _stop(self, label: str) -> None:
        if label in self._resolvers:
            self._resolvers.pop(label).close()
        servers, tasks = self._running.pop(label)
        for server in servers:
            server.should_exit = True
            server.force_exit = True
        await asyncio.gather(*tasks)


def machine_at(intent: Intent, network: str, source: str) -> VirtualMachine | None:
    """The VM that owns a source address in a virtual network."""
    try:
        address = ip_address(source)
    except ValueError:
        return None
    owners = {
        nic.id.key
        for nic in intent.nics.values()
        if nic.virtual_network.key == network and any(config.address == address for config in nic.ip_configurations)
    }
    return next(
        (machine for machine in intent.machines.values() if any(nic.key in owners for nic in machine.nics)), None
    )


def _upstream(intent: Intent) -> list[str]:
    """The resolvers of the simulated internet, in the order of their names."""
    return [str(host.address) for _, host in sorted(intent.internet_hosts.items()) if host.dns]


def _receive(address: str, port: int) -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_BEYOND_LIMIT, _BURST)
    except PermissionError:  # in a user namespace: as much of it as the machine's limit allows
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BURST)
    receiver.bind((address, port))
    receiver.setblocking(False)
    return receiver


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as in the gate: answers must not wait
    listener.bind((address, port))
    listener.listen(256)
    listener.setblocking(False)
    return listener
