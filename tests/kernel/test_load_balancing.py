"""Packets take the way through a load balancer that Azure's documents say: one row a sentence."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.runtime.probe import frames
from podvnet.testing.balancing_rule import balanced, forwarded
from podvnet.testing.balancing_stage import BalancingStage, Flow, balancing_stage, part
from podvnet.testing.cni import eventually
from podvnet.testing.flood import Arrivals
from podvnet.testing.lab import execute
from podvnet.testing.rule import allow, deny
from podvnet.testing.stage import Resources, filled
from podvnet.testing.traffic import ICMP, TCP, UDP, Place, opened

BOTH = (TCP, UDP)
FLOWS, FIRST_PORT, PORT = 10_000, 40_000, 7001
IN, OUT = "Inbound", "Outbound"
WORDS = {4: {"front": "front", "vms": "vms"}, 6: {"front": "six", "vms": "sixes"}}


@dataclass(frozen=True)
class Row:
    """What a documented sentence means for packets.

    Attributes:
        flows: what becomes of which.
        rules: the load balancing rules of load balancers, in place of those of the file.
        floating: frontends whose address both VMs have on their loopback interface.
        more: what else of the file is different.
    """

    name: str
    flows: list[Flow]
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    floating: tuple[str, ...] = ()
    more: Callable[[Resources], None] | None = None
    versions: tuple[int, ...] = (4,)


def leading(*rules: tuple[str, dict[str, Any]]) -> Callable[[Resources], None]:
    """Inbound NAT rules, each with the ip-configuration that names it (``m1/four``), if one does."""

    def change(resources: Resources) -> None:
        for target, rule in rules:
            balancer = rule["properties"]["frontendIPConfiguration"]["id"].split("/")[1]
            resources[f"loadBalancers/{balancer}"]["properties"].setdefault("inboundNatRules", []).append(rule)
            nic, _, name = target.partition("/")
            if name:
                inner = part(resources, f"networkInterfaces/{nic}", "ipConfigurations", name)
                inner["loadBalancerInboundNatRules"] = [
                    {"id": f"loadBalancers/{balancer}/inboundNatRules/{rule['name']}"}
                ]

    return change


def guarded(
    rules: list[dict[str, Any]] | None = None, group: str = "open", subnet: str = "members"
) -> Callable[[Resources], None]:
    """A subnet whose security group has these rules; without rules it has no group."""

    def change(resources: Resources) -> None:
        inner = part(resources, "virtualNetworks/hub", "subnets", subnet)
        inner.pop("networkSecurityGroup", None)
        if rules:
            inner["networkSecurityGroup"] = {"id": f"networkSecurityGroups/{group}"}
            resources[f"networkSecurityGroups/{group}"]["properties"] = {"securityRules": rules}

    return change


def routed(prefix: str) -> Callable[[Resources], None]:
    """A route of the clients' subnet that leads nowhere."""

    def change(resources: Resources) -> None:
        route = {"name": "nowhere", "properties": {"addressPrefix": prefix, "nextHopType": "None"}}
        resources["routeTables/nobodys"]["properties"] = {"routes": [route]}
        part(resources, "virtualNetworks/hub", "subnets", "clients")["routeTable"] = {"id": "routeTables/nobodys"}

    return change


