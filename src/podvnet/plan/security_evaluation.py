"""Which rule of a security group decides about a packet.

Source: Azure documents "Network security groups" and "How network security groups filter network traffic".
"""

from __future__ import annotations

from collections.abc import Iterator

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS, Address
from podvnet.model.flow import PORTED, Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.resource_id import ResourceId
from podvnet.model.security import PROTOCOL_NUMBERS, Direction, PortRange, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.service_tag import INTERNET, PLATFORM_DNS, PLATFORM_IMDS, VIRTUAL_NETWORK, tag_prefixes
from podvnet.model.verdict import Check, Hop
from podvnet.plan.address_space import holds
from podvnet.plan.topology import Topology, Vantage

_DNS_PORT = 53
_PORTLESS = frozenset({Protocol.ICMP, Protocol.ESP, Protocol.AH})


def groups_of(
    topology: Topology, nic: NetworkInterface, direction: Direction
) -> Iterator[tuple[ResourceId, SecurityGroup]]:
    """The groups a packet meets at a NIC, in order, each with the NIC or subnet that has it."""
    subnet = topology.vantage(nic).subnet
    levels = [(nic.id, nic.security_group), (subnet.id, subnet.security_group)]
    for where, group in levels if direction is Direction.OUTBOUND else reversed(levels):
        if group is not None:
            yield where, topology.intent.security_groups[group.key]


def deciding_rule(
    topology: Topology, vantage: Vantage, group: SecurityGroup, direction: Direction, flow: Flow
) -> SecurityRule:
    """The first rule of a group that matches; the default rules, which every group ends with, match all.

    Args:
        topology: who is in which application security group.
        vantage: of the subnet that the group filters for.
        group: the group.
        direction: as the NIC sees it.
        flow: the packet.
    """
    return next(rule for rule in group.towards(direction) if matches(topology, vantage, rule, flow))


def matches(topology: Topology, vantage: Vantage, rule: SecurityRule, flow: Flow) -> bool:
    """Tell whether a rule is about a packet that the network carries."""
    return (
        _is_of_protocol(rule, flow)
        and _is_of_side(topology, vantage, rule.source, flow.source)
        and _is_of_side(topology, vantage, rule.destination, flow.destination)
    )


def platform_refusal(topology: Topology, vantage: Vantage, group: SecurityGroup, flow: Flow) -> SecurityRule | None:
    """The rule that forbids a packet to the platform: only one that denies a tag of the platform can.

    Source: Azure document "Virtual network service tags", AzurePlatformDNS and AzurePlatformIMDS.
    """
    for rule in group.towards(Direction.OUTBOUND):
        if (
            not rule.allow
            and _is_platform_service(rule.destination.tag, flow)
            and _is_of_protocol(rule, flow)
            and _is_of_side(topology, vantage, rule.source, flow.source)
        ):
            return rule
    return None


def rule_hop(where: ResourceId, group: SecurityGroup, rule: SecurityRule, cure: str = "") -> Hop:
    """What a rule decides, for the NIC or subnet that has its group."""
    access = "Allow" if rule.allow else "Deny"
    reason = f"{rule.direction.lower()} {rule.name} of {group.id.name} (priority {rule.priority}, {access})"
    return Hop(where, Check.SECURITY_RULE, rule.allow, reason, group=group.id, rule=rule, remedy=cure)


def _is_platform_service(tag: str, flow: Flow) -> bool:
    if tag == PLATFORM_IMDS:
        return flow.destination == IMDS_ADDRESS
    if tag == PLATFORM_DNS:
        return flow.destination == WIRESERVER_ADDRESS and flow.destination_port == _DNS_PORT
    return False


def _is_of_protocol(rule: SecurityRule, flow: Flow) -> bool:
    """Protocol and ports: a rule that restricts ports is about TCP and UDP alone, one of ICMP has no ports."""
    if rule.protocol is not Protocol.ANY and flow.protocol not in PROTOCOL_NUMBERS[rule.protocol]:
        return False
    if rule.protocol in _PORTLESS or (rule.source.is_any_port and rule.destination.is_any_port):
        return True
    return (
        flow.protocol in PORTED
        and _is_in(rule.source.ports, flow.source_port)
        and _is_in(rule.destination.ports, flow.destination_port)
    )


def _is_in(ranges: tuple[PortRange, ...], port: int) -> bool:
    return any(first <= port <= last for first, last in ranges)


def _is_of_side(topology: Topology, vantage: Vantage, side: Side, address: Address) -> bool:
    return (
        side.is_any_address
        or holds(side.prefixes, address)
        or (bool(side.tag) and _has_tag(vantage, side.tag, address))
        or any(address in topology.members(group, vantage.network.id) for group in side.groups)
    )


def _has_tag(vantage: Vantage, tag: str, address: Address) -> bool:
    if tag == VIRTUAL_NETWORK:
        return holds(vantage.virtual_network, address)
    if tag == INTERNET:
        return not holds(vantage.virtual_network, address)
    return holds(tag_prefixes(tag), address)
