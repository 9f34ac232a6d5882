"""The ways to the internet and their order, cell by cell, by Azure's documents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podvnet.model.flow_hash import member_index
from podvnet.model.verdict import Check, Egress, Trace, Verdict
from podvnet.plan.evaluate import evaluate
from podvnet.testing.balancing_draft import BalancingDraft

FAR = "198.51.100.7"
GATEWAY, OWN, RULE, IMPLIED, DEFAULT = "203.0.113.10", "203.0.113.20", "203.0.113.30", "203.0.113.40", "203.0.113.1"


def draft(*ways: str) -> BalancingDraft:
    """VM one, of a primary and a secondary address and one of IPv6, with ways out, each by one word."""
    made = BalancingDraft()
    made.network("hub", "10.0.0.0/16", "fd00::/48", front="10.0.1.0/24,fd00:0:0:1::/64", edge="10.0.9.0/24")
    default = ">" + DEFAULT if "default" in ways else ""
    made.nic("one", "hub/front", f"10.0.1.4{default}", "10.0.1.5", "fd00:0:0:1::4", "fd00:0:0:1::5")
    made.nic("gate", "hub/edge", "10.0.9.4", forwarding=True)
    made.public("nat", f"{GATEWAY}/32")
    made.public("own", f"{OWN}/32")
    made.public("own6", "2001:db8::20/128")
    made.public("rule", f"{RULE}/32")
    made.public("rule6", "2001:db8::30/128")
    made.public("implied", f"{IMPLIED}/32")
    for way in ways:
        kind, _, what = way.partition(":")
        if kind == "udr":
            made.table("rt", all=f"0.0.0.0/0 {what}")
            made.guard("hub/front", table="rt")
        elif kind == "nat":
            made.gateway("gw", "hub/front", "nat")
        elif kind == "own":
            made.own("one", "own")
            made.own("one", "own", 1)
            made.own("one", "own6", 2)
        elif kind == "rule":
            made.balancer("out", "rule", "rule6", outbound={"o": f"{what} f0,f1"})
        elif kind == "implied":
            made.balancer("web", "implied", rules={"r": f"{what} 80>8080 snat"})
        elif kind == "inner":
            made.balancer("inner", "hub/front 10.0.1.100", rules={"r": "Tcp 80>8080"})
        elif kind == "addresses":
            made.balancer("inner", "hub/front 10.0.1.100", pool="hub 10.0.1.4", rules={"r": "Tcp 80>8080"})
    for name in ("out", "web", "inner"):
        if any(
            each.id.name == name and not each.pools[0].virtual_network for each in made.intent.load_balancers.values()
        ):
            for position in range(4):
                made.join("one", name, position)
    return made


def outcome(trace: Trace) -> str:
    """The way out and the address, or what dropped the packet."""
    if trace.culprit:
        assert trace.culprit.remedy.endswith(".")
        return f"dropped {trace.culprit.check}"
    return f"{trace.way_out.egress} {trace.way_out.address}" if trace.way_out else trace.verdict


EVERY = ("nat", "own", "rule:All", "implied:Tcp", "default")
DROPPED = f"dropped {Check.OUTBOUND}"
CELLS: list[tuple[tuple[str, ...], str, str]] = [
    # Of all ways the first; a route that leads elsewhere comes before all of them.
    ((*EVERY, "udr:none"), "tcp 10.0.1.4", "dropped Route"),
    ((*EVERY, "udr:10.0.9.9"), "tcp 10.0.1.4", "dropped Appliance"),
    ((*EVERY, "udr:internet"), "tcp 10.0.1.4", f"{Egress.NAT_GATEWAY} {GATEWAY}"),
    (EVERY, "tcp 10.0.1.4", f"{Egress.NAT_GATEWAY} {GATEWAY}"),
    (EVERY, "udp 10.0.1.4", f"{Egress.NAT_GATEWAY} {GATEWAY}"),
    (EVERY, "icmp 10.0.1.4", f"dropped {Check.NAT_GATEWAY}"),
    (EVERY, "50 10.0.1.4", f"dropped {Check.NAT_GATEWAY}"),
    (EVERY, "tcp 10.0.1.5", f"{Egress.NAT_GATEWAY} {GATEWAY}"),
    (EVERY, "tcp fd00:0:0:1::4", f"{Egress.OWN_ADDRESS} 2001:db8::20"),
    # Without a NAT gateway the own address, of any protocol, of any ip-configuration.
    (EVERY[1:], "tcp 10.0.1.4", f"{Egress.OWN_ADDRESS} {OWN}"),
    (EVERY[1:], "udp 10.0.1.4", f"{Egress.OWN_ADDRESS} {OWN}"),
    (EVERY[1:], "icmp 10.0.1.4", f"{Egress.OWN_ADDRESS} {OWN}"),
    (EVERY[1:], "tcp 10.0.1.5", f"{Egress.OWN_ADDRESS} {OWN}"),
    (EVERY[1:], "icmp 10.0.1.5", f"{Egress.OWN_ADDRESS} {OWN}"),
    # Without that an outbound rule: TCP and UDP of the first address alone.
    (EVERY[2:], "tcp 10.0.1.4", f"{Egress.OUTBOUND_RULE} {RULE}"),
    (EVERY[2:], "udp 10.0.1.4", f"{Egress.OUTBOUND_RULE} {RULE}"),
    (EVERY[2:], "icmp 10.0.1.4", DROPPED),
    (EVERY[2:], "tcp 10.0.1.5", DROPPED),
    (EVERY[2:], "tcp fd00:0:0:1::4", f"{Egress.OUTBOUND_RULE} 2001:db8::30"),
    (EVERY[2:], "tcp fd00:0:0:1::5", DROPPED),
    (("rule:Tcp", "implied:Tcp", "default"), "tcp 10.0.1.4", f"{Egress.OUTBOUND_RULE} {RULE}"),
    (("rule:Tcp", "implied:Tcp", "default"), "udp 10.0.1.4", DROPPED),
    (("rule:Udp", "implied:Tcp", "default"), "tcp 10.0.1.4", f"{Egress.LOAD_BALANCING_RULE} {IMPLIED}"),
    (("rule:Udp", "implied:Tcp", "default"), "udp 10.0.1.4", f"{Egress.OUTBOUND_RULE} {RULE}"),
    # Without that a load balancing rule, for its own protocol.
    (("implied:Tcp", "default"), "tcp 10.0.1.4", f"{Egress.LOAD_BALANCING_RULE} {IMPLIED}"),
    (("implied:Tcp", "default"), "udp 10.0.1.4", DROPPED),
    (("implied:Udp", "default"), "udp 10.0.1.4", f"{Egress.LOAD_BALANCING_RULE} {IMPLIED}"),
    (("implied:Tcp", "default"), "icmp 10.0.1.4", DROPPED),
    (("implied:Tcp", "default"), "tcp 10.0.1.5", DROPPED),
    (("implied:Tcp",), "tcp fd00:0:0:1::4", DROPPED),
    # Members of an internal load balancer's pool have no default outbound access; addresses in a pool keep it.
    (("inner", "default"), "tcp 10.0.1.4", DROPPED),
    (("inner", "default"), "icmp 10.0.1.4", DROPPED),
    (("inner", "nat", "default"), "tcp 10.0.1.4", f"{Egress.NAT_GATEWAY} {GATEWAY}"),
    (("inner", "rule:All"), "tcp 10.0.1.4", f"{Egress.OUTBOUND_RULE} {RULE}"),
    (("addresses", "default"), "tcp 10.0.1.4", f"{Egress.DEFAULT} {DEFAULT}"),
    # The default, of any protocol, of the primary address alone.
    (("default",), "tcp 10.0.1.4", f"{Egress.DEFAULT} {DEFAULT}"),
    (("default",), "udp 10.0.1.4", f"{Egress.DEFAULT} {DEFAULT}"),
    (("default",), "icmp 10.0.1.4", f"{Egress.DEFAULT} {DEFAULT}"),
    (("default",), "tcp 10.0.1.5", DROPPED),
    (("default",), "tcp fd00:0:0:1::4", DROPPED),
    ((), "tcp 10.0.1.4", DROPPED),
]


@pytest.mark.parametrize(("ways", "what", "expected"), CELLS, ids=str)
def test_the_first_way_out_that_applies(ways: tuple[str, ...], what: str, expected: str) -> None:
    made = draft(*ways)
    protocol, source = what.split()
    to = "2001:db8:ffff::7" if ":" in source else FAR
    port = " 443" if protocol in {"tcp", "udp"} else ""
    assert outcome(evaluate(made.intent, made.flow(f"{protocol} {source} > {to}{port}"))) == expected


def test_of_several_addresses_of_a_nat_gateway_the_hash_of_the_flow_chooses() -> None:
    made = draft()
    made.public("prefix", "203.0.113.64/30")
    made.gateway("gw", "hub/front", "nat", "prefix")
    every = [GATEWAY, "203.0.113.64", "203.0.113.65", "203.0.113.66", "203.0.113.67"]
    seen = set()
    for port in range(1, 200):
        flow = made.flow(f"tcp 10.0.1.4 > {FAR} {port}")
        fields = (
            flow.source.packed
            + flow.destination.packed
            + flow.source_port.to_bytes(2, "big")
            + bytes(2)
            + port.to_bytes(2, "big")
            + bytes(2)
        )
        trace = evaluate(made.intent, flow)
        assert str(trace.outbound) == every[member_index(fields, 5)]
        seen.add(str(trace.outbound))
    assert seen == set(every)


def test_a_nat_gateway_without_addresses_is_none() -> None:
    made = draft("own")
    made.gateway("gw", "hub/front")
    trace = evaluate(made.intent, made.flow(f"icmp 10.0.1.4 > {FAR}"))
    assert outcome(trace) == f"{Egress.OWN_ADDRESS} {OWN}"


def test_the_internet_sees_a_port_of_the_range_or_the_senders_own() -> None:
    made = draft("rule:All")
    flow = made.flow(f"tcp 10.0.1.4 > {FAR} 443")
    trace = evaluate(made.intent, flow)
    assert trace.verdict is Verdict.LEFT_TO_INTERNET
    assert trace.way_out
    assert trace.way_out.ports == (1024, 2047)
    assert (str(trace.arrival.source), trace.arrival.source_port) == (RULE, 1024)
    assert trace.flow == flow
    assert not trace.way_out.keeps_port(flow)
    assert trace.way_out.applied(replace(flow, source_port=2047)).source_port == 2047
    kept = evaluate(draft("own").intent, flow)
    assert kept.way_out
    assert kept.way_out.ports is None
    assert kept.arrival.source_port == flow.source_port


def test_the_way_out_is_that_of_the_sources_own_subnet_also_through_an_appliance() -> None:
    made = draft("udr:10.0.9.4", "nat")
    assert outcome(evaluate(made.intent, made.flow(f"tcp 10.0.1.4 > {FAR} 443"))) == f"{Egress.NAT_GATEWAY} {GATEWAY}"


def test_a_member_that_finds_no_ports_is_told_so() -> None:
    made = draft("rule:Tcp")
    made.balancer("out", "rule", outbound={"o": "Tcp f0 64000"})
    made.nic("zero", "hub/front", "10.0.1.3")
    made.join("zero", "out")
    trace = evaluate(made.intent, made.flow(f"tcp 10.0.1.4 > {FAR} 443"))
    assert trace.culprit
    assert trace.culprit.reason.endswith("outbound rule out/o has no ports left for it")
    assert evaluate(made.intent, made.flow(f"tcp 10.0.1.3 > {FAR} 443")).outbound
