"""Both of Docker's drivers behind one door: a call comes in, its answer goes out. For the agent's one thread."""

from __future__ import annotations

from podvnet.agent.docker.ipam import SPACE, Ipam, address_of
from podvnet.agent.docker.network_driver import NetworkDriver
from podvnet.agent.docker.networks import Networks
from podvnet.agent.docker.parts import Parts
from podvnet.agent.docker.protocol import (
    AddressCall,
    Call,
    CreateEndpoint,
    CreateNetwork,
    DockerError,
    EndpointCall,
    Json,
    LaterError,
    NetworkCall,
    PoolCall,
    RequestPool,
)
from podvnet.agent.docker.reservations import Reservations, describe, is_endpoint
from podvnet.agent.standing import Standing
from podvnet.linux.error import KernelError
from podvnet.linux.ruleset import RulesetError
from podvnet.model.attachment import Node

_FIXED: dict[str, Json] = {
    "Plugin.Activate": {"Implements": ["NetworkDriver", "IpamDriver"]},
    # Networks are this VM's; who is connected to them reaches what the virtual network reaches.
    "NetworkDriver.GetCapabilities": {"Scope": "local", "ConnectivityScope": "local"},
    # Addresses do not depend on MACs, and pools need not be told again after a start of Docker.
    "IpamDriver.GetCapabilities": {"RequiresMACAddress": False, "RequiresRequestReplay": False},
    "IpamDriver.GetDefaultAddressSpaces": {"LocalDefaultAddressSpace": SPACE, "GlobalDefaultAddressSpace": SPACE},
    # Other nodes of a cluster: a local driver has no use for them.
    "NetworkDriver.DiscoverNew": {},
    "NetworkDriver.DiscoverDelete": {},
}
"""Answers that depend on nothing."""


class Driver:
    """Serves decoded calls.

    Args:
        parts: of the agent.
        networks: what outlives a reboot.
        standing: kept up to date by the agent.
        rest: seconds that a released address is left alone.
    """

    def __init__(self, parts: Parts, networks: Networks, standing: Standing, rest: float) -> None:
        self._standing = standing
        self._reservations = Reservations(parts.ledger, rest, parts.prospect, parts.living)
        self._ipam = Ipam(self._reservations)
        self._network = NetworkDriver(parts, self._reservations, networks)
        self._begun_anew = False

    def stand(self, node: Node) -> None:
        """Agree with the ledger; see :meth:`NetworkDriver.stand`."""
        self._network.stand(node)
        if self._begun_anew:
            self._begin_anew(node)

    def close(self) -> None:
        """Let go of ports and files; networks and containers stay."""
        self._network.close()

    def serve(self, method: str, call: Call) -> Json:
        """Serve one call.

        Raises:
            DockerError: it is refused; nothing is left of it.
            LaterError: it may be served later.
        """
        try:
            return self._serve(method, call)
        except (KernelError, RulesetError) as error:
            raise DockerError(
                f"{method}: {error}", "see the agent's log; `podvnet doctor` checks the kernel"
            ) from error

    def _serve(self, method: str, call: Call) -> Json:
        if method == "Plugin.Activate":
            self._begun_anew = True
            if self._standing.node is not None:
                self._begin_anew(self._standing.node)
        if method in _FIXED:
            return _FIXED[method]
        node = self._ready()
        match call:
            case EndpointCall():
                return self._serve_endpoint(method, call, node)
            case CreateEndpoint():
                return self._network.create_endpoint(call, node)
            case CreateNetwork():
                return self._network.create_network(call, node)
            case NetworkCall():
                return self._network.delete_network(call, node)
            case RequestPool():
                return self._ipam.request_pool(call, node)
            case PoolCall():
                return self._ipam.release_pool(call)
            case AddressCall():
                return self._serve_address(method, call, node)
            case _:
                raise DockerError(f"{method} is not served", status=404)

    def _begin_anew(self, node: Node) -> None:
        self._begun_anew = False
        self._network.begin_anew(node)

    def _serve_endpoint(self, method: str, call: EndpointCall, node: Node) -> Json:
        match method.partition(".")[2]:
            case "DeleteEndpoint":
                return self._network.delete_endpoint(call, node)
            case "Join":
                return self._network.join(call, node)
            case "Leave":
                return self._network.leave(call)
            case "ProgramExternalConnectivity":
                return self._network.program(call, node)
            case "RevokeExternalConnectivity":
                return self._network.revoke(call, node)
            case _:
                return self._network.information(call)

    def _serve_address(self, method: str, call: AddressCall, node: Node) -> Json:
        if method.endswith("RequestAddress"):
            return self._ipam.request_address(call)
        address = address_of(call)
        row = self._reservations.holder(address)
        # Docker could not tell of the endpoint's end, or speaks of an earlier holder of the address.
        if row is not None and is_endpoint(row) and not self._network.release_address_of_dead(row, node):
            raise DockerError(f"{address} is in use by {describe(row)}", "docker rm that container first")
        self._reservations.release(address)
        return {}

    def _ready(self) -> Node:
        if self._standing.node is None:
            raise LaterError(f"the VM is not known yet: {self._standing.reason}", self._standing.remedy, 0.0)
        return self._standing.node
