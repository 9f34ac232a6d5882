"""Ethernet frames that hold the first packet of a flow, or the first reply, with a number to know them by.

Sources: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443; RFC 1071 for the checksum.
"""

from __future__ import annotations

import struct

from podvnet.model.address import Mac, mac_bytes
from podvnet.model.flow import ICMP, ICMPV6, Flow

_SYN, _SYN_ACK = 0x02, 0x12
_ECHO = {ICMP: (8, 0), ICMPV6: (128, 129)}
"""The types of an echo request and its reply."""
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_HOPS = 32
"""Enough for every way that ends, and a loop does not go on for long."""
_WINDOW = 64240
_MARK = struct.Struct(">4sI")
_ASKS, _ANSWERS = b"ask?", b"ans!"
_LEAST = 14 + 20 + _MARK.size


def first_frame(flow: Flow, number: int, near: Mac, far: Mac) -> bytes:
    """The first packet of a flow, from the MAC ``near`` to ``far``: a SYN, a datagram, an echo request."""
    return _frame(flow, number, near, far, answers=False)


def reply_frame(flow: Flow, number: int, near: Mac, far: Mac) -> bytes:
    """The first reply to a flow, which is given from the view of who replies: its source is the other's destination."""
    return _frame(flow, number, near, far, answers=True)


def number_of(frame: bytes, *, answers: bool) -> int | None:
    """The number of a first packet, or of a reply; None for every other frame."""
    if len(frame) < _LEAST:
        return None
    # An error message quotes the packet that it is about, number and all.
    offset, protocol = (34, frame[23]) if frame[12:14] == b"\x08\x00" else (54, frame[20])
    if protocol in _ECHO and frame[offset] != _ECHO[protocol][answers]:
        return None
    if frame[-_MARK.size :].startswith(_ANSWERS if answers else _ASKS):
        return int.from_bytes(frame[-4:], "big")
    return None


def _frame(flow: Flow, number: int, near: Mac, far: Mac, *, answers: bool) -> bytes:
    version = flow.source.version
    content = _content(flow, number, answers=answers)
    header = _header4(flow, len(content)) if version == 4 else _header6(flow, len(content))
    return mac_bytes(far) + mac_bytes(near) + _ETHERTYPES[version].to_bytes(2, "big") + header + content


def _header4(flow: Flow, length: int) -> bytes:
    do_not_fragment = 0x4000
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, do_not_fragment, _HOPS, flow.protocol, 0,
        flow.source.packed, flow.destination.packed,
    )  # fmt: skip
    return header[:10] + _checksum(header).to_bytes(2, "big") + header[12:]


def _header6(flow: Flow, length: int) -> bytes:
    fixed = struct.pack(">IHBB", 6 << 28, length, flow.protocol, _HOPS)
    return fixed + flow.source.packed + flow.destination.packed


def _content(flow: Flow, number: int, *, answers: bool) -> bytes:
    mark = _MARK.pack(_ANSWERS if answers else _ASKS, number)
    ports = struct.pack(">HH", flow.source_port, flow.destination_port)
    match flow.protocol:
        case 6:
            flags = _SYN_ACK if answers else _SYN
            acknowledged = number + 1 if answers else 0
            rest = struct.pack(">IIBBHHH", number, acknowledged, 5 << 4, flags, _WINDOW, 0, 0)
            return _with_checksum(flow, ports + rest + mark, 16)
        case 17:
            return _with_checksum(flow, ports + struct.pack(">HH", 8 + len(mark), 0) + mark, 6)
        case 1 | 58:
            kind = _ECHO[flow.protocol][answers]
            return _with_checksum(flow, struct.pack(">BBHHH", kind, 0, 0, number & 0xFFFF, 1) + mark, 2)
        case _:
            return bytes(8) + mark


def _with_checksum(flow: Flow, segment: bytes, place: int) -> bytes:
    """A segment with its checksum at ``place``; only ICMP of IPv4 has one without the addresses."""
    pseudo = b""
    if flow.protocol != ICMP:
        addresses = flow.source.packed + flow.destination.packed
        pseudo = addresses + struct.pack(">IHBB", len(segment), 0, 0, flow.protocol)
    value = _checksum(pseudo + segment) or 0xFFFF  # the same; 0 would say that there is none
    return segment[:place] + value.to_bytes(2, "big") + segment[place + 2 :]


def _checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
