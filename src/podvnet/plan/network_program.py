"""What the namespace of a virtual network holds: ports, delivery, anti-spoofing, the way out.

The namespace is Azure's virtual switch. One port a NIC; the port answers ARP for everything with Azure's MAC, so all
traffic is routed by the host, also between two NICs of one subnet. Delivery is a host route an address. An address of
the virtual network that no NIC owns leads to ``lo``, where the forward chain drops and counts it: a blackhole route
would silence ARP as well, and Azure answers that for every address.

Sources: Azure documents "Virtual Network FAQ" (no multicast, no GRE, no IP-in-IP; the gateway does not answer ping),
"Create, change, or delete a network interface" (source check, IP forwarding), "Default outbound access in Azure".
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, ip_interface

from podvnet.model.address import (
    IMDS_ADDRESS,
    MANAGEMENT_ADDRESS,
    PLATFORM_MAC,
    WIRESERVER_ADDRESS,
    Address,
    Interface,
    mac_bytes,
)
from podvnet.model.intent import InternetHost, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    Ruleset,
    Sysctl,
    VethPair,
    field_bytes,
    host_prefix,
    index_bytes,
)
from podvnet.plan import names

TABLE = "podvnet"

# Next hops on the unnumbered link between a virtual network and the internet; they appear in no packet.
_INTERNET_SIDE = IPv4Address("100.64.0.1")
_NETWORK_SIDE = IPv4Address("100.64.0.2")

# Destinations that Azure's system routes drop unless the virtual network or a peer holds them.
NEVER_INTERNET = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))

_LOOSE = (Sysctl("ipv4/conf/all/rp_filter", "0"), Sysctl("ipv4/conf/default/rp_filter", "0"))
_ROUTER = (
    *_LOOSE,
    Sysctl("ipv4/ip_forward", "1"),
    # A packet may leave by the port it came in by (a pod of the same VM): nobody must be told of a "better" way.
    Sysctl("ipv4/conf/all/send_redirects", "0"),
    Sysctl("ipv4/conf/default/send_redirects", "0"),
    Sysctl("ipv4/icmp_echo_ignore_all", "1"),
)

_NETWORK_RULES = f"""
table inet {TABLE} {{
	counter spoofed {{ }}
	counter unowned {{ }}
	counter uninvited {{ }}
	counter no_outbound {{ }}
	counter unsupported_protocol {{ }}

	# port, source MAC, source address: what each NIC may send as
	set owned4 {{ type iface_index . ether_addr . ipv4_addr; }}
	# NICs with IP forwarding may send with any source address, not with any MAC
	set forwarding {{ type iface_index . ether_addr; }}
	# the primary address of each VM's primary NIC: only that may ask IMDS
	set metadata4 {{ type iface_index . ipv4_addr; }}
	# private address to public address
	map outbound4 {{ type ipv4_addr : ipv4_addr; }}
	set outbound_sources {{ type ipv4_addr; }}

	chain port {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "nic*" accept
		iif . ether saddr . ip saddr @owned4 accept
		iif . ether saddr @forwarding ip daddr != {{ {IMDS_ADDRESS}, {WIRESERVER_ADDRESS} }} accept
		counter name spoofed drop
	}}

	chain deliver {{
		type filter hook forward priority filter; policy accept;
		oifname "lo" counter name unowned drop
		ip protocol {{ 4, 47 }} counter name unsupported_protocol drop
		iifname "{names.UPLINK}" ct state != {{ established, related }} counter name uninvited drop
		oifname "{names.UPLINK}" ct direction original ip saddr != @outbound_sources counter name no_outbound drop
	}}

	chain platform {{
		type filter hook input priority filter; policy drop;
		ip daddr {IMDS_ADDRESS} tcp dport 80 iif . ip saddr @metadata4 accept
		ip daddr {WIRESERVER_ADDRESS} tcp dport {{ 80, 32526 }} iifname "nic*" accept
	}}

	chain outbound {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{names.UPLINK}" snat ip to ip saddr map @outbound4
	}}
}}
table arp {TABLE} {{
	counter spoofed {{ }}
	set owned4 {{ type iface_index . ether_addr . ipv4_addr; }}
	chain port {{
		type filter hook input priority filter; policy accept;
		iifname != "nic*" accept
		iif . arp saddr ether . arp saddr ip @owned4 accept
		counter name spoofed drop
	}}
}}
"""

NETWORK_RULESET = Ruleset((("inet", TABLE), ("arp", TABLE)), _NETWORK_RULES)


def compile_internet(hosts: Iterable[InternetHost]) -> Program:
    """The internet's namespace, with its hosts and the resource manager's address."""
    addresses = {InterfaceAddress(LOOPBACK, _single(host.address)) for host in hosts}
    addresses.add(InterfaceAddress(LOOPBACK, _single(MANAGEMENT_ADDRESS)))
    return {names.INTERNET: frozenset({NetworkNamespace(), LinkUp(LOOPBACK), *_LOOSE, *addresses})}


def compile_network(network: VirtualNetwork) -> Program:
    """A virtual network's namespace, and its link to the internet."""
    return {
        names.network_namespace(network.id): frozenset(_network(network)),
        names.INTERNET: frozenset(_internet_link(network)),
    }


