"""Rules decide about new flows; the platform is beyond them: what documents say beside the order of rules."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.linux.conntrack import ConntrackSocket
from podvnet.model import flow
from podvnet.testing.rule import allow, deny
from podvnet.testing.security_stage import security_stage, set_up
from podvnet.testing.stage import Stage
from podvnet.testing.traffic import PASSES, TCP, UDP, call, connected, drops, opened, still_flows

IN, OUT = "Inbound", "Outbound"
PORT = 7001
IMDS, WIRESERVER = "169.254.169.254", "168.63.129.16"
WALLS = [("a-nic", OUT), ("front", OUT), ("back", IN), ("b-nic", IN)]


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file beside this one."""
    with security_stage(Path(__file__).with_name("security-groups.yaml")) as made:
        yield made


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("group", "direction"), WALLS)
def test_an_established_connection_survives_a_rule_that_denies_it_and_a_new_one_does_not(
    net: Stage, group: str, direction: str, version: int
) -> None:
    net.apply(net.declared)
    with connected(net.places["a"], net.places["b"], version, PORT) as ends:
        net.apply(set_up(net, {group: [deny("x", 100, direction)]}))
        assert still_flows(*ends)
        assert net.outcome("a", "b", TCP, PORT + 1, version=version) == f"{group} x"
        assert still_flows(*ends)


@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_of_datagrams_survives_a_rule_that_denies_it_and_a_new_one_does_not(net: Stage, version: int) -> None:
    net.apply(net.declared)
    a, b = net.places["a"], net.places["b"]
    with opened(a, version, socket.SOCK_DGRAM) as near, opened(b, version, socket.SOCK_DGRAM, PORT) as far:
        near.connect((b.addresses[version], PORT))
        far.connect(near.getsockname()[:2])
        assert crosses(net, near, far) == crosses(net, far, near) == PASSES
        net.apply(set_up(net, {"b-nic": [deny("x", 100, IN), deny("y", 100, OUT)]}))
        assert crosses(net, near, far) == crosses(net, far, near) == PASSES
    assert net.outcome("a", "b", UDP, PORT, version=version) == "b-nic x"


@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_survives_the_removal_of_the_rule_that_allowed_it(net: Stage, version: int) -> None:
    closed = [deny("all", 4096, IN)]
    net.apply(set_up(net, {"b-nic": [allow("a", 100, IN, "Tcp", ports=str(PORT)), *closed]}))
    with connected(net.places["a"], net.places["b"], version, PORT) as ends:
        net.apply(set_up(net, {"b-nic": closed}))
        assert still_flows(*ends)
        assert net.outcome("a", "b", TCP, PORT + 1, version=version) == "b-nic all"


@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_that_was_forgotten_is_asked_again(net: Stage, version: int) -> None:
    """Forgotten here by hand, as the kernel does when it has been idle; when that is, the next test says."""
    net.apply(net.declared)
    with connected(net.places["a"], net.places["b"], version, PORT) as (near, far):
        net.apply(set_up(net, {"b-nic": [deny("x", 100, IN)]}))
        assert still_flows(near, far)
        with namespace.run_inside(net.lab.network(), ConntrackSocket) as tracking:
            mine = [each for each in tracking.connections() if each.original.destination_port == PORT]
            assert tracking.delete(mine) == len(mine) > 0
        watch = net.watch()
        near.sendall(b"again")
        assert watch.until(far) == "b-nic x"


@pytest.mark.parametrize(("minutes", "seconds"), [(None, 240), (4, 240), (17, 1020), (30, 1800)])
@pytest.mark.parametrize("version", [4, 6])
def test_idle_flows_are_forgotten_after_the_flow_timeout(
    net: Stage, minutes: int | None, seconds: int, version: int
) -> None:
    resources = net.declared
    if minutes:
        resources["virtualNetworks/hub"]["properties"]["flowTimeoutInMinutes"] = minutes
    net.apply(resources)
    a, b = net.places["a"], net.places["b"]
    with (
        connected(a, b, version, PORT) as ends,
        opened(a, version, socket.SOCK_DGRAM) as near,
        opened(b, version, socket.SOCK_DGRAM, PORT) as far,
    ):
        near.connect((b.addresses[version], PORT))
        assert still_flows(*ends)
        assert crosses(net, near, far) == PASSES
        ports = {ends[0].getsockname()[1], near.getsockname()[1]}
        with namespace.run_inside(net.lab.network(), ConntrackSocket) as tracking:
            known = [each for each in tracking.connections() if each.original.source_port in ports]
    assert {each.original.protocol for each in known} == {flow.TCP, flow.UDP}
    assert all(seconds - 20 <= each.timeout <= seconds for each in known), known


CLOSED = {place: [deny("in", 100, IN), deny("out", 100, OUT)] for place in ("a-nic", "front")}


@pytest.mark.parametrize("address", [IMDS, WIRESERVER])
def test_the_platform_is_reached_though_everything_is_denied(net: Stage, address: str) -> None:
    net.apply(set_up(net, CLOSED))
    assert net.outcome("a", "b", TCP, PORT) == "a-nic out"
    assert call(net.places["a"], address, 4, net.watch(), 80) == PASSES


@pytest.mark.parametrize("group", ["a-nic", "front"])
def test_the_metadata_service_is_denied_by_its_tag(net: Stage, group: str) -> None:
    net.apply(set_up(net, {group: [deny("no-imds", 100, OUT, destination="AzurePlatformIMDS")]}))
    assert call(net.places["a"], IMDS, 4, net.watch(), 80) == f"{group} no-imds"
    assert call(net.places["a"], WIRESERVER, 4, net.watch(), 80) == PASSES
    assert net.outcome("a", "b", TCP, PORT) == PASSES


@pytest.mark.parametrize("group", ["a-nic", "front"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_name_resolution_is_denied_by_its_tag(net: Stage, group: str, protocol: str) -> None:
    net.apply(set_up(net, {group: [deny("no-dns", 100, OUT, destination="AzurePlatformDNS")]}))
    watch = net.watch()
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with opened(net.places["a"], 4, kind) as asking:
        asking.connect_ex((WIRESERVER, 53))
        if protocol == "udp":
            asking.send(b"question")
        assert watch.until(asking) == f"{group} no-dns"
    assert call(net.places["a"], WIRESERVER, 4, net.watch(), 80) == PASSES
    assert call(net.places["a"], IMDS, 4, net.watch(), 80) == PASSES


def test_counters_count_each_packet_once(net: Stage) -> None:
    net.apply(set_up(net, {"b-nic": [deny("x", 100, IN, "Udp")], "back": [deny("y", 100, IN, "Tcp")]}))
    networks = [net.lab.network("hub"), net.lab.network("spoke")]
    before = drops(networks)
    for _ in range(7):
        assert net.outcome("a", "b", UDP, PORT) == "b-nic x"
    assert drops(networks) - before == {"b-nic x": 7}


def crosses(net: Stage, sender: socket.socket, receiver: socket.socket) -> str:
    """What becomes of one datagram between connected sockets."""
    watch = net.watch()
    sender.send(b"one")
    found = watch.until(receiver)
    if found == PASSES:
        receiver.recv(64)
    return found
