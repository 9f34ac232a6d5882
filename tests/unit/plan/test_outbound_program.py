"""What ways out become in the kernel: how long flows are kept, and how those that are forgotten end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podvnet.model.intent import Intent
from podvnet.model.kernel import Chain, IdleTimeout, Junction
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.parts import compile_fabric
from podvnet.testing.balancing_draft import BalancingDraft, part
from podvnet.testing.draft import network_id

HUB, LB = network_id("virtualNetworks", "hub"), network_id("loadBalancers", "lb")


def draft() -> BalancingDraft:
    """Two VMs with public addresses of their own, beside a member of a load balancer's pool."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", "fd00::/48", front="10.0.1.0/24,fd00:0:0:1::/64")
    for name, private, public in (
        ("one", "10.0.1.4", "203.0.113.1/32"),
        ("two", "10.0.1.5", "203.0.113.2/32"),
        ("six", "fd00:0:0:1::6", "2001:db8::6/128"),
    ):
        made.nic(name, "hub/front", private)
        made.public(name, public)
        made.own(name, name)
    made.public("front", "203.0.113.9/32")
    made.nic("member", "hub/front", "10.0.1.9")
    made.balancer("lb", "front", outbound={"out": "Tcp f0 8"})
    made.join("member", "lb")
    return made


def kept(made: BalancingDraft, name: str, seconds: int) -> None:
    """Have a public address say for how long flows are kept."""
    key = network_id("publicIPAddresses", name).key
    public = made.intent.public_addresses[key]
    made.intent.public_addresses[key] = replace(public, idle_timeout=seconds)


def rules(intent: Intent, junction: str) -> list[str]:
    """What a junction of the virtual network leads to; nothing where there is none."""
    objects = compile_fabric(intent)[names.network_namespace(HUB)]
    leads = {each.chain for each in objects if isinstance(each, Junction) and each.name == junction}
    texts = (each.text for each in objects if isinstance(each, Chain) and each.name in leads)
    return [line.strip() for text in texts for line in text.splitlines()]


def test_flows_of_own_addresses_are_kept_for_as_long_as_these_say_both_ways() -> None:
    made = draft()
    kept(made, "one", 540)
    kept(made, "six", 1800)
    assert rules(made.intent, "own_flows") == [
        'ip daddr { 203.0.113.1 } meta l4proto tcp ct timeout set "idle4-540"',
        'ip6 daddr { 2001:db8::6 } meta l4proto tcp ct timeout set "idle6-1800"',
    ]
    leave = rules(made.intent, "leave")
    first = leave.index("snat ip to ip saddr map @public4")
    assert leave[:first] == [
        'ip saddr { 10.0.1.4 } meta l4proto tcp ct timeout set "idle4-540"',
        'ip6 saddr { fd00:0:0:1::6 } meta l4proto tcp ct timeout set "idle6-1800"',
    ]
    objects = compile_fabric(made.intent)[names.network_namespace(HUB)]
    assert {IdleTimeout(TABLE, 540), IdleTimeout(TABLE, 1800)} <= objects


def test_where_they_say_what_the_network_says_there_is_no_rule_for_it() -> None:
    made = draft()
    assert rules(made.intent, "own_flows") == []
    made.intent.virtual_networks[HUB.key] = replace(made.intent.virtual_networks[HUB.key], flow_timeout=600)
    assert rules(made.intent, "own_flows")[0].startswith("ip daddr { 203.0.113.1, 203.0.113.2 }")


@pytest.mark.parametrize(
    ("tcp_reset", "end"), [(False, "counter name idle_flow drop"), (True, "reject with tcp reset")]
)
def test_how_a_flow_that_an_outbound_rule_has_forgotten_ends(tcp_reset: bool, end: str) -> None:
    made = draft()
    balancer = made.intent.load_balancers[LB.key]
    (rule,) = balancer.outbound_rules
    assert rule.id == part("lb", "outboundRules", "out")
    changed = replace(balancer, outbound_rules=(replace(rule, tcp_reset=tcp_reset),))
    made.intent.load_balancers[LB.key] = changed
    member = "ip saddr . meta l4proto { 10.0.1.9 . tcp }"
    assert rules(made.intent, "ways_out")[-2:] == [
        f"{member} tcp flags & (fin | syn | rst | ack) != syn {end}",
        f"{member} accept",
    ]
