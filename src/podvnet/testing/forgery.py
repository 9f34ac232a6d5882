"""Raw frames, honest and forged, and an ear for what arrives of them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from podvnet.linux import namespace
from podvnet.model.address import Mac, mac_bytes

PORT = 9
"""The discard port: where the frames go."""

BROADCAST = "ff:ff:ff:ff:ff:ff"


def ip_frame(to_mac: str, from_mac: str, source: str, destination: str, payload: bytes = b"forged") -> bytes:
    """An Ethernet frame with an IPv4 UDP datagram to the discard port, checksum of the header included."""
    header = bytearray(20)
    header[0], header[8], header[9] = 0x45, 64, 17
    header[2:4] = (28 + len(payload)).to_bytes(2, "big")
    header[12:16], header[16:20] = socket.inet_aton(source), socket.inet_aton(destination)
    total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, 20, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (~total & 0xFFFF).to_bytes(2, "big")
    datagram = PORT.to_bytes(2, "big") * 2 + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
    return ethernet(to_mac, from_mac, 0x0800) + bytes(header) + datagram


def arp_frame(to_mac: str, from_mac: str, operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """An ARP message; ``operation`` is 1 for a question, 2 for an answer; sender and target are (MAC, address)."""
    body = b"\0\1\x08\0\6\4" + operation.to_bytes(2, "big")
    for mac, address in (sender, target):
        body += mac_bytes(Mac(mac)) + socket.inet_aton(address)
    return ethernet(to_mac, from_mac, 0x0806) + body


def ethernet(to_mac: str, from_mac: str, kind: int) -> bytes:
    """The header of a frame."""
    return mac_bytes(Mac(to_mac)) + mac_bytes(Mac(from_mac)) + kind.to_bytes(2, "big")


@dataclass
class Ear:
    """Hears datagrams to the discard port that arrive in a namespace, whatever they claim."""

    socket: socket.socket

    def heard(self, timeout: float) -> bytes:
        """What arrives in ``timeout`` seconds, or nothing."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(2048)
        except TimeoutError:
            return b""


def listen(descriptor: int, address: str) -> Ear:
    """An ear at an address of a namespace."""
    with namespace.entered(descriptor):
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind((address, PORT))
    return Ear(ear)
