"""Security groups decide over real packets as the Azure document "Network security groups" says: one row a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.rule import allow, deny
from podvnet.testing.security_stage import Row, check, forwarding, security_stage, without_groups
from podvnet.testing.stage import Stage
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP

IN, OUT = "Inbound", "Outbound"
EVERY = (TCP, UDP, ICMP)
ESP, AH = "50", "51"
PORT = 7001

ROWS = [
    # -- the default rules
    Row(
        "default rules let virtual networks talk, peered ones too",
        {},
        [(*pair, EVERY, PORT, PASSES) for pair in itertools.permutations(("a", "a2", "b", "s"), 2)],
    ),
    Row("default rules let everybody out to the internet", {}, [("a", "internet", EVERY, PORT, PASSES)], versions=(4,)),
    Row("IPv6 has no way to the internet yet", {}, [("a", "internet", EVERY, PORT, "no_outbound")], versions=(6,)),
    Row(
        "DenyAllOutBound stops what is neither of the virtual network nor for the internet",
        {},
        [("stranger", "b", EVERY, PORT, "front DenyAllOutBound")],
        forwarding(),
    ),
    Row(
        "DenyAllInBound stops what is not from the virtual network",
        {},
        [("stranger", "b", EVERY, PORT, "back DenyAllInBound")],
        forwarding("front"),
    ),
    Row(
        "no group at a level is no filter there",
        {"front": [deny("x", 100, OUT)], "a-nic": [deny("x", 100, OUT)], "back": [deny("x", 100, IN)]},
        [("a", "b", EVERY, PORT, "b-nic y")],
        lambda resources: (
            without_groups("a", "front", "back")(resources),
            resources["networkSecurityGroups/b-nic"].update(properties={"securityRules": [deny("y", 100, IN)]}),
        )[0],
    ),
    Row(
        "no group at all is no filter at all",
        {},
        [("a", "b", EVERY, PORT, PASSES), ("s", "b", EVERY, PORT, PASSES), ("b", "a", EVERY, PORT, PASSES)],
        without_groups("a", "b", "front", "back"),
    ),
    Row(
        "a rule may deny what a default rule allows",
        {"b-nic": [deny("x", 4096, IN)]},
        [("a", "b", EVERY, PORT, "b-nic x")],
    ),
    # -- order
    Row(
        "the lower number decides: deny first",
        {"b-nic": [allow("later", 101, IN), deny("first", 100, IN)]},
        [("a", "b", EVERY, PORT, "b-nic first")],
    ),
    Row(
        "the lower number decides: allow first",
        {"b-nic": [deny("later", 101, IN), allow("first", 100, IN)]},
        [("a", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "the first rule that matches ends the evaluation",
        {
            "b-nic": [
                allow("ours", 100, IN, "Tcp", ports="7001"),
                deny("theirs", 110, IN, "Tcp", ports="7000-7010"),
                allow("never", 120, IN, "Tcp", ports="7002"),
            ]
        },
        [("a", "b", TCP, 7001, PASSES), ("a", "b", TCP, 7002, "b-nic theirs"), ("a", "b", UDP, 7002, PASSES)],
    ),
    Row(
        "directions have priorities of their own",
        {"b-nic": [allow("in", 100, IN), deny("out", 100, OUT)]},
        [("a", "b", EVERY, PORT, PASSES), ("b", "a", EVERY, PORT, "b-nic out")],
    ),
    Row(
        "the thousandth rule is asked",
        {
            "b-nic": [
                *(deny(f"no{n}", 100 + n, IN, "Tcp", ports=str(8000 + n)) for n in range(999)),
                deny("x", 4096, IN),
            ]
        },
        [("a", "b", TCP, 8998, "b-nic no998"), ("a", "b", TCP, 8999, "b-nic x")],
    ),
    # -- both levels, both directions
    Row(
        "inbound the subnet's group comes first",
        {"back": [deny("x", 100, IN)], "b-nic": [deny("y", 100, IN)]},
        [("a", "b", EVERY, PORT, "back x")],
    ),
    Row(
        "inbound the NIC's group must allow as well",
        {"b-nic": [deny("y", 100, IN)]},
        [("a", "b", EVERY, PORT, "b-nic y")],
    ),
    Row(
        "outbound the NIC's group comes first",
        {"front": [deny("x", 100, OUT)], "a-nic": [deny("y", 100, OUT)]},
        [("a", "b", EVERY, PORT, "a-nic y")],
    ),
    Row(
        "outbound the subnet's group must allow as well",
        {"front": [deny("x", 100, OUT)]},
        [("a", "b", EVERY, PORT, "front x")],
    ),
    Row(
        "an allowance at one level does not overrule the other's denial",
        {"back": [allow("x", 100, IN)], "b-nic": [deny("y", 4096, IN)], "a-nic": [allow("x", 100, OUT)]},
        [("a", "b", EVERY, PORT, "b-nic y")],
    ),
    Row(
        "what a sender's group denies never comes to the receiver's",
        {"a-nic": [deny("x", 100, OUT)], "back": [deny("y", 100, IN)]},
        [("a", "b", EVERY, PORT, "a-nic x")],
    ),
    Row(
        "inbound rules do not ask what goes out",
        {"a-nic": [deny("x", 100, IN)], "front": [deny("y", 100, IN)]},
        [("a", "b", EVERY, PORT, PASSES), ("b", "a", EVERY, PORT, "front y")],
    ),
    Row(
        "traffic within a subnet is filtered on its way in",
        {"front": [deny("x", 100, IN, source="{front}", destination="{front}")]},
        [("a", "a2", EVERY, PORT, "front x"), ("a2", "a", EVERY, PORT, "front x"), ("b", "a2", EVERY, PORT, PASSES)],
    ),
    Row(
        "traffic within a subnet is filtered on its way out",
        {"front": [deny("x", 100, OUT, destination="{front}")]},
        [("a", "a2", EVERY, PORT, "front x"), ("a2", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "a subnet's group is for every ip-configuration in it",
        {"back": [deny("x", 100, IN)]},
        [("a", "b", EVERY, PORT, "back x"), ("a", "pod", EVERY, PORT, "back x")],
    ),
    # -- protocols and ports
    Row(
        "Tcp is TCP only",
        {"b-nic": [deny("x", 100, IN, "Tcp")]},
        [("a", "b", TCP, PORT, "b-nic x"), ("a", "b", (UDP, ICMP), PORT, PASSES)],
    ),
    Row(
        "Udp is UDP only",
        {"b-nic": [deny("x", 100, IN, "Udp")]},
        [("a", "b", UDP, PORT, "b-nic x"), ("a", "b", (TCP, ICMP), PORT, PASSES)],
    ),
    Row(
        "Icmp is ICMP of either family only",
        {"b-nic": [deny("x", 100, IN, "Icmp")]},
        [("a", "b", ICMP, 0, "b-nic x"), ("a", "b", (TCP, UDP), PORT, PASSES)],
    ),
    Row(
        "Esp is ESP only",
        {"b-nic": [deny("x", 100, IN, "Esp")]},
        [("a", "b", ESP, 0, "b-nic x"), ("a", "b", EVERY, PORT, PASSES)],
    ),
    Row("ESP passes where nothing denies it", {}, [("a", "b", ESP, 0, PASSES)]),
    Row(
        "Ah is AH only",
        {"b-nic": [deny("x", 100, IN, "Ah")]},
        [("a", "b", AH, 0, "b-nic x"), ("a", "b", ESP, 0, PASSES), ("a", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "any protocol with a port is what has ports",
        {"b-nic": [deny("x", 100, IN, ports="7001")]},
        [
            ("a", "b", (TCP, UDP), 7001, "b-nic x"),
            ("a", "b", (TCP, UDP), 7002, PASSES),
            ("a", "b", (ICMP, ESP), 0, PASSES),
        ],
    ),
    Row(
        "any protocol with all ports is everything",
        {"b-nic": [deny("x", 100, IN)]},
        [("a", "b", (*EVERY, ESP), PORT, "b-nic x")],
    ),
    Row(
        "ports mean nothing to ICMP",
        {"b-nic": [deny("x", 100, IN, "Icmp", ports="7001")]},
        [("a", "b", ICMP, 0, "b-nic x"), ("a", "b", TCP, 7001, PASSES)],
    ),
    Row(
        "a range has both its ends",
        {"b-nic": [deny("x", 100, IN, ports="7000-7010")]},
        [
            ("a", "b", (TCP, UDP), 6999, PASSES),
            ("a", "b", (TCP, UDP), 7000, "b-nic x"),
            ("a", "b", (TCP, UDP), 7010, "b-nic x"),
            ("a", "b", (TCP, UDP), 7011, PASSES),
        ],
    ),
    Row(
        "a rule takes several ports and ranges",
        {"b-nic": [deny("x", 100, IN, "Tcp", ports=["7001", "7005-7006", "7006-7008"])]},
        [
            ("a", "b", TCP, 7001, "b-nic x"),
            ("a", "b", TCP, 7002, PASSES),
            ("a", "b", TCP, 7005, "b-nic x"),
            ("a", "b", TCP, 7008, "b-nic x"),
            ("a", "b", TCP, 7009, PASSES),
        ],
    ),
    Row(
        "source ports are the sender's",
        {
            "b-nic": [
                deny("low", 100, IN, source_ports="1-1023"),
                deny("high", 110, IN, "Udp", source_ports="1024-65535"),
            ]
        },
        [("a", "b", TCP, PORT, PASSES), ("a", "b", UDP, PORT, "b-nic high"), ("a", "b", ICMP, 0, PASSES)],
    ),
    Row(
        "both sides' ports must match",
        {"b-nic": [deny("x", 100, IN, "Tcp", ports="7001", source_ports="1024-65535")]},
        [("a", "b", TCP, 7001, "b-nic x"), ("a", "b", TCP, 7002, PASSES)],
    ),
    # -- addresses
    Row(
        "a prefix is the addresses in it",
        {"b-nic": [deny("x", 100, IN, source="{front}")]},
        [("a", "b", EVERY, PORT, "b-nic x"), ("a2", "b", EVERY, PORT, "b-nic x"), ("s", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "an address is one address",
        {"b-nic": [deny("x", 100, IN, source="{a}")]},
        [("a", "b", EVERY, PORT, "b-nic x"), ("a2", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "a destination is the address the packet is for",
        {"b-nic": [deny("x", 100, IN, destination="{pod}")]},
        [("a", "pod", EVERY, PORT, "b-nic x"), ("a", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "a source outbound is the ip-configuration that sends",
        {"b-nic": [deny("x", 100, OUT, source="{pod}")]},
        [("pod", "a", EVERY, PORT, "b-nic x"), ("b", "a", EVERY, PORT, PASSES)],
    ),
    Row(
        "a rule takes several addresses and prefixes",
        {"b-nic": [deny("x", 100, IN, source=["{elsewhere}", "{a}", "{s}"])]},
        [("a", "b", EVERY, PORT, "b-nic x"), ("s", "b", EVERY, PORT, "b-nic x"), ("a2", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "an augmented rule matches every combination",
        {
            "b-nic": [
                deny("x", 100, IN, "Tcp", source=["{a}", "{s}"], destination=["{b}", "{pod}"], ports=["7001", "7003"])
            ]
        },
        [
            *((*pair, TCP, port, "b-nic x") for pair in itertools.product("as", ("b", "pod")) for port in (7001, 7003)),
            ("a", "b", TCP, 7002, PASSES),
            ("a2", "pod", TCP, 7001, PASSES),
        ],
    ),
    Row(
        "prefixes of a rule may overlap",
        {"b-nic": [deny("x", 100, IN, source=["{hub}", "{front}", "{a}"])]},
        [("a", "b", EVERY, PORT, "b-nic x"), ("s", "b", EVERY, PORT, PASSES)],
    ),
    Row(
        "a rule of one family is nothing to the other",
        {"b-nic": [deny("x", 100, IN, source="10.0.0.0/8")]},
        [("a", "b", EVERY, PORT, PASSES)],
        versions=(6,),
    ),
    Row(
        "a rule of the other family is nothing to the one",
        {"b-nic": [deny("x", 100, IN, source="::/0")]},
        [("a", "b", EVERY, PORT, PASSES)],
        versions=(4,),
    ),
    Row(
        "all addresses of one family",
        {"b-nic": [deny("four", 100, IN, source="0.0.0.0/0"), deny("six", 110, IN, source="::/0")]},
        [("a", "b", EVERY, PORT, "b-nic four")],
        versions=(4,),
    ),
    Row(
        "all addresses of the other family",
        {"b-nic": [deny("four", 100, IN, source="0.0.0.0/0"), deny("six", 110, IN, source="::/0")]},
        [("a", "b", EVERY, PORT, "b-nic six")],
        versions=(6,),
    ),
    # -- statefulness
    Row(
        "answers need no rule",
        {"b-nic": [deny("x", 100, OUT)], "a-nic": [deny("y", 100, IN)], "front": [deny("z", 100, IN)]},
        [("a", "b", EVERY, PORT, PASSES), ("b", "a2", EVERY, PORT, "b-nic x"), ("a2", "a", EVERY, PORT, "front z")],
    ),
    Row(
        "answers from a peered network need no rule",
        {"a-nic": [deny("y", 100, IN)], "front": [deny("z", 100, IN)]},
        [("a", "s", EVERY, PORT, PASSES), ("s", "a", EVERY, PORT, "front z")],
    ),
    Row(
        "answers from the internet need no rule",
        {"a-nic": [deny("y", 100, IN)], "front": [deny("z", 100, IN)]},
        [("a", "internet", EVERY, PORT, PASSES)],
        versions=(4,),
    ),
]


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file beside this one."""
    with security_stage(Path(__file__).with_name("security-groups.yaml")) as made:
        yield made


@pytest.mark.parametrize(
    ("row", "version"),
    [pytest.param(row, version, id=f"{row.name}, IPv{version}") for row in ROWS for version in row.versions],
)
def test_packets_obey(net: Stage, row: Row, version: int) -> None:
    check(net, row, version)
