"""As whom a packet leaves to the internet: the first way out that its source has.

The order: the NAT gateway of the source's subnet; the source's own public address; an outbound rule of a load balancer,
or else a load balancing rule; default outbound access, which members of a load balancer's pool do not have.

Sources: Azure documents "What is Azure NAT Gateway?", "Use Source Network Address Translation (SNAT) for outbound
connections", "Default outbound access in Azure".
"""

from __future__ import annotations

from typing import NoReturn

from podvnet.model.address import Address
from podvnet.model.flow import PORTED, Flow
from podvnet.model.flow_hash import member_index
from podvnet.model.intent import IpConfiguration, NetworkInterface
from podvnet.model.load_balancer import Distribution, LoadBalancer, Transport
from podvnet.model.resource_id import ResourceId
from podvnet.model.verdict import Check, Egress, Hop, WayOut
from podvnet.plan import remedy
from podvnet.plan.address_space import holds
from podvnet.plan.balancing_evaluation import hashed
from podvnet.plan.dropped import DroppedError
from podvnet.plan.outbound_ports import PROTOCOLS
from podvnet.plan.remedy import named
from podvnet.plan.topology import Topology

GATEWAY_PORTS = (1024, 65535)
"""The ports that a NAT gateway uses of each address. Source: "Azure NAT Gateway resource", 64,512 of each."""


def way_out(topology: Topology, nic: NetworkInterface, flow: Flow) -> tuple[WayOut, Hop]:
    """As whom a packet leaves.

    Args:
        topology: what is where.
        nic: the one that sends it to the internet; it may forward it for the one that has the source.
        flow: the packet.

    Raises:
        DroppedError: its source has no way out.
    """
    # A NAT gateway is a subnet's: it takes what an appliance sends on for whoever, with a source of the subnet.
    if by_gateway := _by_gateway(topology, nic.virtual_network, flow):
        return by_gateway
    holder = topology.receiver(nic.virtual_network, flow.source)
    configuration = topology.configuration(nic.virtual_network, flow.source)
    if holder is None or configuration is None:
        _refuse(topology, nic, flow)
    found = (
        _by_own_address(topology, holder, configuration)
        or _by_balancer(topology, holder, flow)
        or _by_default(holder, configuration)
    )
    if found is None:
        _refuse_known(topology, holder, configuration, flow)
    return found


def _by_gateway(topology: Topology, network: ResourceId, flow: Flow) -> tuple[WayOut, Hop] | None:
    subnets = topology.intent.virtual_networks[network.key].subnets
    subnet = next((each for each in subnets if holds(each.prefixes, flow.source)), None)
    if subnet is None or subnet.nat_gateway is None or flow.source.version != 4:
        return None
    addresses = _gateway_addresses(topology, subnet.nat_gateway)
    if not addresses:
        return None
    if flow.protocol not in PORTED:
        reason = f"NAT gateway {subnet.nat_gateway.name} carries TCP and UDP alone, no {remedy.protocol(flow)}"
        cure = f"Use TCP or UDP, or take {named(subnet.nat_gateway)} from {named(subnet.id)}."
        raise DroppedError(Hop(subnet.id, Check.NAT_GATEWAY, False, reason, remedy=cure))
    address = addresses[member_index(hashed(flow, Distribution.FIVE_TUPLE), len(addresses))]
    reason = f"leaves as {address}, of {named(subnet.nat_gateway)}"
    return WayOut(Egress.NAT_GATEWAY, address, GATEWAY_PORTS), Hop(subnet.id, Check.NAT_GATEWAY, True, reason)


def _gateway_addresses(topology: Topology, gateway: ResourceId | None) -> list[Address]:
    found = topology.intent.nat_gateways.get(gateway.key) if gateway else None
    names = found.addresses if found else ()
    every = (address for each in names for address in topology.intent.public_addresses[each.key].addresses)
    return [address for address in every if address.version == 4]


def _by_own_address(
    topology: Topology, holder: NetworkInterface, configuration: IpConfiguration
) -> tuple[WayOut, Hop] | None:
    if configuration.public is None:
        return None
    address = next(topology.intent.public_addresses[configuration.public.key].addresses)
    reason = f"leaves as {address}, its own {named(configuration.public)}"
    return WayOut(Egress.OWN_ADDRESS, address), Hop(holder.id, Check.OUTBOUND, True, reason)


