"""What rules of load balancers become in the kernel: the parts that packets would show only after minutes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from podvnet.model.kernel import Chain, Program
from podvnet.model.load_balancer import BalancingRule, InboundNatRule, Transport
from podvnet.plan.balancing_program import compile_nat_rule, compile_rule
from podvnet.testing.balancing_draft import part
from podvnet.testing.draft import network_id

HUB, MEMBER = network_id("virtualNetworks", "hub"), ip_address("10.0.1.4")
FRONT = part("lb", "frontendIPConfigurations", "f0")
WEB = BalancingRule(part("lb", "loadBalancingRules", "web"), FRONT, Transport.TCP, 80, 8080, idle_timeout=1800)
SSH = InboundNatRule(part("lb", "inboundNatRules", "ssh"), FRONT, Transport.TCP, 22, 2222, 2222)
DROPPED, RESET = "counter name idle_flow drop", "reject with tcp reset"


def lines(program: Program) -> list[str]:
    (objects,) = program.values()
    (text,) = (each.text for each in objects if isinstance(each, Chain))
    return text.split("\n")


def of_rule(rule: BalancingRule) -> list[str]:
    return lines(compile_rule(HUB, rule, 4, (MEMBER,)))


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        (WEB, DROPPED),
        (replace(WEB, tcp_reset=True), RESET),
        (replace(WEB, protocol=Transport.ALL, frontend_port=0, backend_port=0, tcp_reset=True), DROPPED),
    ],
    ids=["in silence", "with a reset", "HA ports know no reset"],
)
def test_how_a_flow_that_is_not_known_ends(rule: BalancingRule, end: str) -> None:
    assert of_rule(rule)[0] == f"\t\ttcp flags & (fin | syn | rst | ack) != syn {end}"


@pytest.mark.parametrize(("tcp_reset", "end"), [(False, DROPPED), (True, RESET)])
def test_so_it_ends_by_an_inbound_nat_rule(tcp_reset: bool, end: str) -> None:
    made = compile_nat_rule(HUB, replace(SSH, tcp_reset=tcp_reset), 4, ((2222, MEMBER),))
    assert lines(made)[0].endswith(end)


def test_only_tcp_has_the_timeout_of_the_rule() -> None:
    assert 'meta l4proto tcp ct timeout set "idle4-1800" dnat ip to 10.0.1.4:8080' in of_rule(WEB)[1]
    assert "timeout" not in of_rule(replace(WEB, protocol=Transport.UDP))[1]
