"""Which public address a flow leaves to the internet with, or what drops it: Azure's order of precedence, cell by cell.

The order stands in ``PRECEDENCE``, once, and what is expected of each combination of ways out comes of it. Sources:
Azure documents "What is Azure NAT Gateway?", "Use Source Network Address Translation (SNAT) for outbound connections",
"Default outbound access in Azure", "Virtual network traffic routing".
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from podvnet.testing.lab import podvnet
from podvnet.testing.outbound_stage import DEFAULT, HOST, OutboundStage, outbound_stage, traced
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP, Place, opened
from podvnet.testing.ways_out import CELLS, HOMES, Cell, resources
from podvnet.testing.witness import PORT, Call, Seen

EVERY = (TCP, UDP, ICMP)
UNINVITED = "uninvited"
"""The counter of what the internet begins with addresses that are there to send from."""
UNOWNED, UNSUPPORTED, NO_WAY = "unowned", "nat_unsupported", "no_outbound"
"""The counters of what leads nowhere, of what NAT gateways do not carry, of what has no public address to leave as."""


@dataclass(frozen=True)
class Way:
    """A line of the order.

    Attributes:
        is_there: whether an address has this way.
        result: the public address that it leaves with, or the counter of what drops it.
        carries: the protocols that take it.
        others: the counter of what drops those that do not; empty when they take the next way.
    """

    is_there: Callable[[Cell], bool]
    result: str
    carries: tuple[str, ...] = EVERY
    others: str = ""


PRECEDENCE = (
    Way(lambda cell: cell.home.route == "none", UNOWNED),
    Way(lambda cell: cell.home.route == "appliance", "appliance"),
    Way(lambda cell: cell.home.gateway, "gateway", (TCP, UDP), UNSUPPORTED),
    Way(lambda cell: cell.own, "own"),
    # Load balancers lend ports of TCP and UDP, to the first address of a NIC.
    Way(lambda cell: "ruled" in cell.pools and not cell.second, "ruled", (TCP, UDP)),
    Way(lambda cell: "implied" in cell.pools and not cell.second, "implied", (TCP,)),
    # A member of any load balancer's pool of NICs has no default outbound access, nor has a private subnet, nor an
    # address that is not the first.
    Way(lambda cell: bool(cell.pools), NO_WAY),
    Way(lambda cell: cell.home.private, NO_WAY),
    Way(lambda cell: cell.second, NO_WAY),
    Way(lambda _: True, DEFAULT),
)

CHECKS = {UNOWNED: "Route", UNSUPPORTED: "NatGateway", NO_WAY: "Outbound"}
"""What the evaluator calls that which the kernel counts."""
EGRESS = {
    "gateway": "NatGateway", "own": "PublicAddress", "ruled": "OutboundRule", "implied": "LoadBalancingRule",
    DEFAULT: "DefaultOutbound",
}  # fmt: skip


def expected(cell: Cell, protocol: str) -> str:
    """The first way that there is and that carries the protocol."""
    for way in PRECEDENCE:
        if way.is_there(cell) and (protocol in way.carries or way.others):
            return way.result if protocol in way.carries else way.others
    raise LookupError(cell)


@pytest.fixture(scope="module")
def net() -> Iterator[OutboundStage]:
    """The file beside this one."""
    with outbound_stage(Path(__file__).with_name("outbound.yaml")) as made:
        yield made


@pytest.fixture(scope="module")
def table(net: OutboundStage) -> OutboundStage:
    """The same with a VM in each of the table's subnets."""
    net.apply(resources(net.declared, own=False, balancer=""))
    net.find_places()
    for home in HOMES:
        second = home.address(second=True)
        net.run(home.name, "ip", "addr", "add", f"{second}/32", "dev", "lo")
        net.places[f"{home.name} second"] = Place(net.places[home.name].descriptor, {4: second})
    return net


