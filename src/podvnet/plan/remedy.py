"""What to change so that a packet that is dropped goes through: one sentence, which names the resource."""

from __future__ import annotations

from podvnet.model.address import Address
from podvnet.model.flow import ICMP, ICMPV6, PORTED, TCP, UDP, Flow
from podvnet.model.gateway import Connection, ConnectionKind, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.intent import NetworkInterface, VirtualNetwork
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import EffectiveRoute, NextHop, RouteTable
from podvnet.model.security import Direction, SecurityGroup, SecurityRule
from podvnet.model.subnet import is_reserved
from podvnet.plan.address_space import holds
from podvnet.plan.topology import Topology, Vantage

_NOUNS = {
    "virtualnetworks": "virtual network",
    "subnets": "subnet",
    "virtualnetworkpeerings": "peering",
    "networkinterfaces": "NIC",
    "networksecuritygroups": "security group",
    "routetables": "route table",
    "virtualmachines": "VM",
    "publicipaddresses": "public address",
    "publicipprefixes": "public prefix",
    "natgateways": "NAT gateway",
    "loadbalancers": "load balancer",
    "frontendipconfigurations": "frontend",
    "backendaddresspools": "backend pool",
    "probes": "probe",
    "loadbalancingrules": "load balancing rule",
    "inboundnatrules": "inbound NAT rule",
    "outboundrules": "outbound rule",
    "privateendpoints": "private endpoint",
    "serviceendpointpolicies": "service endpoint policy",
    "storageaccounts": "storage account",
    "servers": "Sql server",
    "virtualnetworkgateways": "gateway",
    "localnetworkgateways": "local network gateway",
    "connections": "connection",
    "expressroutecircuits": "circuit",
    "onpremisessites": "site",
}
_PROTOCOLS = {TCP: "TCP", UDP: "UDP", ICMP: "ICMP", ICMPV6: "ICMP"}
_FIRST_PRIORITY, _LAST_PRIORITY = 100, 4096
"""Of a user's rules. Source: Azure document "Network security groups"."""


def named(resource: ResourceId) -> str:
    """A resource as a person calls it: ``subnet hub/front``."""
    return f"{_NOUNS[resource.path[-1][0].lower()]} {'/'.join(name for _, name in resource.path)}"


def described(flow: Flow) -> str:
    """A packet in words: ``TCP from 10.0.0.4 to 10.0.1.4, port 80``."""
    port = f", port {flow.destination_port}" if flow.protocol in PORTED else ""
    return f"{protocol(flow)} from {flow.source} to {flow.destination}{port}"


def protocol(flow: Flow) -> str:
    """A packet's protocol in words: ``TCP``."""
    return _PROTOCOLS.get(flow.protocol, f"IP protocol {flow.protocol}")


def spoken(flow: Flow) -> str:
    """What is asked for, in words: ``TCP port 80``, ``ICMP``."""
    return f"{protocol(flow)} port {flow.destination_port}" if flow.protocol in PORTED else protocol(flow)


def against_rule(group: SecurityGroup, rule: SecurityRule, direction: Direction, flow: Flow) -> str:
    """A rule denies."""
    what = f"{direction.lower()} {described(flow)}"
    if rule.priority <= _FIRST_PRIORITY:
        return f"Change or remove {rule.name} of {named(group.id)}, which has the first priority, to allow {what}."
    below = min(rule.priority, _LAST_PRIORITY + 1)
    return f"Add a rule with a priority below {below} to {named(group.id)} that allows {what}."


def against_platform_rule(group: SecurityGroup, rule: SecurityRule) -> str:
    """A rule denies a service of the platform."""
    return f"Remove {rule.name} of {named(group.id)}: only it keeps {rule.destination.tag} away."


def against_route(topology: Topology, nic: NetworkInterface, route: EffectiveRoute, flow: Flow) -> str:
    """A route leads nowhere."""
    vantage = topology.vantage(nic)
    table, network = vantage.table, vantage.network
    if table is not None and route.name:
        if route.next_hop is NextHop.GATEWAY:
            return (
                f"Give {user_route(route, table)} another next hop type, or {named(network.id)} a VPN gateway:"
                " its own, or a peer's that it uses."
            )
        return f"Remove {user_route(route, table)}, or give it another next hop type."
    reached = any(flow.destination in each.prefix for each in topology.gateways.reach(network.id).prefixes)
    if reached and table is not None and not table.propagates_gateway_routes:
        return f"Set disableBgpRoutePropagation of {named(table.id)} to false, so that the routes of gateways hold."
    if not topology.holders(flow.destination) and (site := topology.on_premises(flow.destination)):
        return against_unreached_site(topology, network, site, flow.destination)
    return against_absence(topology, network, flow)


def against_unreached_site(
    topology: Topology, network: VirtualNetwork, site: OnPremisesSite, destination: Address
) -> str:
    """No gateway of a virtual network leads to a site that has the destination."""
    used = topology.gateways.used(network.id)
    if not used:
        return (
            f"Put a gateway into {named(network.id)}, or let it use a peer's (useRemoteGateways, allowGatewayTransit),"
            f" and connect that with {named(site.id)}, which has {destination}."
        )
    return (
        f"Let {named(site.id)}, which has {destination}, announce it by BGP to {named(used[0].id)}, or add a prefix"
        " with it to the local network gateway of a connection."
    )


