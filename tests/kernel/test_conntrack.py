"""Connections that packets made, as the kernel tracks them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.linux import namespace, ruleset
from podvnet.linux.conntrack import Connection, ConntrackSocket, Status
from podvnet.linux.error import KernelError
from podvnet.model.flow import ICMP, TCP, UDP, Flow
from podvnet.runtime import probe
from podvnet.testing.lab import execute

LABEL = "conntrack-test"
RULES = """
table inet watch {
	chain out {
		type filter hook output priority raw; policy accept;
		udp dport 2001 ct zone set 7
	}
	chain in {
		type filter hook prerouting priority raw; policy accept;
		udp dport 2001 ct zone set 7
	}
	chain track {
		type filter hook output priority filter; policy accept;
		ct state new tcp dport 1001 ct mark set 5
	}
	chain translate {
		type nat hook output priority -100; policy accept;
		udp dport 3001 dnat ip to 127.0.0.1:3002
	}
}
"""


@pytest.fixture
def inside() -> Iterator[int]:
    """A namespace that tracks and counts its connections."""
    namespace.create(LABEL)
    execute("ip", "-n", LABEL, "link", "set", "lo", "up")
    with namespace.opened(LABEL) as descriptor:
        with namespace.entered(descriptor):
            ruleset.run(RULES)
            Path("/proc/sys/net/netfilter/nf_conntrack_acct").write_text("1", encoding="ascii")
        yield descriptor
    namespace.delete(LABEL)


@pytest.fixture
def tracking(inside: int) -> Iterator[ConntrackSocket]:
    with namespace.run_inside(inside, ConntrackSocket) as opened:
        yield opened


def datagram(inside: int, port: int, source: int, *, address: str = "127.0.0.1", size: int = 5) -> Flow:
    """Send a datagram to oneself; return its flow."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespace.entered(inside):
        sending = socket.socket(family, socket.SOCK_DGRAM)
    with sending:
        sending.bind((address, source))
        sending.sendto(bytes(size), (address, port))
    return Flow(UDP, ip_address(address), ip_address(address), source, port)


def turned(flow: Flow) -> Flow:
    return Flow(flow.protocol, flow.destination, flow.source, flow.destination_port, flow.source_port)


def by_flow(tracking: ConntrackSocket) -> dict[Flow, Connection]:
    return {each.original: each for each in tracking.connections()}


def test_nothing_is_tracked_where_nothing_was_sent(tracking: ConntrackSocket) -> None:
    assert list(tracking.connections()) == []


def test_a_tcp_connection_is_listed_with_its_ends_mark_and_counts(inside: int, tracking: ConntrackSocket) -> None:
    with ExitStack() as stack:
        with namespace.entered(inside):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 1001)))
            client = stack.enter_context(socket.create_connection(("127.0.0.1", 1001), timeout=5))
        accepted, _ = server.accept()
        stack.enter_context(accepted)
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        address = ip_address("127.0.0.1")
        flow = Flow(TCP, address, address, client.getsockname()[1], 1001)
        [found] = tracking.connections()
    assert (found.original, found.reply) == (flow, turned(flow))
    assert (found.mark, found.zone) == (5, 0)
    assert Status.SEEN_REPLY | Status.ASSURED | Status.CONFIRMED in found.status
    assert not found.status & (Status.DYING | Status.SOURCE_NAT | Status.DESTINATION_NAT)
    assert found.sent.packets >= 3
    assert found.sent.bytes >= 3 * 40 + 5
    assert found.received.packets >= 2
    assert 0 < found.timeout <= 432_000


def test_both_families_zones_translation_and_icmp_are_listed(inside: int, tracking: ConntrackSocket) -> None:
    plain = datagram(inside, 2000, 4000, size=100)
    six = datagram(inside, 2000, 4000, address="::1")
    zoned = datagram(inside, 2001, 4001)
    translated = datagram(inside, 3001, 4002)
    assert probe.echo(inside, "127.0.0.1")
    found = by_flow(tracking)
    address = ip_address("127.0.0.1")
    echoed = Flow(ICMP, address, address)
    assert {plain, six, zoned, translated, echoed} <= found.keys()
    assert found[plain].reply == turned(plain)
    assert (found[plain].sent.packets, found[plain].sent.bytes) == (1, 128)
    assert found[six].reply == turned(six)
    assert found[zoned].zone == 7
    assert found[plain].zone == 0
    assert found[translated].reply == Flow(UDP, address, address, 3002, 4002)
    assert Status.DESTINATION_NAT in found[translated].status
    assert Status.SEEN_REPLY in found[echoed].status


def test_marks_are_set_on_those_connections_only(inside: int, tracking: ConntrackSocket) -> None:
    datagram(inside, 2000, 4000)
    meant = [
        datagram(inside, 2000, 5000),
        datagram(inside, 2001, 5001),
        datagram(inside, 2000, 5002, address="::1"),
    ]
    assert probe.echo(inside, "127.0.0.1")
    chosen = [each for each in tracking.connections() if each.original in meant or each.original.protocol == ICMP]
    assert tracking.mark(chosen, 0xFEDC0001) == 4
    marked = {each.original for each in tracking.connections() if each.mark == 0xFEDC0001}
    assert marked == {each.original for each in chosen}
    assert {each.mark for each in tracking.connections()} == {0, 0xFEDC0001}


def test_what_is_forgotten_is_gone_and_the_rest_stays(inside: int, tracking: ConntrackSocket) -> None:
    flows = [datagram(inside, 2000 + number % 2, 10_000 + number) for number in range(300)]
    assert probe.echo(inside, "127.0.0.1")
    before = by_flow(tracking)
    assert before.keys() > set(flows)
    doomed = [before[flow] for flow in flows[:200]]
    doomed += [each for each in before.values() if each.original.protocol == ICMP]
    assert tracking.delete(doomed) == 201
    left = by_flow(tracking)
    assert set(flows) & left.keys() == set(flows[200:])
    assert not any(each.original.protocol == ICMP for each in left.values())


def test_those_that_are_gone_already_are_not_counted_and_no_error(inside: int, tracking: ConntrackSocket) -> None:
    flows = {datagram(inside, 2000, 4000 + number) for number in range(3)}
    found = [each for flow, each in by_flow(tracking).items() if flow in flows]
    assert tracking.delete(found[:1]) == 1
    assert tracking.mark(found, 1) == 2
    assert tracking.delete(found) == 2
    assert tracking.delete([]) == 0


def test_a_connection_that_took_the_place_of_another_is_not_forgotten_in_its_stead(
    inside: int, tracking: ConntrackSocket
) -> None:
    flow = datagram(inside, 2000, 4000)
    before = by_flow(tracking)[flow]
    other = datagram(inside, 2000, 4001)
    exchanged = replace(before, key=(before.key[0], by_flow(tracking)[other].key[1]))
    assert tracking.delete([exchanged]) == 0
    assert flow in by_flow(tracking)


def test_a_refusal_names_the_connection(inside: int, tracking: ConntrackSocket) -> None:
    flow = datagram(inside, 2000, 4000)
    broken = replace(by_flow(tracking)[flow], key=(b"", b""))
    with pytest.raises(KernelError, match=r"mark connection Flow.*source_port=4000"):
        tracking.mark([broken], 1)
