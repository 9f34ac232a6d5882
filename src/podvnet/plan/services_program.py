"""The namespace of Azure's services: their addresses, the links that packets come by, their firewalls.

There is one link from the internet and one from each virtual network with a service endpoint or a private endpoint. A
packet that comes by the latter has its private source, and the link says which virtual network it is from: address
spaces may overlap, so flows of each link have a conntrack zone of their own in their direction, and a mark that leads
the replies back. Two flows that are alike but for the link would be one to the service's sockets; of the second one the
kernel then changes the source's port, as it does whenever it translates addresses.

A firewall lets a packet through to the service, which so sees its real source, or leads it to a responder beside the
service that says no in the service's own words. It asks for the first packet of a flow only. What is for the address of
a private endpoint is led to the service past its firewall; what goes by a service endpoint is asked by the endpoint
policies of its subnet before.

Sources: as :mod:`podvnet.model.service`, and Azure documents "Virtual network service endpoints", "Use private
endpoints for Azure Storage" (the firewall does not hold for them), "Virtual network service endpoint policies for Azure
Storage".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, collapse_addresses, ip_interface

from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.intent import VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Chain,
    Dispatch,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Program,
    Route,
    RoutingRule,
    Ruleset,
    Sysctl,
    VethPair,
    host_prefix,
)
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.service import Service, ServiceKind
from podvnet.model.service_tag import ENDPOINT_TAGS
from podvnet.model.subnet import Subnet
from podvnet.plan import names
from podvnet.plan.names import TABLE
from podvnet.plan.routing_program import INTERNET_SIDE, NETWORK_SIDE

REFUSAL_PORTS = {
    (ServiceKind.STORAGE, False): 10443,
    (ServiceKind.STORAGE, True): 10444,
    (ServiceKind.SQL, False): 11433,
    (ServiceKind.SQL, True): 11434,
}
"""Where responders listen, by kind and by whether a flow came by a service endpoint."""

_EVERYWHERE = IPv4Network("0.0.0.0/0")
_SERVED = ", ".join(str(kind.port) for kind in ServiceKind)
_RULESET = Ruleset(
    (("inet", TABLE),),
    f"""
table inet {TABLE} {{
	# by link: the zone and the mark of its flows, the firewalls as they are for it
	map arrival {{ type iface_index : verdict; }}
	map firewall {{ type iface_index : verdict; }}

	chain arrive {{
		type filter hook prerouting priority raw; policy accept;
		iif vmap @arrival
	}}
	chain remember {{
		type filter hook prerouting priority mangle; policy accept;
		ct state new ct mark set meta mark
	}}
	chain decide {{
		type nat hook prerouting priority dstnat; policy accept;
		iif vmap @firewall
	}}
	chain served {{
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established accept
		ct status dnat accept
		tcp dport {{ {_SERVED} }} accept
	}}
	# that there is such a chain makes the kernel tell flows apart that are alike but for the link
	chain tell_apart {{
		type nat hook input priority 100; policy accept;
	}}
	chain reply {{
		type route hook output priority mangle; policy accept;
		meta mark set ct mark
	}}
}}
""",
)


def uses_services(network: VirtualNetwork) -> bool:
    """Tell whether a subnet has a service endpoint whose service has a stand-in."""
    return any(service in ENDPOINT_TAGS for subnet in network.subnets for service in subnet.service_endpoints)


def compile_services() -> Program:
    """The services' namespace and its link to the internet."""
    return {
        names.SERVICES: frozenset(
            {
                NetworkNamespace(),
                LinkUp(LOOPBACK),
                Sysctl("ipv4/conf/all/rp_filter", "0"),
                Sysctl("ipv4/conf/default/rp_filter", "0"),
                Sysctl("ipv4/ip_forward", "0"),
                _RULESET,
                LinkUp(names.UPLINK_INDEX),
                Neighbour(names.UPLINK_INDEX, INTERNET_SIDE[4], names.INTERNET_MAC),
                Route(_EVERYWHERE, names.UPLINK_INDEX, INTERNET_SIDE[4]),
            }
        ),
        names.INTERNET: frozenset(
            {
                Sysctl("ipv4/ip_forward", "1"),
                VethPair(
                    name=names.SERVICES_LINK,
                    index=names.SERVICES_INDEX,
                    mac=names.INTERNET_MAC,
                    peer_namespace=names.SERVICES,
                    peer_name=names.UPLINK,
                    peer_index=names.UPLINK_INDEX,
                    peer_mac=names.EDGE_MAC,
                    alias="to Azure's services",
                ),
                Neighbour(names.SERVICES_INDEX, NETWORK_SIDE[4], names.EDGE_MAC),
            }
        ),
    }


def compile_addresses(services: tuple[Service, ...]) -> Program:
    """The services' addresses, and whom of the internet they take by their firewalls."""
    addresses = [address for service in services for address in service.addresses]
    return {
        names.SERVICES: frozenset(
            {
                *(InterfaceAddress(LOOPBACK, ip_interface(host_prefix(address))) for address in addresses),
                *_firewalls(names.UPLINK_INDEX, _public_rules(services)),
            }
        ),
        names.INTERNET: frozenset(
            Route(host_prefix(address), names.SERVICES_INDEX, NETWORK_SIDE[4]) for address in addresses
        ),
    }