ROWS = [
    Row(
        "a public frontend leads clients of the internet to pods on two VMs, which see the client's own address",
        [
            ("client", "public 80>8080", TCP, "p1 p2 see client"),
            ("other", "public 80>8080", TCP, "p1 p2 see other"),
            ("client", "public 53>5353", UDP, "p1 p2 see client"),
        ],
    ),
    Row(
        "an internal frontend leads clients of the network and of its peer to pods, which see the client's own address",
        [("c", "inner 80>8081", TCP, "p1 p2 see c"), ("s", "inner 80>8081", TCP, "p1 p2 see s")],
    ),
    Row(
        "rules of TCP and UDP for one port, to VMs",
        [("c", "inner 80>8081", TCP, "m1 m2 see c"), ("c", "inner 80>5353", UDP, "m1 m2 see c")],
        {
            "inner": [
                balanced("t", "inner/{front}", "Tcp 80>8081", "{vms}"),
                balanced("u", "inner/{front}", "Udp 80>5353", "{vms}"),
            ]
        },
        versions=(4, 6),
    ),
    Row(
        "an internal frontend has no port without a rule, and answers no ping",
        [
            ("c", "inner 81", BOTH, "no_frontend_rule"),
            ("c", "inner 80", UDP, "no_frontend_rule"),
            ("c", "inner", ICMP, "no_frontend_rule"),
        ],
        versions=(4, 6),
    ),
    Row(
        "an internal frontend is the same to a peered network",
        [("s", "inner 81", BOTH, "no_frontend_rule"), ("s", "inner", ICMP, "no_frontend_rule")],
    ),
    Row(
        "a public frontend has no port without a rule",
        [("client", "public 81", BOTH, "uninvited"), ("client", "public 80", UDP, "uninvited")],
    ),
    Row(
        "high-availability ports carry every port, to the same one, and protocols without ports",
        [
            ("c", "all 1", BOTH, "m1 m2 see c"),
            ("c", "all 7001", BOTH, "m1 m2 see c"),
            ("s", "all 65535", BOTH, "m1 m2 see s"),
            ("c", "all", ICMP, "passes"),
        ],
    ),
    Row(
        "several frontends share a pool",
        [("c", "inner 80>8080", TCP, "m1 m2 see c"), ("c", "all 80>8081", TCP, "m1 m2 see c")],
        {
            "inner": [
                balanced("one", "inner/front", "Tcp 80>8080", "vms"),
                balanced("other", "inner/all", "Tcp 80>8081", "vms"),
            ]
        },
    ),
    # -- floating IP
    Row(
        "with floating IP a member gets what is addressed to the frontend, and answers from it",
        [
            ("c", "inner 80", BOTH, "m1~inner m2~inner see c"),
            ("s", "inner 80", BOTH, "m1~inner m2~inner see s"),
        ],
        {
            "inner": [
                balanced("t", "inner/front", "Tcp 80>80", "vms", enableFloatingIP=True),
                balanced("u", "inner/front", "Udp 80>80", "vms", enableFloatingIP=True),
            ]
        },
        floating=("inner",),
    ),
    Row(
        "floating IP leads to the backend port",
        [("c", "inner 80>8080", TCP, "m1~inner m2~inner see c")],
        {"inner": [balanced("t", "inner/front", "Tcp 80>8080", "vms", enableFloatingIP=True)]},
        floating=("inner",),
    ),
    Row(
        "a backend port is used again by rules with floating IP for other frontends",
        [
            ("c", "inner 80>8080", TCP, "m1~inner m2~inner see c"),
            ("c", "all 80>8080", TCP, "m1~all m2~all see c"),
            ("c", "all 81", TCP, "no_frontend_rule"),
        ],
        {
            "inner": [
                balanced("one", "inner/front", "Tcp 80>8080", "vms", enableFloatingIP=True),
                balanced("other", "inner/all", "Tcp 80>8080", "vms", enableFloatingIP=True),
            ]
        },
        floating=("inner", "all"),
    ),
    Row(
        "high-availability ports with floating IP",
        [("c", "all 7001", BOTH, "m1~all m2~all see c"), ("s", "all 9", BOTH, "m1~all m2~all see s")],
        {"inner": [balanced("all", "inner/all", "All 0>0", "vms", enableFloatingIP=True)]},
        floating=("all",),
    ),
    Row(
        "floating IP of a public frontend",
        [
            ("client", "public 80>8080", TCP, "m1~public m2~public see client"),
            ("other", "public 80>8080", UDP, "m1~public m2~public see other"),
        ],
        {
            "public": [
                balanced("t", "public/front", "Tcp 80>8080", "vms", enableFloatingIP=True),
                balanced("u", "public/front", "Udp 80>8080", "vms", enableFloatingIP=True),
            ]
        },
        floating=("public",),
    ),
    # -- inbound NAT rules
    Row(
        "an inbound NAT rule leads to one member",
        [
            ("client", "public 2222>22", TCP, "m1 sees client"),
            ("client", "public 2222>22", UDP, "uninvited"),
            ("other", "public 3000>3001", BOTH, "p2 sees other"),
            ("client", "public 80>8080", TCP, "p1 p2 see client"),
            ("c", "inner 2222>22", UDP, "m2 sees c"),
            ("s", "inner 2222>22", UDP, "m2 sees s"),
            ("c", "inner 2222>22", TCP, "no_frontend_rule"),
        ],
        more=leading(
            ("m1/four", forwarded("ssh", "public/front", "Tcp 2222>22")),
            ("m2/pod", forwarded("both", "public/front", "All 3000>3001")),
            ("m2/four", forwarded("inside", "inner/front", "Udp 2222>22")),
        ),
    ),
    Row(
        "an inbound NAT rule of an IPv6 frontend",
        [("c", "inner 2222>22", BOTH, "m2 sees c")],
        more=leading(
            ("m2/six", forwarded("inside", "inner/six", "All 2222>22")),
        ),
        versions=(6,),
    ),
    Row(
        "an inbound NAT rule that nobody names leads nowhere",
        [("client", "public 2222>22", TCP, "no_backend"), ("c", "inner 2222>22", UDP, "no_backend")],
        more=leading(
            ("", forwarded("ssh", "public/front", "Tcp 2222>22")),
            ("", forwarded("inside", "inner/front", "Udp 2222>22")),
        ),
    ),
    Row(
        "an inbound NAT rule to a pool has a port for each member",
        [
            ("client", "public 5000>22", TCP, "p1 sees client"),
            ("client", "public 5001>22", TCP, "p2 sees client"),
            ("client", "public 5002>22", TCP, "no_backend"),
            ("client", "public 5010>22", TCP, "uninvited"),
            ("c", "inner 6000>5353", UDP, "m1 sees c"),
            ("s", "inner 6001>5353", UDP, "m2 sees s"),
            ("c", "inner 6000>5353", TCP, "no_frontend_rule"),
        ],
        more=leading(
            ("", forwarded("ssh", "public/front", "Tcp 5000-5009>22", "pods")),
            ("", forwarded("names", "inner/front", "Udp 6000-6001>5353", "vms")),
        ),
    ),
    Row(
        "an inbound NAT rule to a pool, of an IPv6 frontend",
        [("c", "inner 6000>22", BOTH, "m1 sees c"), ("c", "inner 6001>22", BOTH, "m2 sees c")],
        more=leading(
            ("", forwarded("ssh", "inner/six", "All 6000-6009>22", "sixes")),
        ),
        versions=(6,),
    ),
    # -- security groups
    Row(
        "the member's group decides by the client's address and the member's port",
        [
            ("client", "public 80>8080", TCP, "p1 p2 see client"),
            ("other", "public 80>8080", TCP, "open DenyAllInBound"),
            ("client", "public 53>5353", UDP, "open DenyAllInBound"),
        ],
        more=guarded([allow("a", 100, IN, source="198.51.100.20", ports="8080")]),
    ),
    Row(
        "the member's group does not decide by the frontend's address or port",
        [("client", "public 80>8080", TCP, "open DenyAllInBound"), ("c", "inner 80>8081", TCP, "p1 p2 see c")],
        more=guarded([allow("a", 100, IN, ports="80"), deny("b", 200, IN, destination="10.1.1.100")]),
    ),
    Row(
        "the member's group decides by the member's address",
        [("c", "inner 80>8081", TCP, "p2 sees c | open x"), ("s", "inner 80>8081", TCP, "p2 sees s | open x")],
        more=guarded([deny("x", 100, IN, destination="10.1.1.51")]),
    ),
    Row(
        "the member's group decides by the client's address behind an internal frontend too",
        [("c", "inner 80>8081", TCP, "open x"), ("s", "inner 80>8081", TCP, "p1 p2 see s")],
        more=guarded([deny("x", 100, IN, source="10.1.2.0/24")]),
    ),
    Row(
        "the client's group decides by the frontend's address and port",
        [("c", "inner 80>8081", TCP, "nobodys x"), ("c", "all 80", TCP, "m1 m2 see c")],
        more=guarded([deny("x", 100, OUT, destination="10.1.1.100", ports="80")], "nobodys", "clients"),
    ),
    Row(
        "the client's group does not decide by the member's address or port",
        [("c", "inner 80>8081", TCP, "p1 p2 see c")],
        more=guarded(
            [deny("x", 100, OUT, destination=["10.1.1.51", "10.1.1.52"]), deny("y", 110, OUT, ports="8081")],
            "nobodys",
            "clients",
        ),
    ),
    Row(
        "the client's group decides by the frontend's address and port in IPv6",
        [("c", "inner 80>8080", TCP, "m1 m2 see c"), ("c", "inner 81", TCP, "nobodys x")],
        more=guarded(
            [
                deny("x", 100, OUT, destination="fd00:1:0:1::100", ports="81"),
                deny("y", 110, OUT, destination="fd00:1:0:1::100", ports="8080"),
            ],
            "nobodys",
            "clients",
        ),
        versions=(6,),
    ),
    Row(
        "without a group a member is closed to the internet, and open inside",
        [
            ("client", "public 80>8080", TCP, "closed"),
            ("client", "public 53>5353", UDP, "closed"),
            ("c", "inner 80>8081", TCP, "p1 p2 see c"),
            ("s", "inner 80>8081", TCP, "p1 p2 see s"),
        ],
        more=guarded(),
    ),
    Row(
        "the client's routes come before the load balancer",
        [("c", "inner 80>8081", TCP, "unowned"), ("s", "inner 80>8081", TCP, "p1 p2 see s")],
        more=routed("10.1.1.100/32"),
    ),
    Row(
        "the client's routes have no say about the way to the member",
        [("c", "inner 80>8081", TCP, "p1 p2 see c")],
        more=routed("10.1.1.48/28"),
    ),
    # -- from members
    Row(
        "a member reaches itself and others by a public frontend, as whom it leaves to the internet",
        [
            ("m1", "public 80>8080", TCP, "m1 m2 see public front"),
            ("p1", "public 80>8080", TCP, "m1 m2 see public front"),
        ],
        {"public": [balanced("t", "public/front", "Tcp 80>8080", "vms")]},
    ),
    Row(
        "from the network to a public frontend by the sender's public address",
        [
            ("own", "public 80>8080", TCP, "p1 p2 see public own"),
            ("own", "public 53>5353", UDP, "p1 p2 see public own"),
        ],
    ),
]


