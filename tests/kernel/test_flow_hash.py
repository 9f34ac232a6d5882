"""The hash that spreads flows over members is the kernel's: the rules of a load balancer choose whom we say they do."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.linux import namespace, ruleset
from podvnet.model.flow import UDP
from podvnet.model.flow_hash import SEED, member_index
from podvnet.testing.lab import execute

LABEL = "flow-hash-test"
MEMBERS = (1, 2, 3, 7, 64, 1000)
FLOWS = 300
KINDS = {
    "four-tuple": ("ip saddr . ip daddr . udp sport . udp dport", "saddr daddr sport dport"),
    "four-tuple-v6": ("ip6 saddr . ip6 daddr . udp sport . udp dport", "saddr daddr sport dport"),
    "addresses": ("ip saddr . ip daddr", "saddr daddr"),
    "addresses-v6": ("ip6 saddr . ip6 daddr", "saddr daddr"),
    "addresses-and-protocol": ("ip saddr . ip daddr . meta l4proto", "saddr daddr protocol"),
    "addresses-and-protocol-v6": ("ip6 saddr . ip6 daddr . meta l4proto", "saddr daddr protocol"),
}
Sent = tuple[str, str, int, int]


@pytest.fixture(scope="module")
def sent() -> list[Sent]:
    """Source, destination and their ports of flows of both families."""
    dice = random.Random(5)
    found = {
        (_local(dice), f"127.0.0.{dice.randrange(1, 255)}", dice.randrange(1024, 65536), dice.randrange(1, 65536))
        for _ in range(FLOWS)
    }
    found |= {
        (f"fd00::{dice.randrange(1, 20):x}", f"fd00::{dice.randrange(1, 20):x}", dice.randrange(1024, 65536), port)
        for port in dice.sample(range(1, 65536), FLOWS)
    }
    return sorted(found)


def _local(dice: random.Random) -> str:
    return f"127.{dice.randrange(1, 255)}.{dice.randrange(256)}.{dice.randrange(1, 255)}"


@pytest.fixture(scope="module")
def chosen(sent: list[Sent]) -> Iterator[dict[str, dict[Sent, int]]]:
    """Of each kind of hash and number of members, whom the kernel chose for each flow."""
    namespace.create(LABEL)
    execute("ip", "-n", LABEL, "link", "set", "lo", "up")
    for number in range(1, 20):
        execute("ip", "-n", LABEL, "address", "add", f"fd00::{number:x}/128", "dev", "lo", "nodad")
    with namespace.opened(LABEL) as descriptor, namespace.entered(descriptor):
        ruleset.run(_rules())
        for source, destination, source_port, destination_port in sent:
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.bind((source, source_port))
                sender.sendto(b"", (destination, destination_port))
        yield {name: _elements(name) for kind in KINDS for name in (f"{kind}-{count}" for count in MEMBERS)}
    namespace.delete(LABEL)


def _rules() -> str:
    sets, rules = [], []
    for kind, (hashed, _) in KINDS.items():
        address = "ipv6_addr" if kind.endswith("v6") else "ipv4_addr"
        family = "ip6" if kind.endswith("v6") else "ip"
        for count in MEMBERS:
            places = ", ".join(f"{place} : {place + 1}" for place in range(count))
            key = f"{address} . {address} . inet_service . inet_service . mark"
            sets.append(f"set {kind}-{count} {{ type {key}; flags dynamic; size 65535; }}")
            rules.append(
                f"meta mark set jhash {hashed} mod {count} seed {SEED:#x} map {{ {places} }}"
                f" add @{kind}-{count} {{ {family} saddr . {family} daddr . udp sport . udp dport . meta mark }}"
            )
    hook = "type filter hook output priority raw; policy accept;"
    return "\n".join(
        ["table inet choice {", *sets, "chain out {", hook, "meta l4proto != udp return", *rules, "}", "}"]
    )


def _elements(name: str) -> dict[Sent, int]:
    listed: dict[str, Any] = json.loads(execute("nft", "-j", "list", "set", "inet", "choice", name).stdout)
    found = next(each["set"] for each in listed["nftables"] if "set" in each)
    rows = [each["concat"] for each in found.get("elem", [])]
    return {(row[0], row[1], row[2], row[3]): row[4] - 1 for row in rows}


def _fields(flow: Sent, layout: str) -> bytes:
    source, destination, source_port, destination_port = flow
    parts = {
        "saddr": ip_address(source).packed,
        "daddr": ip_address(destination).packed,
        "sport": source_port.to_bytes(2, "big") + bytes(2),
        "dport": destination_port.to_bytes(2, "big") + bytes(2),
        "protocol": bytes([UDP, 0, 0, 0]),
    }
    return b"".join(parts[each] for each in layout.split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_chooses_the_member_that_we_say(kind: str, sent: list[Sent], chosen: Any) -> None:
    version = 6 if kind.endswith("v6") else 4
    flows = [flow for flow in sent if ip_address(flow[0]).version == version]
    assert len(flows) >= FLOWS - 5
    for count in MEMBERS:
        expected = {flow: member_index(_fields(flow, KINDS[kind][1]), count) for flow in flows}
        assert chosen[f"{kind}-{count}"] == expected