@pytest.fixture(scope="module")
def known(table: OutboundStage) -> dict[str, str]:
    """The public addresses of the table: they are what they are, used or not."""
    return table.publics()


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_flow_leaves_as_the_order_of_precedence_says(table: OutboundStage, known: dict[str, str], cell: Cell) -> None:
    table.apply(resources(table.declared, own=cell.own, balancer=cell.balancer))
    home = cell.home.name
    caller = table.places[home + " second" * cell.second]
    address = {"own": f"{home}-{'second' if cell.second else 'first'}", DEFAULT: f"{DEFAULT} {home}"}
    watch = table.watch()
    for protocol in EVERY:
        wanted = expected(cell, protocol)
        found = Call(caller, table.places["host"], protocol).seen(watch)
        trace = traced(f"{home}@{cell.home.address(second=cell.second)}", protocol=protocol)
        if wanted in CHECKS:
            assert found == wanted, protocol
            assert (trace["verdict"], trace["hops"][-1]["check"]) == ("Dropped", CHECKS[wanted]), protocol
            watch = table.watch()
            continue
        public = known[address.get(wanted, wanted)]
        assert isinstance(found, Seen), (protocol, found)
        assert found.address == public, protocol
        if wanted == "appliance":
            # The evaluator knows no translation by a guest: it says that the appliance gets it.
            assert trace["nics"][1].endswith("/networkInterfaces/appliance")
        else:
            assert (trace["verdict"], trace["egress"], trace["outbound"]) == (
                "LeftToInternet", EGRESS[wanted], public,
            ), protocol  # fmt: skip
            first, last = trace["outboundPorts"] or (1, 65535)
            assert protocol == ICMP or first <= found.port <= last


def test_the_command_line_says_it_too(net: OutboundStage) -> None:
    net.apply(net.leaving(gateway=True))
    said = podvnet("trace", "a", f"{HOST}:443").stdout
    assert f"leaves to the internet as {net.publics()['gateway']}, ports 1024 to 65535" in said
    said = podvnet("trace", "a", HOST, "--proto", "icmp").stdout
    assert "NAT gateway gateway carries TCP and UDP alone" in said


# -- what comes in


def test_a_default_route_to_an_appliance_ends_what_comes_in_by_a_public_address(net: OutboundStage) -> None:
    """The answer goes to the appliance, which knows nothing of the flow and sends it, if at all, as itself."""
    known = net.publics()
    inbound = [Call(net.places["host"], net.places["a"], protocol, by=known["own"]) for protocol in EVERY]
    net.apply(net.leaving(own=True))
    for each in inbound:
        assert isinstance(each.seen(net.watch()), Seen)
    net.apply(net.leaving(own=True, route="appliance"))
    found = [each.seen(net.watch()) for each in inbound]
    appliance = f"answer: from {(known['appliance'], PORT)}"
    assert found == ["out_of_state", appliance, "answer: out_of_state"]


@pytest.mark.parametrize("protocol", EVERY)
def test_a_nat_gateway_lets_nobody_in(net: OutboundStage, protocol: str) -> None:
    net.apply(net.leaving(gateway=True))
    address = net.publics()["gateway"]
    assert net.seen("host", "a", protocol, by=address) == UNINVITED
    trace = traced(HOST, address, protocol)
    assert (trace["verdict"], trace["hops"][-1]["check"]) == ("Dropped", "PublicAddress")


def test_a_port_of_a_nat_gateway_that_a_flow_uses_is_open_to_the_other_end_alone(net: OutboundStage) -> None:
    net.apply(net.leaving(gateway=True))
    a, host, other = net.places["a"], net.places["host"], net.places["other"]
    with opened(a, 4, socket.SOCK_DGRAM) as near, opened(host, 4, socket.SOCK_DGRAM, PORT) as far:
        near.sendto(b"out", (HOST, PORT))
        assert net.watch().until(far) == PASSES
        peer = far.recvfrom(8)[1]
        with opened(other, 4, socket.SOCK_DGRAM, PORT) as stranger:
            watch = net.watch()
            stranger.sendto(b"in", peer)
            assert watch.until(near) == UNINVITED
        far.sendto(b"back", peer)
        assert net.watch().until(near) == PASSES
        assert near.recv(8) == b"back"


@pytest.mark.parametrize("protocol", EVERY)
def test_what_comes_in_by_an_own_address_is_answered_from_it_beside_a_nat_gateway(
    net: OutboundStage, protocol: str
) -> None:
    net.apply(net.leaving(gateway=True, own=True))
    known = net.publics()
    assert net.seen("host", "a", protocol, by=known["own"]) == HOST
    trace = traced(HOST, known["own"], protocol)
    assert (trace["verdict"], trace["arrival"]["destination"]) == ("Delivered", net.places["a"].addresses[4])
    assert net.seen("a", "host", protocol) == (UNSUPPORTED if protocol == ICMP else known["gateway"])
