"""Security groups as chains of nftables rules.

A group becomes one chain a direction, in the order of priorities: an allowing rule returns to whoever jumped there, so
that the next group is asked; a denying one drops. What a group means depends on the subnet it is used in, because the
service tags VirtualNetwork and Internet do. A chain never changes: a changed group is a chain of another name, and one
transaction lets all its interfaces jump there.

Sources: Azure documents "Network security groups" and "How network security groups filter network traffic"; nft(8).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS, Prefix
from podvnet.model.kernel import Chain
from podvnet.model.resource_id import ResourceId
from podvnet.model.security import PROTOCOL_NUMBERS, Direction, PortRange, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.service_tag import (
    INTERNET,
    PLATFORM_DNS,
    PLATFORM_IMDS,
    PLATFORM_LICENSING,
    VIRTUAL_NETWORK,
    tag_prefixes,
)
from podvnet.plan.address_space import collapsed
from podvnet.plan.flow_log_prefix import log_statement
from podvnet.plan.names import TABLE

_PORTED = "tcp, udp"
_PLATFORM = {
    PLATFORM_DNS: f"ip daddr {WIRESERVER_ADDRESS} meta l4proto {{ {_PORTED} }} th dport 53",
    PLATFORM_IMDS: f"ip daddr {IMDS_ADDRESS}",
}
"""What the tags of the platform's own services mean. Licensing is served to Windows only: nothing here."""
_PLATFORM_TAGS = {PLATFORM_DNS, PLATFORM_IMDS, PLATFORM_LICENSING}
_FAMILIES = {4: "ip", 6: "ip6"}
_FAMILY_NAMES = {4: "ipv4", 6: "ipv6"}
_ANY_VERSION = (0, 4, 6)
"""Of the sides of a rule; 0 where every address is meant."""
_READABLE = 40


@dataclass(frozen=True, slots=True)
class GroupChains:
    """The chains of a group in one kind of subnet. ``platform`` is None when no rule denies the platform's services."""

    inbound: Chain
    outbound: Chain
    platform: Chain | None

    @property
    def all(self) -> tuple[Chain, ...]:
        """Those there are."""
        return tuple(chain for chain in (self.inbound, self.outbound, self.platform) if chain)


def compile_group(group: SecurityGroup, virtual_network: tuple[Prefix, ...], *, logged: bool = False) -> GroupChains:
    """The chains of a group.

    Args:
        group: the group.
        virtual_network: what the tag VirtualNetwork means where it is used.
        logged: every decision is logged, for a flow log.
    """

    def decide(rule: SecurityRule) -> str:
        return _decision(rule, f"{log_statement(group.id, rule)} " if logged else "")

    platform = [
        " ".join(part for part in (source, _PLATFORM[each.destination.tag], _transport(each), decide(each)) if part)
        for each in group.towards(Direction.OUTBOUND)
        if each.destination.tag in _PLATFORM
        for version, source in _matches(each.source, "saddr", virtual_network)
        if version != 6
    ]
    return GroupChains(
        _chain(group, "in", _rules(group.towards(Direction.INBOUND), virtual_network, decide)),
        _chain(group, "out", _rules(group.towards(Direction.OUTBOUND), virtual_network, decide)),
        _chain(group, "platform", platform) if platform else None,
    )


def inbound_rules(group: SecurityGroup, virtual_network: tuple[Prefix, ...], version: int) -> tuple[str, ...]:
    """The rules of a group about packets of one IP version that arrive, each as one rule of nftables.

    Args:
        group: the group.
        virtual_network: what the tag VirtualNetwork means where it is used.
        version: 4 or 6.
    """
    return tuple(_rules(group.towards(Direction.INBOUND), virtual_network, _decision, {0, version}))


def _decision(rule: SecurityRule, log: str = "") -> str:
    return f'counter {log}{"return" if rule.allow else "drop"} comment "{rule.name}"'


