"""What a namespace really holds, read back as the same values that plans are made of."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from podvnet.linux import rtnetlink as rt
from podvnet.linux.netlink import NetlinkSocket, attributes
from podvnet.model.address import Mac
from podvnet.model.kernel import (
    LOOPBACK,
    MAIN_TABLE,
    BridgeEntry,
    InterfaceAddress,
    Neighbour,
    NeighbourProxy,
    Route,
    RoutingRule,
)


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel shows it. ``bridge`` is the index of its master, or 0."""

    name: str
    index: int
    mac: Mac
    mtu: int
    up: bool
    group: int
    bridge: int
    kind: str
    alias: str = ""


def links(netlink: NetlinkSocket) -> list[Link]:
    """All interfaces."""
    found = []
    for _, body in netlink.dump(rt.GETLINK, rt.link_body(0), "list links"):
        _, _, index, flags, _ = rt.LINK_HEADER.unpack_from(body)
        got = attributes(body, 16)
        info = attributes(got.get(rt.IFLA_LINKINFO, b""))
        found.append(
            Link(
                name=_text(got.get(rt.IFLA_IFNAME, b"")),
                index=index,
                mac=Mac(got.get(rt.IFLA_ADDRESS, b"").hex(":")),
                mtu=_number(got.get(rt.IFLA_MTU)),
                up=bool(flags & rt.IFF_UP),
                group=_number(got.get(rt.IFLA_GROUP)),
                bridge=_number(got.get(rt.IFLA_MASTER)),
                kind=_text(info.get(1, b"")),
                alias=_text(got.get(rt.IFLA_IFALIAS, b"")),
            )
        )
    return found


def addresses(netlink: NetlinkSocket) -> Iterator[InterfaceAddress]:
    """All addresses, whoever set them."""
    for _, body in netlink.dump(rt.GETADDR, rt.ADDRESS_HEADER.pack(0, 0, 0, 0, 0), "list addresses"):
        family, length, _, _, index = rt.ADDRESS_HEADER.unpack_from(body)
        if family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        got = attributes(body, 8)
        packed = got.get(2) or got[1]
        yield InterfaceAddress(index, ip_interface(f"{ip_address(packed)}/{length}"))


def routes(netlink: NetlinkSocket, *, ours_only: bool = True) -> Iterator[Route]:
    """The routes of every table; by default those that podvnet wrote, otherwise those of the main table."""
    for _, body in netlink.dump(rt.GETROUTE, rt.ROUTE_HEADER.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "list routes"):
        family, length, _, _, short_table, protocol, _, kind, _ = rt.ROUTE_HEADER.unpack_from(body)
        if kind not in {rt.UNICAST, rt.LOCAL, rt.THROW} or family not in {socket.AF_INET, socket.AF_INET6}:
            continue
        got = attributes(body, 12)
        table = _number(got.get(rt.TABLE_ATTRIBUTE)) or short_table
        if (protocol != rt.PROTOCOL) if ours_only else (table != MAIN_TABLE):
            continue
        throw = kind == rt.THROW
        if 4 not in got and not throw:
            continue
        zero = bytes(4 if family == socket.AF_INET else 16)
        destination = ip_network(f"{ip_address(got.get(1, zero))}/{length}")
        via = ip_address(got[5]) if 5 in got else None
        metric = _number(got.get(rt.PRIORITY_ATTRIBUTE))
        if family == socket.AF_INET6 and metric == rt.DEFAULT_METRIC6:
            metric = 0
        yield Route(
            destination, LOOPBACK if throw else _number(got[4]), via, table, throw, kind == rt.LOCAL, metric=metric
        )


def rules(netlink: NetlinkSocket) -> Iterator[RoutingRule]:
    """The routing rules that podvnet wrote."""
    for _, body in netlink.dump(rt.GETRULE, rt.ROUTE_HEADER.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "list routing rules"):
        family = body[0]
        got = attributes(body, 12)
        if got.get(rt.RULE_PROTOCOL) == bytes([rt.PROTOCOL]):
            yield RoutingRule(4 if family == socket.AF_INET else 6, _number(got.get(rt.TABLE_ATTRIBUTE)))


def neighbours(netlink: NetlinkSocket) -> Iterator[Neighbour]:
    """The permanent neighbour entries."""
    for _, body in netlink.dump(rt.GETNEIGH, rt.NEIGHBOUR_HEADER.pack(0, 0, 0, 0, 0, 0), "list neighbours"):
        family, _, index, state, _, _ = rt.NEIGHBOUR_HEADER.unpack_from(body)
        if family not in {socket.AF_INET, socket.AF_INET6} or not state & rt.PERMANENT:
            continue
        got = attributes(body, 12)
        if 1 in got and 2 in got:
            yield Neighbour(index, ip_address(got[1]), Mac(got[2].hex(":")))


def neighbour_proxies(netlink: NetlinkSocket) -> Iterator[NeighbourProxy]:
    """The addresses of IPv6 that links answer neighbour solicitations for."""
    header = rt.NEIGHBOUR_HEADER.pack(socket.AF_INET6, 0, 0, 0, rt.NTF_PROXY, 0)
    for _, body in netlink.dump(rt.GETNEIGH, header, "list neighbour proxies"):
        _, _, index, _, flags, _ = rt.NEIGHBOUR_HEADER.unpack_from(body)
        got = attributes(body, 12)
        if flags & rt.NTF_PROXY and 1 in got:
            yield NeighbourProxy(index, ip_address(got[1]))


def bridge_entries(netlink: NetlinkSocket) -> Iterator[BridgeEntry]:
    """The static entries of bridges' forwarding databases."""
    for _, body in netlink.dump(
        rt.GETNEIGH, rt.NEIGHBOUR_HEADER.pack(rt.AF_BRIDGE, 0, 0, 0, 0, 0), "list bridge entries"
    ):
        family, _, index, state, _, _ = rt.NEIGHBOUR_HEADER.unpack_from(body)
        got = attributes(body, 12)
        if family == rt.AF_BRIDGE and state & 0x40 and not state & rt.PERMANENT and 2 in got:
            yield BridgeEntry(index, Mac(got[2].hex(":")))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _number(value: bytes | None) -> int:
    return int.from_bytes(value, sys.byteorder) if value else 0
