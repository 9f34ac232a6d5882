"""The rules podvnet keeps on a VM: what pods may send, what is masqueraded, what is bridged and what is routed.

Written once; a pod's attachment only adds elements to hash sets. Default deny: of what comes in by a pod's link only
the (link, MAC, address) tuples in ``sources4`` pass, so a pod cannot forge a MAC, an address or an ARP answer, and a
link without elements is silent.

A pod has a permanent neighbour for its one next hop and no link-local address, so none of its kernel's frames is
neighbour discovery: whatever is, claims to be somebody. What its kernel does say unasked, and nobody here needs, is
which multicast groups it has joined. Only a container that its engine configures (Docker's) asks for its next hop, as
itself; what it answers is believed by nobody, for the VM's neighbours are permanent.

The links of such containers may carry answers to 127.0.0.1 (``route_localnet``), which are for it only once they are
translated. What is sent to 127.0.0.1 by whomever is dropped before: the VM's own servers there are for the VM alone.

Source of the translation: Azure document "Container networking overview": internet-bound traffic of pods is
source-NATed to the primary address of the VM's NIC; typically that is everything not destined to the virtual network.
IPv6 is never translated: a pod's address is what the world sees, and Azure has no such translation either. Nor is a pod
with a public address of its own: the virtual network puts that in the place of the pod's address, and of no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from podvnet.model.address import IMDS_ADDRESS, PLATFORM_MAC, WIRESERVER_ADDRESS, Address, Prefix
from podvnet.model.attachment import LINK_PREFIX, Node
from podvnet.model.kernel import Ruleset

TABLE = "podvnet"
GROUPS = "groups"
"""The chain of the security groups that filter between pods of this VM."""
ARRIVALS = "arrivals"
"""The chain of those that filter what is sent to an address that this VM translates to a pod's."""
CLOSED = "closed"
"""The chain that drops, there as long as :data:`GROUPS` and :data:`ARRIVALS` lead to it."""

_DISCOVERY = (
    "{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect, ind-neighbor-solicit,"
    " ind-neighbor-advert }"
)
_MULTICAST_REPORTS = "{ mld-listener-report, mld-listener-done, mld2-listener-report }"

PRIVATE_RANGES: tuple[Prefix, ...] = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""What Azure never routes to the internet. It holds most virtual networks, their peers and on-premises networks."""


def node_ruleset(node: Node, bridge: str, *, pods_may_ask_platform: bool, enforce_groups: bool = False) -> Ruleset:
    """The tables of a VM.

    Args:
        node: the VM.
        bridge: the name of the software bridge, whether or not it exists.
        pods_may_ask_platform: let pods reach IMDS and the wireserver's HTTP. DNS always passes.
        enforce_groups: what pods of this VM begin with one another passes :data:`GROUPS`; what others begin with them,
            by an address that is translated here, :data:`ARRIVALS`. Both are closed at first; see
            :mod:`podvnet.plan.enforced_groups`.
    """
    between_pods = _BETWEEN_PODS if enforce_groups else ""
    primary = next(address for address in node.primary if address.version == 4)
    refused = "" if pods_may_ask_platform else _PLATFORM_REFUSED
    text = f"""
