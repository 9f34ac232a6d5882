"""Who stands behind a load balancer, and which of them get new flows.

Sources: Azure documents "Backend pool management", "Load Balancer health probes", "Administrative state".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from podvnet.model.address import Address
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface
from podvnet.model.load_balancer import AdminState, BalancingRule, Frontend, InboundNatRule, LoadBalancer, Probe
from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a backend pool.

    Attributes:
        nic: of the ip-configuration that has the address; None when no VM that runs has it.
        is_primary: it is the first address of its NIC, the only one that a load balancer lends its address to.
    """

    address: Address
    nic: NetworkInterface | None
    is_primary: bool
    state: AdminState = AdminState.NONE


class Backends:
    """The pools of an intent, which must not change meanwhile. Members are in the order of their addresses."""

    def __init__(self, intent: Intent) -> None:
        self._intent = intent

    def members(self, pool: ResourceId) -> tuple[Member, ...]:
        """The members of a pool, of NICs on VMs that run, or addresses that need not be there."""
        return self._members.get(pool.key, ())

    def network(self, balancer: LoadBalancer) -> ResourceId | None:
        """The virtual network that the members of a load balancer are in, and all its frontends if it is internal.

        None while a public one has no members.
        """
        for frontend in balancer.frontends:
            if frontend.subnet:
                return frontend.subnet.parent
        for pool in balancer.pools:
            if pool.virtual_network:
                return pool.virtual_network
            for member in self.members(pool.id):
                if member.nic:
                    return member.nic.virtual_network
        for rule in balancer.nat_rules:
            target = self.target(rule)
            if target and target.nic:
                return target.nic.virtual_network
        return None

    def addresses(self, frontend: Frontend) -> tuple[Address, ...]:
        """What clients of a frontend speak to."""
        if frontend.address:
            return (frontend.address,)
        public = self._intent.public_addresses.get(frontend.public.key) if frontend.public else None
        return tuple(public.addresses) if public else ()

    def receivers(self, balancer: LoadBalancer, rule: BalancingRule, version: int) -> tuple[Member, ...]:
        """The members that get the new flows of a rule, of one IP version."""
        if rule.pool is None:
            return ()
        members = [each for each in self.members(rule.pool) if each.address.version == version]
        members = [each for each in members if each.state is not AdminState.DOWN]
        probe = next((each for each in balancer.probes if each.id == rule.probe), None)
        if probe is None:
            return tuple(members)
        found = tuple(each for each in members if each.state is AdminState.UP or self.is_healthy(probe, each))
        return found or (tuple(members) if probe.all_up else ())

    def is_healthy(self, probe: Probe, member: Member) -> bool:
        """Whether a member answers a probe."""
        return (probe.id, member.address) in self._intent.healthy

    def target(self, rule: InboundNatRule) -> Member | None:
        """The member that an inbound NAT rule to one ip-configuration leads to."""
        return self._targets.get(rule.id.key)

    @cached_property
    def _members(self) -> dict[str, tuple[Member, ...]]:
        found: dict[str, list[Member]] = {}
        for nic in self._running:
            for config in nic.exposed:
                for pool in config.pools:
                    found.setdefault(pool.key, []).append(_member(nic, config))
        for balancer in self._intent.load_balancers.values():
            for written in balancer.pools:
                network = written.virtual_network.key if written.virtual_network else ""
                for each in written.addresses:
                    known = self._by_address.get((network, each.address), Member(each.address, None, is_primary=False))
                    found.setdefault(written.id.key, []).append(replace(known, state=each.state))
        return {key: tuple(sorted(members, key=lambda each: int(each.address))) for key, members in found.items()}

    @cached_property
    def _targets(self) -> dict[str, Member]:
        return {
            rule.key: _member(nic, config)
            for nic in self._running
            for config in nic.exposed
            for rule in config.nat_rules
        }

    @cached_property
    def _by_address(self) -> dict[tuple[str, Address], Member]:
        return {
            (nic.virtual_network.key, config.address): _member(nic, config)
            for nic in self._running
            for config in nic.ip_configurations
        }

    @cached_property
    def _running(self) -> list[NetworkInterface]:
        machines = self._intent.machines.values()
        return [nic for machine in machines if machine.running for nic in self._intent.machine_nics(machine)]


def _member(nic: NetworkInterface, config: IpConfiguration) -> Member:
    return Member(config.address, nic, config is nic.primary(config.address.version))
