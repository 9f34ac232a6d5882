"""The program of the whole fabric in parts, one a network, VM or NIC, so that a change costs what changes.

A part is compiled again only when what it is made of is another value; the same part object stands for the same
objects in the kernel. Parts hold nothing in common, so the difference of two wholes is that of the parts that differ.
Only when a network's own part changes does everything count, because links that other parts hang on may go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from podvnet.model.address import Address
from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.gateway import VirtualNetworkGateway
from podvnet.model.intent import Intent, InternetHost, NetworkInterface, VirtualNetwork
from podvnet.model.kernel import AddressSet, IdleTimeout, KernelObject, Program, Step
from podvnet.plan import names
from podvnet.plan.appliances import find_appliances, wanted_appliances, way_to
from podvnet.plan.balancing_program import compile_frontends, compile_nat_rule, compile_rule
from podvnet.plan.change import difference, merge
from podvnet.plan.gateway_entry import compile_gateway_entry
from podvnet.plan.gateway_program import gateway_pieces
from podvnet.plan.gateway_routes import GatewayRoutes, gateway_subnet
from podvnet.plan.guards import GuardCompiler, Guards
from podvnet.plan.network_program import (
    compile_guard,
    compile_internet,
    compile_machine,
    compile_network,
    compile_nic,
)
from podvnet.plan.outbound_program import compile_outbound, compile_public
from podvnet.plan.private_endpoints import (
    compile_endpoints,
    endpoint_routes,
    endpoint_rules,
    endpoints_in,
    groups_named,
)
from podvnet.plan.routing_program import (
    Choice,
    Ways,
    compile_appliance_link,
    compile_appliance_table,
    compile_peering,
    compile_routing,
    endpoint_places,
)
from podvnet.plan.security_program import members_set
from podvnet.plan.services_program import (
    compile_addresses,
    compile_firewalls,
    compile_services,
    compile_services_link,
    uses_services,
)
from podvnet.plan.translations import public_pairs, translations


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of the program. ``carries``: other parts' objects hang on links of this one."""

    program: Program
    carries: bool = False


Parts = dict[str, Part]
_Known = dict[str, tuple[tuple[object, ...], Part]]


