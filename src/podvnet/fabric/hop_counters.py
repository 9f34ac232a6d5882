"""The kernel's counters beside the decisions of a trace: how many packets have met each so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from podvnet.model.address import Prefix
from podvnet.model.resource_id import ResourceId
from podvnet.model.security import Direction
from podvnet.model.verdict import Check, Hop, Trace
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.logged_groups import logged_groups
from podvnet.plan.security_program import compile_group

_DROPS = {
    Check.SPOOFING: "spoofed",
    Check.CARRIED: "unsupported_protocol",
    Check.NAT_GATEWAY: "nat_unsupported",
    Check.OUTBOUND: "no_outbound",
    Check.PUBLIC_ADDRESS: "uninvited",
    Check.BACKEND: "no_backend",
    Check.OWNER: "unowned",
    Check.OPEN: "closed",
    Check.GATEWAY: "foreign_source",
}
"""By check, what the rules of a virtual network count its drops as."""

Counters = Callable[[str], dict[str, int]]
"""The named counters of a namespace."""
RuleCounters = Callable[[str, str], dict[str, int]]
"""By name of the rule, what a chain of a namespace has counted."""


class HopCounters:
    """Fills in the counters of traces.

    Args:
        evaluator: whose traces they are.
        counters: reads the named counters of a namespace.
        rules: reads those of a chain's rules.
    """

    def __init__(self, evaluator: Evaluator, counters: Counters, rules: RuleCounters) -> None:
        self._evaluator = evaluator
        self._counters = counters
        self._rules = rules

    def counted(self, trace: Trace) -> Trace:
        """The trace with a counter at every decision that the kernel counts."""
        return replace(trace, hops=tuple(replace(hop, counter=self._count(hop)) for hop in trace.hops))

    def _count(self, hop: Hop) -> int | None:
        intent = self._evaluator.intent
        network = self._network_of(hop.where)
        if network is None:
            return None
        label = names.network_namespace(network)
        if hop.group and hop.rule:
            meaning = self._meaning(hop.where)
            if meaning is None:
                return None
            group = intent.security_groups[hop.group.key]
            chains = compile_group(group, meaning, logged=hop.group in logged_groups(intent))
            inbound = hop.rule.direction is Direction.INBOUND
            return self._rules(label, (chains.inbound if inbound else chains.outbound).name).get(hop.rule.name)
        if hop.allowed:
            return None
        if hop.check is Check.FRONTEND:
            balancer = intent.load_balancers[hop.where.top.key]
            return self._counters(label).get("uninvited" if balancer.is_public else "no_frontend_rule")
        return self._counters(label).get(_DROPS[hop.check]) if hop.check in _DROPS else None

    def _meaning(self, where: ResourceId) -> tuple[Prefix, ...] | None:
        """What the tag VirtualNetwork means at a NIC or subnet."""
        for nic in self._evaluator.intent.nics.values():
            if where in {nic.id, nic.subnet}:
                return self._evaluator.topology.vantage(nic).virtual_network
        return None

    def _network_of(self, where: ResourceId) -> ResourceId | None:
        """The virtual network that a NIC, a subnet, a peering or a part of a load balancer is of."""
        topology = self._evaluator.topology
        intent = topology.intent
        if where.key in intent.nics:
            return intent.nics[where.key].virtual_network
        if where.top.key in intent.load_balancers:
            return topology.backends.network(intent.load_balancers[where.top.key])
        if where.key in intent.nat_gateways:
            networks = intent.virtual_networks.values()
            subnets = (subnet for network in networks for subnet in network.subnets)
            return next((subnet.id.top for subnet in subnets if subnet.nat_gateway == where), None)
        return where.top if where.top.key in intent.virtual_networks else None
