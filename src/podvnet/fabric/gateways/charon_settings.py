"""What strongSwan's charon is told at the end of a tunnel: pure functions of the end.

Its own settings are a file; the connection and the key are told to it when it runs, so no key is on a disk.

The tunnel takes any address. The link of the namespace that leads to the router is up as long as there is a tunnel: a
script that charon calls counts the tunnels, because for a moment there are two when both ends have called.

Source: strongSwan documents "strongswan.conf", "swanctl.conf", "kernel-libipsec plugin", "updown plugin".
"""

from __future__ import annotations

import hashlib

from podvnet.fabric.gateways.proposals import (
    CHILD_KILOBYTES,
    CHILD_LIFETIME,
    IKE_LIFETIME,
    esp_proposals,
    ike_proposals,
)
from podvnet.fabric.gateways.vici import Message
from podvnet.plan import names
from podvnet.plan.appliances import OTHER_SIDE
from podvnet.plan.router_ruleset import ENCRYPT_TABLE, INNER, INWARD_TABLE
from podvnet.plan.tunnel_ends import TunnelEnd

CONNECTION, CHILD = "tunnel", "any"
PLUGINS = (
    "random nonce aes sha1 sha2 md5 hmac kdf gcm ctr openssl gmp curve25519"
    " kernel-libipsec kernel-netlink socket-default vici updown counters"
)
"""``kdf`` must be named; packets are encrypted in user space, because few kernels of small machines can."""
_TRIES = 4
"""Repetitions of a message until the other end is taken for dead."""


def settings(end: TunnelEnd) -> str:
    """``strongswan.conf``.

    The time until a silent end is taken for dead is a third to wait for packets and the rest to ask in vain.
    """
    timeout = (end.dpd_timeout - dpd_delay(end)) / (_TRIES + 1)
    return f"""\
charon {{
	load_modular = no
	load = {PLUGINS}
	# It makes a route of its own into the tunnel, whatever it is told: where nobody looks.
	routing_table = 220
	routing_table_prio = 40000
	install_virtual_ip = no
	accept_unencrypted_mainmode_messages = no
	retransmit_base = 1.0
	retransmit_timeout = {timeout:.2f}
	retransmit_tries = {_TRIES}
	retry_initiate_interval = 0
	half_open_timeout = 10
	plugins {{
		vici {{
			socket = unix:///run/vici
		}}
		kernel-libipsec {{
			allow_peer_ts = yes
		}}
	}}
	filelog {{
		stderr {{
			default = 0
			ike = 1
			cfg = 0
			flush_line = yes
		}}
	}}
}}
"""


def dpd_delay(end: TunnelEnd) -> int:
    """After how many seconds of silence the other end is asked whether it lives."""
    return max(1, end.dpd_timeout // 3)


def connection(end: TunnelEnd) -> Message:
    """The connection as ``load-conn`` takes it."""
    policy = end.policy
    kilobytes = policy.data_size if policy else CHILD_KILOBYTES
    lifetime = policy.lifetime if policy else CHILD_LIFETIME
    return {
        CONNECTION: {
            "version": "2",
            "local_addrs": [str(end.local)],
            "remote_addrs": [str(end.remote)],
            "proposals": list(ike_proposals(policy)),
            "encap": "yes",
            "mobike": "no",
            "unique": "replace",
            "keyingtries": "0",
            "dpd_delay": str(dpd_delay(end)),
            "rekey_time": str(IKE_LIFETIME),
            "reauth_time": "0",
            "local-1": {"auth": "psk", "id": str(end.local)},
            "remote-1": {"auth": "psk", "id": str(end.remote)},
            "children": {
                CHILD: {
                    "local_ts": ["0.0.0.0/0"],
                    "remote_ts": ["0.0.0.0/0"],
                    "esp_proposals": list(esp_proposals(policy)),
                    "rekey_time": str(lifetime),
                    "rekey_bytes": str(kilobytes * 1024),
                    "updown": "/run/updown",
                    "start_action": "none",
                    "dpd_action": "restart" if end.initiates else "clear",
                    "close_action": "none",
                }
            },
        }
    }


def key_id(end: TunnelEnd) -> str:
    """What the shared key is called: as what a tunnel is made with, which is made anew when that changes.

    So a later life can tell, by the name that charon has and without the key, what an earlier one has told.
    """
    essence = repr((end.shared_key, end.policy, str(end.local), str(end.remote)))
    return hashlib.sha256(essence.encode()).hexdigest()


def key(end: TunnelEnd) -> Message:
    """The shared key as ``load-shared`` takes it."""
    return {"id": key_id(end), "type": "IKE", "data": end.shared_key, "owners": [str(end.local), str(end.remote)]}


def updown() -> str:
    """The script that takes the link to the router up and down with the tunnel.

    It counts, and is told the right count by whoever looks at charon: of an end that dies, charon may not say that
    its tunnels have ended.
    """
    hop = OTHER_SIDE[4]
    return f"""\
#!/bin/sh
exec 9>>/run/updown.lock
flock 9
read -r count </run/up || count=0
case "$PLUTO_VERB" in
up-*) count=$((count + 1)) ;;
down-*) count=$((count - 1)) ;;
set) count=$1 ;;
*) exit 0 ;;
esac
echo "$count" >/run/up
if [ "$count" -gt 0 ]; then
	ip link set {INNER} up
	ip neighbour replace {hop} lladdr {names.FAR_MAC} dev {INNER} nud noarp extern_learn
	ip route replace default via {hop} dev {INNER} onlink table {INWARD_TABLE}
	ip route replace default dev ipsec0 table {ENCRYPT_TABLE}
else
	ip link set {INNER} down
fi
"""
