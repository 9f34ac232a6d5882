from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Ether

from podvnet.model.flow import Flow
from podvnet.model.frame_summary import summary
from podvnet.model.packet_header import ACK, SYN, PacketHeader, read_packet

FOUR = {"src": "10.1.1.4", "dst": "10.1.2.4"}
SIX = {"src": "fd00::4", "dst": "fd00::5"}


def flow(addresses: dict[str, str], protocol: int, source_port: int = 0, destination_port: int = 0) -> Flow:
    source, destination = (ip_address(addresses[each]) for each in ("src", "dst"))
    return Flow(protocol, source, destination, source_port, destination_port)


@pytest.mark.parametrize(
    ("packet", "header"),
    [
        (IP(**FOUR) / TCP(sport=40000, dport=80, flags="SA"), PacketHeader(flow(FOUR, 6, 40000, 80), 40, SYN | ACK)),
        (IP(**FOUR) / UDP(sport=40000, dport=53) / b"hello", PacketHeader(flow(FOUR, 17, 40000, 53), 33)),
        (IP(**FOUR) / ICMP(type=8), PacketHeader(flow(FOUR, 1), 28, icmp_type=8)),
        (IP(**FOUR, proto=50) / b"12345678", PacketHeader(flow(FOUR, 50), 28)),
        (IP(**FOUR, frag=3, proto=17) / b"12345678", PacketHeader(flow(FOUR, 17), 28, fragment=True)),
        (
            IP(**FOUR, frag=0, flags="MF") / UDP(sport=1, dport=2, len=3000) / b"12345678",
            PacketHeader(flow(FOUR, 17, 1, 2), 36),
        ),
        (IPv6(**SIX) / UDP(sport=1, dport=2), PacketHeader(flow(SIX, 17, 1, 2), 48)),
        (IPv6(**SIX) / ICMPv6EchoRequest(), PacketHeader(flow(SIX, 58), 48, icmp_type=128)),
        (
            IPv6(**SIX) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / TCP(sport=1, dport=2, flags="S"),
            PacketHeader(flow(SIX, 6, 1, 2), 76, SYN),
        ),
        (
            IPv6(**SIX) / IPv6ExtHdrFragment(offset=5, nh=17) / b"12345678",
            PacketHeader(flow(SIX, 17), 56, fragment=True),
        ),
    ],
)
def test_the_head_of_a_packet_is_read(packet: IP, header: PacketHeader) -> None:
    assert read_packet(bytes(packet)) == header


def test_ports_behind_options_are_found() -> None:
    header = read_packet(bytes(IP(**FOUR, ihl=6, options=b"\x94\x04\x00\x00") / UDP(sport=1, dport=2)))
    assert header == PacketHeader(flow(FOUR, 17, 1, 2), 32)


@given(data=st.one_of(st.binary(max_size=120), st.binary(max_size=90).map(lambda tail: b"\x60" + tail)))
def test_whatever_comes_reading_it_never_fails(data: bytes) -> None:
    header = read_packet(data)
    assert header is None or 0 <= header.flow.source_port < 65536
    assert summary(data, len(data)).endswith(f", {len(data)} bytes")


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (Ether() / IP(**FOUR) / TCP(sport=40000, dport=80, flags="S"), "10.1.1.4:40000 > 10.1.2.4:80 TCP SYN"),
        (Ether() / IP(**FOUR) / TCP(sport=1, dport=2, flags="RA"), "10.1.1.4:1 > 10.1.2.4:2 TCP RST ACK"),
        (Ether() / IPv6(**SIX) / UDP(sport=1, dport=2), "[fd00::4]:1 > [fd00::5]:2 UDP"),
        (Ether() / IP(**FOUR) / ICMP(type=8), "10.1.1.4 > 10.1.2.4 ICMP echo request"),
        (Ether() / IP(**FOUR) / ICMP(type=13), "10.1.1.4 > 10.1.2.4 ICMP type 13"),
        (Ether() / IPv6(**SIX) / ICMPv6EchoRequest(), "fd00::4 > fd00::5 ICMPv6 echo request"),
        (Ether() / IP(**FOUR, frag=3, proto=17) / b"1234", "10.1.1.4 > 10.1.2.4 UDP fragment"),
        (Ether() / IP(**FOUR, proto=50) / b"1234", "10.1.1.4 > 10.1.2.4 protocol 50"),
        (Ether() / ARP(op=1, psrc="10.1.1.4", pdst="10.1.1.1"), "10.1.1.4 > 10.1.1.1 ARP who has 10.1.1.1"),
        (
            Ether() / ARP(op=2, psrc="10.1.1.1", hwsrc="12:34:56:78:9a:bc", pdst="10.1.1.4"),
            "10.1.1.1 > 10.1.1.4 ARP 10.1.1.1 is at 12:34:56:78:9a:bc",
        ),
        (
            Ether(src="12:34:56:78:9a:bc", dst="12:34:56:78:9a:bd", type=0x88B5) / b"1",
            "12:34:56:78:9a:bc > 12:34:56:78:9a:bd EtherType 0x88b5",
        ),
    ],
)
def test_a_frame_in_one_line(frame: Ether, line: str) -> None:
    data = bytes(frame)
    assert summary(data, len(data)) == f"{line}, {len(data)} bytes"