def compile_machine(machine: VirtualMachine) -> Program:
    """A VM's namespace, before it has a NIC."""
    return {names.machine_namespace(machine.id): frozenset({NetworkNamespace(), LinkUp(LOOPBACK)})}


def compile_nic(network: VirtualNetwork, nic: NetworkInterface, label: str, position: int, beside: bool) -> Program:
    """A NIC on a VM: its port, what DHCP sets inside, the way back from the internet.

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
        names.INTERNET: frozenset(_return_routes(network, nic)),
    }


def _network(network: VirtualNetwork) -> set[KernelObject]:
    objects: set[KernelObject] = {
        NetworkNamespace(),
        *_ROUTER,
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
        Neighbour(names.UPLINK_INDEX, _INTERNET_SIDE, names.INTERNET_MAC),
        Route(IPv4Network("0.0.0.0/0"), names.UPLINK_INDEX, _INTERNET_SIDE),
    }
    objects |= {Route(prefix, LOOPBACK) for prefix in (*network.prefixes, *NEVER_INTERNET) if prefix.version == 4}
    return objects


def _internet_link(network: VirtualNetwork) -> set[KernelObject]:
    index = names.internet_link_index(network.number)
    return {LinkUp(index), Neighbour(index, _NETWORK_SIDE, names.EDGE_MAC)}


def _return_routes(network: VirtualNetwork, nic: NetworkInterface) -> set[KernelObject]:
    index = names.internet_link_index(network.number)
    return {
        Route(host_prefix(config.outbound), index, _NETWORK_SIDE)
        for config in nic.ip_configurations
        if config.outbound is not None
    }


def _port(nic: NetworkInterface, machine_namespace: str, position: int) -> set[KernelObject]:
    """One NIC's port: the cable into the VM, what may be sent through it, what is delivered to it."""
    index = names.port_index(nic.number)
    primary = nic.primary().address
    key = (index_bytes(index), mac_bytes(nic.mac))
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
        # One neighbour a NIC: its other addresses are routed by way of the first.
        Neighbour(index, primary, nic.mac),
    }
    if nic.ip_forwarding:
        objects.add(Element("inet", TABLE, "forwarding", field_bytes(*key)))
    if position == 0:
        objects.add(Element("inet", TABLE, "metadata4", field_bytes(index_bytes(index), primary.packed)))
    for config in nic.ip_configurations:
        address = config.address
        if address.version == 6:
            continue  # delivered once subnets of both families are
        owned = field_bytes(*key, address.packed)
        objects |= {Element("inet", TABLE, "owned4", owned), Element("arp", TABLE, "owned4", owned)}
        objects.add(Route(host_prefix(address), index, None if address == primary else primary))
        if config.outbound is not None:
            objects.add(Element("inet", TABLE, "outbound4", address.packed, config.outbound.packed))
            objects.add(Element("inet", TABLE, "outbound_sources", address.packed))
    return objects


def _guest(network: VirtualNetwork, nic: NetworkInterface, position: int, *, beside: bool) -> set[KernelObject]:
    """What DHCP configures inside the VM: the primary address of each NIC, and a default route on the first.

    Of NICs in one subnet the first leads there; ``beside`` says that this one is not the first.
    """
    index = names.GUEST_NIC_INDEX + position
    subnet = next(each for each in network.subnets if each.id == nic.subnet)
    prefix = subnet.prefix_of(4)
    if prefix is None:
        msg = f"NIC {nic.id.name}: its subnet has no IPv4 prefix"
        raise ValueError(msg)
    address = nic.primary().address
    objects: set[KernelObject] = {
        LinkUp(index),
        InterfaceAddress(index, _with_length(address, prefix.prefixlen)),
    }
    if not beside:
        objects.add(Route(prefix, index))
    if position == 0:
        objects.add(Route(IPv4Network("0.0.0.0/0"), index, prefix.network_address + 1))
    return objects


def _single(address: Address) -> Interface:
    return ip_interface(host_prefix(address))


def _with_length(address: Address, length: int) -> Interface:
    return ip_interface(f"{address}/{length}")
