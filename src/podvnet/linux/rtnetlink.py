"""Kernel objects as rtnetlink messages.

Source: Linux ``include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,veth}.h``. Indexes of both ends of a veth pair
are chosen by the caller, so nothing is read back; the far end is made in place in its namespace, because moving a
device costs as much as deleting one (docs/performance.md).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

from podvnet.linux.netlink import CREATE, EXCLUSIVE, REPLACE, Message, attribute, nested, text, u32
from podvnet.model.address import mac_bytes
from podvnet.model.kernel import (
    MAIN_TABLE,
    BridgeEntry,
    InterfaceAddress,
    LinkUp,
    Neighbour,
    NeighbourProxy,
    Route,
    RoutingRule,
    VethPair,
)

RtnetlinkObject = VethPair | LinkUp | InterfaceAddress | Route | RoutingRule | Neighbour | NeighbourProxy | BridgeEntry

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
NEWRULE, DELRULE, GETRULE = 32, 33, 34
_SETNEIGHTBL = 67

_ALIAS_LENGTH = 255
AF_BRIDGE = 7
IFF_UP = 1

PROTOCOL = 112
"""Marks routes as podvnet's own (the ``proto`` of ``ip route``)."""
UNICAST, LOCAL, THROW = 1, 2, 9
ONLINK = 4
RULE_PRIORITY, RULE_MARK, RULE_MASK, RULE_PROTOCOL = 6, 10, 16, 21
PRIORITY_ATTRIBUTE, TABLE_ATTRIBUTE = 6, 15
DEFAULT_METRIC6 = 1024
"""What the kernel gives routes of IPv6 that come without a metric."""
_PRIORITY = 1000
_TO_TABLE = 1
_ALL_BITS = 0xFFFFFFFF

PERMANENT = 0x80
_STATIC_ENTRY = 0x40 | 0x02
_NTF_MASTER = 0x04
NTF_PROXY = 0x08
_NO_PREFIX_ROUTE = 0x200
_NO_DAD = 0x02

LINK_HEADER = struct.Struct("=BxHiII")
ADDRESS_HEADER = struct.Struct("=BBBBI")
ROUTE_HEADER = struct.Struct("=BBBBBBBBI")
"""Of routes, and of routing rules with the action in the place of the type."""
NEIGHBOUR_HEADER = struct.Struct("=BxHiHBB")
_LARGEST_SHORT_TABLE = 255
_TABLE_HEADER = struct.Struct("=BxH")
_U64 = struct.Struct("=Q")

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 5, 10, 12
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD = 18, 20, 26, 27, 28
_NUM_TX_QUEUES, _NUM_RX_QUEUES = 31, 32
_KIND, _DATA, _VETH_PEER = 1, 2, 1
_BRIDGE_AGEING, _BRIDGE_MULTICAST_SNOOPING = 4, 23
_PROXY_ARP, _PROXY_ARP_PVLAN = 3, 25
_ADDR_GEN_MODE, _GEN_NONE = 8, 1
_PORT_HAIRPIN, _PORT_LEARNING, _PORT_FLOOD, _PORT_MULTICAST_FLOOD, _PORT_BROADCAST_FLOOD = 4, 8, 9, 27, 30

# A kernel booted without IPv6 refuses its attributes; everywhere else autoconfiguration is turned off before a link
# is up, or its solicitations of hundreds of links compete for the one lock that attaching needs.
_HAS_IPV6 = Path("/proc/sys/net/ipv6").is_dir()
_NO_AUTOCONFIGURATION = nested(socket.AF_INET6, attribute(_ADDR_GEN_MODE, bytes([_GEN_NONE]))) if _HAS_IPV6 else b""

# A veth pair has no queues to wait in; those it would be given for each processor only take time to make (half of all
# that a pair takes, with two processors).
_ONE_QUEUE = u32(_NUM_TX_QUEUES, 1) + u32(_NUM_RX_QUEUES, 1)

