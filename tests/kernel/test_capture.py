"""Packets seen at every kind of hop, by the command as people and tools use it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapReader

from podvnet.linux import namespace
from podvnet.linux.capture import Capture
from podvnet.linux.error import KernelError
from podvnet.runtime import probe
from podvnet.testing.lab import PODVNET, Lab, execute, podvnet

INTERNET_HOST = "198.51.100.10"
PLATFORM_MAC = "12:34:56:78:9a:bc"
VM1, VM2 = "10.1.1.4", "10.1.2.4"
PORT = 9999


class Capturing:
    """A `podvnet capture` that listens."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [*PODVNET, "capture", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.said = b""
        assert self._process.stderr
        announced = self._process.stderr.readline()
        if not announced.startswith(b"capturing at "):
            self.close()
            raise AssertionError(announced)

    def ended(self) -> bytes:
        """What it wrote, once it has ended by itself."""
        output, self.said = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, self.said
        return output

    def interrupted(self) -> bytes:
        """What it wrote until Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        return self.ended()

    def broken_off(self) -> str:
        """What it says when it has failed."""
        _, self.said = self._process.communicate(timeout=30)
        assert self._process.returncode == 1
        return self.said.decode()

    def close(self) -> None:
        """End it, if a test that failed has not."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


Captures = Callable[..., Capturing]


