"""Packets that real rules log, read from the kernel, and written as Azure's flow logs are."""

from __future__ import annotations

import asyncio
import errno
import json
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podvnet.fabric.flow_log import FlowLogFiles, LoggedFlow, Reading
from podvnet.fabric.flow_log_collector import FlowLogCollector
from podvnet.linux import namespace, ruleset
from podvnet.linux.error import KernelError
from podvnet.linux.packet_log import HEADER_BYTES, LoggedPacket, PacketLog
from podvnet.model.address import Mac
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.model.flow_log import FlowLog
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualNetwork
from podvnet.model.packet_header import read_packet
from podvnet.model.resource_id import Scope, make
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.plan import names
from podvnet.plan.flow_log_prefix import LOG_GROUP, flow_log_prefix, log_statement
from podvnet.testing.lab import execute

SCOPE = Scope()
HUB = make(SCOPE, "Microsoft.Network/virtualNetworks", "hub")
WEB = make(SCOPE, "Microsoft.Network/networkSecurityGroups", "web" * 26)
ACCOUNT = make(SCOPE, "Microsoft.Storage/storageAccounts", "logs")
LOG = FlowLog(make(SCOPE, "Microsoft.Network/networkWatchers/flowLogs", "eastus", "web"), WEB, ACCOUNT)
SENDER, RECEIVER = "10.1.1.4", "10.1.2.4"
LABELS = (names.network_namespace(HUB), "flow-log-a", "flow-log-b")


def rule(name: str, direction: Direction, *, allow: bool) -> SecurityRule:
    return SecurityRule(f"securityRules/{name}", 100, direction, allow, Protocol.ANY, Side(), Side())


OUT = rule("out" * 26, Direction.OUTBOUND, allow=True)
IN = rule("in", Direction.INBOUND, allow=True)
SHUT = rule("shut", Direction.INBOUND, allow=False)


def nic(number: int, address: str) -> NetworkInterface:
    identity = make(SCOPE, "Microsoft.Network/networkInterfaces", f"nic{number}")
    configuration = IpConfiguration("primary", ip_address(address), primary=True)
    mac = Mac(f"00:0d:3a:00:00:0{number}")
    return NetworkInterface(identity, number, mac, HUB, HUB.child("subnets", "all"), (configuration,))


NICS = {each.id.key: each for each in (nic(1, SENDER), nic(2, RECEIVER))}
INTENT = Intent(nics=NICS, security_groups={WEB.key: SecurityGroup(WEB, (OUT, IN, SHUT))})
RULES = f"""
table inet podvnet {{
	chain web-in {{
		udp dport 2 {log_statement(WEB, SHUT)} drop
		{log_statement(WEB, IN)} return
	}}
	chain web-out {{
		{log_statement(WEB, OUT)} return
	}}
	chain deliver {{
		type filter hook forward priority filter; policy accept;
		ct state established accept
		iifname "nic1" jump web-out
		oifname "nic2" jump web-in
	}}
}}
"""


