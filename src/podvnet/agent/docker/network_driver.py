"""Docker's network driver: networks, and containers' interfaces on them.

Docker itself configures a container's interface: it is told which interface to take from the VM's namespace, and which
addresses, routes and next hop to give it. Docker repeats a call whose answer it did not get, and forgets what it could
not tell us; so every call may come twice, or for something that is not there any more.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog

from podvnet.agent.docker.container_rules import ContainerRules
from podvnet.agent.docker.endpoint import Endpoint, read_endpoint, recorded
from podvnet.agent.docker.host_ports import HostPorts
from podvnet.agent.docker.join_answer import join_answer
from podvnet.agent.docker.network_options import read_network
from podvnet.agent.docker.networks import Network, Networks
from podvnet.agent.docker.parts import Parts
from podvnet.agent.docker.protocol import (
    CreateEndpoint,
    CreateNetwork,
    DockerError,
    EndpointCall,
    InterfaceData,
    Json,
    NetworkCall,
    port_bindings,
)
from podvnet.agent.docker.reservations import Reservations, interface_of, is_endpoint
from podvnet.agent.ledger_record import Row, State
from podvnet.linux.error import KernelError
from podvnet.model.address import Address, Interface, Mac, derived_mac
from podvnet.model.attachment import ENGINES_IFNAME, AttachmentKey, Node
from podvnet.model.flow import UDP
from podvnet.plan.attachment_program import next_hop
from podvnet.plugin.runtime_config import unicast_mac

_OUI = bytes.fromhex("02")

_log = structlog.get_logger()


class NetworkDriver:
    """Serves the calls of a network driver. For the agent's one thread.

    Args:
        parts: of the agent.
        reservations: Docker's part of the ledger.
        networks: what outlives a reboot.
    """

    def __init__(self, parts: Parts, reservations: Reservations, networks: Networks) -> None:
        self._ledger = parts.ledger
        self._wiring = parts.wiring
        self._admit = parts.admit
        self._flows = parts.flows
        self._reservations = reservations
        self._networks = networks
        self._ports = HostPorts()
        self._rules = ContainerRules(parts.ledger, parts.wiring, networks)
        self._admitted = False

    def close(self) -> None:
        """Let go of ports and files; networks and containers stay."""
        self._ports.close()
        self._networks.close()

    # -- networks

    def create_network(self, call: CreateNetwork, node: Node) -> Json:
        """Remember a network; nothing is made in the kernel before it has a container."""
        network = read_network(call, node)
        self._reservations.keep_auxiliary(network.id, network.auxiliary)
        self._networks.add(network)
        _log.info("docker_network", network=call.network, subnets=[str(each) for each in network.subnets])
        return {}

    def delete_network(self, call: NetworkCall, node: Node) -> Json:
        """Forget a network, and whatever is left of its containers."""
        for row in self._rows():
            if row.attachment.key.network == call.network:
                _log.warning("docker_leftover", endpoint=row.attachment.key.container)
                self._remove(row, node)
                for interface in row.attachment.addresses:
                    self._reservations.release(interface.ip)
        self._reservations.release_auxiliary(call.network)
        self._networks.remove(call.network)
        return {}

    # -- containers

    def create_endpoint(self, call: CreateEndpoint, node: Node) -> Json:
        """Make a container's link; its end waits in the VM's namespace for Docker to take it."""
        network = self._known(call.network)
        if not self._admitted:
            self._admitted = self._admit()
        given = call.interface
        interfaces = _interfaces(given) if given else []
        if not given or not interfaces:
            raise DockerError(f"endpoint {call.endpoint[:12]} comes without an address", "use --ipam-driver azure-vnet")
        key = AttachmentKey(call.network, call.endpoint, ENGINES_IFNAME)
        found = self._ledger.find(key)
        if found is None or found.state is not State.ATTACHED:
            if found is not None:
                self._remove(found, node)
            mac = _mac_of(given.mac) if given.mac else derived_mac(_OUI, call.network, call.endpoint)
            self._build(key, interfaces, network, node, mac)
        else:
            mac = found.attachment.mac
        return {"Interface": {} if given.mac else {"MacAddress": mac}}

    def _build(
        self, key: AttachmentKey, interfaces: Iterable[Interface], network: Network, node: Node, mac: Mac
    ) -> None:
        attachment = self._reservations.bind(
            key, interfaces, mac=mac, mtu=network.mtu or node.mtu, pod=f"Docker endpoint {key.container[:12]}"
        )
        try:
            self._wiring.offer(attachment)
        except KernelError:
            row = self._ledger.find(key)
            if row:
                self._reservations.unbind(row)
            raise
        confined_to = tuple(str(each) for each in network.subnets) if network.internal else ()
        self._ledger.publish(attachment.number, Endpoint(confined_to=confined_to).encoded())

    def delete_endpoint(self, call: EndpointCall, node: Node) -> Json:
        """Take a container's link away. Its addresses stay reserved until Docker gives them back."""
        row = self._find(call)
        if row is not None:
            self._remove(row, node)
        return {}

    def join(self, call: EndpointCall, node: Node) -> Json:
        """Say which interface a container gets, and how it is to be configured."""
        row = self._find(call)
        if row is None:
            raise DockerError(f"endpoint {call.endpoint[:12]} is not known", "start the container again")
        network = self._known(call.network)
        self._check_alone(row, call.sandbox)
        self._record(row, msgspec.structs.replace(read_endpoint(row), joined=True, sandbox=call.sandbox))
        self._rules.follow(node)
        return join_answer(row.attachment, network)

    def _check_alone(self, row: Row, sandbox: str) -> None:
        """Two interfaces in one subnet would have one next hop, and answers would leave by the wrong one."""
        hops = {next_hop(each) for each in row.attachment.addresses}
        for other in self._rows():
            endpoint = read_endpoint(other)
            if other.attachment.number == row.attachment.number or not sandbox or endpoint.sandbox != sandbox:
                continue
            if endpoint.joined and hops & {next_hop(each) for each in other.attachment.addresses}:
                raise DockerError(
                    f"the container is on network {other.attachment.key.network[:12]} of the same subnet already",
                    "connect it to one network of a subnet; networks of other drivers may be added",
                )

    def leave(self, call: EndpointCall) -> Json:
        """The container has given its end back; the link goes with the endpoint."""
        row = self._find(call)
        if row is not None:
            self._record(row, msgspec.structs.replace(read_endpoint(row), joined=False))
        return {}

    def information(self, call: EndpointCall) -> Json:
        """What is worth telling of an endpoint."""
        row = self._find(call)
        if row is None:
            return {"Value": {}}
        ports = [f"{port} -> {port.port}" for port in read_endpoint(row).published()]
        return {"Value": {"podvnet.link": row.attachment.link_name, "podvnet.ports": ports}}

    # -- published ports

    def program(self, call: EndpointCall, node: Node) -> Json:
        """Publish a container's ports on the VM."""
        row = self._find(call)
        if row is None:
            raise DockerError(f"endpoint {call.endpoint[:12]} is not known", "start the container again")
        before = read_endpoint(row)
        ports = self._ports.hold(call.endpoint, port_bindings(call.options))
        addresses = _addresses(row)
        try:
            self._record(row, msgspec.structs.replace(before, ports=recorded(ports)))
            self._rules.follow(node)
            self._flows.divert(ports, addresses)
        except BaseException:
            self._ports.restore(call.endpoint, before.published())
            self._record(row, before)
            raise
        if ports != before.published():
            self._forget_flows(before, addresses)
            for port in ports:
                _log.info("port_published", port=str(port), container=str(row.attachment.addresses[0].ip), to=port.port)
        return {}

    def revoke(self, call: EndpointCall, node: Node) -> Json:
        """Publish a container's ports no more."""
        row = self._find(call)
        if row is not None:
            endpoint = read_endpoint(row)
            self._ports.release(call.endpoint)
            self._record(row, msgspec.structs.replace(endpoint, ports=()))
            self._rules.follow(node)
            # Last: what comes while the rules stand would be translated again.
            self._forget_flows(endpoint, _addresses(row))
        return {}

    def _forget_flows(self, endpoint: Endpoint, addresses: frozenset[Address]) -> None:
        if any(each.protocol == UDP for each in endpoint.ports):
            self._flows.forget(addresses)

    # -- agreement

    def stand(self, node: Node) -> None:
        """Agree with the ledger, at the start and after every reconciliation."""
        for network in self._networks.all():
            try:
                self._reservations.keep_auxiliary(network.id, network.auxiliary)
            except DockerError as error:
                _log.warning("auxiliary_address_lost", network=network.id, reason=str(error))
        published = {row.attachment.key.container: read_endpoint(row).published() for row in self._rows()}
        self._ports.hold_only(published)
        self._rules.write_anew(node)

    def begin_anew(self, node: Node) -> None:
        """Docker has been started: what no container has by now is nobody's."""
        self._admitted = False
        offers = self._wiring.offers()
        for row in self._rows():
            if row.attachment.offered_name in offers:
                self._remove(row, node)
        self._reservations.forget()

    def release_address_of_dead(self, row: Row, node: Node) -> bool:
        """Remove an endpoint that Docker has given the address back of, if no container has it; tell whether."""
        alive = row.attachment.link_index in self._wiring.links()
        if alive and row.attachment.offered_name not in self._wiring.offers():
            return False
        self._remove(row, node)
        return True

    def _remove(self, row: Row, node: Node) -> None:
        """Take an endpoint down; what it held is reserved afterwards."""
        self._ledger.leave(row.attachment.number)
        self._wiring.take_down(row.attachment, None)
        self._ports.release(row.attachment.key.container)
        endpoint = read_endpoint(row)
        self._reservations.unbind(row)
        self._rules.follow(node)
        self._forget_flows(endpoint, _addresses(row))

    def _record(self, row: Row, endpoint: Endpoint) -> None:
        self._ledger.publish(row.attachment.number, endpoint.encoded())

    def _find(self, call: EndpointCall) -> Row | None:
        return self._ledger.find(AttachmentKey(call.network, call.endpoint, ENGINES_IFNAME))

    def _rows(self) -> list[Row]:
        return [row for row in self._ledger.rows() if is_endpoint(row)]

    def _known(self, identifier: str) -> Network:
        network = self._networks.find(identifier)
        if network is None:
            raise DockerError(
                f"network {identifier[:12]} is not known here: it was made when this agent's file was another",
                "docker network rm it and create it again",
            )
        return network


def _interfaces(given: InterfaceData) -> list[Interface]:
    """The addresses a container is to have, IPv4 first."""
    found = []
    for version, text in ((4, given.address), (6, given.address6)):
        if text:
            interface = interface_of(text)
            if interface.version != version:
                raise DockerError(f"{interface} is not of IPv{version}")
            found.append(interface)
    return found


def _addresses(row: Row) -> frozenset[Address]:
    return frozenset(each.ip for each in row.attachment.addresses)


def _mac_of(text: str) -> Mac:
    try:
        return unicast_mac(text)
    except ValueError as error:
        raise DockerError(f"--mac-address: {error}") from None