@pytest.fixture
def capture() -> Iterator[Captures]:
    """Starts `podvnet capture` with arguments."""
    started: list[Capturing] = []

    def start(*arguments: str) -> Capturing:
        started.append(Capturing(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


def read(content: bytes) -> list[tuple[int, bytes]]:
    """Time in nanoseconds and bytes of each frame, as scapy reads them."""
    with RawPcapReader(io.BytesIO(content)) as reader:
        return [(meta.sec * 10**9 + meta.usec, data) for data, meta in reader]


def datagrams(content: bytes, destination: str) -> list[tuple[str, str, bytes]]:
    """Source MAC, source address and payload of the datagrams to an address, as scapy reads them."""
    packets = [Ether(data) for _, data in read(content)]
    return [
        (each.src, each[IP].src, bytes(each[UDP].payload))
        for each in packets
        if UDP in each and each[IP].dst == destination and each[UDP].dport == PORT
    ]


@contextmanager
def receiver(descriptor: int, address: str) -> Iterator[socket.socket]:
    """A socket that datagrams arrive at."""
    with namespace.entered(descriptor):
        receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiving:
        receiving.settimeout(5)
        receiving.bind((address, PORT))
        yield receiving


def call(lab: Lab, destination: str, payload: bytes) -> None:
    """Send a datagram from vm1 and wait until it has arrived."""
    there = lab.internet() if destination == INTERNET_HOST else lab.vm("vm2")
    with namespace.entered(lab.vm("vm1")):
        sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sending, receiver(there, destination) as receiving:
        sending.sendto(payload, (destination, PORT))
        assert receiving.recv(100) == payload


def test_the_file_holds_what_was_sent_to_the_byte_with_the_time_it_was_sent_at(lab: Lab, capture: Captures) -> None:
    mac = lab.status()["virtualMachines"][0]["nics"][0]["mac"]
    sent = [
        bytes(
            Ether(src=mac, dst=PLATFORM_MAC)
            / IP(src=VM1, dst=VM2)
            / UDP(sport=4000 + number, dport=PORT)
            / os.urandom(20 * number)
        )
        for number in range(1, 20)
    ]
    capturing = capture("vm1", "-w", "-")
    before = time.time_ns()
    with receiver(lab.vm("vm2"), VM2) as receiving, probe.frames(lab.vm("vm1"), "eth0") as wire:
        for frame in sent:
            wire.send(frame)
            receiving.recv(2000)
    after = time.time_ns()
    got = [(moment, data) for moment, data in read(capturing.interrupted()) if data in sent]
    assert [data for _, data in got] == sent
    times = [moment for moment, _ in got]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= after
    assert b"packets captured" in capturing.said


@pytest.mark.parametrize(
    ("where", "destination", "sender"),
    [
        ("vm1", VM2, VM1),
        ("vm1:eth0", VM2, VM1),
        ("vm1-nic", VM2, VM1),
        ("hub:vm2-nic", VM2, VM1),
        ("vm2", VM2, VM1),
        ("hub:internet", INTERNET_HOST, "outbound"),
        ("internet", INTERNET_HOST, "outbound"),
    ],
)
def test_a_packet_is_seen_at_every_hop_it_passes_as_it_is_there(
    lab: Lab, capture: Captures, where: str, destination: str, sender: str
) -> None:
    nics = {each["name"]: each["nics"][0] for each in lab.status()["virtualMachines"]}
    address = nics["vm1"]["outbound"] if sender == "outbound" else sender
    capturing = capture(where, "-w", "-")
    call(lab, destination, where.encode())
    [(mac, seen, payload)] = datagrams(capturing.interrupted(), destination)
    assert (seen, payload) == (address, where.encode())
    if where.startswith("vm1"):
        assert mac == nics["vm1"]["mac"]
    elif destination == VM2:
        assert mac == PLATFORM_MAC


def test_a_packet_is_not_seen_where_it_does_not_pass(lab: Lab, capture: Captures) -> None:
    capturing = capture("hub:internet", "-w", "-")
    call(lab, VM2, b"inside")
    call(lab, INTERNET_HOST, b"outside")
    content = capturing.interrupted()
    assert datagrams(content, VM2) == []
    assert [payload for _, _, payload in datagrams(content, INTERNET_HOST)] == [b"outside"]


def test_what_the_network_drops_is_seen_at_the_senders_port_and_nowhere_later(lab: Lab, capture: Captures) -> None:
    """That is what capturing at two hops is for."""
    at_port, at_receiver = capture("vm1-nic", "-w", "-"), capture("vm2", "-w", "-")
    forged = Ether(src="00:00:00:00:00:01", dst=PLATFORM_MAC) / IP(src=VM1, dst=VM2) / UDP(dport=PORT) / b"forged"
    with probe.frames(lab.vm("vm1"), "eth0") as wire:
        wire.send(bytes(forged))
    call(lab, VM2, b"honest")
    payloads = [payload for _, _, payload in datagrams(at_port.interrupted(), VM2)]
    assert payloads == [b"forged", b"honest"]
    assert [payload for _, _, payload in datagrams(at_receiver.interrupted(), VM2)] == [b"honest"]


def test_lines_for_people_say_who_sent_what_to_whom(lab: Lab, capture: Captures) -> None:
    lab.servers.listen(lab.vm("vm2"), VM2)
    capturing = capture("vm1")
    assert probe.seen_as(lab.vm("vm1"), VM2) == VM1
    assert probe.echo(lab.vm("vm1"), VM2)
    lines = capturing.interrupted().decode().splitlines()
    lab.servers.forget(VM2)
    words = [line.split() for line in lines]
    [opening] = [each for each in words if each[-3:-2] == ["SYN,"] and each[4] == f"{VM2}:{probe.PORT}"]
    assert opening[1] == "out"
    assert opening[2].startswith(f"{VM1}:")
    assert opening[5:] == ["TCP", "SYN,", "74", "bytes"]
    assert any(f"in  {VM2} > {VM1} ICMP echo reply," in line for line in lines)
    capturing = capture("internet")
    call(lab, INTERNET_HOST, b"hello")
    assert any(
        each[1].startswith("vnet") and each[2] == "in" and each[5] == f"{INTERNET_HOST}:{PORT}"
        for each in (line.split() for line in capturing.interrupted().decode().splitlines())
    )


def test_a_capture_ends_by_itself_after_a_count_or_a_time(lab: Lab, capture: Captures, tmp_path: Path) -> None:
    file = tmp_path / "three.pcap"
    capturing = capture("vm2-nic", "--count", "3", "-w", str(file))
    for number in range(5):
        call(lab, VM2, b"%d" % number)
    assert capturing.ended() == b""
    assert len(read(file.read_bytes())) == 3
    assert capturing.said == b"3 packets captured\n"
    started = time.monotonic()
    capture("vm2-nic", "--seconds", "0.2").ended()
    assert time.monotonic() - started >= 0.2


def test_the_places_are_listed(lab: Lab) -> None:
    listed = {each["name"]: each for each in json.loads(podvnet("capture", "--json").stdout)}
    assert {"vm1:eth0", "vm2:eth0", "hub:internet", "internet"} <= listed.keys()
    assert sum(each["what"] == "the port of NIC vm1-nic, as the network sees it" for each in listed.values()) == 1
    assert "vm1-nic" in podvnet("capture").stdout


def test_an_unknown_place_is_answered_with_those_there_are(lab: Lab, tmp_path: Path) -> None:
    refused = podvnet("capture", "vm9", check=False)
    assert refused.returncode == 1
    assert "there is nothing to capture at 'vm9'" in refused.stderr
    for name in ("vm1:eth0", "hub:internet", "internet", "vm2-nic"):
        assert name in refused.stderr
    missing = tmp_path / "no" / "file"
    refused = podvnet("capture", "vm1", "-w", str(missing), check=False)
    assert refused.returncode == 1
    assert f"cannot write {missing}: No such file or directory" in refused.stderr
    refused = podvnet("capture", "vm1", "-w", "/dev/full", "--seconds", "0.1", check=False)
    assert refused.returncode == 1
    assert "cannot write /dev/full: No space left on device" in refused.stderr


@pytest.fixture
def peering() -> Iterator[tuple[int, int]]:
    """Two virtual networks' namespaces with the link of a peering between them."""
    labels = ("podvnet-vnet-left", "podvnet-vnet-right")
    for label in labels:
        namespace.create(label)
    left, right = labels
    execute("ip", "-n", left, "link", "add", "peer2", "type", "veth", "peer", "name", "peer1", "netns", right)
    for label, link in zip(labels, ("peer2", "peer1"), strict=True):
        execute("ip", "-n", label, "link", "set", link, "up")
    with namespace.opened(left) as near, namespace.opened(right) as far:
        yield near, far
    for label in labels:
        namespace.delete(label)


def test_the_link_between_two_networks_is_a_hop_as_well(peering: tuple[int, int], capture: Captures) -> None:
    sent = bytes(Ether(src="12:34:56:78:9a:03", dst="12:34:56:78:9a:04", type=0x88B5) / b"over the peering")
    capturing = capture("right:peer1", "-w", "-")
    with probe.frames(peering[1], "peer1") as arriving, probe.frames(peering[0], "peer2") as wire:
        arriving.settimeout(5)
        wire.send(sent)
        while arriving.recv(2000) != sent:
            pass
    assert sent in [data for _, data in read(capturing.interrupted())]


def test_a_link_that_goes_away_ends_the_capture_with_what_there_was(
    peering: tuple[int, int], capture: Captures
) -> None:
    capturing = capture("left:peer2", "-w", "-")
    execute("ip", "-n", "podvnet-vnet-right", "link", "delete", "peer1")
    said = capturing.broken_off()
    assert "packets captured" in said
    assert "capture on peer2: Network is down" in said
    with pytest.raises(KernelError, match="capture on peer2: No such device"):
        Capture(peering[0], "peer2")
