"""Which established flows through a load balancer end because of what has become of the member they came to.

A member whose probe fails, or whose VM stops, keeps its TCP flows; UDP flows go to another member, or nowhere when
there is none. A member that is taken out of rotation by its administrative state loses both.

Sources: Azure documents "Load Balancer health probes" (probe down behaviour) and "Administrative state".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from podvnet.model.address import Address
from podvnet.model.flow import UDP, Flow
from podvnet.model.intent import Intent
from podvnet.model.load_balancer import AdminState, BalancingRule, LoadBalancer
from podvnet.model.resource_id import ResourceId
from podvnet.plan.backends import Backends
from podvnet.plan.outbound_ports import PROTOCOLS

Way = tuple[int, Address, int, Address]
"""How flows came to a member: IP protocol, the frontend's address and port (0 for any), the member's address."""


def stranded(before: Intent, after: Intent) -> dict[ResourceId, set[Way]]:
    """By virtual network, the ways whose flows end.

    Args:
        before: what was the case when flows were last ended so; where nothing has changed, nothing is looked at.
        after: what is the case now.
    """
    found: dict[ResourceId, set[Way]] = {}
    old, new = Backends(before), Backends(after)
    flipped = {probe for probe, _ in before.healthy ^ after.healthy}
    members_differ = _differ(before.machines, after.machines) or _differ(before.nics, after.nics)
    for key, balancer in after.load_balancers.items():
        same = before.load_balancers.get(key) is balancer and not members_differ
        if same and flipped.isdisjoint(probe.id for probe in balancer.probes):
            continue
        network = new.network(balancer) or old.network(balancer)
        if network:
            for rule in balancer.rules:
                found.setdefault(network, set()).update(_of_rule(old, new, balancer, rule))
    return {network: ways for network, ways in found.items() if ways}


def _differ(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    """Whether values are other objects than before: what has not changed is the same one."""
    return before.keys() != after.keys() or any(before[key] is not value for key, value in after.items())


def is_stranded(first: Flow, answer: Flow, ways: set[Way]) -> bool:
    """Whether a connection, by its first packet and an answer before translation, came one of the ways."""
    return any((first.protocol, first.destination, port, answer.source) in ways for port in (first.destination_port, 0))


def _of_rule(old: Backends, new: Backends, balancer: LoadBalancer, rule: BalancingRule) -> Iterator[Way]:
    if rule.pool is None:
        return
    frontend = next(each for each in balancer.frontends if each.id == rule.frontend)
    members = {member.address: member for member in (*old.members(rule.pool), *new.members(rule.pool))}
    for address in new.addresses(frontend):
        receiving = {member.address for member in new.receivers(balancer, rule, address.version)}
        for member in members.values():
            if member.address.version == address.version and member.address not in receiving:
                for protocol in PROTOCOLS[rule.protocol]:
                    if protocol == UDP or member.state is AdminState.DOWN:
                        yield protocol, address, rule.frontend_port, member.address