@pytest.fixture(scope="module")
def net() -> Iterator[BalancingStage]:
    """The file beside this one."""
    with balancing_stage(Path(__file__).with_name("balancing.yaml")) as made:
        yield made


@pytest.fixture
def clients(net: BalancingStage) -> list[str]:
    """Many clients of the internet."""
    addresses = {f"i{number}": f"198.51.100.{number}" for number in range(100, 108)}
    added = "\n".join(f"address replace {each}/32 dev lo" for each in addresses.values())
    execute("ip", "-n", names.INTERNET, "-batch", "-", stdin=added)
    net.places |= {name: Place(net.lab.internet(), {4: address}) for name, address in addresses.items()}
    return list(addresses)


def set_up(net: BalancingStage, rules: dict[str, list[dict[str, Any]]], version: int = 4) -> Resources:
    """The file's resources with the load balancing rules of some load balancers."""
    resources = net.declared
    for balancer, listed in rules.items():
        resources[f"loadBalancers/{balancer}"]["properties"]["loadBalancingRules"] = filled(listed, WORDS[version])
    return resources


@pytest.mark.parametrize(
    ("row", "version"),
    [pytest.param(row, version, id=f"{row.name}, IPv{version}") for row in ROWS for version in row.versions],
)
def test_flows_come_to_members(net: BalancingStage, row: Row, version: int) -> None:
    resources = set_up(net, row.rules, version)
    if row.more:
        row.more(resources)
    net.apply(resources)
    with ExitStack() as stack:
        for frontend in row.floating:
            stack.enter_context(net.floating(frontend, "m1", "m2"))
        net.check(row.flows, version)