def _by_balancer(topology: Topology, holder: NetworkInterface, flow: Flow) -> tuple[WayOut, Hop] | None:
    found = topology.outbound_ports.get((holder.virtual_network.key, flow.source, flow.protocol))
    if found is None:
        return None
    is_outbound_rule = found.source.path[-1][0].lower() == "outboundrules"
    egress = Egress.OUTBOUND_RULE if is_outbound_rule else Egress.LOAD_BALANCING_RULE
    reason = f"leaves as {found.address}, ports {found.first} to {found.last}, by {named(found.source)}"
    way = WayOut(egress, found.address, (found.first, found.last))
    return way, Hop(holder.id, Check.OUTBOUND, True, reason)


def _by_default(holder: NetworkInterface, configuration: IpConfiguration) -> tuple[WayOut, Hop] | None:
    if configuration.outbound is None or configuration.pools:
        return None
    reason = f"leaves as {configuration.outbound}, its default outbound address"
    return WayOut(Egress.DEFAULT, configuration.outbound), Hop(holder.id, Check.OUTBOUND, True, reason)


def _refuse(topology: Topology, nic: NetworkInterface, flow: Flow) -> NoReturn:
    """The source has no way out of its own, and none is lent to it."""
    subnet = topology.vantage(nic).subnet
    where = "" if subnet.default_outbound else f": {named(subnet.id)} has no default outbound access"
    reason = f"{flow.source} has no public address to leave with{where}"
    cure = remedy.against_no_outbound(topology, nic, flow)
    raise DroppedError(Hop(nic.id, Check.OUTBOUND, False, reason, remedy=cure))


def _refuse_known(topology: Topology, holder: NetworkInterface, configuration: IpConfiguration, flow: Flow) -> NoReturn:
    """Say what the load balancers of the source leave it without."""
    if not configuration.pools:
        _refuse(topology, holder, flow)
    pools = ", ".join(named(each) for each in configuration.pools)
    lent = f"{flow.source} is a member of {pools}, so it has no default outbound access, and"
    gateway = f"give {named(holder.subnet)} a NAT gateway"
    if flow.source.version == 6:
        gateway = f"give {flow.source} a public address of its own"
    public = [each for each in topology.intent.load_balancers.values() if each.is_public]
    lending = next(filter(None, (_lending(each, configuration, flow) for each in public)), None)
    if flow.protocol not in PORTED:
        reason = f"{lent} load balancers lend ports of TCP and UDP alone"
        cure = f"Give {flow.source} a public address of its own: only that carries {remedy.protocol(flow)}."
    elif configuration is not holder.primary(flow.source.version):
        reason = f"{lent} load balancers lend ports to the first address of a NIC alone"
        cure = f"Send from the primary address of {named(holder.id)}, or {gateway}."
    elif lending:
        reason = f"{lent} {named(lending)} has no ports left for it"
        cure = f"Lower the outbound ports of each member of {named(lending)}, give it another frontend, or {gateway}."
    else:
        protocol = remedy.protocol(flow)
        reason = f"{lent} no outbound rule is about its {protocol}"
        cure = f"Add an outbound rule for {protocol} to a public load balancer that it is a member of, or {gateway}."
    raise DroppedError(Hop(holder.id, Check.OUTBOUND, False, reason, remedy=cure))


def _lending(balancer: LoadBalancer, configuration: IpConfiguration, flow: Flow) -> ResourceId | None:
    """The rule of a load balancer that lends ports to an address, if there are any left."""

    def is_fit(protocol: Transport, pool: ResourceId | None) -> bool:
        return flow.protocol in PROTOCOLS[protocol] and pool in configuration.pools

    outbound = (each.id for each in balancer.outbound_rules if is_fit(each.protocol, each.pool))
    implied = (each.id for each in balancer.rules if each.outbound_snat and is_fit(each.protocol, each.pool))
    return next(outbound, None) or next(implied, None)