class PartCompiler:
    """Compiles intents into parts and remembers the last one's."""

    def __init__(self) -> None:
        self._known: _Known = {}
        self._guards = GuardCompiler()
        self._gateways = GatewayRoutes(Intent())

    def compile(self, intent: Intent) -> Parts:
        """The parts of an intent. Values that are the same objects as last time give the same parts."""
        known: _Known = {}
        hosts = tuple(intent.internet_hosts.values())
        self._take(known, "internet", hosts, lambda: compile_internet(hosts), carries=True)
        appliances = find_appliances(intent)
        if not self._gateways.is_of(intent):
            self._gateways = GatewayRoutes(intent)
        guards = self._guards.compile(intent, appliances, self._gateways)
        guards.groups |= groups_named(intent)
        for key, network in intent.virtual_networks.items():
            self._take(known, f"network {key}", (network,), partial(compile_network, network), carries=True)
            self._compile_ways(known, intent, network, appliances)
        for piece in gateway_pieces(intent, self._gateways):
            self._take(known, piece.key, piece.inputs, piece.make, carries=True)
        self._compile_translations(known, intent)
        self._compile_services(known, intent)
        self._compile_machines(known, intent, guards)
        self._compile_security(known, intent, guards)
        self._known = known
        return {key: part for key, (_, part) in known.items()}

    def _compile_ways(
        self, known: _Known, intent: Intent, network: VirtualNetwork, appliances: dict[str, list[NetworkInterface]]
    ) -> None:
        """Routing tables, links to peers, links to peers' appliances."""
        key = network.id.key
        remotes = (intent.virtual_networks.get(peering.remote.key) for peering in network.peerings)
        peers = [each for each in remotes if each and any(back.remote == network.id for back in each.peerings)]
        for peer in peers:
            if network.number < peer.number:
                make = partial(compile_peering, network, peer)
                self._take(known, f"peering {key} {peer.id.key}", (network, peer), make, carries=True)
        choices = _choices(intent, network)
        wanted = wanted_appliances(table for table, _ in choices if table)
        ways = [way_to(nic) for nic in appliances.get(key, []) if wanted & _addresses(nic)]
        for peer in peers:
            for nic in appliances.get(peer.id.key, []):
                if wanted & _addresses(nic):
                    ways.append(way_to(nic, of_peer=True))
                    inputs = (network, peer, nic)
                    make = partial(compile_appliance_link, *inputs)
                    self._take(known, f"way {key} {nic.id.key}", inputs, make, carries=True)
                    far = (peer, nic)
                    self._take(known, f"far {nic.id.key}", far, partial(compile_appliance_table, *far))
        used = self._gateways.used(network.id)
        links = (
            *((peer.id.key, names.peer_link_index(peer.number)) for peer in peers),
            *((gateway.id.key, names.gateway_link_index(gateway.number)) for gateway in used),
        )
        routing = (
            network,
            choices,
            Ways(links, tuple(way for each in ways for way in each)),
            endpoint_routes(intent, network),
            self._gateways.reach(network.id),
        )
        self._take(known, f"routing {key}", routing, partial(compile_routing, *routing))

        for gateway in used:
            entry = network, gateway, _entry_table(intent, network, gateway)
            self._take(known, f"entry {key} {gateway.id.key}", entry, partial(compile_gateway_entry, *entry))

    def _compile_translations(self, known: _Known, intent: Intent) -> None:
        """Load balancers, NAT gateways, public addresses."""
        for key, found in translations(intent).items():
            network = intent.virtual_networks[key]
            for rule, version, receivers in found.rules:
                inputs = (network.id, rule, version, receivers)
                self._take(known, f"rule {rule.id.key} {version}", inputs, partial(compile_rule, *inputs))
            for nat_rule, version, targets in found.nat_rules:
                nat_inputs = (network.id, nat_rule, version, targets)
                make = partial(compile_nat_rule, *nat_inputs)
                self._take(known, f"NAT rule {nat_rule.id.key} {version}", nat_inputs, make)
            if found.frontends:
                ports = tuple(found.public), tuple(found.internal), tuple(found.frontends), tuple(found.floating)
                make = partial(compile_frontends, network, *ports)
                self._take(known, f"frontends {key}", (network, *ports), make)
            ways = (network, tuple(found.gateways), tuple(found.loans), tuple(found.own))
            self._take(known, f"outbound {key}", ways, partial(compile_outbound, *ways))
            idle = found.idle_timeouts
            timeouts = (IdleTimeout(names.TABLE, seconds) for seconds in sorted(idle))
            self._take(known, f"timeouts {key}", (idle,), partial(_in_network, intent, key, *timeouts))

    def _compile_services(self, known: _Known, intent: Intent) -> None:
        """Azure's services, once there is one or a way to them."""
        services = tuple(intent.services.values())
        within = {key: endpoints_in(intent, network.id) for key, network in intent.virtual_networks.items()}
        networks = [each for key, each in intent.virtual_networks.items() if uses_services(each) or within[key]]
        if not (services or networks):
            return
        self._take(known, "services", (), compile_services, carries=True)
        self._take(known, "service addresses", (services,), partial(compile_addresses, services))
        for network in networks:
            key = network.id.key
            inputs = (network, services, within[key], _policies(intent, network))
            self._take(known, f"services link {key}", (network,), partial(compile_services_link, network), carries=True)
            if within[key]:
                ways = (network, within[key], endpoint_rules(intent, network, self._gateways.reach(network.id)))
                self._take(known, f"private endpoints {key}", ways, partial(compile_endpoints, *ways))
            self._take(known, f"firewalls {key}", inputs, partial(compile_firewalls, *inputs))

    def _compile_machines(self, known: _Known, intent: Intent, guards: Guards) -> None:
        for key, machine in intent.machines.items():
            if not machine.running:
                continue
            self._take(known, f"machine {key}", (machine.id.key,), partial(compile_machine, machine))
            nics = intent.machine_nics(machine)
            for position, nic in enumerate(nics):
                beside = _stands_beside(nic, nics[:position])
                network, label = intent.virtual_networks[nic.virtual_network.key], names.machine_namespace(machine.id)
                inputs = (network, nic, label, position)
                make = partial(compile_nic, *inputs, beside=beside)
                # What is routed to an appliance hangs on its port.
                self._take(known, f"nic {nic.id.key}", (*inputs, beside), make, carries=nic.ip_forwarding)
                if nic.exposed:
                    public = (network, nic, public_pairs(intent, nic))
                    self._take(known, f"public {nic.id.key}", public, partial(compile_public, *public))
                # A part of its own: a change of rules is one of guards, and costs nothing by the NICs' addresses.
                guard = (network.id, nic.number, guards.of(nic))
                self._take(known, f"guard {nic.id.key}", guard, partial(compile_guard, *guard))

    def _compile_security(self, known: _Known, intent: Intent, guards: Guards) -> None:
        """The chains of security groups and the sets of application security groups, by virtual network."""
        for (network, name), chain in guards.chains.items():
            self._take(known, f"chain {network} {name}", (name,), partial(_in_network, intent, network, chain))
        for network, group in guards.groups:
            sets = tuple(AddressSet(names.TABLE, members_set(group, version), version) for version in (4, 6))
            make = partial(_in_network, intent, network, *sets)
            self._take(known, f"group {network} {group.key}", (group.key,), make)

    def _take(
        self,
        known: _Known,
        key: str,
        inputs: tuple[object, ...],
        make: Callable[[], Program],
        *,
        carries: bool = False,
    ) -> None:
        before = self._known.get(key)
        if before and len(before[0]) == len(inputs) and all(map(_same, before[0], inputs)):
            known[key] = before
        else:
            known[key] = (inputs, Part(make(), carries))