def led_to(wire: socket.socket, near: socket.socket, own: bytes) -> str:
    """Whom a frontend leads a member's call to: another, when that is connected, or itself, when it gets its call."""
    for _ in range(100):
        ready, connected, _ = select.select([wire], [near], [], 3)
        if connected:
            return "another"
        if ready and wire.recv(2048)[26:34] == own + own:
            return "itself"
    return "nobody"


def test_a_member_that_is_led_back_to_itself_gets_a_packet_from_itself_and_the_attempt_fails(
    net: BalancingStage,
) -> None:
    """Source: Azure document "Troubleshoot Azure Load Balancer backend traffic responses", cause 4."""
    net.apply(net.declared)
    place, called = net.places["m1"], (net.frontends["all"][4], PORT)
    own = ip_address(place.addresses[4]).packed
    found = set()
    with (
        frames(place.descriptor, "eth0") as wire,
        opened(place, 4, socket.SOCK_STREAM, PORT) as here,
        opened(net.places["m2"], 4, socket.SOCK_STREAM, PORT) as there,
    ):
        here.listen()
        there.listen()
        for _ in range(40):
            with opened(place, 4, socket.SOCK_STREAM) as near:
                near.connect_ex(called)
                found.add(led_to(wire, near, own))
            if len(found) > 1:
                break
        assert found == {"another", "itself"}
        assert select.select([here], [], [], 0)[0] == [], "nothing of it is let in"


