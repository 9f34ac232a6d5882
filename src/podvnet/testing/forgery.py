"""Raw frames, honest and forged, and an ear for what arrives of them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from podvnet.linux import namespace
from podvnet.model.address import Mac, mac_bytes
from podvnet.runtime.probe import family_of

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


def ip6_frame(to_mac: str, from_mac: str, source: str, destination: str, payload: bytes = b"forged") -> bytes:
    """An Ethernet frame with an IPv6 UDP datagram to the discard port."""
    datagram = PORT.to_bytes(2, "big") * 2 + (8 + len(payload)).to_bytes(2, "big") + b"\0\0" + payload
    packet = _packet6(socket.IPPROTO_UDP, 64, source, destination, datagram, checksum_at=6)
    return ethernet(to_mac, from_mac, 0x86DD) + packet


def advertisement_frame(to_mac: str, from_mac: str, source: str, destination: str, target: str) -> bytes:
    """A neighbour advertisement that says: ``target`` is at ``from_mac``, forget what you knew."""
    option = b"\2\1" + mac_bytes(Mac(from_mac))
    message = b"\x88\0\0\0\x20\0\0\0" + socket.inet_pton(socket.AF_INET6, target) + option
    packet = _packet6(socket.IPPROTO_ICMPV6, 255, source, destination, message, checksum_at=2)
    return ethernet(to_mac, from_mac, 0x86DD) + packet


def router_frame(from_mac: str, source: str) -> bytes:
    """A router advertisement to all nodes: ``source`` is a default router for half an hour."""
    message = b"\x86\0\0\0\x40\0" + (1800).to_bytes(2, "big") + bytes(8)
    packet = _packet6(socket.IPPROTO_ICMPV6, 255, source, "ff02::1", message, checksum_at=2)
    return ethernet("33:33:00:00:00:01", from_mac, 0x86DD) + packet


def _packet6(protocol: int, hops: int, source: str, destination: str, message: bytes, *, checksum_at: int) -> bytes:
    """An IPv6 packet; the checksum of its message is put in its place."""
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    summed = ends + len(message).to_bytes(4, "big") + bytes([0, 0, 0, protocol]) + message + bytes(len(message) % 2)
    total = sum(int.from_bytes(summed[i : i + 2], "big") for i in range(0, len(summed), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = (~total & 0xFFFF).to_bytes(2, "big")
    whole = message[:checksum_at] + checksum + message[checksum_at + 2 :]
    return b"\x60\0\0\0" + len(whole).to_bytes(2, "big") + bytes([protocol, hops]) + ends + whole


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
        ear = socket.socket(family_of(address), socket.SOCK_DGRAM)
    ear.bind((address, PORT))
    return Ear(ear)
