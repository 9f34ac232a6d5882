"""Which established flows a group with ``flushConnection`` ends when its rules change."""

from __future__ import annotations

from podvnet.plan.ended_flows import refused
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.balancing_draft import BalancingDraft
from podvnet.testing.draft import network_id

HUB = network_id("virtualNetworks", "hub")
PUBLIC, INSIDE, OTHER = (
    "tcp 198.51.100.7 > 203.0.113.10 80",
    "tcp 10.0.1.4 > 10.0.1.100 80",
    "tcp 198.51.100.7 > 203.0.113.99 80",
)


def draft(*rules: str) -> BalancingDraft:
    """A member behind a public and an internal frontend, in a subnet with these security rules."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", front="10.0.1.0/24", back="10.0.2.0/24")
    made.group("back", *rules)
    made.guard("hub/back", group="back")
    made.public("pip", "203.0.113.10/32")
    made.nic("client", "hub/front", "10.0.1.4")
    made.nic("member", "hub/back", "10.0.2.4")
    for name, frontend in (("outer", "pip"), ("inner", "hub/front 10.0.1.100")):
        made.balancer(name, frontend, rules={"web": "Tcp 80>8080 probe"})
        made.join("member", name)
        made.healthy(name, "10.0.2.4")
    return made


def ended(made: BalancingDraft) -> set[str]:
    flows = {made.flow(text): text for text in (PUBLIC, INSIDE, OTHER)}
    return {flows[each] for each in refused(flows, HUB, Evaluator(made.intent))}


def test_flows_that_rules_still_allow_go_on() -> None:
    assert ended(draft("100 Inbound Allow Tcp * * * 8080")) == set()


def test_flows_from_the_internet_to_a_public_frontend_are_judged_as_others_are() -> None:
    assert ended(draft("100 Inbound Deny Tcp Internet * * 8080")) == {PUBLIC}
    assert ended(draft("100 Inbound Deny Tcp * * * 8080")) == {PUBLIC, INSIDE}


def test_the_health_of_a_member_ends_nothing() -> None:
    made = draft("100 Inbound Allow Tcp * * * 8080")
    for name in ("outer", "inner"):
        made.healthy(name)
    assert ended(made) == set()
