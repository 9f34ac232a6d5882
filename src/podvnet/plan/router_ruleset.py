"""The rules of routers: of gateways and of sites on premises, and of the ends of their tunnels.

A router has a link to the internet, one to each of its tunnels' ends for what is encrypted, one for what is inside, and
others. What is encrypted and what is not never take each other's ways, whatever the routes say.
"""

from __future__ import annotations

from podvnet.model.kernel import Ruleset
from podvnet.plan import names
from podvnet.plan.names import TABLE

OUTWARD_TABLE = 1
"""In routers: where what is encrypted goes, to the internet."""
INWARD_TABLE, ENCRYPT_TABLE = 1, 2
"""In tunnels' ends: where what came out of the tunnel goes, and where what is to go into it does. Whoever runs the
tunnel fills them."""
OUTER, INNER = "outer", "inner"
"""The two links of a tunnel's end."""
LARGEST_SEGMENT = 1350
"""Source: Azure document "About VPN devices and IPsec/IKE parameters": clamp TCP MSS at 1350."""

_IKE = "{ 500, 4500 }"

ROUTER_RULESET = Ruleset(
    (("inet", TABLE),),
    f"""
table inet {TABLE} {{
	counter unencrypted {{ }}
	counter uninvited {{ }}
	counter unreachable {{ }}

	# the far and the near public address of a tunnel: where its end is
	map tunnels {{ type ipv4_addr . ipv4_addr : mark; }}
	# what the internet sees everybody behind this router as
	map leaving_as {{ type iface_index : ipv4_addr; }}

	chain way {{
		type filter hook prerouting priority mangle; policy accept;
		iifname "{names.UPLINK}" udp dport {_IKE} meta mark set ip saddr . ip daddr map @tunnels
		iifname "out*" meta mark set {OUTWARD_TABLE}
	}}
	chain forwarded {{
		type filter hook forward priority filter; policy accept;
		iifname "{names.UPLINK}" oifname "out*" accept
		iifname "out*" oifname "{names.UPLINK}" udp sport {_IKE} accept
		iifname "out*" counter name unencrypted drop
		oifname "out*" counter name unencrypted drop
		iifname "{names.UPLINK}" ct state != {{ established, related }} counter name uninvited drop
		oifname "{names.UPLINK}" oif != @leaving_as counter name unreachable drop
		iifname "tun*" tcp flags & (syn | rst) == syn tcp option maxseg size > {LARGEST_SEGMENT} jump clamp
		oifname "tun*" tcp flags & (syn | rst) == syn tcp option maxseg size > {LARGEST_SEGMENT} jump clamp
	}}
	chain clamp {{
		tcp option maxseg size set {LARGEST_SEGMENT}
	}}
	chain heard {{
		type filter hook input priority filter; policy accept;
		iifname "{names.UPLINK}" ct state != {{ established, related }} counter name uninvited drop
	}}
	chain said {{
		type filter hook output priority filter; policy accept;
		# where no route leads, packets end without a word
		icmp type destination-unreachable icmp code != frag-needed counter name unreachable drop
		icmpv6 type destination-unreachable counter name unreachable drop
	}}
	chain leaving {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{names.UPLINK}" iifname != "out*" snat ip to oif map @leaving_as
	}}
}}
""",
)

TUNNEL_RULESET = Ruleset(
    (("inet", TABLE),),
    f"""
table inet {TABLE} {{
	counter unencrypted {{ }}

	chain way {{
		type filter hook prerouting priority mangle; policy accept;
		iifname "{INNER}" meta mark set {ENCRYPT_TABLE}
		iifname "ipsec*" meta mark set {INWARD_TABLE}
	}}
	chain forwarded {{
		type filter hook forward priority filter; policy drop;
		iifname "{INNER}" oifname "ipsec*" accept
		iifname "ipsec*" oifname "{INNER}" accept
		counter name unencrypted
	}}
	chain said {{
		type route hook output priority mangle; policy accept;
		# a word about a packet that cannot go on, with that packet's mark: it goes back where that came from
		meta l4proto icmp meta mark {ENCRYPT_TABLE} meta mark set {INWARD_TABLE} accept
		meta l4proto icmp meta mark {INWARD_TABLE} meta mark set {ENCRYPT_TABLE}
	}}
	chain heard {{
		type filter hook input priority filter; policy accept;
		iifname "{OUTER}" udp dport {_IKE} accept
		iifname "{OUTER}" drop
	}}
}}
""",
)
