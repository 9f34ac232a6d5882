"""What load balancers, NAT gateways and public addresses mean for each virtual network, as its compilers want it.

Sources: Azure documents "Azure Load Balancer components", "Azure NAT Gateway resource".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from podvnet.model.address import Address
from podvnet.model.intent import Intent, NetworkInterface, VirtualNetwork
from podvnet.model.load_balancer import BalancingRule, Frontend, InboundNatRule, LoadBalancer, OutboundRule
from podvnet.model.resource_id import ResourceId
from podvnet.plan.backends import Backends, Member
from podvnet.plan.balancing_program import FloatingPort, FrontendPort, rule_chain
from podvnet.plan.outbound_ports import outbound_ports
from podvnet.plan.outbound_program import Gateway, Loan, OwnAddress


@dataclass(slots=True)
class Translations:
    """Of one virtual network.

    Attributes:
        rules: load balancing rules, each with the IP version of its frontend and the members that get new flows.
        nat_rules: inbound NAT rules, each with the frontend's ports and the member each leads to.
        public, internal: the frontends' ports that rules are about.
        frontends: their addresses.
        floating: members with a frontend's address as their own.
        gateways: the NAT gateways of its subnets.
        loans: ports of frontends' addresses that members leave with.
        own: public addresses of ip-configurations whose flows are kept for another time than the network's.
    """

    rules: list[tuple[BalancingRule, int, tuple[Address, ...]]] = field(default_factory=list)
    nat_rules: list[tuple[InboundNatRule, int, tuple[tuple[int, Address], ...]]] = field(default_factory=list)
    public: list[FrontendPort] = field(default_factory=list)
    internal: list[FrontendPort] = field(default_factory=list)
    frontends: list[Address] = field(default_factory=list)
    floating: list[FloatingPort] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    loans: list[Loan] = field(default_factory=list)
    own: list[OwnAddress] = field(default_factory=list)

    @property
    def idle_timeouts(self) -> frozenset[int]:
        """The seconds of silence that its rules speak of."""
        found = {rule.idle_timeout for rule, _, _ in self.rules} | {rule.idle_timeout for rule, _, _ in self.nat_rules}
        found |= {gateway.idle_timeout for gateway in self.gateways} | {loan.idle_timeout for loan in self.loans}
        found |= {each.idle_timeout for each in self.own}
        return frozenset(found)


def translations(intent: Intent) -> dict[str, Translations]:
    """What there is to translate, by id key of the virtual network; every one has an entry."""
    found = {key: Translations() for key in intent.virtual_networks}
    if intent.load_balancers:
        _add_balancers(intent, found)
    if intent.nat_gateways:
        for key, network in intent.virtual_networks.items():
            found[key].gateways += _gateways(intent, network)
    if intent.public_addresses:
        _add_own(intent, found)
    return found


def public_pairs(intent: Intent, nic: NetworkInterface) -> tuple[tuple[Address, Address], ...]:
    """Private and public address of each ip-configuration of a NIC that has a public address of its own."""
    return tuple(
        (config.address, public.prefix.network_address)
        for config in nic.exposed
        if config.public and (public := intent.public_addresses.get(config.public.key))
    )


def _add_own(intent: Intent, found: dict[str, Translations]) -> None:
    """The public addresses of ip-configurations that say how long flows are kept, where the network says otherwise."""
    for nic in intent.nics.values():
        for config in nic.exposed:
            public = intent.public_addresses.get(config.public.key) if config.public else None
            key = nic.virtual_network.key
            if public and public.idle_timeout != intent.virtual_networks[key].flow_timeout:
                address = public.prefix.network_address
                found[key].own.append(OwnAddress(config.address, address, public.idle_timeout))


def _add_balancers(intent: Intent, found: dict[str, Translations]) -> None:
    backends = Backends(intent)
    for balancer in intent.load_balancers.values():
        network = backends.network(balancer)
        if network is not None and network.key in found:
            _Balancer(balancer, backends, found[network.key]).add()
    lending: dict[ResourceId, BalancingRule | OutboundRule] = {}
    for balancer in intent.load_balancers.values():
        lending |= {rule.id: rule for rule in balancer.rules}
        lending |= {rule.id: rule for rule in balancer.outbound_rules}
    for (network_key, member, protocol), ports in sorted(outbound_ports(intent, backends).items(), key=str):
        rule = lending[ports.source]
        idle, told = rule.idle_timeout, rule.tcp_reset
        loan = Loan(member, protocol, ports.address, ports.first, ports.last, idle, told)
        found[network_key].loans.append(loan)


class _Balancer:
    """Adds what one load balancer means to the network it is in."""

    def __init__(self, balancer: LoadBalancer, backends: Backends, found: Translations) -> None:
        self._balancer = balancer
        self._backends = backends
        self._found = found
        self._frontends = {frontend.id.key: frontend for frontend in balancer.frontends}

    def add(self) -> None:
        """Frontends, load balancing rules, inbound NAT rules."""
        for frontend in self._balancer.frontends:
            self._found.frontends += self._backends.addresses(frontend)
        for rule in self._balancer.rules:
            self._add_rule(rule)
        for nat_rule in self._balancer.nat_rules:
            self._add_nat_rule(nat_rule)

    def _add_rule(self, rule: BalancingRule) -> None:
        frontend = self._frontends[rule.frontend.key]
        for version in self._versions(frontend):
            receivers = self._backends.receivers(self._balancer, rule, version)
            self._found.rules.append((rule, version, tuple(each.address for each in receivers)))
            self._open(frontend, version, rule, rule.frontend_port, rule.frontend_port)
        # Answers of a member that gets no new flows any more still come from the frontend's address.
        if rule.floating and rule.pool:
            self._float(frontend, self._backends.members(rule.pool))

    def _add_nat_rule(self, rule: InboundNatRule) -> None:
        frontend = self._frontends[rule.frontend.key]
        if rule.pool:
            members = self._backends.members(rule.pool)
            present = {each.address for each in members}
            targets = tuple((port, address) for address, port in rule.ports if address in present)
        else:
            target = self._backends.target(rule)
            members = (target,) if target else ()
            targets = tuple((rule.first_port, each.address) for each in members)
        for version in self._versions(frontend):
            own = tuple(each for each in targets if each[1].version == version)
            self._found.nat_rules.append((rule, version, own))
            self._open(frontend, version, rule, rule.first_port, rule.last_port)
        if rule.floating:
            self._float(frontend, members)

    def _versions(self, frontend: Frontend) -> list[int]:
        return sorted({address.version for address in self._backends.addresses(frontend)})

    def _open(
        self, frontend: Frontend, version: int, rule: BalancingRule | InboundNatRule, first: int, last: int
    ) -> None:
        ports = self._found.public if frontend.public else self._found.internal
        chain = rule_chain(rule.id, version)
        ports += (
            FrontendPort(address, rule.protocol, first, last, chain)
            for address in self._backends.addresses(frontend)
            if address.version == version
        )

    def _float(self, frontend: Frontend, members: tuple[Member, ...]) -> None:
        for address in self._backends.addresses(frontend):
            for nic, member in self._first_members(members, address.version):
                known = {(port.number, port.frontend) for port in self._found.floating}
                if (nic.number, address) not in known:
                    self._found.floating.append(FloatingPort(nic.number, nic.mac, address, member))

    @staticmethod
    def _first_members(members: tuple[Member, ...], version: int) -> Iterator[tuple[NetworkInterface, Address]]:
        """One member a NIC: what it sends from the frontend's address cannot be told apart otherwise."""
        seen: set[ResourceId] = set()
        for each in members:
            if each.nic and each.address.version == version and each.nic.id not in seen:
                seen.add(each.nic.id)
                yield each.nic, each.address


def _gateways(intent: Intent, network: VirtualNetwork) -> Iterator[Gateway]:
    """The NAT gateways of a network's subnets that have addresses."""
    for gateway in intent.nat_gateways.values():
        subnets = tuple(
            prefix
            for subnet in network.subnets
            if subnet.nat_gateway == gateway.id
            for prefix in subnet.prefixes
            if prefix.version == 4
        )
        addresses = tuple(
            address
            for each in gateway.addresses
            if each.key in intent.public_addresses
            for address in intent.public_addresses[each.key].addresses
        )
        if subnets and addresses:
            yield Gateway(subnets, addresses, gateway.idle_timeout)
