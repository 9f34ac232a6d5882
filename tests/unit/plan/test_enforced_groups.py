"""The rules between pods as one transaction: which chains come, in which order they are asked, which go."""

from __future__ import annotations

from ipaddress import ip_network

from podvnet.model.kernel import Chain, Step
from podvnet.model.nic_security import NicSecurity
from podvnet.model.resource_id import Scope, make
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.plan.enforced_groups import group_steps

HERE = (ip_network("10.1.0.0/16"),)


def group(name: str, *, allow: bool = False) -> SecurityGroup:
    rules = tuple(
        SecurityRule(f"securityRules/{direction}", 100, direction, allow, Protocol.ANY, Side(), Side())
        for direction in Direction
    )
    return SecurityGroup(make(Scope(), "Microsoft.Network/networkSecurityGroups", name), rules)


OWN, SHARED = group("own"), group("shared")
AT_FIRST = {"groups", "arrivals", "closed", "from_pod", "between_pods", "pod_to_pod"}


def split(steps: tuple[Step, ...]) -> tuple[dict[str, str], list[str]]:
    """The chains that are written, with their text, and the names of those that go."""
    chains = [(step.add, step.object) for step in steps if isinstance(step.object, Chain)]
    assert len(chains) == len(steps)
    return (
        {chain.name: chain.text for added, chain in chains if added},
        [chain.name for added, chain in chains if not added],
    )


def readable(names: str) -> list[str]:
    """``nsg-out-own-0123456789ab`` is ``out-own``."""
    return [line.strip().removeprefix("jump nsg-").rpartition("-")[0] for line in names.splitlines()]


def test_out_of_the_nic_first_and_into_it_last() -> None:
    added, gone = split(group_steps(NicSecurity(OWN, SHARED, HERE), AT_FIRST))
    assert readable(added["groups"]) == ["out-own", "out-shared", "in-shared", "in-own"]
    assert len(added) == 6
    assert gone == ["closed"]


def test_what_the_vm_translated_is_asked_of_inbound_only() -> None:
    added, _ = split(group_steps(NicSecurity(OWN, SHARED, HERE), AT_FIRST))
    assert readable(added["arrivals"]) == ["in-shared", "in-own"]


def test_the_chains_that_lead_to_others_are_written_after_them() -> None:
    steps = group_steps(NicSecurity(OWN, None, HERE), AT_FIRST)
    written = [step.object.name for step in steps if step.add and isinstance(step.object, Chain)]
    assert written[-2:] == ["groups", "arrivals"]


def test_no_group_filters_nothing() -> None:
    assert split(group_steps(NicSecurity(), AT_FIRST)) == ({"groups": "", "arrivals": ""}, ["closed"])


def test_a_group_at_both_levels_is_written_once_and_asked_twice() -> None:
    added, _ = split(group_steps(NicSecurity(OWN, OWN, HERE), AT_FIRST))
    assert readable(added["groups"]) == ["out-own", "out-own", "in-own", "in-own"]
    assert len(added) == 4


def test_only_what_differs_is_written_and_what_nobody_asks_goes() -> None:
    before, _ = split(group_steps(NicSecurity(OWN, SHARED, HERE), AT_FIRST))
    present = (AT_FIRST - {"closed"}) | before.keys()
    added, gone = split(group_steps(NicSecurity(group("own", allow=True), SHARED, HERE), present))
    assert {name.rpartition("-")[0] for name in added} == {"", "nsg-in-own", "nsg-out-own"}
    assert sorted(gone) == sorted(name for name in before if "-own-" in name)
    assert split(group_steps(NicSecurity(OWN, SHARED, HERE), present)) == (
        {name: before[name] for name in ("groups", "arrivals")},
        [],
    )
