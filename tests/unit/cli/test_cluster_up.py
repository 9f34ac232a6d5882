"""Where Services of a cluster get addresses from: what nodes have, and what is asked for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from podvnet.cli.cluster_up import service_ranges
from podvnet.cli.output import FailureError
from podvnet.cluster.fabric_vm import VmFacts

NETWORK = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/48")]
FOUR, SIX = IPv4Address("10.1.1.4"), IPv6Address("fd00:1::4")


def node(name: str, pool6: int) -> VmFacts:
    return VmFacts(name, FOUR, SIX, 8, pool6, "", (), "hub", tuple(NETWORK))


BOTH = {name: node(name, 8) for name in ("node1", "node2")}
MIXED = BOTH | {"node2": node("node2", 0)}


@pytest.mark.parametrize(
    ("facts", "wanted", "found"),
    [
        (BOTH, None, ["10.96.0.0/16", "fd00:10:96::/112"]),
        (MIXED, None, ["10.96.0.0/16", "None"]),
        (BOTH, "10.97.0.0/16", ["10.97.0.0/16", "None"]),
        (BOTH, "10.97.0.0/16,fd00:9::/112", ["10.97.0.0/16", "fd00:9::/112"]),
        (BOTH, "fd00:9::/112", ["10.96.0.0/16", "fd00:9::/112"]),
    ],
)
def test_services_are_of_both_families_where_all_nodes_are_unless_only_ipv4_is_asked_for(
    facts: dict[str, VmFacts], wanted: str | None, found: list[str]
) -> None:
    assert [*map(str, service_ranges(wanted, facts, tuple(facts), NETWORK, as_json=False))] == found


@pytest.mark.parametrize(
    ("facts", "wanted", "reason"),
    [
        (MIXED, "10.97.0.0/16,fd00:9::/112", "node2 has no IPv6"),
        (BOTH, "10.1.16.0/20", "the virtual network has 10.1.0.0/16"),
        (BOTH, "10.97.0.0/16,10.98.0.0/16", "two prefixes of IPv4"),
        (BOTH, "10.97.0.1/16", "is not a prefix"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(facts: dict[str, VmFacts], wanted: str, reason: str) -> None:
    with pytest.raises(FailureError) as refusal:
        service_ranges(wanted, facts, tuple(facts), NETWORK, as_json=False)
    assert reason in str(refusal.value)