def whole(parts: Parts) -> Program:
    """The program of all parts."""
    return merge(*(part.program for part in parts.values()))


def compile_fabric(intent: Intent) -> Program:
    """The whole program of an intent."""
    return whole(PartCompiler().compile(intent))


def difference_of_parts(old: Parts, new: Parts) -> tuple[Step, ...]:
    """The steps that turn one whole into another; costs what differs."""
    gone = [part for key, part in old.items() if new.get(key) is not part]
    come = [part for key, part in new.items() if old.get(key) is not part]
    if any(part.carries for part in (*gone, *come)):
        return difference(whole(old), whole(new))
    return difference(merge(*(part.program for part in gone)), merge(*(part.program for part in come)))


def _same(before: object, now: object) -> bool:
    """Identity for what is dear to compare, equality for the rest."""
    return before is now or (not isinstance(now, _DEAR) and before == now)


_DEAR = VirtualNetwork | NetworkInterface | InternetHost


def _in_network(intent: Intent, network: str, *objects: KernelObject) -> Program:
    return {names.network_namespace(intent.virtual_networks[network].id): frozenset(objects)}


def _choices(intent: Intent, network: VirtualNetwork) -> tuple[Choice, ...]:
    """The route tables and service endpoints of a network's subnets, each once; that of a plain subnet always."""
    found: dict[tuple[str, tuple[int, ...]], Choice] = {("", ()): (None, ())}
    for subnet in network.subnets:
        table = intent.route_tables[subnet.route_table.key] if subnet.route_table else None
        key = table.id.key if table else "", endpoint_places(subnet.service_endpoints)
        found.setdefault(key, (table, subnet.service_endpoints))
    return tuple(found.values())


def _entry_table(intent: Intent, network: VirtualNetwork, gateway: VirtualNetworkGateway) -> int | None:
    """The routing table of what a gateway sends in to a virtual network: that of its subnet, if there is one."""
    subnet = gateway_subnet(network) if gateway.network == network.id else None
    if subnet is None or subnet.route_table is None:
        return None
    return names.routing_table(
        intent.route_tables[subnet.route_table.key].number, endpoint_places(subnet.service_endpoints)
    )


def _policies(intent: Intent, network: VirtualNetwork) -> tuple[EndpointPolicy, ...]:
    """The service endpoint policies of a network's subnets, each once."""
    used = dict.fromkeys(policy.key for subnet in network.subnets for policy in subnet.endpoint_policies)
    return tuple(intent.endpoint_policies[key] for key in used)


def _addresses(nic: NetworkInterface) -> set[Address]:
    return {config.address for config in nic.ip_configurations}


def _stands_beside(nic: NetworkInterface, earlier: tuple[NetworkInterface, ...]) -> bool:
    return any(each.subnet == nic.subnet for each in earlier)