def against_no_connection(topology: Topology, gateway: VirtualNetworkGateway, destination: Address) -> str:
    """A gateway has no connection that leads to the destination."""
    site = topology.on_premises(destination)
    to = f"with {named(site.id)}, which has {destination}" if site else f"whose other side has {destination}"
    return f"Give {named(gateway.id)} a connection {to}: in the local network gateway's prefixes, or by BGP."


def against_unadvertised(topology: Topology, gateway: VirtualNetworkGateway, flow: Flow) -> str:
    """A packet from on premises is for no virtual network that uses the gateway."""
    holders = topology.holders(flow.destination)
    if not holders:
        return f"Send to an address of a virtual network that uses {named(gateway.id)}."
    return (
        f"Let {named(holders[0].virtual_network)} use {named(gateway.id)}: peer it with"
        f" {named(gateway.network)}, allowGatewayTransit there and useRemoteGateways here."
    )


def against_down(connection: Connection) -> str:
    """A connection carries nothing."""
    own = named(connection.id)
    if connection.kind is ConnectionKind.EXPRESS_ROUTE:
        return (
            f"Let the other side of the circuit of {own} speak BGP with the peering's addresses, AS numbers and shared"
            " key, on one of its two links at least."
        )
    other = "the other gateway's connection" if connection.remote_gateway else "the device on premises"
    where = f" at {connection.site.address}" if connection.site and connection.site.address else ""
    return (
        f"Give {own} and {other}{where} the same shared key and the same IPsec policy, and let them reach each other by"
        " UDP 500 and 4500."
    )


def against_entry(vantage: Vantage, route: EffectiveRoute, flow: Flow) -> str:
    """A route of the gateways' subnet drops what comes in."""
    if vantage.table is not None and route.name:
        return f"Remove {user_route(route, vantage.table)}, or give it another next hop type."
    return f"Send to an address of {named(vantage.network.id)}: {flow.destination} is none."


def user_route(route: EffectiveRoute, table: RouteTable) -> str:
    """A user's route in words."""
    return f"route {route.name} of {named(table.id)}"


def absence(topology: Topology, network: VirtualNetwork, address: Address) -> str:
    """Who has an address that a virtual network does not reach, in words."""
    holders = topology.holders(address)
    here = next((nic for nic in holders if nic.virtual_network == network.id), None)
    if here is not None:
        return f"{named(here.id)}, which has {address}, is on no VM that runs"
    if not holders:
        return f"no NIC has {address}"
    other = holders[0].virtual_network
    if topology.peering(network.id, other):
        return f"{named(holders[0].id)} has {address}, in {named(other)}"
    return f"{named(other)}, which has {address}, is not peered with {network.id.name}"


def against_absence(topology: Topology, network: VirtualNetwork, flow: Flow) -> str:
    """No NIC that a virtual network reaches has the destination."""
    address = flow.destination
    holders = topology.holders(address)
    here = next((nic for nic in holders if nic.virtual_network == network.id), None)
    if here is not None:
        return against_idle(topology, here)
    if holders:
        other = holders[0].virtual_network
        if topology.peering(network.id, other):
            return (
                f"Synchronise the peering with {named(other)}, or remove the route that leads {address} elsewhere:"
                f" {named(holders[0].id)} has it there."
            )
        return (
            f"Peer {named(network.id)} with {named(other)}, whose {named(holders[0].id)} has {address}: peerings are"
            " not transitive, and both sides must be connected."
        )
    if any(address in prefix and is_reserved(prefix, address) for each in network.subnets for prefix in each.prefixes):
        return f"Send to another address: {address} is one of the five that Azure keeps of every subnet."
    if not holds(network.prefixes, address):
        return f"Add a route that leads to {address}, or peer {named(network.id)} with the virtual network that has it."
    return f"Give {address} to an ip-configuration of a NIC of a running VM, or send to an address that one has."


def against_idle(topology: Topology, nic: NetworkInterface) -> str:
    """A NIC is on no VM that runs."""
    machine = topology.machine(nic.id)
    if machine is None:
        return f"Attach {named(nic.id)} to a VM."
    return f"Start {named(machine.id)}, which {named(nic.id)} is on."


def against_no_outbound(topology: Topology, nic: NetworkInterface, flow: Flow) -> str:
    """The source has no public address to leave with."""
    own = [each for each in nic.ip_configurations if each.address == flow.source]
    if not own:
        return f"Let the VM of {named(nic.id)} translate what it forwards to its own primary address."
    if flow.source.version == 6:
        return f"Give {flow.source} a public IPv6 address of its own: IPv6 has no default outbound access."
    subnet = topology.vantage(nic).subnet
    if not subnet.default_outbound:
        return f"Set defaultOutboundAccess of {named(subnet.id)} to true."
    return (
        f"Send from the primary address of {named(nic.id)}, or translate to it on the VM: other addresses have no"
        " default outbound access."
    )
