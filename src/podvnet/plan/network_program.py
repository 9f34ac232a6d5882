"""What the namespace of a virtual network holds: ports, delivery, anti-spoofing, the way out.

The namespace is Azure's virtual switch. One port a NIC; the port answers ARP for everything with Azure's MAC, so all
traffic is routed by the host, also between two NICs of one subnet. Delivery is a host route an address;
:mod:`podvnet.plan.routing_program` has the routes before that, :mod:`podvnet.plan.security_program` the groups.

Sources: Azure documents "Virtual Network FAQ" (no multicast, no GRE, no IP-in-IP; the gateway does not answer ping),
"Create, change, or delete a network interface" (source check, IP forwarding), "Default outbound access in Azure".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface

from podvnet.model.address import (
    GATEWAY6,
    IMDS_ADDRESS,
    MANAGEMENT_ADDRESS,
    PLATFORM_MAC,
    WIRESERVER_ADDRESS,
    Address,
    Interface,
    Mac,
    mac_bytes,
)
from podvnet.model.intent import InternetHost, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Dispatch,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    Sysctl,
    VethPair,
    field_bytes,
    host_prefix,
    index_bytes,
)
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.network_ruleset import INTERNET_RULESET, NETWORK_RULESET
from podvnet.plan.routing_program import INTERNET_SIDE, NETWORK_SIDE, mark_element, zone_objects
from podvnet.plan.security_program import members_set

_LOOSE = (Sysctl("ipv4/conf/all/rp_filter", "0"), Sysctl("ipv4/conf/default/rp_filter", "0"))
_FORWARDING = (
    *_LOOSE,
    Sysctl("ipv4/ip_forward", "1"),
    Sysctl("ipv6/conf/all/forwarding", "1"),
    # A packet may leave by the port it came in by (a pod of the same VM): nobody must be told of a "better" way.
    Sysctl("ipv4/conf/all/send_redirects", "0"),
    Sysctl("ipv4/conf/default/send_redirects", "0"),
)
_ROUTER = (
    *_FORWARDING,
    Sysctl("ipv4/icmp_echo_ignore_all", "1"),
    Sysctl("ipv6/icmp/echo_ignore_all", "1"),
    # An appliance may send on what a frontend answered; what a port may send at all, the rules say.
    Sysctl("ipv4/conf/all/accept_local", "1"),
)
_FLOW_TIMEOUTS = ("tcp_timeout_established", "udp_timeout", "udp_timeout_stream")
"""Idle flows are forgotten alike, whatever their protocol. The other times are of flows that end or begin."""


def compile_internet(hosts: Iterable[InternetHost]) -> Program:
    """The internet's namespace, with its hosts and the resource manager's address."""
    addresses = {InterfaceAddress(LOOPBACK, _single(host.address)) for host in hosts}
    addresses.add(InterfaceAddress(LOOPBACK, _single(MANAGEMENT_ADDRESS)))
    return {
        names.INTERNET: frozenset({NetworkNamespace(), LinkUp(LOOPBACK), *_FORWARDING, INTERNET_RULESET, *addresses})
    }


def compile_network(network: VirtualNetwork) -> Program:
    """A virtual network's namespace, and its link to the internet."""
    return {
        names.network_namespace(network.id): frozenset(_network(network)),
        names.INTERNET: frozenset(_internet_link(network)),
    }


def compile_machine(machine: VirtualMachine) -> Program:
    """A VM's namespace, before it has a NIC."""
    return {names.machine_namespace(machine.id): frozenset({NetworkNamespace(), LinkUp(LOOPBACK)})}


def compile_nic(network: VirtualNetwork, nic: NetworkInterface, label: str, position: int, *, beside: bool) -> Program:
    """A NIC on a VM: its port, and what DHCP sets inside.

    Args:
        network: the NIC's.
        nic: the NIC.
        label: the VM's namespace.
        position: the NIC's place on the VM, 0 for the primary.
        beside: an earlier NIC of the VM is in the same subnet.
    """
    return {
        names.network_namespace(network.id): frozenset(_port(nic, label, position)),
        label: frozenset(_guest(network, nic, position, beside=beside)),
    }


@dataclass(frozen=True, slots=True)
class Guard:
    """How the packets of a port are routed and filtered.

    Attributes:
        table: the routing table of what the NIC sends.
        chains: of each verdict map that the port is in, its name and the chain there.
        zoned: there are appliances in the virtual network or in a peered one, so that the port needs a conntrack zone.
    """

    table: int
    chains: tuple[tuple[str, str], ...] = ()
    zoned: bool = False


def compile_guard(network: ResourceId, number: int, guard: Guard) -> Program:
    """What finds the routing table and the security groups of a port, that of the NIC of this number."""
    index = names.port_index(number)
    objects: set[KernelObject] = {
        mark_element(index, guard.table),
        *(zone_objects(index, names.nic_zone(number)) if guard.zoned else ()),
        *(Dispatch(TABLE, place, index, chain) for place, chain in guard.chains),
        *((Element("inet", TABLE, "guarded", index_bytes(index)),) if guard.chains else ()),
    }
    return {names.network_namespace(network): frozenset(objects)}


