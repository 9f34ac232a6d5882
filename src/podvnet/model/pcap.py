"""The file format of captured packets that tcpdump, Wireshark and scapy read.

Source: IETF draft "PCAP Capture File Format" (draft-ietf-opsawg-pcap), with timestamps in nanoseconds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = 0xA1B23C4D
"""Says by its bytes that the file is little-endian and that timestamps are in nanoseconds."""
_VERSION = (2, 4)
_ETHERNET = 1
_HEADER = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_SECOND = 1_000_000_000

SNAPSHOT_LENGTH = 262_144
"""Bytes of a frame that are kept at most; the limit that tools accept."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """An Ethernet frame as it passed an interface.

    Attributes:
        time: nanoseconds since 1970.
        data: its bytes, from the destination MAC on, perhaps not all.
        length: how many it had.
        interface: the name of the interface.
        outgoing: it left by the interface; otherwise it came in.
    """

    time: int
    data: bytes
    length: int
    interface: str = ""
    outgoing: bool = False


def file_header() -> bytes:
    """What a file of Ethernet frames starts with: 24 bytes."""
    return _HEADER.pack(_MAGIC, *_VERSION, 0, 0, SNAPSHOT_LENGTH, _ETHERNET)


def record(frame: CapturedFrame) -> bytes:
    """A frame in the file: 16 bytes of header, then its bytes, of which :data:`SNAPSHOT_LENGTH` at most."""
    data = frame.data[:SNAPSHOT_LENGTH]
    return _RECORD.pack(*divmod(frame.time, _SECOND), len(data), frame.length) + data
