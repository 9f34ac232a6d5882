"""What the head of an IP packet says: its flow, its TCP flags, its length.

Sources: RFC 791 and RFC 8200 (headers), RFC 9293 (TCP flags), RFC 768, RFC 792 and RFC 4443 (types of ICMP).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from podvnet.model.flow import ICMP, ICMPV6, PORTED, TCP, Flow

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
"""Flags of TCP that tell where in its life a flow is."""

_FRAGMENT = 44
_EXTENSIONS = frozenset({0, 43, 60, _FRAGMENT})
"""IPv6 headers that stand before the one of the protocol: hop-by-hop, routing, destination options, fragment."""


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """The head of a packet.

    Attributes:
        flow: what it belongs to; ports are 0 in all fragments but the first, and where the packet ends too early.
        length: bytes of the IP packet, by its own word.
        tcp_flags: 0 for other protocols.
        icmp_type: of either ICMP; -1 for other protocols.
        fragment: not the first fragment of its packet.
    """

    flow: Flow
    length: int
    tcp_flags: int = 0
    icmp_type: int = -1
    fragment: bool = False


def read_packet(packet: bytes) -> PacketHeader | None:
    """Read an IP packet, of which the first 64 bytes are mostly enough. None for what is no IP packet."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        (length,) = struct.unpack_from(">H", packet, 2)
        offset = (packet[0] & 0xF) * 4
        later = bool(int.from_bytes(packet[6:8], "big") & 0x1FFF)
        source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        return _with_payload(packet, offset, Flow(packet[9], source, destination), length, later)
    if version == 6 and len(packet) >= 40:
        length, protocol = struct.unpack_from(">HB", packet, 4)
        protocol, offset, later = _behind_extensions(packet, protocol)
        flow = Flow(protocol, IPv6Address(packet[8:24]), IPv6Address(packet[24:40]))
        return _with_payload(packet, offset, flow, length + 40, later)
    return None


def _behind_extensions(packet: bytes, protocol: int) -> tuple[int, int, bool]:
    """The protocol of an IPv6 packet, where its header starts, and whether this is a later fragment."""
    offset, later = 40, False
    while protocol in _EXTENSIONS and offset + 8 <= len(packet):
        if protocol == _FRAGMENT:
            later = bool(int.from_bytes(packet[offset + 2 : offset + 4], "big") & 0xFFF8)
            protocol, offset = packet[offset], offset + 8
        else:
            protocol, offset = packet[offset], offset + 8 + packet[offset + 1] * 8
        if later:
            break
    return protocol, offset, later


def _with_payload(packet: bytes, offset: int, flow: Flow, length: int, later: bool) -> PacketHeader:
    payload = packet[offset : offset + 14]
    if later or len(payload) < 4:
        return PacketHeader(flow, length, fragment=later)
    if flow.protocol in PORTED:
        flow = Flow(flow.protocol, flow.source, flow.destination, *struct.unpack_from(">HH", payload))
        flags = payload[13] if flow.protocol == TCP and len(payload) == 14 else 0
        return PacketHeader(flow, length, tcp_flags=flags)
    if flow.protocol in {ICMP, ICMPV6}:
        return PacketHeader(flow, length, icmp_type=payload[0])
    return PacketHeader(flow, length)
