"""A packet's way through the values of the intent, decision by decision.

The order: the source check of the sender's port; what a virtual network carries at all; the route of the sender's
subnet; the outbound rules of its NIC, then of its subnet; the way out, the peering or the appliance that the route
names; whoever has the destination; the inbound rules of the receiver's subnet, then of its NIC. An appliance sends
what it gets on from the NIC that got it, unchanged.

Sources: Azure documents "Virtual network traffic routing", "How network security groups filter network traffic",
"Virtual network peering", "Virtual Network FAQ", "Default outbound access in Azure".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from podvnet.model.address import IMDS_ADDRESS, WIRESERVER_ADDRESS, Address
from podvnet.model.flow import TCP, Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, NextHop, Peering
from podvnet.model.security import Direction, SecurityGroup, SecurityRule
from podvnet.model.verdict import Check, Hop, Trace, Verdict
from podvnet.plan import remedy
from podvnet.plan.address_space import holds
from podvnet.plan.effective_routes import select_route
from podvnet.plan.remedy import named
from podvnet.plan.security_evaluation import deciding_rule, groups_of, platform_refusal
from podvnet.plan.topology import Topology

NOT_CARRIED = frozenset({4, 41, 47})
"""IP protocols that a virtual network drops: IP-in-IP, both versions, and GRE. Source: "Virtual Network FAQ"."""
SERVED: Mapping[Address, frozenset[int]] = {IMDS_ADDRESS: frozenset({80}), WIRESERVER_ADDRESS: frozenset({80, 32526})}
"""The platform's addresses and their TCP ports."""


class _DroppedError(Exception):
    """The last hop drops the packet."""