table inet {TABLE} {{
	counter spoofed {{ }}
	counter loopback_refused {{ }}
	counter metadata_refused {{ }}

	# link, MAC, address: what each routed pod may send as
	set sources4 {{ type iface_index . ether_addr . ipv4_addr; }}
	set sources6 {{ type iface_index . ether_addr . ipv6_addr; }}
	# containers whose engine configures them: link, MAC, address that each may ask for neighbours as; their links
	set solicitors6 {{ type iface_index . ether_addr . ipv6_addr; }}
	set autoconfigured {{ type iface_index; }}
	# the addresses of all pods
	set pods4 {{ type ipv4_addr; }}
	set pods6 {{ type ipv6_addr; }}
	# pods with a public address of their own, which leave with it
	set public4 {{ type ipv4_addr; }}
	# destinations that see the pod's own address
	set network4 {{ type ipv4_addr; flags interval; auto-merge; }}

	chain from_pod {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "{LINK_PREFIX}*" accept
		ip daddr 127.0.0.0/8 counter name loopback_refused drop
		iif . ether saddr . ip saddr @sources4 accept
		icmpv6 type {_MULTICAST_REPORTS} drop
		icmpv6 type nd-neighbor-solicit iif . ether saddr . ip6 saddr @solicitors6 accept
		iif @autoconfigured icmpv6 type {{ nd-neighbor-solicit, nd-router-solicit }} drop
		icmpv6 type {_DISCOVERY} counter name spoofed drop
		iif . ether saddr . ip6 saddr @sources6 accept
		counter name spoofed drop
	}}

	chain platform {{
		type filter hook forward priority filter - 1; policy accept;
		{refused}
	}}
{between_pods}
	chain translate {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr @public4 return
		{_returning(node, bridge)}
		ip saddr @pods4 ip daddr != @network4 oifname {{ "{node.nic_name}", "{bridge}" }} snat ip to {primary}
	}}
}}
table arp {TABLE} {{
	counter spoofed {{ }}
	set sources4 {{ type iface_index . ether_addr . ipv4_addr; }}
	chain from_pod {{
		type filter hook input priority filter; policy accept;
		iifname != "{LINK_PREFIX}*" accept
		iif . arp saddr ether . arp saddr ip @sources4 accept
		counter name spoofed drop
	}}
}}
"""
    return Ruleset((("inet", TABLE), ("arp", TABLE)), text)


_PLATFORM_REFUSED = (
    f"ip saddr @pods4 ip daddr {IMDS_ADDRESS} counter name metadata_refused drop\n"
    f"\t\tip saddr @pods4 ip daddr {WIRESERVER_ADDRESS} tcp dport {{ 80, 443, 32526 }}"
    " counter name metadata_refused drop"
)


_BETWEEN_PODS = f"""
	counter out_of_state {{ }}
	counter rules_unknown {{ }}
	chain between_pods {{
		type filter hook forward priority filter; policy accept;
		ip saddr @pods4 ip daddr @pods4 goto pod_to_pod
		ip6 saddr @pods6 ip6 daddr @pods6 goto pod_to_pod
		ct direction original ct status dnat ct state new ip daddr @pods4 goto {ARRIVALS}
		ct direction original ct status dnat ct state new ip6 daddr @pods6 goto {ARRIVALS}
	}}
	chain pod_to_pod {{
		ct state invalid counter name out_of_state drop
		ct state {{ established, related }} accept
		goto {GROUPS}
	}}
	chain {GROUPS} {{
		goto {CLOSED}
	}}
	chain {ARRIVALS} {{
		goto {CLOSED}
	}}
	chain {CLOSED} {{
		counter name rules_unknown drop
	}}
"""


def _returning(node: Node, bridge: str) -> str:
    """What makes answers come back that another host of the subnet would send past this VM.

    kube-proxy of a VM with a bridge knows pods by their subnet alone, and leaves the addresses of callers from it be:
    those of other VMs as well, which it sends on to pods of other VMs when a Service has ``externalTrafficPolicy``
    ``Local``.
    """
    near = ", ".join(str(prefix) for prefix in node.subnets if prefix.version == 4)
    primary = next(address for address in node.primary if address.version == 4)
    outside = f"ip saddr {{ {near} }} ip saddr != @pods4 ip daddr {{ {near} }} ip daddr != @pods4"
    return f'{outside} ip saddr != {primary} oifname "{bridge}" ct status dnat snat ip to {primary}'


def bridge_ruleset(node: Node) -> Ruleset:
    """The table of the software bridge.

    Frames from a pod are addressed to the gateway. What is for the VM itself, or for another pod of the bridge, is
    readdressed to it (in the mode ``tunnel`` only what is for the VM: its probes must work whatever rules the network
    has); what is for the subnet goes on to the virtual network; all else is lifted into the VM's own IP stack, where
    services, masquerading and host ports are. Frames from the NIC carry the VM's MAC, as Azure delivers them, and are
    readdressed to the pod. Frames to the NIC leave with the VM's MAC, as Azure demands; the answers to the VM's own ARP
    come back to it.
    """
    mac = node.nic_mac
    text = f"""