def compile_services_link(network: VirtualNetwork) -> Program:
    """The link from a virtual network to the services, and the way back by it."""
    index, table = names.internet_link_index(network.number), names.services_table(network.number)
    arrival = Chain(TABLE, f"arrival-{table}", f"\t\tmeta mark set {table} ct original zone set {table}\n")
    return {
        names.network_namespace(network.id): frozenset(
            {
                VethPair(
                    name=names.SERVICES_LINK,
                    index=names.SERVICES_INDEX,
                    mac=names.EDGE_MAC,
                    peer_namespace=names.SERVICES,
                    peer_name=names.internet_link_name(network.number),
                    peer_index=index,
                    peer_mac=names.INTERNET_MAC,
                    alias="to Azure's services",
                ),
                Neighbour(names.SERVICES_INDEX, INTERNET_SIDE[4], names.INTERNET_MAC),
            }
        ),
        names.SERVICES: frozenset(
            {
                LinkUp(index),
                Neighbour(index, NETWORK_SIDE[4], names.EDGE_MAC),
                RoutingRule(4, table),
                Route(_EVERYWHERE, index, NETWORK_SIDE[4], table),
                arrival,
                Dispatch(TABLE, "arrival", index, arrival.name),
            }
        ),
    }


def compile_firewalls(
    network: VirtualNetwork,
    services: tuple[Service, ...],
    endpoints: tuple[PrivateEndpoint, ...] = (),
    policies: tuple[EndpointPolicy, ...] = (),
) -> Program:
    """Whom of a virtual network the services take.

    Args:
        network: the virtual network.
        services: all of them.
        endpoints: its private endpoints.
        policies: the service endpoint policies that its subnets have.
    """
    index = names.internet_link_index(network.number)
    rules = (
        *_endpoint_rules(endpoints, services),
        *_policy_rules(network, services, policies),
        *_private_rules(network, services),
    )
    return {names.SERVICES: frozenset(_firewalls(index, rules))}


def _firewalls(index: int, rules: Iterable[str]) -> tuple[KernelObject, ...]:
    text = "".join(f"\t\t{rule}\n" for rule in rules)
    chain = Chain(TABLE, f"firewall-{index}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", text)
    return chain, Dispatch(TABLE, "firewall", index, chain.name)


def _public_rules(services: tuple[Service, ...]) -> Iterator[str]:
    for service in services:
        spans = ", ".join(f"{first}-{last}" if first != last else f"{first}" for first, last in _merged(service))
        yield from _rules(service, spans, by_endpoint=False)


def _private_rules(network: VirtualNetwork, services: tuple[Service, ...]) -> Iterator[str]:
    for service in services:
        own = {
            prefix
            for subnet in network.subnets
            if subnet.id in service.subnets and service.kind in subnet.service_endpoints
            for prefix in subnet.prefixes
            if isinstance(prefix, IPv4Network)
        }
        yield from _rules(service, ", ".join(map(str, collapse_addresses(own))), by_endpoint=True)


def _endpoint_rules(endpoints: tuple[PrivateEndpoint, ...], services: tuple[Service, ...]) -> Iterator[str]:
    """Addresses of private endpoints become those of what they lead to. One whose service is gone leads nowhere."""
    known = {service.id: service for service in services}
    for each in endpoints:
        service = known.get(each.service)
        address = dict(service.endpoints).get(each.host) if service else None
        if service and address:
            yield f"ip daddr {each.address} tcp dport {service.kind.port} dnat ip to {address}"


def _policy_rules(
    network: VirtualNetwork, services: tuple[Service, ...], policies: tuple[EndpointPolicy, ...]
) -> Iterator[str]:
    for service in services:
        shut = {
            prefix
            for subnet in network.subnets
            if service.kind in subnet.service_endpoints and not is_allowed(service, subnet, policies)
            for prefix in subnet.prefixes
            if isinstance(prefix, IPv4Network)
        }
        if shut:
            port = service.kind.port
            sources = f"ip saddr {{ {', '.join(map(str, collapse_addresses(shut)))} }}"
            yield f"{_to(service)} {sources} tcp dport {port} dnat to :{REFUSAL_PORTS[service.kind, True]}"


def is_allowed(service: Service, subnet: Subnet, policies: Iterable[EndpointPolicy]) -> bool:
    """Tell whether the endpoint policies of a subnet let it reach a service; only Storage is asked about."""
    own = [each for each in policies if each.id in subnet.endpoint_policies]
    return service.kind is not ServiceKind.STORAGE or not own or any(each.allows(service.id) for each in own)


def _to(service: Service) -> str:
    return f"ip daddr {{ {', '.join(map(str, service.addresses))} }}"


def _rules(service: Service, sources: str, *, by_endpoint: bool) -> Iterator[str]:
    if service.open and service.public_access:
        return
    to = _to(service)
    if sources and service.public_access:
        yield f"{to} ip saddr {{ {sources} }} return"
    yield f"{to} tcp dport {service.kind.port} dnat to :{REFUSAL_PORTS[service.kind, by_endpoint]}"


def _merged(service: Service) -> Iterable[tuple[object, object]]:
    """The spans of a service without overlaps, which a set of intervals may not have."""
    merged: list[list[int]] = []
    for first, last in sorted((int(first), int(last)) for first, last in service.spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    address = type(service.addresses[0])
    return [(address(first), address(last)) for first, last in merged]
