"""Security groups as packets see them: rules in order, what they match, what they decide.

Source: Azure document "Network security groups": fields, order by priority, the default rules as the last ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Prefix
from podvnet.model.resource_id import ResourceId


class Direction(StrEnum):
    """Seen from the NIC: into it or out of it."""

    INBOUND = "Inbound"
    OUTBOUND = "Outbound"


class Protocol(StrEnum):
    """What a rule can name."""

    TCP = "Tcp"
    UDP = "Udp"
    ICMP = "Icmp"
    ESP = "Esp"
    AH = "Ah"
    ANY = "*"


PROTOCOL_NUMBERS = {
    Protocol.TCP: (6,),
    Protocol.UDP: (17,),
    Protocol.ICMP: (1, 58),
    Protocol.ESP: (50,),
    Protocol.AH: (51,),
}
"""IP protocol numbers, of both families. Source: IANA "Assigned Internet Protocol Numbers"."""

PortRange = tuple[int, int]
"""First and last port."""
ALL_PORTS: tuple[PortRange, ...] = ((0, 65535),)


@dataclass(frozen=True, slots=True)
class Side:
    """The source or the destination of a rule: one of prefixes, a service tag, groups; all when none is given.

    Attributes:
        prefixes: addresses and prefixes of one family; a tag may stand beside them.
        tag: a service tag, with its region.
        groups: application security groups, of whose members the address must be one.
        ports: ranges; all of them by default.
    """

    prefixes: tuple[Prefix, ...] = ()
    tag: str = ""
    groups: tuple[ResourceId, ...] = ()
    ports: tuple[PortRange, ...] = ALL_PORTS

    @property
    def is_any_address(self) -> bool:
        """Every address of every family matches."""
        return not (self.prefixes or self.tag or self.groups)

    @property
    def is_any_port(self) -> bool:
        """Every port matches, and so do protocols without ports."""
        return self.ports == ALL_PORTS


@dataclass(frozen=True, slots=True)
class SecurityRule:
    """One rule. ``name`` is as IP flow verify gives it: ``securityRules/x`` or ``defaultSecurityRules/x``."""

    name: str
    priority: int
    direction: Direction
    allow: bool
    protocol: Protocol
    source: Side
    destination: Side


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A network security group.

    Attributes:
        id: the group's.
        rules: those of its user and the default ones, by priority.
        flush: a change of the rules ends established flows that they do not allow any more.
    """

    id: ResourceId
    rules: tuple[SecurityRule, ...]
    flush: bool = False

    def towards(self, direction: Direction) -> tuple[SecurityRule, ...]:
        """The rules of one direction, first match first."""
        return tuple(rule for rule in self.rules if rule.direction is direction)
