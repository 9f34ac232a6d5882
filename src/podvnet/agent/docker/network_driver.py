"""Docker's network driver: networks, and containers' interfaces on them.

Docker itself configures a container's interface: it is told which interface to take from the VM's namespace, and which
addresses, routes and next hop to give it. Docker repeats a call whose answer it did not get, and forgets what it could
not tell us; so every call may come twice, or for something that is not there any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_network

import msgspec
import structlog

from podvnet.agent.docker.endpoint import Endpoint, read_endpoint, recorded
from podvnet.agent.docker.host_ports import HostPorts
from podvnet.agent.docker.ipam import SPACE
from podvnet.agent.docker.networks import Network, Networks
from podvnet.agent.docker.protocol import (
    GENERIC,
    INTERNAL,
    MTU,
    CreateEndpoint,
    CreateNetwork,
    DockerError,
    EndpointCall,
    Json,
    NetworkCall,
    PoolData,
    port_bindings,
)
from podvnet.agent.docker.reservations import Reservations, interface_of, is_endpoint
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import Row, State
from podvnet.agent.wiring import Wiring
from podvnet.linux.conntrack import ConntrackSocket, Status
from podvnet.linux.error import KernelError
from podvnet.model.address import Address, Interface, Mac, derived_mac
from podvnet.model.attachment import ENGINES_IFNAME, Attachment, AttachmentKey, Node
from podvnet.model.flow import UDP
from podvnet.model.kernel import host_prefix
from podvnet.plan.attachment_program import next_hop
from podvnet.plan.docker_ruleset import TABLE, Container, docker_ruleset
from podvnet.plugin.runtime_config import unicast_mac

MODE = "com.microsoft.azure.network.mode"
"""The option that the original plug-in chose its mode by."""
_OUI = bytes.fromhex("02")
_ON_LINK, _BY_NEXT_HOP = 1, 0
_SMALLEST_MTU = 1280

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the driver works with: parts of the agent, and what lets containers pass Docker's own firewall."""

    ledger: Ledger
    wiring: Wiring
    admit: Callable[[], None]


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
        self._reservations = reservations
        self._networks = networks
        self._ports = HostPorts()
        self._written: str | None = None
        self._admitted = False

    def close(self) -> None:
        """Let go of ports and files; networks and containers stay."""
        self._ports.close()
        self._networks.close()

    # -- networks

    def create_network(self, call: CreateNetwork, node: Node) -> Json:
        """Remember a network; nothing is made in the kernel before it has a container."""
        pools = [*(call.ipv4 or []), *(call.ipv6 or [])]
        if not pools or any(each.address_space != SPACE for each in pools):
            raise DockerError(
                "addresses of this driver's networks must come from its own IPAM driver", "add --ipam-driver azure-vnet"
            )
        options = call.options or {}
        network = Network(
            id=call.network,
            internal=bool(options.get(INTERNAL)),
            mtu=_mtu_of(options.get(GENERIC) or {}, node),
            subnets=tuple(ip_network(each.pool) for each in pools),
            auxiliary=tuple(interface_of(text).ip for each in pools for text in _auxiliary(each)),
        )
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
            self._admit()
            self._admitted = True
        given = call.interface
        interfaces = [interface_of(text) for text in (given.address, given.address6) if text] if given else []
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
        self._ledger.publish(attachment.number, Endpoint().encoded())

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
        self._record(row, Endpoint(joined=True, sandbox=call.sandbox))
        self._follow(node)
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
        bindings = port_bindings(call.options)
        ports = self._ports.hold(call.endpoint, bindings)
        self._record(row, msgspec.structs.replace(read_endpoint(row), ports=recorded(ports)))
        for port in ports:
            _log.info("port_published", port=str(port), container=str(row.attachment.addresses[0].ip), to=port.port)
        try:
            self._follow(node)
        except BaseException:
            self._withdraw(row)
            raise
        return {}

    def revoke(self, call: EndpointCall, node: Node) -> Json:
        """Publish a container's ports no more."""
        row = self._find(call)
        if row is not None:
            self._withdraw(row)
            self._follow(node)
        return {}

    def _withdraw(self, row: Row) -> None:
        endpoint = read_endpoint(row)
        self._ports.release(row.attachment.key.container)
        self._record(row, msgspec.structs.replace(endpoint, ports=()))
        if any(each.protocol == UDP for each in endpoint.ports):
            forget_flows(frozenset(each.ip for each in row.attachment.addresses))

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
        self._written = None
        self._follow(node)

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
        self._reservations.unbind(row)
        self._follow(node)

    def _follow(self, node: Node) -> None:
        """Write the rules of what is there now, unless they stand."""
        containers = [
            Container(
                row.attachment.link_name,
                tuple(each.ip for each in row.attachment.addresses),
                read_endpoint(row).published(),
                network.subnets
                if (network := self._networks.find(row.attachment.key.network)) and network.internal
                else (),
            )
            for row in self._rows()
            if row.state is State.ATTACHED
        ]
        rules = docker_ruleset(node, containers)
        text = rules.text if rules else ""
        if text == self._written:
            return
        self._wiring.write_table(TABLE, rules)
        self._written = text

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


def forget_flows(addresses: frozenset[Address]) -> None:
    """End the translation of datagrams to a container: who goes on sending would keep it alive for ever."""
    with ConntrackSocket() as table:
        table.delete(
            [
                each
                for each in table.connections()
                if each.original.protocol == UDP
                and Status.DESTINATION_NAT in each.status
                and each.reply.source in addresses
            ]
        )


def join_answer(attachment: Attachment, network: Network) -> Json:
    """What Docker is to do with a container's end.

    Nothing of the subnet is on the link: the next hop is, and all else goes by it. An internal network's container
    gets no default route, but one to the network's subnets.
    """
    answer: Json = {"InterfaceName": {"SrcName": attachment.offered_name, "DstPrefix": "eth"}}
    routes = []
    for interface in attachment.addresses:
        hop = next_hop(interface)
        routes.append({"Destination": str(host_prefix(hop)), "RouteType": _ON_LINK, "NextHop": ""})
        if network.internal:
            routes += [
                {"Destination": str(subnet), "RouteType": _BY_NEXT_HOP, "NextHop": str(hop)}
                for subnet in network.subnets
                if subnet.version == interface.version
            ]
        else:
            answer["Gateway" if interface.version == 4 else "GatewayIPv6"] = str(hop)
    return answer | {"StaticRoutes": routes}


def _mtu_of(options: Json, node: Node) -> int:
    """Read the options of ``-o``.

    Raises:
        DockerError: one is not known, or its value cannot be.
    """
    known = {MODE, MTU}
    for name in options:
        if name not in known:
            raise DockerError(f"-o {name} is not known", f"known are {', '.join(sorted(known))}")
    if options.get(MODE, "transparent") != "transparent":
        raise DockerError(
            f"-o {MODE}={options[MODE]}: containers of Docker are attached in the mode transparent", "leave it out"
        )
    text = str(options.get(MTU, node.mtu))
    if not text.isdigit() or not _SMALLEST_MTU <= int(text) <= node.mtu:
        raise DockerError(f"-o {MTU}={text} is not between {_SMALLEST_MTU} and {node.mtu}, which is the NIC's")
    return int(text) if MTU in options else 0


def _mac_of(text: str) -> Mac:
    try:
        return unicast_mac(text)
    except ValueError as error:
        raise DockerError(f"--mac-address: {error}") from None


def _auxiliary(pool: PoolData) -> Iterable[str]:
    return (pool.auxiliary or {}).values()