class Walk:
    """One packet's way.

    Args:
        topology: what is where.
        flow: the packet.
        follow: go on where an appliance sends what it got.
    """

    def __init__(self, topology: Topology, flow: Flow, *, follow: bool) -> None:
        self._topology = topology
        self._flow = flow
        self._follow = follow
        self._hops: list[Hop] = []
        self._nics: list[ResourceId] = []
        self._outbound: Address | None = None

    def run(self, sender: NetworkInterface) -> Trace:
        """The whole way, from the NIC that sends."""
        self._nics.append(sender.id)
        try:
            verdict = self._go(sender)
        except _DroppedError:
            verdict = Verdict.DROPPED
        return Trace(self._flow, verdict, tuple(self._hops), tuple(self._nics), self._outbound)

    def _go(self, nic: NetworkInterface) -> Verdict:
        while True:
            self._check_sender(nic)
            if self._flow.destination in SERVED:
                return self._ask_platform(nic)
            route = self._route(nic)
            self._filter(nic, Direction.OUTBOUND)
            if route.next_hop in {NextHop.INTERNET, NextHop.SERVICE_ENDPOINT}:
                return self._leave(nic)
            target = self._target(nic, route)
            self._filter(target, Direction.INBOUND)
            is_known = target.id in self._nics
            self._nics.append(target.id)
            if self._has_destination(target):
                return Verdict.DELIVERED
            if not self._follow:
                return Verdict.HANDED_TO_APPLIANCE
            if is_known:
                table = self._topology.vantage(nic).table
                cure = f"Do not lead {self._flow.destination} back to {named(target.id)}"
                cure += f" by {remedy.user_route(route, table)}." if table else "."
                reason = "the appliance had this packet before"
                reason += f", and {remedy.user_route(route, table)} leads it back" if table else ""
                self._drop(Hop(target.id, Check.LOOP, False, reason, remedy=cure))
            nic = target

    def _check_sender(self, nic: NetworkInterface) -> None:
        if not self._topology.is_running(nic):
            cure = remedy.against_idle(self._topology, nic)
            self._drop(Hop(nic.id, Check.SENDER, False, f"{named(nic.id)} is on no VM that runs", remedy=cure))
        source, destination = self._flow.source, self._flow.destination
        if any(each.address == source for each in nic.ip_configurations):
            self._pass(Hop(nic.id, Check.SPOOFING, True, f"{source} is an address of the NIC"))
        elif nic.ip_forwarding and destination not in SERVED:
            self._pass(Hop(nic.id, Check.SPOOFING, True, "the NIC has IP forwarding"))
        else:
            cure = f"Send from an address of {named(nic.id)}"
            cure += "." if nic.ip_forwarding else ", or enable IP forwarding on it."
            self._drop(Hop(nic.id, Check.SPOOFING, False, f"{source} is no address of the NIC", remedy=cure))
        if self._flow.protocol in NOT_CARRIED:
            reason = f"virtual networks do not carry IP protocol {self._flow.protocol}"
            cure = "Use an encapsulation in UDP: the virtual network carries no IP-in-IP and no GRE."
            self._drop(Hop(nic.virtual_network, Check.CARRIED, False, reason, remedy=cure))
        for address in (source, destination):
            if not _is_carried(address):
                reason = f"{address} is no address that is routed"
                cure = "Use unicast addresses: the virtual network carries no multicast, broadcast or loopback."
                self._drop(Hop(nic.virtual_network, Check.CARRIED, False, reason, remedy=cure))

    def _ask_platform(self, nic: NetworkInterface) -> Verdict:
        vantage, flow = self._topology.vantage(nic), self._flow
        for where, group in groups_of(self._topology, nic, Direction.OUTBOUND):
            rule = platform_refusal(self._topology, vantage, group, flow)
            if rule is not None:
                self._drop(_rule_hop(where, group, rule, remedy.against_platform_rule(group, rule)))
        if flow.protocol != TCP or flow.destination_port not in SERVED[flow.destination]:
            ports = ", ".join(str(port) for port in sorted(SERVED[flow.destination]))
            reason = f"the platform serves TCP {ports} at {flow.destination}"
            cure = f"Ask one of the ports that {flow.destination} serves."
            self._drop(Hop(nic.virtual_network, Check.PLATFORM, False, reason, remedy=cure))
        if flow.destination == IMDS_ADDRESS and not self._may_ask_metadata(nic):
            reason = "the metadata service answers the primary address of a VM's first NIC"
            cure = "Ask from the VM itself: pods and other NICs are not answered."
            self._drop(Hop(nic.virtual_network, Check.PLATFORM, False, reason, remedy=cure))
        self._pass(Hop(nic.virtual_network, Check.PLATFORM, True, f"the platform answers at {flow.destination}"))
        return Verdict.ANSWERED_BY_PLATFORM

    def _may_ask_metadata(self, nic: NetworkInterface) -> bool:
        machine = self._topology.machine(nic.id)
        return machine is not None and machine.nics[0] == nic.id and nic.primary().address == self._flow.source

    def _route(self, nic: NetworkInterface) -> EffectiveRoute:
        vantage, destination = self._topology.vantage(nic), self._flow.destination
        route = select_route(vantage.routes, destination)
        if route is None:
            reason = f"no route leads to {destination}"
            cure = f"Add an IPv{destination.version} prefix to {named(vantage.network.id)}."
            self._drop(Hop(vantage.subnet.id, Check.ROUTE, False, reason, remedy=cure))
        table = vantage.table.id if vantage.table and route.name else None
        where, reason = vantage.subnet.id, _described(route, table)
        if route.next_hop in {NextHop.NONE, NextHop.GATEWAY}:
            cure = remedy.against_route(self._topology, nic, route, self._flow)
            if table is None:
                reason += f"; {remedy.absence(self._topology, vantage.network, destination)}"
            self._drop(Hop(where, Check.ROUTE, False, reason, table=table, route=route, remedy=cure))
        self._pass(Hop(where, Check.ROUTE, True, reason, table=table, route=route))
        return route

    def _filter(self, nic: NetworkInterface, direction: Direction) -> None:
        vantage = self._topology.vantage(nic)
        for where, group in groups_of(self._topology, nic, direction):
            rule = deciding_rule(self._topology, vantage, group, direction, self._flow)
            if not rule.allow:
                cure = remedy.against_rule(group, rule, direction, self._flow)
                self._drop(_rule_hop(where, group, rule, cure))
            self._pass(_rule_hop(where, group, rule))

    def _leave(self, nic: NetworkInterface) -> Verdict:
        source = self._topology.configuration(nic.virtual_network, self._flow.source)
        if source is None or source.outbound is None:
            subnet = self._topology.vantage(nic).subnet
            where = "" if subnet.default_outbound else f": {named(subnet.id)} has no default outbound access"
            reason = f"{self._flow.source} has no public address to leave with{where}"
            cure = remedy.against_no_outbound(self._topology, nic, self._flow)
            self._drop(Hop(nic.id, Check.OUTBOUND, False, reason, remedy=cure))
        self._outbound = source.outbound
        self._pass(Hop(nic.id, Check.OUTBOUND, True, f"leaves as {source.outbound}, its default outbound address"))
        return Verdict.LEFT_TO_INTERNET

    def _target(self, nic: NetworkInterface, route: EffectiveRoute) -> NetworkInterface:
        """The NIC that a route leads the packet to."""
        if route.next_hop is NextHop.APPLIANCE and route.appliance:
            return self._appliance(nic, route, route.appliance)
        network = nic.virtual_network
        if route.network is not None:
            self._cross(network, route.network)
            network = route.network
        found = self._topology.receiver(network, self._flow.destination)
        if found is None:
            place = self._topology.intent.virtual_networks[network.key]
            reason = remedy.absence(self._topology, place, self._flow.destination)
            cure = remedy.against_absence(self._topology, place, self._flow)
            self._drop(Hop(network, Check.OWNER, False, reason, remedy=cure))
        machine = self._topology.machine(found.id)
        on = f" on {named(machine.id)}" if machine else ""
        self._pass(Hop(found.id, Check.OWNER, True, f"has {self._flow.destination}{on}"))
        return found

    def _appliance(self, nic: NetworkInterface, route: EffectiveRoute, address: Address) -> NetworkInterface:
        vantage = self._topology.vantage(nic)
        table, network = vantage.table, vantage.network
        via = remedy.user_route(route, table) if table else "the route"

        def refuse(where: ResourceId, reason: str, cure: str) -> NoReturn:
            self._drop(Hop(where, Check.APPLIANCE, False, reason, remedy=cure))

        place = network.id
        if not holds(network.prefixes, address):
            peering = next((each for each in network.peerings if holds(each.prefixes, address)), None)
            if peering is None:
                reason = f"{via} leads to {address}, which is not in {network.id.name} nor in a peered virtual network"
                refuse(network.id, reason, f"Give {via} a next hop that can be reached directly.")
            self._cross(network.id, peering.remote)
            place = peering.remote
        found = self._topology.holder(place, address)
        if found is None:
            refuse(place, f"{via} leads to {address}, which no NIC has", f"Give {via} the address of an appliance.")
        if not self._topology.is_running(found):
            refuse(found.id, "the appliance does not run", remedy.against_idle(self._topology, found))
        if not found.ip_forwarding:
            refuse(found.id, "the appliance's NIC has no IP forwarding", f"Enable IP forwarding on {named(found.id)}.")
        if self._flow.destination.version not in found.versions:
            version = self._flow.destination.version
            refuse(found.id, f"the appliance has no IPv{version} address", f"Give {named(found.id)} one.")
        self._pass(Hop(found.id, Check.APPLIANCE, True, f"has the appliance's address {address}, and IP forwarding"))
        return found

    def _cross(self, here: ResourceId, there: ResourceId) -> None:
        """Go over a peering, which both sides must allow."""
        near, far = self._topology.peering(here, there), self._topology.peering(there, here)
        if near is None or far is None:
            cure = f"Make the peering of {named(there)} with {named(here)} anew."
            self._drop(Hop(here, Check.PEERING, False, f"{there.name} is not peered from both sides", remedy=cure))
        for side in (near, far):
            if not side.access:
                self._refuse_peering(side, "allowVirtualNetworkAccess")
        if not far.forwarded and not holds(far.prefixes, self._flow.source):
            self._refuse_peering(far, "allowForwardedTraffic", f", and {self._flow.source} is not of {here.name}")
        self._pass(Hop(near.id, Check.PEERING, True, f"{here.name} and {there.name} are peered"))

    def _refuse_peering(self, side: Peering, flag: str, why: str = "") -> NoReturn:
        cure = f"Set {flag} of {named(side.id)} to true."
        self._drop(Hop(side.id, Check.PEERING, False, f"{flag} is false{why}", remedy=cure))

    def _has_destination(self, nic: NetworkInterface) -> bool:
        """Whether the VM of a NIC keeps the packet: it takes the address of any of its NICs for its own."""
        machine = self._topology.machine(nic.id)
        found = self._topology.holder(nic.virtual_network, self._flow.destination)
        return machine is not None and found is not None and found.id in machine.nics

    def _pass(self, hop: Hop) -> None:
        self._hops.append(hop)

    def _drop(self, hop: Hop) -> NoReturn:
        self._hops.append(hop)
        raise _DroppedError


def _rule_hop(where: ResourceId, group: SecurityGroup, rule: SecurityRule, cure: str = "") -> Hop:
    access = "Allow" if rule.allow else "Deny"
    reason = f"{rule.direction.lower()} {rule.name} of {group.id.name} (priority {rule.priority}, {access})"
    return Hop(where, Check.SECURITY_RULE, rule.allow, reason, group=group.id, rule=rule, remedy=cure)


def _described(route: EffectiveRoute, table: ResourceId | None) -> str:
    to = route.appliance or (route.network.name if route.network else "")
    by = f"route {route.name} of {table.name}" if table else "system route"
    return f"{by}: {route.prefix} to {route.next_hop}{f' {to}' if to else ''}"


def _is_carried(address: Address) -> bool:
    return not (
        address.is_multicast
        or address.is_loopback
        or address.is_unspecified
        or (address.version == 4 and str(address) == "255.255.255.255")
        or (address.version == 6 and address.is_link_local)
    )
