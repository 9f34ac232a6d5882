"""The rules of a virtual network's namespace: tables as text, written once, with sets, maps and junctions to fill.

In the order of a packet's way: what a port may send (``port``), which routing table it goes by (``way``), the address
of a frontend or a public address in place of which a member's comes (``translate``), security groups (``deliver``), and
the public address it leaves with (``leave``). :mod:`podvnet.plan.balancing_program` fills ``public_frontends`` and
``internal_frontends``, :mod:`podvnet.plan.outbound_program` fills ``ways_out``, ``leave`` and ``own_flows``.
"""

from __future__ import annotations

from podvnet.model.address import GATEWAY6, IMDS_ADDRESS, WIRESERVER_ADDRESS
from podvnet.model.kernel import Ruleset
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.routing_program import NOWHERE6

ENDED = 1
"""The mark of connections that were allowed once and are not any more, where a security group says that it counts."""

FLOATING = "0x80000000"
"""The bit of a packet's mark that says its source was a floating frontend's address; it is gone before routing."""
ANY_TABLE = "0x7fffffff"
FLOATING_FLOW = 1
"""The label of connections whose packets keep the frontend's address."""
_SOLICITATIONS = "{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }"


_NETWORK_RULES = f"""
table inet {TABLE} {{
	counter spoofed {{ }}
	counter unowned {{ }}
	counter uninvited {{ }}
	counter closed {{ }}
	counter no_frontend_rule {{ }}
	counter no_backend {{ }}
	counter idle_flow {{ }}
	counter no_outbound {{ }}
	counter nat_unsupported {{ }}
	counter unsupported_protocol {{ }}
	counter out_of_state {{ }}
	counter ended {{ }}
	counter peer_refused {{ }}
	counter foreign_source {{ }}

	# port, source MAC, source address: what each NIC may send as
	set owned4 {{ type iface_index . ether_addr . ipv4_addr; }}
	set owned6 {{ type iface_index . ether_addr . ipv6_addr; }}
	# NICs with IP forwarding may send with any source address, not with any MAC
	set forwarding {{ type iface_index . ether_addr; }}
	# the primary address of each VM's primary NIC: only that may ask IMDS
	set metadata4 {{ type iface_index . ipv4_addr; }}
	# ports whose NIC or subnet has a security group: no other is open to the internet
	set guarded {{ type iface_index; }}
	# the addresses of internal frontends
	set frontends4 {{ type ipv4_addr; }}
	set frontends6 {{ type ipv6_addr; }}
	# the ports of members that use a frontend's address as their own, that address, and what they are tracked as
	map floating4 {{ type iface_index . ipv4_addr : ipv4_addr; }}
	map floating6 {{ type iface_index . ipv6_addr : ipv6_addr; }}
	set floating_sources4 {{ type iface_index . ipv4_addr; }}
	set floating_sources6 {{ type iface_index . ipv6_addr; }}
	# public address of an ip-configuration to its private address, and back
	map inbound4 {{ type ipv4_addr : ipv4_addr; }}
	map inbound6 {{ type ipv6_addr : ipv6_addr; }}
	map public4 {{ type ipv4_addr : ipv4_addr; }}
	map public6 {{ type ipv6_addr : ipv6_addr; }}
	set public_sources4 {{ type ipv4_addr; }}
	set public_sources6 {{ type ipv6_addr; }}
	# private address to the public address of default outbound access
	map outbound4 {{ type ipv4_addr : ipv4_addr; }}
	set outbound_sources4 {{ type ipv4_addr; }}
	# the ports of NICs with IP forwarding, and their own addresses
	set appliances {{ type iface_index; }}
	set appliance_addresses4 {{ type iface_index . ipv4_addr; }}
	set appliance_addresses6 {{ type iface_index . ipv6_addr; }}
	# by interface: the routing table of what comes in, the conntrack zone of legs to and from appliances; `zone` is a
	# word of nft's own wherever an idle timeout stands before it
	map route_table {{ type iface_index : verdict; }}
	map zones {{ type iface_index : verdict; }}
	# by interface: what a peered network may send and get
	map from_peer {{ type iface_index : verdict; }}
	map to_peer {{ type iface_index : verdict; }}
	# by port: the security groups of its NIC and of its subnet
	map from_nic {{ type iface_index : verdict; }}
	map from_subnet {{ type iface_index : verdict; }}
	map to_subnet {{ type iface_index : verdict; }}
	map to_nic {{ type iface_index : verdict; }}
	map platform_nic {{ type iface_index : verdict; }}
	map platform_subnet {{ type iface_index : verdict; }}

	chain port {{
		type filter hook prerouting priority raw; policy accept;
		iifname != "nic*" accept
		iif . ether saddr . ip saddr @owned4 accept
		iif . ether saddr . ip6 saddr @owned6 accept
		ip saddr {{ {IMDS_ADDRESS}, {WIRESERVER_ADDRESS} }} counter name spoofed drop
		iif . ether saddr @forwarding ip daddr != {{ {IMDS_ADDRESS}, {WIRESERVER_ADDRESS} }} accept
		iif . ether saddr @forwarding meta nfproto ipv6 accept
		# a guest looks for its gateway; what it says of itself is not believed, neighbours are written here
		ip6 saddr {{ ::, fe80::/10 }} icmpv6 type {_SOLICITATIONS} accept
		# every kernel reports the multicast groups it listens to; a virtual network has none
		ip6 daddr ff02::16 icmpv6 type mld2-listener-report drop
		counter name spoofed drop
	}}

	chain way {{
		type filter hook prerouting priority raw + 5; policy accept;
		iif vmap @route_table
		# what the other end of a link says of its own multicast groups is no traffic to refuse and count
		ip6 daddr ff00::/8 return
		iif vmap @from_peer
		# A flow through an appliance is here twice with the same addresses: each leg has a zone of its own, the same
		# one both ways.
		iif @appliances iif . ether saddr . ip saddr != @owned4 goto forwarded
		iif @appliances iif . ether saddr . ip6 saddr != @owned6 goto forwarded
		# What routes lead elsewhere that is for a frontend comes back for it: to be translated then, the leg to the
		# appliance has a zone of its own. What leaves to the internet does not, and has another address there.
		ip daddr @frontends4 fib daddr . mark oif exists fib daddr . mark oifname != "{names.UPLINK}" iif vmap @zones
		ip6 daddr @frontends6 fib daddr . mark oif exists fib daddr . mark oifname != "{names.UPLINK}" iif vmap @zones
		iifname != "nic*" ip saddr @frontends4 fib daddr . mark oif vmap @zones
		iifname != "nic*" ip6 saddr @frontends6 fib daddr . mark oif vmap @zones
		meta mark > {names.PLAIN_TABLE} goto routed
	}}
	chain floating {{
		type filter hook prerouting priority raw + 6; policy accept;
		iif . ip saddr @floating_sources4 jump own4
		iif . ip6 saddr @floating_sources6 jump own6
	}}
	chain own4 {{
		meta mark set meta mark | {FLOATING} ip saddr set iif . ip saddr map @floating4
	}}
	chain own6 {{
		meta mark set meta mark | {FLOATING} ip6 saddr set iif . ip6 saddr map @floating6
	}}
	chain routed {{
		# for the appliance itself
		fib daddr . mark oif . ip daddr @appliance_addresses4 return
		fib daddr . mark oif . ip6 daddr @appliance_addresses6 return
		fib daddr . mark oif @appliances iif vmap @zones
	}}
	chain forwarded {{
		fib daddr . mark oif . ip daddr @appliance_addresses4 goto received
		fib daddr . mark oif . ip6 daddr @appliance_addresses6 goto received
		fib daddr . mark oif @appliances goto between_appliances
		goto received
	}}
	chain received {{
		fib daddr . mark oif vmap @zones
	}}
	chain between_appliances {{
		ct zone set {names.BETWEEN_APPLIANCES}
	}}

	chain tracked {{
		type filter hook prerouting priority mangle; policy accept;
		# a frontend's address is for answers
		meta mark & {FLOATING} != 0 ct state new counter name no_outbound drop
		meta mark & {FLOATING} != 0 meta mark set meta mark & {ANY_TABLE}
		# outbound rules see the frontend as the destination, not the member
		ct state new ip daddr @frontends4 fib daddr . mark oif missing jump asked
		ct state new ip6 daddr @frontends6 fib daddr . mark oif missing jump asked
	}}
	chain asked {{
		iif vmap @from_nic
		iif vmap @from_subnet
	}}

	chain translate {{
		type nat hook prerouting priority dstnat; policy accept;
		iifname "{names.UPLINK}" goto from_internet
		# what is for a frontend has no interface to go to; a route of the sender's may lead elsewhere, to a firewall:
		# then this is not the load balancer's yet
		ip daddr @frontends4 fib daddr . mark oif missing goto from_inside
		ip6 daddr @frontends6 fib daddr . mark oif missing goto from_inside
	}}
	chain from_internet {{
		jump public_frontends
		jump own_flows
		dnat ip to ip daddr map @inbound4
		dnat ip6 to ip6 daddr map @inbound6
	}}
	chain from_inside {{
		jump internal_frontends
		counter name no_frontend_rule drop
	}}
	chain public_frontends {{ }}
	chain own_flows {{ }}
	chain internal_frontends {{ }}

	chain balanced {{
		type filter hook prerouting priority dstnat + 1; policy accept;
		# the member is where the main table says, whatever routes the client's subnet has
		ct status dnat ct direction original meta mark set 0
	}}

	chain deliver {{
		type filter hook forward priority filter; policy accept;
		iifname "{names.UPLINK}" ct state != {{ established, related }} ct status ! dnat counter name uninvited drop
		iifname "{names.SERVICES_LINK}" ct state != {{ established, related }} counter name uninvited drop
		oifname "lo" counter name unowned drop
		rt ip6 nexthop {NOWHERE6} counter name unowned drop
		meta l4proto {{ 4, 41, 47 }} counter name unsupported_protocol drop
		oif vmap @to_peer
		ct state invalid counter name out_of_state drop
		ct mark {ENDED} counter name ended drop
		ct state {{ established, related }} accept
		ct status dnat goto arriving
		iif vmap @from_nic
		iif vmap @from_subnet
		oifname "{names.UPLINK}" goto leaving
		oif vmap @to_subnet
		oif vmap @to_nic
	}}
	chain arriving {{
		iifname "{names.UPLINK}" oif != @guarded counter name closed drop
		oif vmap @to_subnet
		oif vmap @to_nic
	}}
	chain leaving {{
		jump ways_out
		ip saddr @public_sources4 accept
		ip6 saddr @public_sources6 accept
		tcp flags & (fin | syn | rst | ack) != syn counter name idle_flow drop
		ip saddr @outbound_sources4 accept
		counter name no_outbound drop
	}}
	chain ways_out {{ }}

	chain platform {{
		type filter hook input priority filter; policy drop;
		icmpv6 type {_SOLICITATIONS} accept
		# what members of backend pools answer to probes
		iifname "nic*" ip daddr {WIRESERVER_ADDRESS} ct state established ct direction reply accept
		iifname "nic*" ip6 daddr {GATEWAY6} ct state established ct direction reply accept
		iif vmap @platform_nic
		iif vmap @platform_subnet
		ip daddr {IMDS_ADDRESS} tcp dport 80 iif . ip saddr @metadata4 accept
		ip daddr {WIRESERVER_ADDRESS} tcp dport {{ 53, 80, 32526 }} iifname "nic*" accept
		ip daddr {WIRESERVER_ADDRESS} udp dport 53 iifname "nic*" accept
	}}

	chain probing {{
		type filter hook output priority filter; policy accept;
		ip saddr {WIRESERVER_ADDRESS} ct state new oif vmap @to_subnet
		ip saddr {WIRESERVER_ADDRESS} ct state new oif vmap @to_nic
		ip6 saddr {GATEWAY6} meta l4proto tcp ct state new oif vmap @to_subnet
		ip6 saddr {GATEWAY6} meta l4proto tcp ct state new oif vmap @to_nic
	}}

	chain told {{
		type route hook output priority mangle; policy accept;
		# a reset in the place of a member, to whom its answers went: peers and the internet are no routes of ours
		ip saddr != {{ {IMDS_ADDRESS}, {WIRESERVER_ADDRESS} }} tcp flags & rst != 0 meta mark set {names.PLAIN_TABLE}
		ip6 saddr != {GATEWAY6} tcp flags & rst != 0 meta mark set {names.PLAIN_TABLE}
	}}

	chain outbound {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{names.UPLINK}" goto leave_as
	}}
	chain leave_as {{
		jump leave
		snat ip to ip saddr map @public4
		snat ip to ip saddr map @outbound4
		snat ip6 to ip6 saddr map @public6
	}}
	chain leave {{ }}

	chain restored {{
		type filter hook postrouting priority srcnat + 10; policy accept;
		# what a floating frontend's member gets is still addressed to the frontend
		ct label {FLOATING_FLOW} ct direction original ip daddr set ct original ip daddr
		ct label {FLOATING_FLOW} ct direction original ip6 daddr set ct original ip6 daddr
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

_INTERNET_RULES = f"""
table inet {TABLE} {{
	chain way {{
		type filter hook prerouting priority mangle; policy accept;
		# nobody has it: not even a word about that
		fib daddr type {{ unicast, unreachable }} fib daddr oif missing drop
	}}
}}
"""

INTERNET_RULESET = Ruleset((("inet", TABLE),), _INTERNET_RULES)
"""The rules of the internet's namespace."""
