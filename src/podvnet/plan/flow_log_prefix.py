"""What a rule of a security group writes before each packet it logs: who decided what.

``A I 0f1e2d3c4b5a/UserRule_web``: A for allowed or D for denied; I for inbound or O for outbound; the group; the rule,
as flow logs name it. The kernel keeps 127 characters, and a group and a rule may each have 80, so the group stands as a
digest of its id, which is also unambiguous where its name is not: in two resource groups. A rule's chain serves every
NIC that has the group, so the NIC is not in it: it is that of the interface the packet came in by when the direction is
outbound, and of the one it leaves by when it is inbound, and both are logged with the packet.

Sources: Linux ``NF_LOG_PREFIXLEN``; Azure document "Flow logging for network security groups" for names of rules.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from podvnet.model.resource_id import ResourceId
from podvnet.model.security import Direction, SecurityRule

LOG_GROUP = 64
"""The group of the kernel's packet log that flow logs listen to."""
PREFIX_LENGTH = 127

_KINDS = {"securityRules": "UserRule_", "defaultSecurityRules": "DefaultRule_"}
_DIRECTIONS = {"I": Direction.INBOUND, "O": Direction.OUTBOUND}
_LETTERS = {direction: letter for letter, direction in _DIRECTIONS.items()}
_DIGITS = 12
_FORM = re.compile(rf"([AD]) ([IO]) ([0-9a-f]{{{_DIGITS}}})/(\S+)")


@dataclass(frozen=True, slots=True)
class FlowDecision:
    """What a rule decided about a flow.

    Attributes:
        allow: what it decided.
        direction: of the rule.
        group: the digest of the group's id, see :func:`group_digest`.
        rule: as flow logs name it, e.g. ``UserRule_web`` or ``DefaultRule_DenyAllInBound``.
    """

    allow: bool
    direction: Direction
    group: str
    rule: str


def group_digest(group: ResourceId) -> str:
    """What a group is known by in prefixes: twelve hexadecimal digits."""
    return hashlib.sha256(group.key.encode()).hexdigest()[:_DIGITS]


def log_statement(group: ResourceId, rule: SecurityRule) -> str:
    """The nftables statement that logs what a rule matches; it stands before the rule's verdict."""
    return f'log prefix "{flow_log_prefix(group, rule)}" group {LOG_GROUP}'


def flow_log_prefix(group: ResourceId, rule: SecurityRule) -> str:
    """The prefix of what a rule logs: at most :data:`PREFIX_LENGTH` characters for names that Azure accepts."""
    kind, _, name = rule.name.rpartition("/")
    decision = "A" if rule.allow else "D"
    return f"{decision} {_LETTERS[rule.direction]} {group_digest(group)}/{_KINDS[kind]}{name}"


def parse_flow_log_prefix(prefix: str) -> FlowDecision | None:
    """Read a prefix; None for one that somebody else's rule wrote."""
    found = _FORM.fullmatch(prefix)
    if found is None:
        return None
    decision, letter, group, rule = found.groups()
    return FlowDecision(decision == "A", _DIRECTIONS[letter], group, rule)