table bridge {TABLE} {{
	counter spoofed {{ }}

	set sources4 {{ type iface_index . ether_addr . ipv4_addr; }}
	set sources6 {{ type iface_index . ether_addr . ipv6_addr; }}
	# every pod of the bridge, by address
	map delivery4 {{ type ipv4_addr : ether_addr; }}
	map delivery6 {{ type ipv6_addr : ether_addr; }}
	# those that are reached without the virtual network
	map local4 {{ type ipv4_addr : ether_addr; }}
	map local6 {{ type ipv6_addr : ether_addr; }}
	set tunnel_ports {{ type iface_index; }}

	chain arrive {{
		type filter hook prerouting priority dstnat; policy accept;
		iifname "{node.nic_name}" goto from_network
		iifname "{LINK_PREFIX}*" goto from_pod
	}}
	chain from_network {{
		ether type ip ether daddr set ip daddr map @delivery4 accept
		arp operation reply ether daddr set arp daddr ip map @delivery4 accept
		ether type ip6 ether daddr set ip6 daddr map @delivery6 accept
	}}
	chain from_pod {{
		ether type ip iif . ether saddr . ip saddr @sources4 goto pod_sends
		ether type arp iif . ether saddr . arp saddr ip @sources4 iif . arp saddr ether . arp saddr ip @sources4 accept
		icmpv6 type {_MULTICAST_REPORTS} drop
		icmpv6 type {_DISCOVERY} counter name spoofed drop
		ether type ip6 iif . ether saddr . ip6 saddr @sources6 goto pod_sends6
		counter name spoofed drop
	}}
	chain pod_sends {{{_forwarding(node, 4)}
	}}
	chain pod_sends6 {{{_forwarding(node, 6)}
	}}
	# what is translated may go back to the network that it came from, by its gateway; nothing else does
	chain across {{
		type filter hook forward priority filter; policy accept;
		iifname "{node.nic_name}" oifname "{node.nic_name}" ether daddr != {PLATFORM_MAC} drop
	}}
	chain leave {{
		type filter hook postrouting priority srcnat; policy accept;
		oifname != "{node.nic_name}" accept
		ether type arp arp saddr ether set {mac} ether saddr set {mac} accept
		ether saddr set {mac}
	}}
}}
"""
    return Ruleset((("bridge", TABLE),), text)


def _forwarding(node: Node, version: int) -> str:
    """Where frames of a pod go; nowhere when the NIC does not have this IP version."""
    near = ", ".join(str(prefix) for prefix in node.subnets if prefix.version == version)
    own = ", ".join(str(address) for address in node.primary if address.version == version)
    if not near or not own:
        return "\n\t\tdrop"
    daddr = "ip daddr" if version == 4 else "ip6 daddr"
    return f"""
		{daddr} != {{ {near} }} ether daddr set {node.nic_mac} meta pkttype set host accept
		{daddr} {{ {own} }} ether daddr set {node.nic_mac} meta pkttype set host accept
		iif @tunnel_ports ether daddr set {PLATFORM_MAC} accept
		ether daddr set {daddr} map @local{version} accept
		ether daddr set {PLATFORM_MAC} accept"""


def network_elements(prefixes: Iterable[Prefix]) -> str:
    """The nft commands that make ``network4`` hold exactly these prefixes, in one transaction."""
    listed = ", ".join(sorted({str(prefix) for prefix in prefixes if prefix.version == 4}))
    add = f"add element inet {TABLE} network4 {{ {listed} }}\n" if listed else ""
    return f"flush set inet {TABLE} network4\n{add}"


def public_elements(addresses: Iterable[Address]) -> str:
    """The nft commands that make ``public4`` hold exactly these addresses, in one transaction."""
    listed = ", ".join(sorted(map(str, addresses)))
    add = f"add element inet {TABLE} public4 {{ {listed} }}\n" if listed else ""
    return f"flush set inet {TABLE} public4\n{add}"


def untranslated(node: Node, virtual_network: Iterable[Prefix], exceptions: Iterable[Prefix]) -> frozenset[Prefix]:
    """The destinations that see a pod's own address.

    Args:
        node: the VM; its subnets always count.
        virtual_network: the prefixes of the virtual network where they are known, else nothing: then every private
            range counts, for a VM is told only its own subnets.
        exceptions: what the operator adds (``nonMasquerade``).
    """
    known = tuple(virtual_network)
    return frozenset({*node.subnets, *(known or PRIVATE_RANGES), *exceptions})
