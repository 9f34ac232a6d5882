"""Peerings, by Azure's documents: each row is a behaviour that they describe."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from podvnet.model.verdict import Check, Trace
from podvnet.plan.evaluate import evaluate
from podvnet.testing.draft import Draft, network_id

TO_HUB = "tcp 10.1.1.4 > 10.0.1.4 80"
FROM_HUB = "tcp 10.0.1.4 > 10.1.1.4 80"
ACROSS = "tcp 10.1.1.4 > 10.2.1.4 80"
HUB = network_id("virtualNetworks", "hub").key


def draft(
    *,
    access: tuple[bool, bool] = (True, True),
    forwarded: tuple[bool, bool, bool] = (False, False, False),
    forwards: bool = True,
    route: str = "",
) -> Draft:
    """A hub with an appliance, 10.0.9.4, and two spokes that are peered with it alone.

    Args:
        access: what the hub says of spoke one, and that of the hub.
        forwarded: whether spoke one, spoke two and the hub take what the other side forwards.
        forwards: the hub's appliance has IP forwarding.
        route: of the spokes' route table.
    """
    made = Draft()
    made.network("hub", "10.0.0.0/16", "fd00::/48", front="10.0.1.0/24,fd00:0:0:1::/64", edge="10.0.9.0/24")
    made.network("one", "10.1.0.0/16", "fd01::/48", front="10.1.1.0/24,fd01:0:0:1::/64")
    made.network("two", "10.2.0.0/16", front="10.2.1.0/24")
    made.peer("hub", "one", access=access[0], forwarded=forwarded[2])
    made.peer("one", "hub", access=access[1], forwarded=forwarded[0])
    made.peer("hub", "two", forwarded=forwarded[2])
    made.peer("two", "hub", forwarded=forwarded[1])
    made.nic("centre", "hub/front", "10.0.1.4>203.0.113.1", "fd00:0:0:1::4")
    made.nic("gate", "hub/edge", "10.0.9.4>203.0.113.9", forwarding=forwards)
    made.nic("first", "one/front", "10.1.1.4>203.0.113.2", "fd01:0:0:1::4")
    made.nic("second", "two/front", "10.2.1.4>203.0.113.3")
    if route:
        made.table("spoke", way=route)
        made.guard("one/front", table="spoke")
        made.guard("two/front", table="spoke")
    return made


def outcome(trace: Trace) -> str:
    """The verdict and the NICs after the sender, or what dropped the packet and where."""
    culprit = trace.culprit
    if culprit is None:
        return " ".join((trace.verdict, *(nic.name for nic in trace.nics[1:])))
    assert culprit.remedy.endswith(".")
    return f"{culprit.check} {'/'.join(name for _, name in culprit.where.path)}"


def test_a_peered_network_is_reached_from_both_sides() -> None:
    made = draft()
    assert outcome(evaluate(made.intent, made.flow(TO_HUB))) == "Delivered centre"
    assert outcome(evaluate(made.intent, made.flow(FROM_HUB))) == "Delivered first"


def test_with_ipv6_as_well() -> None:
    made = draft()
    assert outcome(evaluate(made.intent, made.flow("tcp fd01:0:0:1::4 > fd00:0:0:1::4 80"))) == "Delivered centre"


def test_peerings_are_not_transitive() -> None:
    made = draft()
    trace = evaluate(made.intent, made.flow(ACROSS))
    assert outcome(trace) == "Route one/front"
    assert trace.hops[-1].remedy == (
        "Peer virtual network one with virtual network two, whose NIC second has 10.2.1.4: peerings are not transitive,"
        " and both sides must be connected."
    )


@pytest.mark.parametrize("packet", [TO_HUB, FROM_HUB])
@pytest.mark.parametrize(("access", "side"), [((False, True), "hub/to-one"), ((True, False), "one/to-hub")])
def test_either_side_may_refuse_the_other(packet: str, access: tuple[bool, bool], side: str) -> None:
    made = draft(access=access)
    trace = evaluate(made.intent, made.flow(packet))
    assert outcome(trace) == f"Peering {side}"
    assert trace.hops[-1].remedy == f"Set allowVirtualNetworkAccess of peering {side} to true."


def test_a_refused_peer_is_not_of_the_tag_virtual_network() -> None:
    made = draft(access=(False, True))
    made.group("guard")
    made.guard("hub/front", group="guard")
    gate = made.nic("other", "hub/edge", "10.0.9.9", forwarding=True)
    trace = evaluate(made.intent, made.flow("tcp 10.1.1.4 > 10.0.1.4 80"), gate)
    assert trace.culprit
    assert trace.culprit.rule
    assert trace.culprit.rule.name == "defaultSecurityRules/DenyAllInBound"


def test_an_allowed_peer_is_of_the_tag_virtual_network() -> None:
    made = draft()
    made.group("guard")
    made.guard("hub/front", group="guard")
    assert outcome(evaluate(made.intent, made.flow(TO_HUB))) == "Delivered centre"


def test_the_routes_of_a_refused_peering_stay() -> None:
    made = draft(access=(False, False))
    trace = evaluate(made.intent, made.flow(TO_HUB))
    assert [hop.check for hop in trace.hops] == [Check.SPOOFING, Check.ROUTE, Check.PEERING]


def test_an_address_that_no_nic_of_the_peer_has_is_dropped_there() -> None:
    made = draft()
    assert outcome(evaluate(made.intent, made.flow("tcp 10.1.1.4 > 10.0.1.77 80"))) == "Owner hub"


def test_a_users_route_wins_over_that_of_a_peering() -> None:
    made = draft(route="10.0.0.0/16 none")
    assert outcome(evaluate(made.intent, made.flow(TO_HUB))) == "Route one/front"


def test_an_appliance_in_the_hub_joins_the_spokes_when_they_take_what_is_forwarded() -> None:
    made = draft(route="10.0.0.0/8 10.0.9.4", forwarded=(True, True, False))
    assert outcome(evaluate(made.intent, made.flow(ACROSS))) == "Delivered gate second"
    assert outcome(evaluate(made.intent, made.flow("tcp 10.2.1.4 > 10.1.1.4 80"))) == "Delivered gate first"


def test_a_spoke_that_does_not_take_what_is_forwarded_drops_it() -> None:
    made = draft(route="10.0.0.0/8 10.0.9.4", forwarded=(True, False, True))
    trace = evaluate(made.intent, made.flow(ACROSS))
    assert outcome(trace) == "Peering two/to-hub"
    assert trace.hops[-1].remedy == "Set allowForwardedTraffic of peering two/to-hub to true."


def test_an_appliance_of_a_peer_needs_ip_forwarding_too() -> None:
    made = draft(route="10.0.0.0/8 10.0.9.4", forwarded=(True, True, True), forwards=False)
    assert outcome(evaluate(made.intent, made.flow(ACROSS))) == "Appliance gate"


def test_an_appliance_of_a_refused_peer_is_not_reached() -> None:
    made = draft(route="10.0.0.0/8 10.0.9.4", access=(True, False))
    assert outcome(evaluate(made.intent, made.flow(ACROSS))) == "Peering one/to-hub"


def test_an_appliance_two_peerings_away_is_not_reached() -> None:
    made = draft()
    made.table("far", way="198.51.100.0/24 10.2.1.9")
    made.guard("one/front", table="far")
    made.nic("distant", "two/front", "10.2.1.9", forwarding=True)
    assert outcome(evaluate(made.intent, made.flow("tcp 10.1.1.4 > 198.51.100.7 443"))) == "Appliance one"


def test_what_a_spoke_sends_out_by_the_hubs_appliance_has_no_address_there() -> None:
    made = draft(route="0.0.0.0/0 10.0.9.4")
    trace = evaluate(made.intent, made.flow("tcp 10.1.1.4 > 198.51.100.7 443"))
    assert outcome(trace) == "Outbound gate"
    assert trace.hops[-1].remedy == "Let the VM of NIC gate translate what it forwards to its own primary address."


def test_a_prefix_that_was_added_later_is_not_routed_until_it_is_synchronised() -> None:
    made = draft()
    hub = made.intent.virtual_networks[HUB]
    late = replace(hub.subnets[0], id=hub.id.child("subnets", "late"), prefixes=(ip_network("172.16.1.0/24"),))
    made.intent.virtual_networks[HUB] = replace(
        hub, prefixes=(*hub.prefixes, ip_network("172.16.0.0/16")), subnets=(*hub.subnets, late)
    )
    made.nic("newcomer", "hub/late", "172.16.1.4")
    trace = evaluate(made.intent, made.flow("tcp 10.1.1.4 > 172.16.1.4 80"))
    assert outcome(trace) == "Route one/front"
    assert trace.hops[-1].remedy.startswith("Synchronise the peering with virtual network hub")
    back = evaluate(made.intent, made.flow("tcp 172.16.1.4 > 10.1.1.4 80"))
    assert outcome(back) == "Peering one/to-hub", "the spoke knows that source no more than the address"


def test_overlapping_networks_that_are_not_peered_do_not_meet() -> None:
    made = draft()
    made.network("twin", "10.0.0.0/16", front="10.0.1.0/24")
    made.nic("double", "twin/front", "10.0.1.4")
    made.nic("lone", "twin/front", "10.0.1.5")
    assert outcome(evaluate(made.intent, made.flow("tcp 10.0.1.5 > 10.0.1.4 80"))) == "Delivered double"
    assert outcome(evaluate(made.intent, made.flow(TO_HUB))) == "Delivered centre"


def test_a_peering_of_one_side_carries_nothing() -> None:
    made = draft()
    made.network("late", "10.3.0.0/16", front="10.3.1.0/24")
    made.nic("early", "late/front", "10.3.1.4")
    made.peer("late", "hub")
    trace = evaluate(made.intent, made.flow("tcp 10.3.1.4 > 10.0.1.4 80"))
    assert outcome(trace) == "Peering late"
    assert trace.hops[-1].remedy == "Make the peering of virtual network hub with virtual network late anew."
