"""Ports that load balancers lend, by Azure's documents."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podvnet.model.flow import TCP, UDP
from podvnet.plan.backends import Backends
from podvnet.plan.outbound_ports import PortRange, default_ports, outbound_ports
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import network_id

HUB = network_id("virtualNetworks", "hub").key


def draft(
    members: int,
    prefix: str = "203.0.113.30/32",
    rules: dict[str, str] | None = None,
    nat_rules: dict[str, str] | None = None,
    outbound: dict[str, str] | None = None,
) -> BalancingDraft:
    """A public load balancer with so many members, from 10.0.1.4 on."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.0.0/16")
    made.public("pip", prefix)
    made.balancer("lb", "pip", rules=rules, nat_rules=nat_rules, outbound=outbound)
    for number in range(members):
        made.nic(f"n{number}", "hub/front", str(ip_address("10.0.1.4") + number), "fd00::4", "10.0.200.4")
        made.join(f"n{number}", "lb")
    return made


def ports(made: BalancingDraft, protocol: int = TCP) -> dict[str, str]:
    """By private address, the public one and its ports."""
    found = outbound_ports(made.intent, Backends(made.intent))
    return {
        str(address): f"{each.address}:{each.first}-{each.last}"
        for (network, address, number), each in found.items()
        if network == HUB and number == protocol
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [(1, 1024), (50, 1024), (51, 512), (100, 512), (101, 256), (200, 256), (201, 128), (400, 128), (401, 64),
     (800, 64), (801, 32), (1000, 32), (5000, 32)],
)  # fmt: skip
def test_the_size_of_the_pool_gives_the_ports_of_each(members: int, expected: int) -> None:
    assert default_ports(members) == expected


def test_members_have_ports_in_the_order_of_their_addresses() -> None:
    made = draft(3, outbound={"o": "Tcp f0"})
    assert ports(made) == {
        "10.0.1.4": "203.0.113.30:1024-2047",
        "10.0.1.5": "203.0.113.30:2048-3071",
        "10.0.1.6": "203.0.113.30:3072-4095",
    }
    assert ports(made, UDP) == {}


def test_a_rule_of_all_protocols_lends_the_same_ports_of_each() -> None:
    made = draft(2, outbound={"o": "All f0 16"})
    assert ports(made) == ports(made, UDP)
    assert list(ports(made).values()) == ["203.0.113.30:1024-1039", "203.0.113.30:1040-1055"]


def test_the_addresses_of_a_prefix_are_used_up_one_after_the_other() -> None:
    made = draft(5, "203.0.113.32/31", outbound={"o": "Tcp f0 32000"})
    assert list(ports(made).values()) == [
        "203.0.113.32:1024-33023",
        "203.0.113.32:33024-65023",
        "203.0.113.33:1024-33023",
        "203.0.113.33:33024-65023",
    ]


def test_the_block_of_a_port_at_which_clients_come_in_is_not_lent() -> None:
    made = draft(3, rules={"r": "Udp 1041"}, nat_rules={"n": "Tcp 1056-1066>22"}, outbound={"o": "Tcp f0 16"})
    assert list(ports(made).values()) == [
        "203.0.113.30:1024-1039",
        "203.0.113.30:1072-1087",
        "203.0.113.30:1088-1103",
    ]


def test_a_small_range_fits_where_a_large_one_does_not() -> None:
    made = draft(1, rules={"r": "Tcp 1041"}, outbound={"a": "Tcp f0 64", "b": "Udp f0 8"})
    assert ports(made) == {"10.0.1.4": "203.0.113.30:1048-1111"}
    assert ports(made, UDP) == {"10.0.1.4": "203.0.113.30:1024-1031"}


def test_a_load_balancing_rule_lends_to_those_that_no_outbound_rule_is_about() -> None:
    made = draft(1, rules={"r": "Tcp 80 snat", "s": "Udp 80 snat"}, outbound={"o": "Tcp f0"})
    found = outbound_ports(made.intent, Backends(made.intent))
    names = {protocol: each.source.name for (_, _, protocol), each in found.items()}
    assert names == {TCP: "o", UDP: "s"}


def test_a_rule_with_disable_outbound_snat_lends_none() -> None:
    assert ports(draft(1, rules={"r": "Tcp 80"})) == {}


def test_who_finds_no_room_by_an_outbound_rule_has_none_by_another_kind() -> None:
    made = draft(2, rules={"r": "Tcp 80 snat"}, outbound={"o": "Tcp f0 40000"})
    assert list(ports(made)) == ["10.0.1.4"]


def test_only_the_first_address_of_a_nic_that_runs_has_ports() -> None:
    made = draft(1, outbound={"o": "Tcp f0"})
    made.join("n0", "lb", 2)
    made.nic("off", "hub/front", "10.0.1.9", running=False)
    made.join("off", "lb")
    assert list(ports(made)) == ["10.0.1.4"]


def test_frontends_lend_to_addresses_of_their_own_ip_version() -> None:
    made = draft(1, "2001:db8::30/128", outbound={"o": "Tcp f0"})
    made.join("n0", "lb", 1)
    assert ports(made) == {"fd00::4": "2001:db8::30:1024-2047"}


def test_an_internal_load_balancer_lends_none() -> None:
    made = draft(1)
    made.balancer("lb", "hub/front 10.0.3.4", rules={"r": "Tcp 80 snat"})
    assert ports(made) == {}


def test_pools_of_addresses_have_ports_where_a_nic_is() -> None:
    made = draft(1)
    made.balancer("lb", "pip", pool="hub 10.0.1.4 10.0.1.5", outbound={"o": "Tcp f0"})
    assert list(ports(made)) == ["10.0.1.4"]


def test_two_balancers_at_one_address_lend_no_port_twice() -> None:
    made = draft(1, rules={"r": "Tcp 80 snat"})
    made.balancer("other", "pip", rules={"r": "Tcp 81 snat"})
    made.nic("more", "hub/front", "10.0.7.4")
    made.join("more", "other")
    assert list(ports(made).values()) == ["203.0.113.30:1024-2047", "203.0.113.30:2048-3071"]


def test_a_range_says_whose_it_is() -> None:
    made = draft(1, outbound={"o": "Tcp f0"})
    rule = network_id("loadBalancers", "lb").child("outboundRules", "o")
    found = outbound_ports(made.intent, Backends(made.intent))
    assert found[HUB, ip_address("10.0.1.4"), TCP] == PortRange(ip_address("203.0.113.30"), 1024, 2047, rule)