def _network(network: VirtualNetwork) -> set[KernelObject]:
    timeouts = {Sysctl(f"netfilter/nf_conntrack_{name}", str(network.flow_timeout)) for name in _FLOW_TIMEOUTS}
    return {
        NetworkNamespace(),
        *_ROUTER,
        *timeouts,
        NETWORK_RULESET,
        LinkUp(LOOPBACK),
        InterfaceAddress(LOOPBACK, _single(IMDS_ADDRESS)),
        InterfaceAddress(LOOPBACK, _single(WIRESERVER_ADDRESS)),
        VethPair(
            name=names.UPLINK,
            index=names.UPLINK_INDEX,
            mac=names.EDGE_MAC,
            peer_namespace=names.INTERNET,
            peer_name=names.internet_link_name(network.number),
            peer_index=names.internet_link_index(network.number),
            peer_mac=names.INTERNET_MAC,
            alias="to the internet",
        ),
        *(Neighbour(names.UPLINK_INDEX, address, names.INTERNET_MAC) for address in INTERNET_SIDE.values()),
    }


def _internet_link(network: VirtualNetwork) -> set[KernelObject]:
    index = names.internet_link_index(network.number)
    return {LinkUp(index), *(Neighbour(index, address, names.EDGE_MAC) for address in NETWORK_SIDE.values())}


def _port(nic: NetworkInterface, machine_namespace: str, position: int) -> set[KernelObject]:
    """One NIC's port: the cable into the VM, what may be sent through it, what is delivered to it."""
    index = names.port_index(nic.number)
    key = (index_bytes(index), mac_bytes(nic.mac))
    first = {version: nic.primary(version).address for version in nic.versions}
    objects: set[KernelObject] = {
        VethPair(
            name=names.port_name(nic.number),
            index=index,
            mac=PLATFORM_MAC,
            peer_namespace=machine_namespace,
            peer_name=f"eth{position}",
            peer_index=names.GUEST_NIC_INDEX + position,
            peer_mac=nic.mac,
            mtu=nic.mtu,
            proxy_arp=True,
            alias=f"NIC {nic.id.name}",
        ),
        # One neighbour a NIC and IP version: its other addresses are routed by way of the first.
        *(Neighbour(index, address, nic.mac) for address in first.values()),
    }
    if 6 in first:
        objects.add(InterfaceAddress(index, ip_interface(f"{GATEWAY6}/64")))
    if nic.ip_forwarding:
        objects.add(Element("inet", TABLE, "forwarding", field_bytes(*key)))
        objects.add(Element("inet", TABLE, "appliances", index_bytes(index)))
    if position == 0 and 4 in first:
        objects.add(Element("inet", TABLE, "metadata4", field_bytes(index_bytes(index), first[4].packed)))
    for config in nic.ip_configurations:
        address = config.address
        owned = field_bytes(*key, address.packed)
        objects.add(Element("inet", TABLE, f"owned{address.version}", owned))
        if address.version == 4:
            objects.add(Element("arp", TABLE, "owned4", owned))
        via = first[address.version]
        objects.add(Route(host_prefix(address), index, None if address == via else via))
        if nic.ip_forwarding:
            own = field_bytes(index_bytes(index), address.packed)
            objects.add(Element("inet", TABLE, f"appliance_addresses{address.version}", own))
        for group in config.groups:
            objects.add(Element("inet", TABLE, members_set(group, address.version), address.packed))
    return objects


def _guest(network: VirtualNetwork, nic: NetworkInterface, position: int, *, beside: bool) -> set[KernelObject]:
    """What DHCP configures inside the VM: the primary address of each NIC, and a default route on the first.

    Of NICs in one subnet the first leads there; ``beside`` says that this one is not the first. An IPv6 address comes
    without its prefix, and the gateway is link-local, as router advertisements say it.
    """
    index = names.GUEST_NIC_INDEX + position
    subnet = next(each for each in network.subnets if each.id == nic.subnet)
    objects: set[KernelObject] = {LinkUp(index)}
    for version in nic.versions:
        prefix = subnet.prefix_of(version)
        if prefix is None:
            msg = f"NIC {nic.id.name}: its subnet has no IPv{version} prefix"
            raise ValueError(msg)
        address = nic.primary(version).address
        if version == 6:
            objects.add(InterfaceAddress(index, _single(address)))
            # What it forwards for others it can ask no neighbour about but from this.
            objects.add(InterfaceAddress(index, _link_local(nic.mac)))
            if position == 0:
                objects.add(Route(IPv6Network("::/0"), index, GATEWAY6))
            continue
        objects.add(InterfaceAddress(index, _with_length(address, prefix.prefixlen)))
        if not beside:
            objects.add(Route(prefix, index))
        if position == 0:
            objects.add(Route(IPv4Network("0.0.0.0/0"), index, prefix.network_address + 1))
    return objects


def _link_local(mac: Mac) -> Interface:
    """The address that an interface gives itself. Source: RFC 4291, appendix A."""
    octets = mac_bytes(mac)
    identifier = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return ip_interface((bytes.fromhex("fe80000000000000") + identifier, 64))


def _single(address: Address) -> Interface:
    return ip_interface(host_prefix(address))


def _with_length(address: Address, length: int) -> Interface:
    return ip_interface(f"{address}/{length}")
