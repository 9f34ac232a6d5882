"""The VM as the agent finds it: which interface is the NIC, and its software bridge."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from podvnet.azure.inventory import PlatformNic
from podvnet.linux import namespace, rtnetlink, rtnetlink_dump
from podvnet.linux.executor import Executor, write_sysctl
from podvnet.linux.netlink import Message
from podvnet.linux.rtnetlink_dump import Link
from podvnet.model.address import GATEWAY6, PLATFORM_MAC
from podvnet.model.attachment import BRIDGE_INDEX, LINK_PREFIX, Node
from podvnet.model.kernel import BridgeEntry, InterfaceAddress, KernelObject, LinkUp, Neighbour, Route, Step, Sysctl
from podvnet.plan.attachment_program import HOST
from podvnet.plan.node_ruleset import TABLE, bridge_ruleset

_FORWARDING = Sysctl("ipv4/ip_forward", "1")
_FORWARDING6 = (Sysctl("ipv6/conf/all/forwarding", "1"), Sysctl("ipv6/conf/default/disable_ipv6", "0"))
# Answers of bridged pods to translated flows (host ports, services) must pass the VM's own translation.
_BRIDGED = Sysctl("bridge/bridge-nf-call-iptables", "1")
_BRIDGED6 = Sysctl("bridge/bridge-nf-call-ip6tables", "1")


class NicNotFoundError(Exception):
    """No interface of the VM has the MAC the platform names."""


def find_node(executor: Executor, nic: PlatformNic) -> Node:
    """Match the platform's NIC with an interface of the VM.

    Raises:
        NicNotFoundError: there is none.
    """
    links = rtnetlink_dump.links(executor.door(HOST).route)
    # The software bridge has the NIC's MAC as well.
    found = [link for link in links if link.mac == nic.mac and link.kind != "bridge" and not _is_pods(link)]
    if not found:
        have = (
            ", ".join(f"{link.name} {link.mac}" for link in links if link.index != 1 and not _is_pods(link)) or "none"
        )
        msg = f"the platform says that the VM's primary NIC is {nic.mac}; the interfaces here are {have}"
        raise NicNotFoundError(msg)
    link = found[0]
    return Node(
        nic_name=link.name,
        nic_index=link.index,
        nic_mac=nic.mac,
        primary=tuple(
            entry.address
            for entry in nic.addresses()
            if entry.primary and (entry.address.version == 4 or _speaks_ipv6(executor, link.name))
        ),
        subnets=tuple(subnet.prefix for subnet in nic.subnets),
        mtu=link.mtu,
    )


def _speaks_ipv6(executor: Executor, name: str) -> bool:
    """Tell whether the VM uses IPv6 on an interface: its administrator may have turned it off, there or altogether."""
    disabled = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    with namespace.entered(executor.door(HOST).descriptor):
        return disabled.exists() and disabled.read_text(encoding="ascii").strip() == "0"


def ensure_forwarding(executor: Executor, node: Node) -> None:
    """Let the VM route for its pods; IPv6 only when the NIC has it."""
    with namespace.entered(executor.door(HOST).descriptor):
        write_sysctl(_FORWARDING)
    if node.has_ipv6:
        _ensure_way6(executor, node.nic_name, node.nic_index)
        with namespace.entered(executor.door(HOST).descriptor):
            for setting in _FORWARDING6:
                write_sysctl(setting)


def _ensure_way6(executor: Executor, name: str, index: int) -> None:
    """Keep the VM's IPv6 gateway when it becomes a router, and know the gateway's MAC.

    A router believes no router advertisement and forgets the default route it has from one, unless the interface says
    ``accept_ra`` 2 before. For what it forwards it can look for its gateway only from a link-local address, which the
    interface need not have.
    """
    accept = Path(f"/proc/sys/net/ipv6/conf/{name}/accept_ra")
    with namespace.entered(executor.door(HOST).descriptor):
        if accept.exists() and accept.read_text(encoding="ascii").strip() == "1":
            write_sysctl(Sysctl(f"ipv6/conf/{name}/accept_ra", "2"))
    executor.apply((Step(True, HOST, Neighbour(index, GATEWAY6, PLATFORM_MAC)),), converge=True)


def forget_way6(executor: Executor) -> None:
    """Forget the gateway's MAC."""
    known = rtnetlink_dump.neighbours(executor.door(HOST).route)
    ours = [each for each in known if (each.address, each.mac) == (GATEWAY6, PLATFORM_MAC)]
    executor.apply(tuple(Step(False, HOST, each) for each in ours), converge=True)


