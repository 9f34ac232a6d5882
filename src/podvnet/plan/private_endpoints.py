"""Private endpoints as packets meet them: the routes to them, the ways in, the security groups before them.

The address of an endpoint is delivered by the virtual network's link to the services, where it becomes the address of
what the endpoint leads to (:mod:`podvnet.plan.services_program`). Peered networks come by their links, so that peerings
are not transitive for endpoints either. Answers of services come back to the network as to a subnet without a route
table: an appliance that a client's routes lead through sees one direction, unless it translates addresses.

Sources: Azure documents "What is a private endpoint?", "Manage network policies for private endpoints" (groups and
routes hold only where the subnet says so; a wider route goes before an endpoint's when it is as long as the address
space's prefix, or longer).
"""

from __future__ import annotations

import hashlib

from podvnet.model.intent import Intent, VirtualNetwork
from podvnet.model.kernel import Chain, Dispatch, KernelObject, Program, Route, host_prefix
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import NO_GATEWAYS, EndpointRoute, GatewayReach
from podvnet.model.security import SecurityGroup
from podvnet.model.subnet import Subnet
from podvnet.plan import names
from podvnet.plan.address_space import virtual_network_prefixes
from podvnet.plan.names import TABLE
from podvnet.plan.routing_program import INTERNET_SIDE, mark_element
from podvnet.plan.security_program import asked_groups, inbound_rules


def endpoints_in(intent: Intent, network: ResourceId) -> tuple[PrivateEndpoint, ...]:
    """The private endpoints of a virtual network."""
    return tuple(each for each in intent.private_endpoints.values() if each.network == network)


def endpoint_routes(intent: Intent, network: VirtualNetwork) -> tuple[EndpointRoute, ...]:
    """The private endpoints that a virtual network has routes to: its own and those of peers."""
    peers = {peering.remote for peering in network.peerings}
    found = []
    for each in intent.private_endpoints.values():
        if each.network == network.id or each.network in peers:
            remote = None if each.network == network.id else each.network
            found.append(EndpointRoute(each.address, remote, subnet_of(intent, each).reroutes_endpoints))
    return tuple(found)


def subnet_of(intent: Intent, endpoint: PrivateEndpoint) -> Subnet:
    """The subnet that a private endpoint is in."""
    network = intent.virtual_networks[endpoint.network.key]
    return next(each for each in network.subnets if each.id == endpoint.subnet)


def group_before(intent: Intent, endpoint: PrivateEndpoint) -> SecurityGroup | None:
    """The security group that asks what is for a private endpoint."""
    subnet = subnet_of(intent, endpoint)
    if not subnet.filters_endpoints or subnet.security_group is None:
        return None
    return intent.security_groups[subnet.security_group.key]


def groups_named(intent: Intent) -> dict[tuple[str, ResourceId], None]:
    """By id key of the virtual network, the application security groups that groups before endpoints name."""
    groups = ((each.network.key, group_before(intent, each)) for each in intent.private_endpoints.values())
    return {(network, asked): None for network, group in groups if group for asked in asked_groups(group)}


def compile_endpoints(network: VirtualNetwork, endpoints: tuple[PrivateEndpoint, ...], rules: str) -> Program:
    """The ways of a virtual network to its endpoints.

    Args:
        network: the virtual network, which has a link to the services.
        endpoints: its own.
        rules: what :func:`endpoint_rules` gives for it.
    """
    index = names.SERVICES_INDEX
    ways: set[KernelObject] = {
        Route(host_prefix(each.address), index, INTERNET_SIDE[each.address.version]) for each in endpoints
    }
    # What a service answers to a peered network is routed as what a subnet without a route table sends.
    ways.add(mark_element(index, names.PLAIN_TABLE))
    if rules:
        chain = Chain(TABLE, f"endpoints-{hashlib.sha256(rules.encode()).hexdigest()[:12]}", rules)
        ways |= {chain, Dispatch(TABLE, "to_subnet", index, chain.name)}
    return {names.network_namespace(network.id): frozenset(ways)}


def endpoint_rules(intent: Intent, network: VirtualNetwork, gateways: GatewayReach = NO_GATEWAYS) -> str:
    """What is asked of packets for the endpoints of a virtual network: the inbound rules of their subnets' groups."""
    lines = []
    for subnet in network.subnets:
        own = [each for each in endpoints_in(intent, network.id) if each.subnet == subnet.id]
        group = group_before(intent, own[0]) if own else None
        if group is None:
            continue
        table = intent.route_tables[subnet.route_table.key] if subnet.route_table else None
        to = f"ip daddr {{ {', '.join(sorted(str(each.address) for each in own))} }}"
        rules = inbound_rules(group, virtual_network_prefixes(network, table, gateways), 4)
        lines += [f"\t\t{to} {rule}\n" for rule in rules]
    return "".join(lines)