# Nothing is learned from a pod and nothing flooded to it: its one address is a static entry. What a pod sends to a
# port of the VM that leads back to it is translated before it is bridged, so it leaves by the port it came from.
_CLOSED_PORT = nested(
    IFLA_PROTINFO,
    attribute(_PORT_HAIRPIN, b"\1"),
    *(attribute(kind, b"\0") for kind in (_PORT_LEARNING, _PORT_FLOOD, _PORT_MULTICAST_FLOOD, _PORT_BROADCAST_FLOOD)),
)


def link_body(index: int, *parts: bytes, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    """Pack a link message: header and attributes."""
    return LINK_HEADER.pack(family, 0, index, flags, change) + b"".join(parts)


def add(item: RtnetlinkObject, descriptor_of: Callable[[str], int], *, converge: bool = False) -> list[Message]:
    """Encode the addition of an object.

    Args:
        item: what to add.
        descriptor_of: gives the open namespace of a label, for the far end of a veth pair.
        converge: take over an address, route or neighbour that is there already. Links are never taken over.
    """
    how = CREATE | (REPLACE if converge else EXCLUSIVE)
    match item:
        case VethPair():
            return _add_veth(item, descriptor_of(item.peer_namespace))
        case LinkUp(index):
            return up(index)
        case InterfaceAddress():
            return [_address(NEWADDR, CREATE | REPLACE if converge else how, item)]
        case Route():
            # Replacing is right even for a first addition: an address has one owner, and a route left by an earlier
            # one would send the new owner's packets into the void.
            return [_route(NEWROUTE, CREATE | REPLACE, item)]
        case RoutingRule():
            return [_rule(NEWRULE, how, item)]
        case Neighbour():
            return [_neighbour(NEWNEIGH, CREATE | REPLACE, item)]
        case NeighbourProxy(index):
            return [_neighbour_proxy(NEWNEIGH, CREATE | REPLACE, item), _no_proxy_delay(index, socket.AF_INET6)]
        case BridgeEntry():
            return [_bridge_entry(NEWNEIGH, CREATE | REPLACE, item)]


def remove(item: RtnetlinkObject) -> list[Message]:
    """Encode the removal of an object. An interface that another object made is only set down."""
    match item:
        case VethPair():
            return [Message(DELLINK, 0, link_body(item.index), f"delete link {item.name}")]
        case LinkUp(index):
            return [Message(SETLINK, 0, link_body(index, change=IFF_UP), f"set link {index} down")]
        case InterfaceAddress():
            return [_address(DELADDR, 0, item)]
        case Route():
            return [_route(DELROUTE, 0, item)]
        case RoutingRule():
            return [_rule(DELRULE, 0, item)]
        case Neighbour():
            return [_neighbour(DELNEIGH, 0, item)]
        case NeighbourProxy():
            return [_neighbour_proxy(DELNEIGH, 0, item)]
        case BridgeEntry():
            return [_bridge_entry(DELNEIGH, 0, item)]


def up(index: int) -> list[Message]:
    """Set a link up, without IPv6 autoconfiguration."""
    messages = []
    if index != 1 and _HAS_IPV6:
        body = link_body(index, nested(IFLA_AF_SPEC, _NO_AUTOCONFIGURATION))
        messages.append(Message(SETLINK, 0, body, f"turn off autoconfiguration of link {index}"))
    messages.append(Message(SETLINK, 0, link_body(index, flags=IFF_UP, change=IFF_UP), f"set link {index} up"))
    return messages


def _add_veth(pair: VethPair, peer_namespace: int) -> list[Message]:
    peer = link_body(
        pair.peer_index,
        text(IFLA_IFNAME, pair.peer_name),
        attribute(IFLA_ADDRESS, mac_bytes(pair.peer_mac)),
        u32(IFLA_MTU, pair.mtu),
        u32(IFLA_NET_NS_FD, peer_namespace),
        _ONE_QUEUE,
    )
    create = link_body(
        pair.index,
        text(IFLA_IFNAME, pair.name),
        attribute(IFLA_ADDRESS, mac_bytes(pair.mac)),
        u32(IFLA_MTU, pair.mtu),
        _ONE_QUEUE,
        nested(IFLA_LINKINFO, text(_KIND, "veth"), nested(_DATA, attribute(_VETH_PEER, peer))),
    )
    messages = [Message(NEWLINK, CREATE | EXCLUSIVE, create, f"add link {pair.name} with {pair.peer_name} at its end")]
    settings = [_NO_AUTOCONFIGURATION]
    if pair.proxy_arp:
        # "pvlan" answers for addresses behind the same port too: all traffic is routed by the host, as in Azure.
        conf = nested(1, u32(_PROXY_ARP, 1), u32(_PROXY_ARP_PVLAN, 1))
        settings.append(nested(socket.AF_INET, conf))
    parts = [nested(IFLA_AF_SPEC, *settings)]
    if pair.alias:
        alias = pair.alias.encode()
        if len(alias) <= _ALIAS_LENGTH:  # half a label would be read back as another one
            parts.append(attribute(IFLA_IFALIAS, alias))
    if pair.bridge:
        parts.append(u32(IFLA_MASTER, pair.bridge))
    messages.append(Message(SETLINK, 0, link_body(pair.index, *parts), f"configure link {pair.name}"))
    if pair.bridge:
        body = link_body(pair.index, _CLOSED_PORT, family=AF_BRIDGE)
        messages.append(Message(SETLINK, 0, body, f"configure bridge port {pair.name}"))
    if pair.proxy_arp:
        messages.append(_no_proxy_delay(pair.index, socket.AF_INET))
    body = link_body(pair.index, flags=IFF_UP, change=IFF_UP)
    messages.append(Message(SETLINK, 0, body, f"set link {pair.name} up"))
    return messages


def _no_proxy_delay(index: int, family: int) -> Message:
    """Answer for others at once: the kernel's default waits up to 0.8 s, so that the true owner may speak first."""
    table = "arp_cache" if family == socket.AF_INET else "ndisc_cache"
    body = _TABLE_HEADER.pack(family, 0) + text(1, table)
    body += nested(6, u32(1, index), attribute(13, _U64.pack(0)))
    return Message(_SETNEIGHTBL, 0, body, f"answer for others on link {index} at once ({table})")


def _address(kind: int, flags: int, item: InterfaceAddress) -> Message:
    address = item.interface.ip
    packed = address.packed
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    marks = _NO_PREFIX_ROUTE | (_NO_DAD if address.version == 6 else 0)
    body = ADDRESS_HEADER.pack(family, item.interface.network.prefixlen, 0, 0, item.index)
    body += attribute(2, packed) + attribute(1, packed) + u32(8, marks)
    doing = f"{'add' if kind == NEWADDR else 'delete'} address {item.interface} on link {item.index}"
    return Message(kind, flags, body, doing)


def _route(kind: int, flags: int, route: Route) -> Message:
    destination = route.destination
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    body = ROUTE_HEADER.pack(
        family,
        destination.prefixlen,
        0,
        0,
        route.table if route.table <= _LARGEST_SHORT_TABLE else 0,
        PROTOCOL,
        route.scope.value,
        THROW if route.throw else LOCAL if route.local else UNICAST,
        ONLINK if route.via else 0,
    )
    body += attribute(1, destination.network_address.packed)
    if route.table != MAIN_TABLE:
        body += u32(TABLE_ATTRIBUTE, route.table)
    if not route.throw:
        body += u32(4, route.index)
    if route.via:
        body += attribute(5, route.via.packed)
    if route.metric:
        body += u32(PRIORITY_ATTRIBUTE, route.metric)
    doing = f"{'add' if kind == NEWROUTE else 'delete'} route {destination} on link {route.index}"
    return Message(kind, flags, body, doing)


def _rule(kind: int, flags: int, rule: RoutingRule) -> Message:
    family = socket.AF_INET if rule.version == 4 else socket.AF_INET6
    body = ROUTE_HEADER.pack(family, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
    body += u32(TABLE_ATTRIBUTE, rule.table) + u32(RULE_MARK, rule.table) + u32(RULE_MASK, _ALL_BITS)
    body += u32(RULE_PRIORITY, _PRIORITY) + attribute(RULE_PROTOCOL, bytes([PROTOCOL]))
    doing = f"{'add' if kind == NEWRULE else 'delete'} IPv{rule.version} rule of table {rule.table}"
    return Message(kind, flags, body, doing)


def _neighbour(kind: int, flags: int, item: Neighbour) -> Message:
    family = socket.AF_INET if item.address.version == 4 else socket.AF_INET6
    body = NEIGHBOUR_HEADER.pack(family, 0, item.index, PERMANENT, 0, 0)
    body += attribute(1, item.address.packed) + attribute(2, mac_bytes(item.mac))
    doing = f"{'add' if kind == NEWNEIGH else 'delete'} neighbour {item.address} on link {item.index}"
    return Message(kind, flags, body, doing)


def _neighbour_proxy(kind: int, flags: int, item: NeighbourProxy) -> Message:
    body = NEIGHBOUR_HEADER.pack(socket.AF_INET6, 0, item.index, PERMANENT, NTF_PROXY, 0)
    body += attribute(1, item.address.packed)
    doing = f"{'add' if kind == NEWNEIGH else 'delete'} neighbour proxy {item.address} on link {item.index}"
    return Message(kind, flags, body, doing)


def _bridge_entry(kind: int, flags: int, item: BridgeEntry) -> Message:
    body = NEIGHBOUR_HEADER.pack(AF_BRIDGE, 0, item.index, _STATIC_ENTRY, _NTF_MASTER, 0)
    body += attribute(2, mac_bytes(item.mac))
    doing = f"{'add' if kind == NEWNEIGH else 'delete'} bridge entry {item.mac} on link {item.index}"
    return Message(kind, flags, body, doing)


def add_bridge(name: str, index: int, mac: str, mtu: int) -> list[Message]:
    """Make a bridge: no multicast snooping (a virtual network has no multicast)."""
    body = link_body(
        index,
        text(IFLA_IFNAME, name),
        attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))),
        u32(IFLA_MTU, mtu),
        nested(IFLA_LINKINFO, text(_KIND, "bridge"), nested(_DATA, attribute(_BRIDGE_MULTICAST_SNOOPING, b"\0"))),
    )
    return [Message(NEWLINK, CREATE | EXCLUSIVE, body, f"add bridge {name}")]


