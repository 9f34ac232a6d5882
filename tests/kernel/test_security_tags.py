"""What rules mean by service tags and application security groups, shown by packets: one row a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.rule import allow, deny
from podvnet.testing.security_stage import Row, check, forwarding, members, routed, security_stage
from podvnet.testing.stage import Stage
from podvnet.testing.traffic import ICMP, PASSES, TCP, UDP

IN, OUT = "Inbound", "Outbound"
EVERY = (TCP, UDP, ICMP)
PORT = 7001

ROWS = [
    # -- service tags
    Row(
        "VirtualNetwork is the address space and that of peers",
        {"b-nic": [deny("x", 100, IN, source="VirtualNetwork"), deny("out", 100, OUT, destination="VirtualNetwork")]},
        [
            ("a", "b", EVERY, PORT, "b-nic x"),
            ("s", "b", EVERY, PORT, "b-nic x"),
            ("b", "a", EVERY, PORT, "b-nic out"),
            ("b", "s", EVERY, PORT, "b-nic out"),
        ],
    ),
    Row(
        "VirtualNetwork is not the internet",
        {"b-nic": [deny("out", 100, OUT, destination="VirtualNetwork")]},
        [("b", "internet", EVERY, PORT, PASSES)],
        versions=(4,),
    ),
    Row(
        "Internet is what is outside, in IPv4",
        {"b-nic": [deny("x", 100, OUT, destination="Internet")], "front": [deny("y", 100, IN, source="Internet")]},
        [
            ("b", "internet", EVERY, PORT, "b-nic x"),
            ("b", "storage", EVERY, PORT, "b-nic x"),
            ("b", "a", EVERY, PORT, PASSES),
            ("b", "s", EVERY, PORT, PASSES),
        ],
        versions=(4,),
    ),
    Row(
        "Internet is what is outside, in IPv6",
        {"b-nic": [deny("x", 100, OUT, destination="Internet")]},
        [("b", "internet", EVERY, PORT, "b-nic x"), ("b", "a", EVERY, PORT, PASSES), ("b", "s", EVERY, PORT, PASSES)],
        versions=(6,),
    ),
    Row(
        "Internet inbound is a source outside",
        {"b-nic": [deny("x", 100, IN, source="Internet")], "back": [allow("all", 100, IN)]},
        [("stranger", "b", EVERY, PORT, "b-nic x"), ("a", "b", EVERY, PORT, PASSES)],
        forwarding("front"),
    ),
    Row(
        "a user-defined route widens VirtualNetwork in its subnet",
        {
            "b-nic": [deny("x", 100, OUT, destination="VirtualNetwork"), deny("y", 110, OUT, destination="Internet")],
            "a-nic": [deny("x", 100, OUT, destination="VirtualNetwork"), deny("y", 110, OUT, destination="Internet")],
        },
        [("b", "internet", EVERY, PORT, "b-nic x"), ("a", "internet", EVERY, PORT, "a-nic y")],
        routed("198.51.100.0/24", "2001:db8:1::/48"),
    ),
    Row(
        "a default route makes everything VirtualNetwork and nothing Internet",
        {
            "b-nic": [deny("y", 100, OUT, destination="Internet"), deny("x", 110, OUT, destination="VirtualNetwork")],
            "back": [deny("z", 100, IN, source="Internet")],
        },
        [("b", "internet", EVERY, PORT, "b-nic x"), ("a", "b", EVERY, PORT, PASSES)],
        routed("0.0.0.0/0", "::/0"),
    ),
    Row(
        "one group means VirtualNetwork in each subnet as it is there",
        {"a-nic": [deny("x", 100, OUT, destination="VirtualNetwork"), deny("y", 110, OUT, destination="Internet")]},
        [("b", "internet", EVERY, PORT, "a-nic x"), ("a", "internet", EVERY, PORT, "a-nic y")],
        lambda resources: (
            routed("198.51.100.0/24", "2001:db8:1::/48")(resources),
            resources["networkInterfaces/b"]["properties"].update(
                networkSecurityGroup={"id": "networkSecurityGroups/a-nic"}
            ),
        )[0],
    ),
    Row(
        "AzureLoadBalancer is no VM",
        {
            "b-nic": [allow("probes", 100, IN, source="AzureLoadBalancer"), deny("x", 110, IN)],
            "front": [deny("y", 100, IN, source="AzureLoadBalancer")],
        },
        [("a", "b", EVERY, PORT, "b-nic x"), ("b", "a", EVERY, PORT, PASSES)],
        versions=(4,),
    ),
    Row(
        "Storage is its published prefixes",
        {"b-nic": [deny("x", 100, OUT, destination="Storage")]},
        [("b", "storage", EVERY, PORT, "b-nic x"), ("b", "internet", EVERY, PORT, PASSES)],
        versions=(4,),
    ),
    Row(
        "an allowance of Storage alone",
        {
            "b-nic": [
                allow("x", 100, OUT, destination="Storage.WestEurope"),
                deny("y", 110, OUT, destination="Internet"),
            ]
        },
        [("b", "storage", EVERY, PORT, PASSES), ("b", "internet", EVERY, PORT, "b-nic y")],
        versions=(4,),
    ),
    Row(
        "a tag may stand beside prefixes",
        {"b-nic": [deny("x", 100, OUT, destination=["Storage", "10.1.1.0/24"])]},
        [
            ("b", "storage", EVERY, PORT, "b-nic x"),
            ("b", "a", EVERY, PORT, "b-nic x"),
            ("b", "s", EVERY, PORT, PASSES),
        ],
        versions=(4,),
    ),
    # -- application security groups
    Row(
        "a group as destination is its members",
        {"back": [deny("x", 100, IN, destination=("web",))]},
        [("a", "b", EVERY, PORT, "back x"), ("a", "pod", EVERY, PORT, PASSES)],
        members(web="b/four b/six"),
    ),
    Row(
        "one address of a NIC can be in a group of its own",
        {"back": [deny("x", 100, IN, destination=("web",))]},
        [("a", "pod", EVERY, PORT, "back x"), ("a", "b", EVERY, PORT, PASSES)],
        members(web="b/pod4 b/pod6"),
    ),
    Row(
        "a group as source is its members",
        {"back": [deny("x", 100, IN, source=("web",))]},
        [("a", "b", EVERY, PORT, "back x"), ("a2", "b", EVERY, PORT, PASSES)],
        members(web="a/four a/six"),
    ),
    Row(
        "groups on both sides",
        {
            "back": [
                allow("x", 100, IN, source=("web",), destination=("app",)),
                deny("y", 110, IN, destination=("app",)),
            ]
        },
        [("a", "pod", EVERY, PORT, PASSES), ("a2", "pod", EVERY, PORT, "back y"), ("a2", "b", EVERY, PORT, PASSES)],
        members(web="a/four a/six", app="b/pod4 b/pod6"),
    ),
    Row(
        "several groups on a side",
        {"back": [deny("x", 100, IN, source=("web", "app"))]},
        [("a", "b", EVERY, PORT, "back x"), ("a2", "b", EVERY, PORT, "back x")],
        members(web="a/four a/six", app="a2/four a2/six"),
    ),
    Row(
        "an address in two groups is in both",
        {"back": [allow("x", 100, IN, "Tcp", destination=("web",)), deny("y", 110, IN, destination=("app",))]},
        [("a", "pod", TCP, PORT, PASSES), ("a", "pod", (UDP, ICMP), PORT, "back y")],
        members(web="b/pod4 b/pod6", app="b/pod4 b/pod6"),
    ),
    Row(
        "a group without members matches nobody",
        {"back": [deny("x", 100, IN, destination=("web",))]},
        [("a", "b", EVERY, PORT, PASSES), ("a", "pod", EVERY, PORT, PASSES)],
    ),
    Row(
        "a group with ports",
        {"back": [deny("x", 100, IN, "Tcp", destination=("web",), ports=["7001", "7003-7004"])]},
        [("a", "pod", TCP, 7001, "back x"), ("a", "pod", TCP, 7002, PASSES), ("a", "b", TCP, 7001, PASSES)],
        members(web="b/pod4 b/pod6"),
    ),
    Row(
        "a group decides outbound as well",
        {"b-nic": [deny("x", 100, OUT, source=("web",), destination=("app",))]},
        [("pod", "a", EVERY, PORT, "b-nic x"), ("b", "a", EVERY, PORT, PASSES), ("pod", "a2", EVERY, PORT, PASSES)],
        members(web="b/pod4 b/pod6", app="a/four a/six"),
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
