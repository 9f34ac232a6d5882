"""An Ethernet frame in one line, for people."""

from __future__ import annotations

from ipaddress import IPv4Address

from podvnet.model.flow import ICMP, ICMPV6, PORTED, TCP, UDP
from podvnet.model.packet_header import ACK, FIN, RST, SYN, PacketHeader, read_packet

_ARP = 0x0806
_IP = frozenset({0x0800, 0x86DD})
_PROTOCOLS = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMPv6"}
_FLAGS = {SYN: "SYN", FIN: "FIN", RST: "RST", 0x08: "PSH", ACK: "ACK"}
_ICMP_TYPES = {
    ICMP: {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"},
    ICMPV6: {
        1: "unreachable",
        2: "packet too big",
        3: "time exceeded",
        128: "echo request",
        129: "echo reply",
        133: "router solicitation",
        134: "router advertisement",
        135: "neighbour solicitation",
        136: "neighbour advertisement",
    },
}


def summary(frame: bytes, length: int) -> str:
    """``source > destination protocol, what of it, length``, e.g. ``10.1.1.4:40000 > 10.1.2.4:80 TCP SYN, 74 bytes``.

    Args:
        frame: its first bytes, from the destination MAC on.
        length: the bytes it had on the wire.
    """
    return f"{_content(frame)}, {length} bytes"


def _content(frame: bytes) -> str:
    kind = int.from_bytes(frame[12:14], "big")
    header = read_packet(frame[14:]) if kind in _IP else None
    if header is not None:
        return _packet(header)
    if kind == _ARP and len(frame) >= 42:
        return _arp(frame[14:42])
    return f"{frame[6:12].hex(':')} > {frame[:6].hex(':')} EtherType {kind:#06x}"


def _packet(header: PacketHeader) -> str:
    flow = header.flow
    source, destination = str(flow.source), str(flow.destination)
    words = [_PROTOCOLS.get(flow.protocol, f"protocol {flow.protocol}")]
    if header.fragment:
        words.append("fragment")
    elif flow.protocol in PORTED:
        form = "[{}]:{}" if flow.source.version == 6 else "{}:{}"
        source = form.format(source, flow.source_port)
        destination = form.format(destination, flow.destination_port)
        words += [name for flag, name in _FLAGS.items() if header.tcp_flags & flag]
    elif header.icmp_type >= 0:
        words.append(_ICMP_TYPES[flow.protocol].get(header.icmp_type, f"type {header.icmp_type}"))
    return f"{source} > {destination} {' '.join(words)}"


def _arp(message: bytes) -> str:
    sender, target = IPv4Address(message[14:18]), IPv4Address(message[24:28])
    if message[7] == 1:
        return f"{sender} > {target} ARP who has {target}"
    return f"{sender} > {target} ARP {sender} is at {message[8:14].hex(':')}"
