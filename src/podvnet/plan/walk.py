"""A packet's way through the values of the intent, decision by decision.

The order: the source check of the sender's port; what a virtual network carries at all; the route of the sender's
subnet; the outbound rules of its NIC, then of its subnet; the way out, the peering or the appliance that the route
names; the load balancer that has the destination, or whoever has it; the inbound rules of the receiver's subnet, then
of its NIC. An appliance sends what it gets on from the NIC that got it, unchanged. What leaves for a public address of
the fabric itself comes in again as whatever comes from the internet does. What comes in by a gateway is for somebody in
the virtual network that the gateway chose, and the inbound rules decide.

Sources: Azure documents "Virtual network traffic routing", "How network security groups filter network traffic",
"Virtual Network FAQ", "Azure Load Balancer components", "Public IP addresses".
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from podvnet.model.flow import Flow
from podvnet.model.gateway import VirtualNetworkGateway
from podvnet.model.intent import NetworkInterface
from podvnet.model.kernel import host_prefix
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, NextHop, RouteSource
from podvnet.model.security import Direction
from podvnet.model.verdict import Check, Hop, Trace, Verdict, WayOut
from podvnet.plan import remedy
from podvnet.plan.balancing_evaluation import addressed, choice, rule_for
from podvnet.plan.crossing_evaluation import appliance_at, over_peering, place_of_appliance
from podvnet.plan.dropped import DroppedError
from podvnet.plan.effective_routes import select_route
from podvnet.plan.entrances import Entrance
from podvnet.plan.gateway_evaluation import at_gateway, at_site, enter, from_site
from podvnet.plan.gateway_routes import gateway_subnet
from podvnet.plan.outbound_evaluation import way_out
from podvnet.plan.platform_evaluation import SERVED, ask_platform
from podvnet.plan.remedy import described, named
from podvnet.plan.security_evaluation import deciding_rule, groups_of, rule_hop
from podvnet.plan.sender_evaluation import check_carried, check_routed, check_sender
from podvnet.plan.service_evaluation import by_private_endpoint, by_service_endpoint
from podvnet.plan.topology import Topology, Vantage

_NO_ENTRY = (NextHop.NONE, NextHop.GATEWAY, NextHop.INTERNET, NextHop.SERVICE_ENDPOINT)
"""Where routes of the gateways' subnet lead nothing that comes in by a gateway."""


