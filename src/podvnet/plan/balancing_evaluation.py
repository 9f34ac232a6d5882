"""Where a load balancer leads a packet: the rule that is about it, the member that gets it.

A flow's member follows from a hash of what it is known by, so it is the same one as long as the same members get new
flows.

Sources: Azure documents "Azure Load Balancer components", "Azure Load Balancer distribution modes", "Floating IP
configuration", "High availability ports overview", "Inbound NAT rules".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Address
from podvnet.model.flow import PORTED, TCP, UDP, Flow
from podvnet.model.flow_hash import member_index
from podvnet.model.load_balancer import AdminState, BalancingRule, Distribution, InboundNatRule, LoadBalancer, Transport
from podvnet.model.verdict import Check, Hop
from podvnet.plan.backends import Backends, Member
from podvnet.plan.dropped import DroppedError
from podvnet.plan.entrances import Entrance
from podvnet.plan.remedy import named, spoken

Rule = BalancingRule | InboundNatRule


@dataclass(frozen=True, slots=True)
class Choice:
    """The member that gets a packet, and the port that it gets it at."""

    member: Member
    port: int


def rule_for(entrance: Entrance, flow: Flow) -> tuple[Rule, Hop]:
    """The rule about a packet to a frontend: an inbound NAT rule, then one of the port, then one of all ports.

    Raises:
        DroppedError: there is none.
    """
    balancer, frontend = entrance.balancer, entrance.frontend
    rules: list[Rule] = [*balancer.nat_rules, *sorted(balancer.rules, key=lambda rule: rule.protocol is Transport.ALL)]
    found = next((rule for rule in rules if rule.frontend == frontend.id and _is_about(rule, flow)), None)
    if found:
        return found, Hop(found.id, Check.FRONTEND, True, f"is about {spoken(flow)} to {flow.destination}")
    reason = f"no rule is about {spoken(flow)}"
    raise DroppedError(Hop(frontend.id, Check.FRONTEND, False, reason, remedy=_against_no_rule(entrance, rules, flow)))


def choice(backends: Backends, entrance: Entrance, rule: Rule, flow: Flow) -> tuple[Choice, Hop]:
    """The member that a rule leads a packet to.

    Raises:
        DroppedError: no member gets new flows.
    """
    if isinstance(rule, InboundNatRule):
        member = _mapped(backends, rule, flow)
        return Choice(member, rule.backend_port), Hop(
            rule.id, Check.BACKEND, True, f"leads to {member.address}, port {rule.backend_port}"
        )
    receivers = backends.receivers(entrance.balancer, rule, flow.destination.version)
    if not receivers or rule.pool is None:
        raise DroppedError(_no_receiver(backends, entrance.balancer, rule, flow))
    member = receivers[member_index(hashed(flow, rule.distribution), len(receivers))]
    port = rule.backend_port or flow.destination_port
    reason = f"{member.address} is the one of {len(receivers)} that get new flows for whom the hash is"
    return Choice(member, port), Hop(rule.pool, Check.BACKEND, True, reason)


def hashed(flow: Flow, distribution: Distribution) -> bytes:
    """What of a packet decides about the member: fields in network order, each padded to four bytes."""
    addresses = flow.source.packed + flow.destination.packed
    match distribution:
        case Distribution.FIVE_TUPLE if flow.protocol in PORTED:
            return addresses + _padded(flow.source_port) + _padded(flow.destination_port)
        case Distribution.SOURCE_PROTOCOL:
            return addresses + bytes([flow.protocol, 0, 0, 0])
    return addresses


def _padded(port: int) -> bytes:
    return port.to_bytes(2, "big") + bytes(2)


def _is_about(rule: Rule, flow: Flow) -> bool:
    if isinstance(rule, InboundNatRule):
        return _is_spoken(rule.protocol, flow) and rule.first_port <= flow.destination_port <= rule.last_port
    if rule.protocol is Transport.ALL:
        return True
    return _is_spoken(rule.protocol, flow) and rule.frontend_port == flow.destination_port


def _is_spoken(protocol: Transport, flow: Flow) -> bool:
    return flow.protocol in {Transport.TCP: {TCP}, Transport.UDP: {UDP}, Transport.ALL: PORTED}[protocol]


def _mapped(backends: Backends, rule: InboundNatRule, flow: Flow) -> Member:
    """The member that a port of an inbound NAT rule is for."""
    if rule.pool is None:
        found = backends.target(rule)
        reason = "leads to no ip-configuration of a VM that runs"
        cure = f"Add {named(rule.id)} to an ip-configuration of a NIC whose VM runs."
    else:
        own = next((address for address, port in rule.ports if port == flow.destination_port), None)
        found = next((each for each in backends.members(rule.pool) if each.address == own), None)
        reason = f"port {flow.destination_port} is for no member of {named(rule.pool)} that runs"
        cure = f"Add a member to {named(rule.pool)}, or send to the port of one that it has: {_ports_of(rule)}."
    if found is None:
        raise DroppedError(Hop(rule.id, Check.BACKEND, False, reason, remedy=cure))
    return found


def _ports_of(rule: InboundNatRule) -> str:
    return ", ".join(f"{port} for {address}" for address, port in rule.ports) or "there is none"


def _no_receiver(backends: Backends, balancer: LoadBalancer, rule: BalancingRule, flow: Flow) -> Hop:
    """Why no member gets new flows."""
    version = flow.destination.version
    if rule.pool is None:
        cure = f"Give {named(rule.id)} a backend pool."
        return Hop(rule.id, Check.BACKEND, False, "has no backend pool", remedy=cure)
    members = [each for each in backends.members(rule.pool) if each.address.version == version]
    if not members:
        reason = f"has no member with an IPv{version} address on a VM that runs"
        cure = f"Add an ip-configuration of a NIC whose VM runs to {named(rule.pool)}."
        return Hop(rule.pool, Check.BACKEND, False, reason, remedy=cure)
    if all(each.state is AdminState.DOWN for each in members):
        cure = f"Set adminState of a member of {named(rule.pool)} to None or Up."
        return Hop(rule.pool, Check.BACKEND, False, "the adminState of every member is Down", remedy=cure)
    probe = next(each for each in balancer.probes if each.id == rule.probe)
    what = f"{probe.protocol} port {probe.port}{f' {probe.path}' if probe.path else ''}"
    reason = f"no member is healthy: none answers {named(probe.id)} ({what})"
    cure = f"Let a member of {named(rule.pool)} answer {what}, and its security groups allow AzureLoadBalancer to ask."
    return Hop(rule.pool, Check.BACKEND, False, reason, remedy=cure)


def _against_no_rule(entrance: Entrance, rules: list[Rule], flow: Flow) -> str:
    frontend, balancer = entrance.frontend, entrance.balancer
    if flow.protocol not in PORTED:
        if frontend.public:
            return f"Use TCP or UDP: {named(frontend.id)} is public, and those carry nothing else."
        return f"Use TCP or UDP, or add a load balancing rule for all ports to {named(balancer.id)}."
    known = sorted({_entrance(rule) for rule in rules if rule.frontend == frontend.id})
    others = f", or send to one that it has a rule for: {', '.join(known)}" if known else ""
    return f"Add a load balancing rule for {spoken(flow)} of {named(frontend.id)}{others}."


def _entrance(rule: Rule) -> str:
    first, last = (rule.first_port, rule.last_port) if isinstance(rule, InboundNatRule) else (rule.frontend_port,) * 2
    protocol = "TCP and UDP" if rule.protocol is Transport.ALL else rule.protocol.upper()
    return f"{protocol} {first}{f'-{last}' if last != first else ''}"


def addressed(flow: Flow, address: Address, port: int) -> Flow:
    """A packet with another destination; the port only where the protocol has one."""
    return Flow(
        flow.protocol,
        flow.source,
        address,
        flow.source_port,
        port if flow.protocol in PORTED else flow.destination_port,
    )