@pytest.fixture
def network() -> Iterator[dict[str, int]]:
    """A network's namespace with two ports and rules that log, and a VM at each port."""
    for label in LABELS:
        namespace.create(label)
    net, *machines = LABELS
    for machine, each in zip(machines, NICS.values(), strict=True):
        address, index = str(each.primary().address), str(names.port_index(each.number))
        port = f"nic{each.number}"
        execute("ip", "-n", net, "link", "add", port, "index", index, "type", "veth", "peer", "eth0", "netns", machine)
        for where, link in ((net, port), (machine, "eth0"), (machine, "lo")):
            execute("ip", "-n", where, "link", "set", link, "up")
        execute("ip", "-n", net, "address", "add", "10.1.0.1/32", "dev", port)
        execute("ip", "-n", net, "route", "add", address, "dev", port)
        execute("ip", "-n", machine, "address", "add", f"{address}/32", "dev", "eth0")
        execute("ip", "-n", machine, "route", "add", "10.1.0.1", "dev", "eth0")
        execute("ip", "-n", machine, "route", "add", "default", "via", "10.1.0.1")
    with namespace.opened(net) as router, namespace.opened(machines[0]) as one, namespace.opened(machines[1]) as other:
        with namespace.entered(router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
            ruleset.run(RULES)
        yield {"net": router, "sender": one, "receiver": other}
    for label in LABELS:
        namespace.delete(label)


@pytest.fixture
def log(network: dict[str, int]) -> Iterator[PacketLog]:
    with namespace.run_inside(network["net"], lambda: PacketLog(LOG_GROUP)) as opened:
        yield opened


def received(log: PacketLog, count: int) -> list[LoggedPacket]:
    """So many logged packets, in order."""
    found: list[LoggedPacket] = []
    while len(found) < count:
        ready, _, _ = select.select([log], [], [], 5)
        assert ready, f"only {len(found)} of {count} packets were logged"
        found += log.packets()
    return found


def call(network: dict[str, int], port: int, source: int, size: int = 4) -> None:
    """Send a datagram from one VM to the other."""
    with namespace.entered(network["sender"]):
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sending:
        sending.bind((SENDER, source))
        sending.sendto(bytes(size), (RECEIVER, port))


def test_a_logged_packet_has_its_prefix_headers_interfaces_and_time(network: dict[str, int], log: PacketLog) -> None:
    before = time.time_ns()
    call(network, 2, 4000, size=500)
    allowed, denied = received(log, 2)
    after = time.time_ns()
    assert allowed.prefix == flow_log_prefix(WEB, OUT)
    assert len(allowed.prefix) > 100
    assert denied.prefix == flow_log_prefix(WEB, SHUT)
    for each in (allowed, denied):
        assert len(each.header) == HEADER_BYTES
        header = read_packet(each.header)
        assert header is not None
        assert header.flow == Flow(UDP, ip_address(SENDER), ip_address(RECEIVER), 4000, 2)
        assert header.length == 528
        assert (each.incoming, each.outgoing) == (names.port_index(1), names.port_index(2))
        # The kernel gives microseconds, cut off.
        assert before - 1000 <= each.time <= after
    assert log.overruns == 0


def test_a_group_has_one_listener_and_the_next_when_it_is_gone(network: dict[str, int], log: PacketLog) -> None:
    with pytest.raises(KernelError, match="listen to packet log group 64") as refused:
        namespace.run_inside(network["net"], lambda: PacketLog(LOG_GROUP))
    assert refused.value.errno == errno.EPERM
    log.close()
    with namespace.run_inside(network["net"], lambda: PacketLog(LOG_GROUP)) as another:
        call(network, 1, 4000)
        assert len(received(another, 2)) == 2


def test_every_first_packet_of_a_burst_is_logged(network: dict[str, int], log: PacketLog) -> None:
    for number in range(500):
        call(network, 2, 10_000 + number)
    packets = received(log, 1000)
    headers = [read_packet(each.header) for each in packets if each.prefix == flow_log_prefix(WEB, SHUT)]
    assert [each.flow.source_port for each in headers if each] == list(range(10_000, 10_500))
    assert log.overruns == 0


def test_flows_of_real_packets_are_written_as_azure_writes_them(
    network: dict[str, int], log: PacketLog, tmp_path: Path
) -> None:
    with namespace.entered(network["receiver"]):
        server = socket.create_server((RECEIVER, 80))
    with server:
        with namespace.entered(network["sender"]):
            caller = socket.create_connection((RECEIVER, 80), timeout=5)
        with caller:
            port = caller.getsockname()[1]
            caller.sendall(b"more packets, of an established flow")
        call(network, 2, 4000)
        packets = received(log, 4)
    files = FlowLogFiles(tmp_path)
    reading = Reading(HUB, INTENT, [LOG])
    for each in packets:
        files.note(reading.flows(each.prefix, each.header, each.time, each.incoming, each.outgoing))
    files.write()
    found = {
        (file.parent.name, flows["rule"], *line.split(",")[1:])
        for file in tmp_path.rglob("PT1H.json")
        for record in json.loads(file.read_text(encoding="utf-8"))["records"]
        for flows in record["properties"]["flows"]
        for line in flows["flows"][0]["flowTuples"]
    }
    connection, datagram = (SENDER, RECEIVER, str(port), "80", "T"), (SENDER, RECEIVER, "4000", "2", "U")
    begun, one, other = ("B", "", "", "", ""), "macAddress=000D3A000001", "macAddress=000D3A000002"
    assert found == {
        (one, "UserRule_" + "out" * 26, *connection, "O", "A", *begun),
        (other, "UserRule_in", *connection, "I", "A", *begun),
        (one, "UserRule_" + "out" * 26, *datagram, "O", "A", *begun),
        (other, "UserRule_shut", *datagram, "I", "D", *begun),
    }
    assert {packet.flow.protocol for packet in (read_packet(each.header) for each in packets) if packet} == {TCP, UDP}


class Noticing(FlowLogFiles):
    """Files that say when they have noted so many flows."""

    def __init__(self, directory: Path, awaited: int) -> None:
        super().__init__(directory)
        self._awaited = awaited
        self.complete = asyncio.Event()

    def note(self, flows: Iterable[LoggedFlow]) -> None:
        flows = list(flows)
        super().note(flows)
        self._awaited -= len(flows)
        if self._awaited <= 0:
            self.complete.set()


def listened(label: str) -> bool:
    """Tell whether somebody listens in a namespace."""
    try:
        with namespace.opened(label) as descriptor:
            namespace.run_inside(descriptor, lambda: PacketLog(LOG_GROUP)).close()
    except KernelError:
        return True
    return False


def test_the_collector_listens_where_there_is_a_network_as_long_as_there_is_a_log(
    network: dict[str, int], tmp_path: Path
) -> None:
    hub = VirtualNetwork(HUB, 1, (ip_network("10.1.0.0/16"),), ())
    silent = replace(INTENT, virtual_networks={HUB.key: hub})
    wanted = silent

    async def collect() -> None:
        nonlocal wanted
        files = Noticing(tmp_path, 2)
        collector = FlowLogCollector(lambda: wanted, files)
        collector.follow()
        assert not listened(LABELS[0]), "there is no log"
        wanted = replace(silent, flow_logs={LOG.id.key: LOG})
        collector.follow()
        collector.follow()
        assert listened(LABELS[0])
        call(network, 2, 4000)
        await asyncio.wait_for(files.complete.wait(), 5)
        wanted = silent
        collector.follow()
        assert not listened(LABELS[0]), "the log is gone"
        collector.close()

    asyncio.run(collect())
    rules = {
        flows["rule"]
        for file in tmp_path.rglob("PT1H.json")
        for record in json.loads(file.read_text(encoding="utf-8"))["records"]
        for flows in record["properties"]["flows"]
    }
    assert rules == {"UserRule_" + "out" * 26, "UserRule_shut"}


def test_a_namespace_that_somebody_else_listens_in_is_left_to_them(
    network: dict[str, int], log: PacketLog, tmp_path: Path
) -> None:
    hub = VirtualNetwork(HUB, 1, (ip_network("10.1.0.0/16"),), ())
    wanted = replace(INTENT, virtual_networks={HUB.key: hub}, flow_logs={LOG.id.key: LOG})

    async def collect() -> None:
        collector = FlowLogCollector(lambda: wanted, FlowLogFiles(tmp_path))
        collector.follow()
        collector.close()

    asyncio.run(collect())
    call(network, 2, 4000)
    assert len(received(log, 2)) == 2