class Walk:
    """One packet's way.

    Args:
        topology: what is where.
        flow: the packet.
        follow: go on where an appliance sends what it got.
    """

    def __init__(self, topology: Topology, flow: Flow, *, follow: bool) -> None:
        self._topology = topology
        self._sent = self._flow = flow
        self._follow = follow
        self._hops: list[Hop] = []
        self._nics: list[ResourceId] = []
        self._way_out: WayOut | None = None

    def run(self, sender: NetworkInterface | VirtualNetworkGateway | None) -> Trace:
        """The whole way, from the NIC that sends, from a gateway that sends in, or from the internet or on premises."""
        try:
            verdict = self._begin(sender)
        except DroppedError as end:
            self._pass(end.hop)
            verdict = Verdict.DROPPED
        return Trace(self._sent, verdict, tuple(self._hops), tuple(self._nics), self._flow, self._way_out)

    def _begin(self, sender: NetworkInterface | VirtualNetworkGateway | None) -> Verdict:
        if isinstance(sender, NetworkInterface):
            self._nics.append(sender.id)
            return self._go(sender)
        if sender is None and self._topology.entrances.knows(self._flow.destination):
            return self._enter()
        if sender is None:
            sender, hops = from_site(self._topology, self._flow)
            for hop in hops:
                self._pass(hop)
        return self._over_gateway(sender)

    def _go(self, nic: NetworkInterface) -> Verdict:
        while True:
            self._pass(check_sender(self._topology, nic, self._flow))
            check_carried(nic.virtual_network, self._flow)
            if self._flow.destination in SERVED:
                self._pass(ask_platform(self._topology, nic, self._flow))
                return Verdict.ANSWERED_BY_PLATFORM
            route = self._route(nic)
            self._filter(nic, Direction.OUTBOUND)
            if route.next_hop is NextHop.SERVICE_ENDPOINT and self._flow.destination.version == 4:
                self._pass(by_service_endpoint(self._topology, nic, self._flow))
                return Verdict.REACHED_SERVICE
            if route.next_hop in {NextHop.INTERNET, NextHop.SERVICE_ENDPOINT}:
                return self._leave(nic)
            if route.next_hop is NextHop.GATEWAY and route.gateway:
                return self._over_gateway(self._topology.intent.gateways[route.gateway.key])
            end = self._into(self._topology.vantage(nic), route)
            if isinstance(end, Verdict):
                return end
            nic = end

    def _into(self, vantage: Vantage, route: EffectiveRoute) -> NetworkInterface | Verdict:
        """Where a route of a subnet leads that stays among virtual networks: to an end, or to an appliance's NIC."""
        network = self._network(vantage, route)
        entrance = self._topology.entrances.private(network, self._flow.destination)
        endpoint = self._topology.entrances.endpoint(network, self._flow.destination)
        if route.next_hop is NextHop.APPLIANCE and route.appliance:
            target, hop = appliance_at(
                self._topology, vantage, route, self._flow, place=network, address=route.appliance
            )
            self._pass(hop)
        elif entrance:
            return self._balance(entrance, network)
        elif endpoint:
            return self._reach_endpoint(endpoint)
        else:
            target = self._receiver(network)
        self._filter(target, Direction.INBOUND)
        is_known = target.id in self._nics
        self._nics.append(target.id)
        if self._has_destination(target):
            return Verdict.DELIVERED
        if not self._follow:
            return Verdict.HANDED_TO_APPLIANCE
        if is_known:
            table = vantage.table
            cure = f"Do not lead {self._flow.destination} back to {named(target.id)}"
            cure += f" by {remedy.user_route(route, table)}." if table else "."
            reason = "the appliance had this packet before"
            reason += f", and {remedy.user_route(route, table)} leads it back" if table else ""
            self._drop(Hop(target.id, Check.LOOP, False, reason, remedy=cure))
        return target

    def _over_gateway(self, gateway: VirtualNetworkGateway) -> Verdict:
        """On from a gateway: to a virtual network that uses it, or by a connection."""
        seen = [gateway]
        check_routed(gateway.id, self._flow)
        onward = at_gateway(self._topology, gateway, self._flow)
        while onward.gateway and onward.gateway not in seen:
            self._hops += onward.hops
            gateway = onward.gateway
            seen.append(gateway)
            onward = at_gateway(self._topology, gateway, self._flow)
        self._hops += onward.hops
        if onward.gateway:
            reason = f"{named(onward.gateway.id)} had this packet before"
            cure = f"Do not let {named(onward.gateway.id)} announce what it has from {named(gateway.id)}."
            self._drop(Hop(gateway.id, Check.LOOP, False, reason, remedy=cure))
        if onward.network is None:
            if onward.site:
                self._pass(at_site(onward.site, self._flow))
            return Verdict.REACHED_ON_PREMISES
        enter(self._topology, gateway, onward.network, self._flow)
        check_carried(onward.network, self._flow)
        end = self._from_gateway(gateway, onward.network)
        return end if isinstance(end, Verdict) else self._go(end)

    def _from_gateway(self, gateway: VirtualNetworkGateway, network: ResourceId) -> NetworkInterface | Verdict:
        """What a gateway sends in to its own virtual network goes by the route table of its subnet, if that has one."""
        found = self._topology.intent.virtual_networks[network.key]
        subnet = gateway_subnet(found)
        local = EffectiveRoute(RouteSource.DEFAULT, host_prefix(self._flow.destination), NextHop.VNET_LOCAL)
        if gateway.network != network or subnet is None or subnet.route_table is None:
            return self._into(Vantage(found, subnet or found.subnets[0], None, (), ()), local)
        vantage = self._topology.vantage_of(network, subnet)
        route = select_route(vantage.routes, self._flow.destination) or local
        table = vantage.table.id if vantage.table and route.name else None
        reason = _described(route, table)
        if route.next_hop in _NO_ENTRY:
            cure = remedy.against_entry(vantage, route, self._flow)
            kind = Check.LOOP if route.next_hop is NextHop.GATEWAY else Check.ROUTE
            self._drop(Hop(subnet.id, kind, False, reason, table=table, route=route, remedy=cure))
        if table:
            self._pass(Hop(subnet.id, Check.ROUTE, True, reason, table=table, route=route))
        return self._into(vantage, route)

    def _route(self, nic: NetworkInterface) -> EffectiveRoute:
        vantage, destination = self._topology.vantage(nic), self._flow.destination
        route = select_route(vantage.routes, destination)
        if route is None:
            reason = f"no route leads to {destination}"
            cure = f"Add an IPv{destination.version} prefix to {named(vantage.network.id)}."
            self._drop(Hop(vantage.subnet.id, Check.ROUTE, False, reason, remedy=cure))
        table = vantage.table.id if vantage.table and route.name else None
        where, reason = vantage.subnet.id, _described(route, table)
        if route.next_hop is NextHop.NONE or (route.next_hop is NextHop.GATEWAY and route.gateway is None):
            cure = remedy.against_route(self._topology, nic, route, self._flow)
            if table is None:
                reason += f"; {remedy.absence(self._topology, vantage.network, destination)}"
            self._drop(Hop(where, Check.ROUTE, False, reason, table=table, route=route, remedy=cure))
        self._pass(Hop(where, Check.ROUTE, True, reason, table=table, route=route))
        return route

    def _filter(self, nic: NetworkInterface, direction: Direction, seen: Flow | None = None) -> None:
        vantage, flow = self._topology.vantage(nic), seen or self._flow
        for where, group in groups_of(self._topology, nic, direction):
            rule = deciding_rule(self._topology, vantage, group, direction, flow)
            if not rule.allow:
                cure = remedy.against_rule(group, rule, direction, flow)
                self._drop(rule_hop(where, group, rule, cure))
            self._pass(rule_hop(where, group, rule))

    def _leave(self, nic: NetworkInterface) -> Verdict:
        self._way_out, hop = way_out(self._topology, nic, self._flow)
        self._pass(hop)
        self._flow = self._way_out.applied(self._flow)
        return self._enter() if self._topology.entrances.knows(self._flow.destination) else Verdict.LEFT_TO_INTERNET

    def _reach_endpoint(self, endpoint: PrivateEndpoint) -> Verdict:
        for hop in by_private_endpoint(self._topology, endpoint, self._flow):
            self._pass(hop)
        return Verdict.REACHED_SERVICE

    def _enter(self) -> Verdict:
        """From the internet to a public address: of a load balancer, or of a NIC."""
        entrances, address = self._topology.entrances, self._flow.destination
        entrance, owner = entrances.public(address), entrances.owner(address)
        if entrance:
            return self._balance(entrance, self._topology.backends.network(entrance.balancer))
        if owner is None:
            reason = f"{address} is there to send from alone"
            cure = "Send to a public address that an ip-configuration has, or to a public frontend of a load balancer."
            where = entrances.lender(address)
            if where is None:
                raise LookupError(f"{address} is no public address of the fabric")
            self._drop(Hop(where, Check.PUBLIC_ADDRESS, False, reason, remedy=cure))
        private = owner.configuration.address
        reason = f"{address} is that of {named(owner.nic.id)}, {private}"
        self._pass(Hop(owner.public, Check.PUBLIC_ADDRESS, True, reason))
        self._flow = replace(self._flow, destination=private)
        target = self._receiver(owner.nic.virtual_network)
        check_carried(target.virtual_network, self._flow)
        return self._land(target, self._flow, from_internet=True)

    def _balance(self, entrance: Entrance, network: ResourceId | None) -> Verdict:
        """To a member of a load balancer's pool, of the virtual network."""
        rule, hop = rule_for(entrance, self._flow)
        self._pass(hop)
        found, hop = choice(self._topology.backends, entrance, rule, self._flow)
        self._pass(hop)
        member, frontend = found.member, self._flow.destination
        place = member.nic.virtual_network if member.nic else network
        if place is None:
            raise LookupError(f"{named(entrance.balancer.id)} has a member {member.address} of no virtual network")
        seen = self._flow = addressed(self._flow, member.address, found.port)
        target = self._receiver(place)
        if rule.floating:
            self._flow = replace(seen, destination=frontend)
        return self._land(target, seen, from_internet=entrance.frontend.public is not None)

    def _land(self, target: NetworkInterface, seen: Flow, *, from_internet: bool) -> Verdict:
        """Deliver what was translated. ``seen``: the packet as security groups see it."""
        if from_internet and not list(groups_of(self._topology, target, Direction.INBOUND)):
            subnet = self._topology.vantage(target).subnet
            reason = (
                f"neither it nor {named(subnet.id)} has a security group, and without one public addresses are closed"
            )
            cure = f"Give {named(target.id)} or its subnet a security group that allows inbound {described(seen)}."
            self._drop(Hop(target.id, Check.OPEN, False, reason, remedy=cure))
        self._filter(target, Direction.INBOUND, seen)
        self._nics.append(target.id)
        if self._flow.source == self._flow.destination:
            reason = f"the load balancer leads {self._flow.source} back to itself: it gets a packet with its own source"
            cure = (
                "Use floating IP with the frontend's address on the VM, or do not send from members to their frontend."
            )
            self._drop(Hop(target.id, Check.HAIRPIN, False, reason, remedy=cure))
        return Verdict.DELIVERED

    def _network(self, vantage: Vantage, route: EffectiveRoute) -> ResourceId:
        """The virtual network that a route of a subnet leads to."""
        here = there = vantage.network.id
        if route.next_hop is NextHop.APPLIANCE and route.appliance:
            there = place_of_appliance(vantage, route, route.appliance)
        elif route.network is not None:
            there = route.network
        if there != here:
            self._pass(over_peering(self._topology, here, there, self._flow))
        return there

    def _receiver(self, network: ResourceId) -> NetworkInterface:
        """The NIC that has the destination."""
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

    def _has_destination(self, nic: NetworkInterface) -> bool:
        """Whether the VM of a NIC keeps the packet: it takes the address of any of its NICs for its own."""
        machine = self._topology.machine(nic.id)
        found = self._topology.holder(nic.virtual_network, self._flow.destination)
        return machine is not None and found is not None and found.id in machine.nics

    def _pass(self, hop: Hop) -> None:
        self._hops.append(hop)

    def _drop(self, hop: Hop) -> NoReturn:
        raise DroppedError(hop)


def _described(route: EffectiveRoute, table: ResourceId | None) -> str:
    place = route.network or route.gateway
    to = route.appliance or (place.name if place else "")
    by = f"route {route.name} of {table.name}" if table else "system route"
    if route.source is RouteSource.GATEWAY:
        by = "gateway's route"
    return f"{by}: {route.prefix} to {route.next_hop}{f' {to}' if to else ''}"
