"""What becomes of flows that leave to the internet: kept, forgotten, spread over prefixes, refused for want of a port.

Sources: Azure documents "Azure NAT Gateway resource", "Source Network Address Translation (SNAT) with Azure NAT
Gateway", "Use Source Network Address Translation (SNAT) for outbound connections", "Load Balancer TCP reset and idle
timeout".
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.monitor import MonitorManagementClient

from podvnet.testing.balancing_stage import part
from podvnet.testing.cloud import access_for
from podvnet.testing.cni import eventually
from podvnet.testing.outbound_stage import HOST, OutboundStage, join, outbound_stage, traced
from podvnet.testing.traffic import PASSES, TCP, UDP, connected, opened, still_flows
from podvnet.testing.witness import PORT, Call, Seen

SENDER_PORT = 49_152
"""The one that the evaluator takes."""
BLOCK = 8
"""The smallest number of ports that an outbound rule gives a member."""
RESET_SECONDS = 16
"""Source: "Source Network Address Translation (SNAT) with Azure NAT Gateway", port reuse timers."""
BALANCER = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/podvnet/providers/Microsoft.Network"
    "/loadBalancers/public"
)
UNINVITED = "uninvited"
"""The counter of what the internet begins with addresses that are there to send from."""


@pytest.fixture(scope="module")
def net() -> Iterator[OutboundStage]:
    """The file beside this one."""
    with outbound_stage(Path(__file__).with_name("outbound.yaml")) as made:
        yield made


# -- what is there already


@pytest.mark.parametrize("before", [{}, {"own": True}, {"pools": ("ruled",)}], ids=str)
def test_a_nat_gateway_takes_new_flows_alone(net: OutboundStage, before: dict[str, Any]) -> None:
    a, host, address = net.places["a"], net.places["host"], net.publics()["gateway"]
    net.apply(net.leaving(**before))
    with connected(a, host, 4, PORT) as ends:
        was = ends[1].getpeername()[0]
        net.apply(net.leaving(gateway=True, **before))
        assert still_flows(*ends)
        with connected(a, host, 4, PORT + 1) as others:
            assert others[1].getpeername()[0] == address != was
        net.apply(net.leaving(**before))
        assert still_flows(*ends)
    assert net.seen("a", "host") == was


@pytest.mark.parametrize("way", [{"gateway": True}, {"pools": ("ruled",)}, {"pools": ("implied",)}], ids=str)
def test_a_segment_of_a_flow_that_is_forgotten_is_answered_with_a_reset_where_that_is_said(
    net: OutboundStage, way: dict[str, Any]
) -> None:
    """By NAT gateways always, by load balancers for rules that want it."""
    made = net.leaving(**way)
    part(made, "loadBalancers/public", "outboundRules", "ruled")["enableTcpReset"] = True
    part(made, "loadBalancers/public", "loadBalancingRules", "implied")["enableTcpReset"] = True
    net.apply(made)
    port = next(net.fresh_ports)
    with connected(net.places["a"], net.places["host"], 4, port) as (near, far):
        net.forget_flows(port)
        watch = net.watch()
        far.sendall(b"late")
        assert watch.until(near) == UNINVITED
        near.sendall(b"late too")
        with pytest.raises(ConnectionResetError):
            near.recv(8)


@pytest.mark.parametrize("way", [{}, {"pools": ("ruled",)}, {"pools": ("implied",)}], ids=str)
def test_a_segment_of_a_flow_that_is_forgotten_elsewhere_is_dropped(net: OutboundStage, way: dict[str, Any]) -> None:
    net.apply(net.leaving(**way))
    port = next(net.fresh_ports)
    with connected(net.places["a"], net.places["host"], 4, port) as (near, _):
        net.forget_flows(port)
        watch = net.watch()
        near.sendall(b"late")
        assert watch.until(near) == "idle_flow"


@pytest.mark.parametrize(
    ("way", "minutes"),
    [
        ({"gateway": True}, 10),
        ({"own": True}, 11),
        ({"pools": ("ruled",)}, 12),
        ({"pools": ("implied",)}, 13),
        ({}, 4),
    ],
    ids=str,
)
def test_a_silent_flow_is_kept_for_as_long_as_its_way_out_says(
    net: OutboundStage, way: dict[str, Any], minutes: int
) -> None:
    """Of UDP for four minutes: what is said counts for TCP."""
    made = net.leaving(**way)
    made["natGateways/gateway"]["properties"]["idleTimeoutInMinutes"] = 10
    made["publicIPAddresses/own"]["properties"]["idleTimeoutInMinutes"] = 11
    part(made, "loadBalancers/public", "outboundRules", "ruled")["idleTimeoutInMinutes"] = 12
    part(made, "loadBalancers/public", "loadBalancingRules", "implied")["idleTimeoutInMinutes"] = 13
    net.apply(made)
    a, host, port = net.places["a"], net.places["host"], next(net.fresh_ports)
    with connected(a, host, 4, port) as ends:
        assert still_flows(*ends)
        (found,) = net.flows(port)
        assert 60 * minutes - 3 <= found.timeout <= 60 * minutes
    if "implied" not in way.get("pools", ()):
        port = next(net.fresh_ports)
        assert isinstance(Call(a, host, UDP, port).seen(net.watch()), Seen)
        (found,) = net.flows(port)
        assert 237 <= found.timeout <= 240


# -- prefixes


def test_a_nat_gateway_uses_every_address_of_its_prefixes(net: OutboundStage) -> None:
    """The hash of the flow chooses; the evaluator knows it."""
    made = net.leaving(gateway=True)
    made["natGateways/gateway"]["properties"]["publicIpPrefixes"] = [{"id": "publicIPPrefixes/run"}]
    net.apply(made)
    every = {net.publics()["gateway"], *net.addresses_of_prefix()}
    met = set()
    for protocol in (TCP, UDP):
        for port in range(PORT, PORT + 30):
            call = Call(net.places["a"], net.places["host"], protocol, port, source_port=SENDER_PORT)
            found = call.seen(net.watch())
            assert isinstance(found, Seen)
            assert found.address == traced("a", protocol=protocol, port=port)["outbound"]
            met.add(found.address)
    assert met == every


def test_members_of_an_outbound_rule_use_one_address_of_a_prefix_after_the_other(net: OutboundStage) -> None:
    made = net.leaving(pools=("ruled",))
    join(made, "b", "ruled")
    front = part(made, "loadBalancers/public", "frontendIPConfigurations", "ruled")
    front.clear()
    front["publicIPPrefix"] = {"id": "publicIPPrefixes/run"}
    part(made, "loadBalancers/public", "outboundRules", "ruled")["allocatedOutboundPorts"] = 64_000
    net.apply(made)
    found = [net.seen(vm, "host") for vm in ("a", "b")]
    assert found == net.addresses_of_prefix()[:2]
    assert found == [traced(vm)["outbound"] for vm in ("a", "b")]


# -- ports that run out


@pytest.fixture(scope="module")
def monitor(net: OutboundStage) -> MonitorManagementClient:
    """The SDK's client of Azure Monitor."""
    access = access_for()
    return MonitorManagementClient(access.credential(), access.subscription, **access.options())


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_flows_beyond_the_ports_of_a_member_are_dropped_and_counted(
    net: OutboundStage, monitor: MonitorManagementClient, protocol: str
) -> None:
    made = net.leaving(pools=("ruled",))
    join(made, "b", "ruled")
    part(made, "loadBalancers/public", "outboundRules", "ruled")["allocatedOutboundPorts"] = BLOCK
    net.apply(made)
    port = next(net.fresh_ports)
    a, host, other = (net.places[name] for name in ("a", "host", "other"))
    first, last = traced("a", protocol=protocol, port=port)["outboundPorts"]
    assert last - first == BLOCK - 1
    refused, failed = net.failures(), metric(monitor, "Failed")
    kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
    with opened(host, 4, kind, port) as listener, ExitStack() as stack:
        if protocol == TCP:
            listener.listen(2 * BLOCK)
        callers = [stack.enter_context(opened(a, 4, kind)) for _ in range(BLOCK)]
        peers = [arrival(net, caller, listener, port, stack) for caller in callers]
        assert {peer[0] for peer in peers} == {net.publics()["ruled"]}
        assert sorted(peer[1] for peer in peers) == list(range(first, last + 1))
        with opened(a, 4, kind) as late:
            send(late, port)
            assert eventually(lambda: net.failures() > refused)
            assert select.select([listener], [], [], 0)[0] == []
            assert metric(monitor, "Failed") > failed
            assert metric(monitor, "Successful") >= BLOCK
        # The same ports serve towards another destination, be it another port of the same host.
        for called, elsewhere in ((other, port), (host, next(net.fresh_ports))):
            found = Call(a, called, protocol, elsewhere).seen(net.watch())
            assert isinstance(found, Seen)
            assert first <= found.port <= last
        # Another member has ports of its own.
        with opened(net.places["b"], 4, kind) as beside:
            assert arrival(net, beside, listener, port, stack)[1] > last
        # A port whose flow is over serves again: after a reset in seconds, else when the flow has been silent for long.
        callers[3].close()
        if protocol == TCP:
            assert eventually(
                lambda: [each.timeout <= RESET_SECONDS for each in net.flows(port, peers[3][1])] == [True]
            )
        net.forget_flows(port, peers[3][1])
        with opened(a, 4, kind) as late:
            assert arrival(net, late, listener, port, stack) == peers[3]


def arrival(
    net: OutboundStage, caller: socket.socket, listener: socket.socket, port: int, stack: ExitStack
) -> tuple[str, int]:
    """Begin a flow to the host; return as whom it arrives. What is accepted is open as long as the stack."""
    watch = net.watch()
    send(caller, port)
    assert watch.until(listener) == PASSES
    if caller.type == socket.SOCK_DGRAM:
        peer: tuple[str, int] = listener.recvfrom(64)[1]
        return peer
    far, peer = listener.accept()
    stack.enter_context(far)
    return peer


def send(caller: socket.socket, port: int) -> None:
    """The first packet of a flow to the host."""
    if caller.type == socket.SOCK_DGRAM:
        caller.sendto(b"out", (HOST, port))
    else:
        caller.connect_ex((HOST, port))


def metric(monitor: MonitorManagementClient, state: str) -> float:
    """The load balancer's connections of the last minutes that came about, or found no port."""
    found = monitor.metrics.list(
        BALANCER, metricnames="SnatConnectionCount", filter=f"ConnectionState eq '{state}'", interval="PT1H"
    )
    return sum(each.total or 0 for shown in found.value for series in shown.timeseries for each in series.data or ())
