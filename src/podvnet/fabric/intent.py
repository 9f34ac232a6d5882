"""The documents of the world as the intent that compilers read."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from podvnet.fabric.arm import (
    connections,
    express_route_circuits,
    flow_logs,
    internet_hosts,
    load_balancer_intent,
    nat_gateways,
    network_interfaces,
    network_security_groups,
    on_premises_sites,
    private_dns_zones,
    private_endpoints,
    public_ip_addresses,
    public_ip_prefixes,
    route_tables,
    service_endpoint_policies,
    sql_servers,
    storage_accounts,
    virtual_machines,
    virtual_network_gateways,
    virtual_networks,
)
from podvnet.fabric.arm.service_tag_prefixes import Meanings, group_with, meanings, table_with
from podvnet.fabric.arm.world import (
    CIRCUITS,
    CONNECTIONS,
    ENDPOINT_POLICIES,
    INTERNET_HOSTS,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_GATEWAYS,
    NETWORK_INTERFACES,
    NETWORK_WATCHERS,
    ON_PREMISES_SITES,
    PRIVATE_ENDPOINTS,
    PRIVATE_ZONES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    SQL_SERVERS,
    STORAGE_ACCOUNTS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.model.address import Address
from podvnet.model.dns import PrivateZone
from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.flow_log import FlowLog
from podvnet.model.gateway import Circuit, Connection, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.intent import Intent, InternetHost, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.load_balancer import LoadBalancer
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.public_address import NatGateway, PublicAddress
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import RouteTable
from podvnet.model.security import SecurityGroup
from podvnet.model.service import Service

IntentValue = (
    VirtualNetwork
    | NetworkInterface
    | VirtualMachine
    | InternetHost
    | SecurityGroup
    | RouteTable
    | PublicAddress
    | NatGateway
    | LoadBalancer
    | Service
    | PrivateEndpoint
    | EndpointPolicy
    | PrivateZone
    | VirtualNetworkGateway
    | Circuit
    | Connection
    | OnPremisesSite
    | tuple[FlowLog, ...]
)


class IntentReader:
    """Turns worlds into intents; a document that has not changed is not read again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Document, IntentValue]] = {}
        self._tags: Meanings = {}
        self._made_of_several: dict[str, IntentValue] = {}

    def read(self, world: World, healthy: frozenset[tuple[ResourceId, Address]] = frozenset()) -> Intent:
        """The intent of a world.

        Resources that others name and that are nothing by themselves, application security groups and service tags
        among them, stand in what names them.

        Args:
            world: the resources.
            healthy: what probes have found; see :class:`Intent`.
        """
        intent = Intent(healthy=healthy)
        tags = meanings(world)
        if tags != self._tags:
            self._tags, self._known = tags, {}
        known: dict[int, tuple[Document, IntentValue]] = {}
        for key, document in world.documents.items():
            if document["type"] not in _READERS:
                continue
            cached = self._known.get(id(document))
            value = cached[1] if cached and cached[0] is document else _value(document, tags)
            known[id(document)] = (document, value)
            _place(intent, key, value)
        self._known = known
        several = {
            key: self._kept(key, _OF_SEVERAL[document["type"]](document, world))
            for key, document in world.documents.items()
            if document["type"] in _OF_SEVERAL
        }
        for key, value in several.items():
            _place(intent, key, value)
        self._made_of_several = several
        return intent

    def _kept(self, key: str, value: Connection | OnPremisesSite) -> IntentValue:
        """The same value as before when it is equal: compilers look at what is the same first."""
        known = self._made_of_several.get(key)
        return known if known is not None and known == value else value


_READERS = {
    VIRTUAL_NETWORKS: virtual_networks.intent_of,
    NETWORK_INTERFACES: network_interfaces.intent_of,
    VIRTUAL_MACHINES: virtual_machines.intent_of,
    INTERNET_HOSTS: internet_hosts.intent_of,
    SECURITY_GROUPS: network_security_groups.intent_of,
    ROUTE_TABLES: route_tables.intent_of,
    NETWORK_WATCHERS: flow_logs.intent_of,
    PUBLIC_PREFIXES: public_ip_prefixes.intent_of,
    PUBLIC_ADDRESSES: public_ip_addresses.intent_of,
    NAT_GATEWAYS: nat_gateways.intent_of,
    LOAD_BALANCERS: load_balancer_intent.intent_of,
    STORAGE_ACCOUNTS: storage_accounts.intent_of,
    SQL_SERVERS: sql_servers.intent_of,
    PRIVATE_ENDPOINTS: private_endpoints.intent_of,
    ENDPOINT_POLICIES: service_endpoint_policies.intent_of,
    PRIVATE_ZONES: private_dns_zones.intent_of,
    NETWORK_GATEWAYS: virtual_network_gateways.intent_of,
    CIRCUITS: express_route_circuits.intent_of,
}
_OF_SEVERAL: dict[str, Callable[[Document, World], Connection | OnPremisesSite]] = {
    CONNECTIONS: connections.intent_of,
    ON_PREMISES_SITES: on_premises_sites.intent_of,
}
"""Those whose values hold something of other resources, which may change while they do not."""


def _value(document: Document, tags: Meanings) -> IntentValue:
    value = cast("IntentValue", _READERS[document["type"]](document))
    match value:
        case SecurityGroup() if tags:
            return group_with(value, tags)
        case RouteTable() if tags:
            return table_with(value, tags)
    return value


def _place(intent: Intent, key: str, value: IntentValue) -> None:  # noqa: C901, PLR0912 - an arm for each kind
    match value:
        case VirtualNetwork():
            intent.virtual_networks[key] = value
        case NetworkInterface():
            intent.nics[key] = value
        case VirtualMachine():
            intent.machines[key] = value
        case InternetHost():
            intent.internet_hosts[key] = value
        case SecurityGroup():
            intent.security_groups[key] = value
        case RouteTable():
            intent.route_tables[key] = value
        case PublicAddress():
            intent.public_addresses[key] = value
        case NatGateway():
            intent.nat_gateways[key] = value
        case LoadBalancer():
            intent.load_balancers[key] = value
        case Service():
            intent.services[key] = value
        case PrivateEndpoint():
            intent.private_endpoints[key] = value
        case EndpointPolicy():
            intent.endpoint_policies[key] = value
        case PrivateZone():
            intent.private_zones[key] = value
        case VirtualNetworkGateway():
            intent.gateways[key] = value
        case Circuit():
            intent.circuits[key] = value
        case Connection():
            intent.connections[key] = value
        case OnPremisesSite():
            intent.sites[key] = value
        case tuple():
            intent.flow_logs.update((log.id.key, log) for log in value)
