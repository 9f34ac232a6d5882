"""A lab with gateways and sites on premises: places that call one another, and what is said of connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.runtime import probe
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import eventually
from podvnet.testing.lab import Lab, laboratory

GROUP = "podvnet"
SITES = "Podvnet.Fabric/onPremisesSites"
_BLOCK = 20_000
_SECONDS_OF_SILENCE = 90
"""After a loss TCP tries again after twice the time each time."""
GATEWAY_RUN = Path("/run/podvnet/fabric/gateways")


@dataclass(frozen=True)
class CallPlace:
    """Where calls begin and end: an open network namespace and an address in it."""

    name: str
    descriptor: int
    address: str


@dataclass
class Transfer:
    """A connection over which bytes go back and forth, until it is told to stop or it breaks."""

    rounds: int = 0
    failure: str = ""
    over: threading.Event = field(default_factory=threading.Event)


@dataclass
class GatewayStage:
    """The lab."""

    lab: Lab
    cloud: Cloud
    places: dict[str, CallPlace] = field(default_factory=dict)

    @property
    def connections(self) -> Any:
        """The SDK's operations of connections."""
        return self.cloud.network.virtual_network_gateway_connections

    def connection(self, name: str) -> dict[str, Any]:
        """The properties of a connection as the resource manager shows them."""
        found: dict[str, Any] = self.connections.get(GROUP, name).as_dict()["properties"]
        return found

    def is_connected(self, name: str) -> bool:
        """Whether a connection is said to carry packets."""
        return bool(self.connection(name)["connectionStatus"] == "Connected")

    def waits_for(self, name: str, seconds: float, *, connected: bool = True) -> bool:
        """Whether a connection comes to carry packets, or to carry none, within so many seconds."""
        return eventually(lambda: self.is_connected(name) is connected, seconds)

    def learned(self, prefix: str) -> bool:
        """Whether the VM called hub has a route of a gateway to a prefix."""
        nics: Any = self.cloud.network.network_interfaces
        routes = nics.begin_get_effective_route_table(GROUP, "hub").result().value
        return any(each.address_prefix == [prefix] and each.source == "VirtualNetworkGateway" for each in routes)

    def remove_site(self, name: str) -> None:
        """Take a site away as if it had burnt down."""
        path = f"/subscriptions/{self.cloud.access.subscription}/resourceGroups/{GROUP}/providers/{SITES}/{name}"
        self.cloud.resources.resources.begin_delete_by_id(path, api_version="2024-05-01").result()

    def add(self, name: str, label: str, address: str) -> None:
        """A place by its namespace; it answers callers."""
        place = CallPlace(name, self.lab.namespace(label), address)
        self.lab.servers.listen(place.descriptor, address)
        self.places[name] = place

    def add_pod(self, name: str, vm: str) -> None:
        """A pod as a place."""
        pod = self.lab.run_pod(name, vm)
        self.places[name] = CallPlace(name, pod.descriptor, pod.address)

    def call(self, caller: str, called: str, *, timeout: float = 2.0) -> str:
        """As whom one place is seen by another; empty when no connection comes about."""
        return probe.seen_as(self.places[caller].descriptor, self.places[called].address, timeout=timeout)

    def reaches(self, caller: str, called: str, *, timeout: float = 2.0) -> bool:
        """Whether a call comes about, and with the caller's own address."""
        return self.call(caller, called, timeout=timeout) == self.places[caller].address

    def waits_to_reach(self, caller: str, called: str, seconds: float) -> bool:
        """Whether a call comes about, and with the caller's own address, within so many seconds."""
        return eventually(lambda: self.reaches(caller, called), seconds)

    @contextmanager
    def transfer(self, caller: str, called: str) -> Iterator[Transfer]:
        """One TCP connection between two places over which bytes go back and forth during the block.

        Raises:
            AssertionError: it broke.
        """
        here, there = self.places[caller], self.places[called]
        listener = namespace.run_inside(there.descriptor, lambda: socket.create_server((there.address, 0)))
        client = namespace.run_inside(here.descriptor, lambda: socket.create_connection(listener.getsockname()))
        transfer = Transfer()
        with listener, client, listener.accept()[0] as server:
            for each in (client, server):
                each.settimeout(_SECONDS_OF_SILENCE)
            worker = threading.Thread(target=_go_on, args=(client, server, transfer))
            worker.start()
            try:
                yield transfer
            finally:
                transfer.over.set()
                worker.join()
        if transfer.failure:
            raise AssertionError(transfer.failure)

    def program(self, place: str, name: str) -> int:
        """The process of a program: of ``tunnel-…`` or ``speaker-…``, e.g. ``charon``; 0 while it is not there."""
        try:
            # Empty for the moment in which it is written.
            return int((GATEWAY_RUN / place / f"{name}.process").read_text(encoding="ascii") or 0)
        except FileNotFoundError:
            return 0


def _go_on(client: socket.socket, server: socket.socket, transfer: Transfer) -> None:
    try:
        while not transfer.over.is_set():
            for sender, receiver in ((client, server), (server, client)):
                sender.sendall(bytes(_BLOCK))
                left = _BLOCK
                while left:
                    part = len(receiver.recv(left))
                    if not part:
                        transfer.failure = "the connection was closed"
                        return
                    left -= part
            transfer.rounds += 1
    except OSError as error:
        transfer.failure = str(error)


@contextmanager
def gateway_stage(
    file: Path,
    hosts: Sequence[tuple[str, str, str]],
    pods: Sequence[tuple[str, str]],
    vms: Sequence[tuple[str, str]] = (),
) -> Iterator[GatewayStage]:
    """Bring a file up for the block.

    Args:
        file: the resources.
        hosts: name, ``site..host`` and address of hosts on premises that take part.
        pods: name and VM of pods that take part.
        vms: name and address of VMs that take part.
    """
    with laboratory(file) as lab:
        stage = GatewayStage(lab, cloud_for(lab, access_for()))
        for name, host, address in hosts:
            stage.add(name, f"{names.PREFIX}site-{host}", address)
        for name, address in vms:
            stage.add(name, names.MACHINE_PREFIX + name, address)
        for name, vm in pods:
            stage.add_pod(name, vm)
        yield stage