def ensure_bridge(executor: Executor, node: Node, name: str) -> None:
    """Make the software bridge the VM's way to its NIC; every step may be repeated after a crash.

    The bridge takes the NIC's MAC, its addresses and its routes; only then does the NIC give up its own.

    Raises:
        KernelError, RulesetError: the kernel refused; what was done stays and is completed by the next try.
    """
    door = executor.door(HOST)
    if not any(link.index == BRIDGE_INDEX for link in rtnetlink_dump.links(door.route)):
        _all(executor, rtnetlink.add_bridge(name, BRIDGE_INDEX, node.nic_mac, node.mtu))
    rules = bridge_ruleset(node)
    if rules.marker not in door.sets.counters("bridge", TABLE):
        executor.apply((Step(True, HOST, rules),))
    with namespace.entered(door.descriptor):
        for setting in (_BRIDGED, _BRIDGED6) if node.has_ipv6 else (_BRIDGED,):
            write_sysctl(setting)
    nic_addresses = [
        item for item in rtnetlink_dump.addresses(door.route) if item.index == node.nic_index and _global(item)
    ]
    moved = [Step(True, HOST, InterfaceAddress(BRIDGE_INDEX, item.interface)) for item in nic_addresses]
    executor.apply((*moved, Step(True, HOST, LinkUp(BRIDGE_INDEX))), converge=True)
    if node.has_ipv6:
        _ensure_way6(executor, name, BRIDGE_INDEX)
    _all(executor, [rtnetlink.enslave(node.nic_index, BRIDGE_INDEX), rtnetlink.let_back(node.nic_index)])
    executor.apply((Step(True, HOST, BridgeEntry(node.nic_index, PLATFORM_MAC)),), converge=True)
    routes = [
        route
        for route in rtnetlink_dump.routes(door.route, ours_only=False)
        if route.index == node.nic_index and _moves(route)
    ]
    # Routes without a next hop first: the others' next hops are looked up by them.
    routes.sort(key=lambda route: route.via is not None)
    if not routes and not moved:
        return
    subnets = [Route(IPv4Network(str(prefix)), BRIDGE_INDEX) for prefix in node.subnets if prefix.version == 4]
    executor.apply(
        tuple(
            Step(True, HOST, route)
            for route in (*subnets, *(Route(route.destination, BRIDGE_INDEX, route.via) for route in routes))
        ),
        converge=True,
    )
    # IPv4 routes go with the last address, IPv6 routes do not.
    gone: list[KernelObject] = [*nic_addresses, *(route for route in routes if route.destination.version == 6)]
    executor.apply(tuple(Step(False, HOST, item) for item in gone), converge=True)


def bridge_present(executor: Executor) -> bool:
    """Tell whether the software bridge is there."""
    return any(link.index == BRIDGE_INDEX for link in rtnetlink_dump.links(executor.door(HOST).route))


def remove_bridge(executor: Executor) -> None:
    """Give the NIC its addresses and routes back and delete the bridge."""
    door = executor.door(HOST)
    ports = [link for link in rtnetlink_dump.links(door.route) if link.bridge == BRIDGE_INDEX and not _is_pods(link)]
    if ports:
        nic = ports[0].index
        addresses = [
            item for item in rtnetlink_dump.addresses(door.route) if item.index == BRIDGE_INDEX and _global(item)
        ]
        routes = [
            route
            for route in rtnetlink_dump.routes(door.route, ours_only=False)
            if route.index == BRIDGE_INDEX and _moves(route)
        ]
        routes.sort(key=lambda route: route.via is not None)
        _all(executor, [rtnetlink.enslave(nic, 0)])
        back: list[KernelObject] = [InterfaceAddress(nic, item.interface) for item in addresses]
        back += [Route(route.destination, nic, route.via) for route in routes]
        executor.apply(tuple(Step(True, HOST, item) for item in back), converge=True)
    _all(executor, [Message(rtnetlink.DELLINK, 0, rtnetlink.link_body(BRIDGE_INDEX), "delete the bridge")])


def _moves(route: Route) -> bool:
    """Tell whether a route goes where the VM's addresses go: not to link-local ones, not to one's own, not to pods."""
    destination = route.destination
    own = destination.prefixlen == 128 and route.via is None
    return destination.version == 4 or not (destination.is_link_local or own)


def _all(executor: Executor, messages: list[Message]) -> None:
    for error in executor.door(HOST).route.transact(messages):
        if error is not None:
            raise error


def _global(item: InterfaceAddress) -> bool:
    return not item.interface.ip.is_link_local


def _is_pods(link: Link) -> bool:
    return link.name.startswith(LINK_PREFIX)
