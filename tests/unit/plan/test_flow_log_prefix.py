from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.security import Direction, Protocol, SecurityRule, Side
from podvnet.plan.flow_log_prefix import (
    PREFIX_LENGTH,
    FlowDecision,
    flow_log_prefix,
    group_digest,
    log_statement,
    parse_flow_log_prefix,
)

NAMES = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?", fullmatch=True)


def group(name: str, resource_group: str = "podvnet") -> ResourceId:
    return make(Scope(resource_group=resource_group), "Microsoft.Network/networkSecurityGroups", name)


def rule(name: str, *, allow: bool = True, direction: Direction = Direction.INBOUND) -> SecurityRule:
    return SecurityRule(name, 100, direction, allow, Protocol.TCP, Side(), Side())


@given(
    name=NAMES,
    of=NAMES,
    kind=st.sampled_from([("securityRules", "UserRule_"), ("defaultSecurityRules", "DefaultRule_")]),
    allow=st.booleans(),
    direction=st.sampled_from(Direction),
)
def test_what_is_written_is_read_back_and_the_kernel_keeps_all_of_it(
    name: str, of: str, kind: tuple[str, str], allow: bool, direction: Direction
) -> None:
    prefix = flow_log_prefix(group(of), rule(f"{kind[0]}/{name}", allow=allow, direction=direction))
    assert len(prefix) <= PREFIX_LENGTH
    assert parse_flow_log_prefix(prefix) == FlowDecision(allow, direction, group_digest(group(of)), kind[1] + name)


def test_groups_of_one_name_in_two_resource_groups_are_told_apart() -> None:
    assert group_digest(group("web")) != group_digest(group("web", "other"))
    assert group_digest(group("web")) == group_digest(group("WEB"))


def test_the_statement_is_what_nft_understands() -> None:
    denial = rule("defaultSecurityRules/DenyAllInBound", allow=False)
    digest = group_digest(group("web"))
    assert log_statement(group("web"), denial) == f'log prefix "D I {digest}/DefaultRule_DenyAllInBound" group 64'


@pytest.mark.parametrize(
    "prefix", ["", "A", "X I 0123456789ab/UserRule_a", "A X 0123456789ab/UserRule_a", "A I web/UserRule_a", "A I 0/"]
)
def test_a_prefix_of_somebody_elses_is_none(prefix: str) -> None:
    assert parse_flow_log_prefix(prefix) is None
