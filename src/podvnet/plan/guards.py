"""Which chains and which routing table guard each NIC: security groups and route tables where they are used."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from podvnet.model.address import Prefix
from podvnet.model.intent import Intent, NetworkInterface, VirtualNetwork
from podvnet.model.kernel import Chain
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import GatewayReach, RouteTable
from podvnet.model.security import SecurityGroup
from podvnet.model.subnet import Subnet
from podvnet.plan import names
from podvnet.plan.address_space import virtual_network_prefixes
from podvnet.plan.gateway_routes import GatewayRoutes
from podvnet.plan.logged_groups import logged_groups
from podvnet.plan.network_program import Guard
from podvnet.plan.routing_program import endpoint_places
from podvnet.plan.security_program import GroupChains, asked_groups, compile_group


@dataclass(slots=True)
class Guards:
    """The guards of all NICs of running VMs.

    Attributes:
        chains: by id key of the virtual network and name, the chains that are needed there.
        groups: id key of a virtual network and application security group: those whose members must be known there.
    """

    chains: dict[tuple[str, str], Chain] = field(default_factory=dict)
    groups: dict[tuple[str, ResourceId], None] = field(default_factory=dict)
    by_nic: dict[str, Guard] = field(default_factory=dict)

    def of(self, nic: NetworkInterface) -> Guard:
        """The guard of a NIC."""
        return self.by_nic[nic.id.key]


@dataclass(frozen=True, slots=True, eq=False)
class _Meaning:
    """What VirtualNetwork means in some subnets. One object for equal prefixes: gateways may lead to thousands."""

    prefixes: tuple[Prefix, ...]


_Use = tuple[str, _Meaning, bool]
"""A group's id key, what VirtualNetwork means where it is used, and whether its decisions are logged."""
_Compiled = dict[_Use, tuple[SecurityGroup, GroupChains]]
_Ground = tuple[VirtualNetwork, RouteTable | None, GatewayReach]
"""What a meaning comes from."""


class GuardCompiler:
    """Compiles guards and remembers the chains of groups that have not changed."""

    def __init__(self) -> None:
        self._known: _Compiled = {}
        self._meanings: dict[tuple[str, str], tuple[_Ground, _Meaning]] = {}

    def compile(self, intent: Intent, appliances: Container[str], gateways: GatewayRoutes) -> Guards:
        """The guards of an intent.

        Args:
            intent: what there should be.
            appliances: the id keys of virtual networks that have some.
            gateways: where the intent's gateways lead to.
        """
        guards = Guards()
        known: _Compiled = {}
        logged = logged_groups(intent)
        asked: set[tuple[str, _Use]] = set()
        places = self._subnets(intent, gateways)
        for machine in intent.machines.values():
            if not machine.running:
                continue
            for nic in intent.machine_nics(machine):
                network, subnet, meaning = places[nic.subnet.key]
                found: list[tuple[str, str]] = []
                for group_id, level in ((nic.security_group, "nic"), (subnet.security_group, "subnet")):
                    if group_id is None:
                        continue
                    use = group_id.key, meaning, group_id in logged
                    group = intent.security_groups[group_id.key]
                    compiled = self._compiled(known, group, use)
                    found += _places(level, compiled)
                    if (network.id.key, use) not in asked:
                        asked.add((network.id.key, use))
                        guards.chains |= {(network.id.key, chain.name): chain for chain in compiled.all}
                        guards.groups |= {(network.id.key, each): None for each in asked_groups(group)}
                members = {each for config in nic.ip_configurations for each in config.groups}
                guards.groups |= {(network.id.key, each): None for each in members}
                near = {network.id.key, *(peering.remote.key for peering in network.peerings)}
                zoned = any(key in appliances for key in near)
                guards.by_nic[nic.id.key] = Guard(_table(intent, subnet), tuple(found), zoned)
        self._known = known
        return guards

    def _subnets(self, intent: Intent, gateways: GatewayRoutes) -> dict[str, tuple[VirtualNetwork, Subnet, _Meaning]]:
        """By its id key each subnet, with its virtual network, and what VirtualNetwork means there."""
        equal: dict[tuple[Prefix, ...], _Meaning] = {}
        found: dict[tuple[str, str], tuple[_Ground, _Meaning]] = {}
        places = {}
        for key, network in intent.virtual_networks.items():
            reach = gateways.reach(network.id)
            for subnet in network.subnets:
                table = intent.route_tables[subnet.route_table.key] if subnet.route_table else None
                where = key, table.id.key if table else ""
                before = found.get(where) or self._meanings.get(where)
                if before is None or not _is_same(before[0], (network, table, reach)):
                    equal = equal or {known.prefixes: known for _, known in self._meanings.values()}
                    prefixes = virtual_network_prefixes(network, table, reach)
                    before = (network, table, reach), equal.setdefault(prefixes, _Meaning(prefixes))
                found[where] = before
                places[subnet.id.key] = network, subnet, before[1]
        self._meanings = found
        return places

    def _compiled(self, known: _Compiled, group: SecurityGroup, use: _Use) -> GroupChains:
        if use not in known:
            before = self._known.get(use)
            _, meaning, logged = use
            chains = (
                before[1] if before and before[0] is group else compile_group(group, meaning.prefixes, logged=logged)
            )
            known[use] = group, chains
        return known[use][1]


def _places(level: str, chains: GroupChains) -> list[tuple[str, str]]:
    found = [(f"from_{level}", chains.outbound.name), (f"to_{level}", chains.inbound.name)]
    if chains.platform:
        found.append((f"platform_{level}", chains.platform.name))
    return found


def _is_same(one: _Ground, other: _Ground) -> bool:
    return one[0] is other[0] and one[1] is other[1] and (one[2] is other[2] or one[2] == other[2])


def _table(intent: Intent, subnet: Subnet) -> int:
    number = intent.route_tables[subnet.route_table.key].number if subnet.route_table else 0
    return names.routing_table(number, endpoint_places(subnet.service_endpoints))
