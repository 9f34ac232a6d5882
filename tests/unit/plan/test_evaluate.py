"""Who sends, what the platform answers, and what a trace is like."""

from __future__ import annotations

import time

import pytest

from podvnet.model.verdict import Check, Verdict
from podvnet.plan.evaluate import Evaluator, SenderError, evaluate
from podvnet.testing.draft import Draft


@pytest.fixture
def draft() -> Draft:
    made = Draft()
    made.network("hub", "10.0.0.0/16", "fd00::/48", front="10.0.1.0/24,fd00:0:0:1::/64")
    made.nic("one", "hub/front", "10.0.1.4>203.0.113.1", "10.0.1.5", "fd00:0:0:1::4", machine="web")
    made.nic("spare", "hub/front", "10.0.1.6", machine="web")
    made.nic("gate", "hub/front", "10.0.1.7", forwarding=True)
    made.nic("off", "hub/front", "10.0.1.8", running=False)
    return made


def test_the_sender_is_found_by_its_address(draft: Draft) -> None:
    trace = evaluate(draft.intent, draft.flow("tcp 10.0.1.5 > 10.0.1.7 80"))
    assert [nic.name for nic in trace.nics] == ["one", "gate"]
    assert trace.verdict is Verdict.DELIVERED
    assert trace.culprit is None


def test_nobody_sends_from_an_address_that_no_nic_has(draft: Draft) -> None:
    with pytest.raises(SenderError, match=r"no NIC has the address 10\.0\.1\.99"):
        evaluate(draft.intent, draft.flow("tcp 10.0.1.99 > 10.0.1.7 80"))


def test_an_address_of_two_networks_is_not_guessed(draft: Draft) -> None:
    draft.network("twin", "10.0.0.0/16", front="10.0.1.0/24")
    twin = draft.nic("two", "twin/front", "10.0.1.4")
    draft.nic("three", "twin/front", "10.0.1.9")
    flow = draft.flow("tcp 10.0.1.4 > 10.0.1.9 80")
    with pytest.raises(SenderError, match="several NICs \\(one in hub, two in twin\\)"):
        evaluate(draft.intent, flow)
    assert evaluate(draft.intent, flow, twin).verdict is Verdict.DELIVERED


def test_a_source_that_is_not_the_nics_is_dropped(draft: Draft) -> None:
    one = Evaluator(draft.intent).sender(draft.flow("tcp 10.0.1.4 > 10.0.1.4 1").source)
    culprit = evaluate(draft.intent, draft.flow("tcp 10.0.1.6 > 10.0.1.7 80"), one).culprit
    assert culprit
    assert culprit.check is Check.SPOOFING
    assert culprit.remedy == "Send from an address of NIC one, or enable IP forwarding on it."


def test_a_nic_with_ip_forwarding_sends_from_any_address(draft: Draft) -> None:
    gate = Evaluator(draft.intent).sender(draft.flow("tcp 10.0.1.7 > 10.0.1.4 1").source)
    trace = evaluate(draft.intent, draft.flow("tcp 198.51.100.7 > 10.0.1.4 80"), gate)
    assert trace.verdict is Verdict.DELIVERED


def test_but_not_to_the_platform(draft: Draft) -> None:
    gate = Evaluator(draft.intent).sender(draft.flow("tcp 10.0.1.7 > 10.0.1.4 1").source)
    culprit = evaluate(draft.intent, draft.flow("tcp 10.0.1.4 > 168.63.129.16 80"), gate).culprit
    assert culprit
    assert culprit.check is Check.SPOOFING
    assert culprit.remedy == "Send from an address of NIC gate."


def test_a_stopped_vm_sends_nothing(draft: Draft) -> None:
    culprit = evaluate(draft.intent, draft.flow("tcp 10.0.1.8 > 10.0.1.4 80")).culprit
    assert culprit
    assert culprit.check is Check.SENDER
    assert culprit.remedy == "Start VM off-vm, which NIC off is on."


@pytest.mark.parametrize(
    ("packet", "is_answered"),
    [
        ("tcp 10.0.1.4 > 169.254.169.254 80", True),
        ("tcp 10.0.1.4 > 169.254.169.254 443", False),
        ("udp 10.0.1.4 > 169.254.169.254 80", False),
        ("icmp 10.0.1.4 > 169.254.169.254", False),
        ("tcp 10.0.1.5 > 169.254.169.254 80", False),
        ("tcp 10.0.1.6 > 169.254.169.254 80", False),
        ("tcp 10.0.1.4 > 168.63.129.16 80", True),
        ("tcp 10.0.1.5 > 168.63.129.16 32526", True),
        ("tcp 10.0.1.6 > 168.63.129.16 80", True),
        ("tcp 10.0.1.4 > 168.63.129.16 443", False),
    ],
)
def test_what_the_platform_answers(packet: str, is_answered: bool, draft: Draft) -> None:
    trace = evaluate(draft.intent, draft.flow(packet))
    assert (trace.verdict is Verdict.ANSWERED_BY_PLATFORM) == is_answered
    assert (trace.culprit is None) == is_answered
    assert trace.hops[-1].check is Check.PLATFORM


def test_addresses_of_one_nic_meet_at_the_network(draft: Draft) -> None:
    """Pods of one VM, when their packets go through the network."""
    draft.group("closed", "100 Inbound Deny * 10.0.1.4 * 10.0.1.5 *")
    draft.guard("hub/front", group="closed")
    assert evaluate(draft.intent, draft.flow("tcp 10.0.1.4 > 10.0.1.5 80")).verdict is Verdict.DROPPED
    assert evaluate(draft.intent, draft.flow("tcp 10.0.1.5 > 10.0.1.4 80")).verdict is Verdict.DELIVERED


def test_a_hop_has_a_place_for_a_counter(draft: Draft) -> None:
    trace = evaluate(draft.intent, draft.flow("tcp 10.0.1.4 > 10.0.1.7 80"))
    assert [hop.counter for hop in trace.hops] == [None] * len(trace.hops)


def test_sixteen_thousand_addresses_are_indexed_once() -> None:
    made = Draft()
    made.network("large", "10.0.0.0/8", front="10.0.0.0/9")
    made.group("web", *(f"{number} Inbound Deny Tcp 192.0.2.{number % 256} * * *" for number in range(100, 1000)))
    made.guard("large/front", group="web")
    for host in range(64):
        made.nic(f"nic{host}", "large/front", *(f"10.0.{host}.{each}" for each in range(4, 254)))
    evaluator = Evaluator(made.intent)
    flow = made.flow("tcp 10.0.0.4 > 10.0.63.253 80")
    assert evaluator.evaluate(flow).verdict is Verdict.DELIVERED
    begun = time.process_time()
    for _ in range(10):
        evaluator.evaluate(flow)
    assert time.process_time() - begun < 0.5, "50 ms a packet would be an index a packet"
