"""How much there is of what, and how much there may be: counts beside limits, as the ``usages`` of Azure list them.

Pure. Sources: Azure REST references "Usages - List" and "Virtual Networks - List Usage" of Microsoft.Network, "Usage -
List" of Microsoft.Compute; the limits are those of the documents "Azure subscription and service limits" and "Azure NAT
Gateway frequently asked questions".
"""

from __future__ import annotations

from podvnet.fabric.arm.subnets import prefixes_of
from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.model import limits
from podvnet.model.subnet import capacity

_NETWORK = (
    (VIRTUAL_NETWORKS, "VirtualNetworks", "Virtual Networks", limits.VIRTUAL_NETWORKS_PER_REGION),
    (SECURITY_GROUPS, "NetworkSecurityGroups", "Network Security Groups", limits.SECURITY_GROUPS_PER_REGION),
    (PUBLIC_ADDRESSES, "PublicIPAddresses", "Public IP Addresses", limits.PUBLIC_ADDRESSES_PER_REGION),
    (NETWORK_INTERFACES, "NetworkInterfaces", "Network Interfaces", limits.NICS_PER_REGION),
    (LOAD_BALANCERS, "LoadBalancers", "Load Balancers", limits.LOAD_BALANCERS_PER_REGION),
    (ROUTE_TABLES, "RouteTables", "Route Tables", limits.ROUTE_TABLES_PER_REGION),
    (
        APPLICATION_GROUPS,
        "ApplicationSecurityGroups",
        "Application Security Groups",
        limits.APPLICATION_GROUPS_PER_REGION,
    ),
    (NAT_GATEWAYS, "NatGateways", "NAT Gateways", limits.NAT_GATEWAYS_PER_REGION),
)
_COMPUTE = ((VIRTUAL_MACHINES, "virtualMachines", "Virtual Machines", limits.VIRTUAL_MACHINES_PER_REGION),)


def network_usages(world: World, subscription: str, location: str) -> list[Document]:
    """What a subscription has of Microsoft.Network's types in a location."""
    place = f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
    return [
        {"id": f"{place}/{name}", **_usage(_count(world, full_type, subscription, location), limit, name, words)}
        for full_type, name, words, limit in _NETWORK
    ]


def compute_usages(world: World, subscription: str, location: str) -> list[Document]:
    """The same of Microsoft.Compute's; these have no ids."""
    return [
        _usage(_count(world, full_type, subscription, location), limit, name, words)
        for full_type, name, words, limit in _COMPUTE
    ]


def subnet_usages(network: Document, world: World) -> list[Document]:
    """How many addresses of each subnet of a virtual network are held: of its IPv4 prefix where it has one."""
    found = []
    for subnet in network["properties"]["subnets"]:
        prefix = min(prefixes_of(subnet), key=lambda each: each.version)
        held = sum(1 for address in world.holders.get(subnet["id"].lower(), {}) if address in prefix)
        usage = _usage(held, capacity(prefix), "SubnetSpace", "Subnet size and usage")
        found.append({"id": subnet["id"], **usage})
    return found


def _usage(count: int, limit: int, name: str, words: str) -> Document:
    return {
        "currentValue": count,
        "limit": limit,
        "name": {"value": name, "localizedValue": words},
        "unit": "Count",
    }


def _count(world: World, full_type: str, subscription: str, location: str) -> int:
    prefix = f"/subscriptions/{subscription}/".lower()
    return sum(
        1
        for document in world.of_type(full_type)
        if document["id"].lower().startswith(prefix) and document["location"].lower() == location.lower()
    )