def enslave(port: int, bridge: int) -> Message:
    """Make a link a port of a bridge (0 takes it out)."""
    return Message(SETLINK, 0, link_body(port, u32(IFLA_MASTER, bridge)), f"put link {port} into bridge {bridge}")


def let_back(port: int) -> Message:
    """Let a port of a bridge give out what came in by it.

    With ``br_netfilter`` a frame whose destination is translated is bridged on to its new one, and that can be where it
    came from: a node port whose endpoint is on another VM. Linux: net/bridge/br_netfilter_hooks.c, "bridged DNAT".
    """
    mode = nested(IFLA_PROTINFO, attribute(_PORT_HAIRPIN, b"\1"))
    return Message(SETLINK, 0, link_body(port, mode, family=AF_BRIDGE), f"let port {port} give back")


def synchronise(index: int) -> Message:
    """Look at a link, which makes the kernel act on a carrier that has just come.

    A link whose far end was set up after it sends nothing until a worker of the kernel has noticed, which takes
    milliseconds or, when many links are made, longer: the first packets to a new pod would be lost. Since Linux 6.8 a
    look does what the worker would (net/core/rtnetlink.c, ``rtnl_getlink``); before, it does no harm.
    """
    return Message(GETLINK, 0, link_body(index), f"look at link {index}")


def retire(index: int, group: int) -> list[Message]:
    """Set a link down and into the group of links that wait for deletion."""
    return [
        Message(SETLINK, 0, link_body(index, u32(IFLA_GROUP, group), change=IFF_UP), f"retire link {index}"),
    ]


def rename(index: int, name: str) -> list[Message]:
    """Set a link down and give it another name."""
    return [
        Message(SETLINK, 0, link_body(index, change=IFF_UP), f"set link {index} down"),
        Message(SETLINK, 0, link_body(index, text(IFLA_IFNAME, name)), f"rename link {index} to {name}"),
    ]


def delete_group(group: int) -> Message:
    """Delete every link of a group at once: the kernel waits once for all of them."""
    return Message(DELLINK, 0, link_body(0, u32(IFLA_GROUP, group)), f"delete the links of group {group}")