@pytest.mark.parametrize(
    ("caller", "frontend", "members", "version"),
    [("client", "public", ("p1", "p2"), 4), ("c", "inner", ("m1", "m2"), 6)],
)
def test_ten_thousand_flows_are_spread_within_three_percent_of_even(
    net: BalancingStage, caller: str, frontend: str, members: tuple[str, ...], version: int
) -> None:
    rule = balanced("u", "inner/six", "Udp 53>5353", "sixes")
    net.apply(set_up(net, {"inner": [rule]} if version == 6 else {}))
    own, called = net.places[caller].addresses[version], net.frontends[frontend][version]
    with ExitStack() as stack:
        doors = [stack.enter_context(opened(net.places[each], version, socket.SOCK_DGRAM, 5353)) for each in members]
        came = [stack.enter_context(Arrivals(door)) for door in doors]
        with namespace.entered(net.places[caller].descriptor):
            for number in range(FLOWS):
                with socket.socket(doors[0].family, socket.SOCK_DGRAM) as near:
                    near.bind((own, FIRST_PORT + number))
                    near.sendto(number.to_bytes(8, "big"), (called, 53))
        assert eventually(lambda: sum(len(each.numbers) for each in came) == FLOWS), [
            len(each.numbers) for each in came
        ]
    even = FLOWS / len(members)
    assert max(abs(len(each.numbers) - even) for each in came) <= 0.03 * even, [len(each.numbers) for each in came]


@pytest.mark.parametrize(
    ("mode", "alike", "whatever_the_protocol"),
    [("Default", False, False), ("SourceIP", True, True), ("SourceIPProtocol", True, False)],
)
def test_the_distribution_mode_says_which_flows_of_a_client_come_to_one_member(
    net: BalancingStage, clients: list[str], mode: str, alike: bool, whatever_the_protocol: bool
) -> None:
    rules = [balanced(by, "public/front", f"{by} 80>8080", "pods", loadDistribution=mode) for by in ("Tcp", "Udp")]
    net.apply(set_up(net, {"public": rules}))
    met = {
        (client, protocol): {net.met(client, "public 80>8080", protocol) for _ in range(3)}
        for client in clients
        for protocol in BOTH
    }
    assert {each.split()[0] for seen in met.values() for each in seen} == {"p1", "p2"}
    assert all(len(seen) == 1 for seen in met.values()) is alike
    assert all(met[client, TCP] == met[client, UDP] for client in clients) is whatever_the_protocol