def members_set(group: ResourceId, version: int) -> str:
    """The name of the set of an application security group's addresses of one IP version."""
    return f"asg-{_readable(group)}-{_hashed(group.key)}-{version}"


def asked_groups(group: SecurityGroup) -> set[ResourceId]:
    """The application security groups that the rules of a group name."""
    return {each for rule in group.rules for side in (rule.source, rule.destination) for each in side.groups}


def _chain(group: SecurityGroup, purpose: str, rules: Iterable[str]) -> Chain:
    text = "".join(f"\t\t{rule}\n" for rule in rules)
    return Chain(TABLE, f"nsg-{purpose}-{_readable(group.id)}-{_hashed(group.id.key + text)}", text)


def _readable(resource: ResourceId) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", resource.name)[:_READABLE]


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rules(
    rules: Iterable[SecurityRule],
    virtual_network: tuple[Prefix, ...],
    decide: Callable[[SecurityRule], str],
    versions: Container[int] = _ANY_VERSION,
) -> Iterator[str]:
    for rule in rules:
        sources = _matches(rule.source, "saddr", virtual_network)
        destinations = _matches(rule.destination, "daddr", virtual_network)
        for version, source in sources:
            for other, destination in destinations:
                if (not version or not other or version == other) and version in versions and other in versions:
                    parts = (source, destination, _transport(rule), decide(rule))
                    yield " ".join(part for part in parts if part)


def _matches(side: Side, field: str, virtual_network: tuple[Prefix, ...]) -> list[tuple[int, str]]:
    """The addresses of a side as matches, each with its IP version; 0 and nothing where every address is meant."""
    if side.is_any_address:
        return [(0, "")]
    if side.groups:
        return [
            (version, f"{family} {field} @{members_set(group, version)}")
            for group in side.groups
            for version, family in _FAMILIES.items()
        ]
    prefixes = list(side.prefixes)
    found: list[tuple[int, str]] = []
    if side.tag == VIRTUAL_NETWORK:
        prefixes += virtual_network
    elif side.tag == INTERNET:
        found += (match for version in _FAMILIES for match in _outside(virtual_network, version, field))
    elif side.tag not in _PLATFORM_TAGS:
        prefixes += tag_prefixes(side.tag)
    return found + [match for version in _FAMILIES for match in _inside(collapsed(prefixes), version, field)]


def _inside(prefixes: tuple[Prefix, ...], version: int, field: str) -> Iterator[tuple[int, str]]:
    chosen = [prefix for prefix in prefixes if prefix.version == version]
    if any(prefix.prefixlen == 0 for prefix in chosen):
        yield version, f"meta nfproto {_FAMILY_NAMES[version]}"
    elif chosen:
        yield version, f"{_FAMILIES[version]} {field} {{ {', '.join(map(str, chosen))} }}"


def _outside(prefixes: tuple[Prefix, ...], version: int, field: str) -> Iterator[tuple[int, str]]:
    chosen = [prefix for prefix in prefixes if prefix.version == version]
    if not chosen:
        yield version, f"meta nfproto {_FAMILY_NAMES[version]}"
    elif all(prefix.prefixlen for prefix in chosen):
        yield version, f"{_FAMILIES[version]} {field} != {{ {', '.join(map(str, chosen))} }}"


def _transport(rule: SecurityRule) -> str:
    """The protocol and the ports. Ports restrict a rule to protocols that have some."""
    ports = " ".join(
        f"th {field} {{ {', '.join(map(_ports, side.ports))} }}"
        for field, side in (("sport", rule.source), ("dport", rule.destination))
        if not side.is_any_port
    )
    if rule.protocol in {Protocol.TCP, Protocol.UDP}:
        return f"meta l4proto {rule.protocol.lower()} {ports}".rstrip()
    if rule.protocol is Protocol.ANY:
        return f"meta l4proto {{ {_PORTED} }} {ports}" if ports else ""
    return f"meta l4proto {{ {', '.join(map(str, PROTOCOL_NUMBERS[rule.protocol]))} }}"


def _ports(ports: PortRange) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"
