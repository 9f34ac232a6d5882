"""One subnet of a virtual network: its prefixes, what governs its traffic, who it is delegated to.

Sources: Azure documents "Virtual Network FAQ", "Add, change, or delete a virtual network subnet", "What is subnet
delegation?", "Virtual Network service endpoints".
"""

from __future__ import annotations

from ipaddress import ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.world import (
    ENDPOINT_POLICIES,
    NAT_GATEWAYS,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    SUBNETS,
    Document,
    World,
)
from podvnet.model import limits
from podvnet.model.address import Prefix
from podvnet.model.resource_id import ResourceId, parse

_ASSOCIATED = {"networkSecurityGroup": SECURITY_GROUPS, "routeTable": ROUTE_TABLES, "natGateway": NAT_GATEWAYS}
_SERVICES = (
    "Microsoft.Storage", "Microsoft.Storage.Global", "Microsoft.Sql", "Microsoft.AzureCosmosDB", "Microsoft.KeyVault",
    "Microsoft.ServiceBus", "Microsoft.EventHub", "Microsoft.ContainerRegistry", "Microsoft.CognitiveServices",
    "Microsoft.Web", "Microsoft.AzureActiveDirectory",
)  # fmt: skip
GATEWAY_SUBNET = "gatewaysubnet"
"""The name, in lower case, of the subnet that gateways are in and nothing else."""
_NOT_WITH_GATEWAYS = {
    "natGateway": "NAT gateway",
    "networkSecurityGroup": "network security group",
    "delegations": "delegation",
}


def settle_subnet(
    network: ResourceId, fields: Fields, space: list[Prefix], linker: Linker, unsaid: bool | None
) -> Document:
    """Check and complete a subnet.

    Args:
        network: the virtual network it is in.
        fields: the subnet as it is wanted.
        space: the network's address space.
        linker: reads the subnet's references.
        unsaid: its ``defaultOutboundAccess`` when it says nothing of that; None for on, and not shown.

    Raises:
        ArmError: it is refused.
    """
    name = fields.required("name")
    resource = network.child("subnets", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState", "ipConfigurations", "privateEndpoints", "purpose")
    properties.refuse_unsupported(
        "ipAllocations", "applicationGatewayIPConfigurations", "ipConfigurationProfiles", "resourceNavigationLinks",
        "serviceAssociationLinks", "ipamPoolPrefixAllocations", "serviceGateway",
    )  # fmt: skip
    properties.only("sharingScope")
    prefixes = _prefixes(network, name, properties, space)
    said = properties.flag("defaultOutboundAccess", default=True)
    outbound = said if properties.has("defaultOutboundAccess") else unsaid
    settled: Document = {
        "provisioningState": "Succeeded",
        "addressPrefix": str(prefixes[0]),
        "addressPrefixes": [str(prefix) for prefix in prefixes],
        "delegations": _delegations(resource, properties),
        "privateEndpointNetworkPolicies": properties.choice(
            "privateEndpointNetworkPolicies", "Disabled",
            "Disabled", "Enabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled",
        ),
        "privateLinkServiceNetworkPolicies": properties.choice(
            "privateLinkServiceNetworkPolicies", "Enabled", "Enabled", "Disabled"
        ),
    }  # fmt: skip
    del settled["addressPrefix" if len(prefixes) > 1 else "addressPrefixes"]
    if outbound is not None:
        settled["defaultOutboundAccess"] = outbound
    for key, full_type in _ASSOCIATED.items():
        found = linker.one(properties, key, full_type)
        if found:
            settled[key] = {"id": found["id"]}
    for key, what in _NOT_WITH_GATEWAYS.items() if name.lower() == GATEWAY_SUBNET else ():
        if settled.get(key):
            raise properties.error("InvalidRequestFormat", f"{name} takes no {what}", key)
    endpoints = _service_endpoints(properties)
    if endpoints:
        settled["serviceEndpoints"] = endpoints
    policies = linker.each(properties, "serviceEndpointPolicies", ENDPOINT_POLICIES)
    if policies:
        _check_policies(properties, policies, endpoints)
        settled["serviceEndpointPolicies"] = [{"id": each["id"]} for each in policies]
    properties.refuse_unread()
    fields.refuse_unread()
    return {"name": name, "id": str(resource), "type": SUBNETS, "properties": settled}


def check_gateways(network: ResourceId, properties: Fields, subnets: list[Document], world: World) -> None:
    """Refuse a NAT gateway that subnets of another virtual network have.

    Raises:
        ArmError: which one.
    """
    wanted = {subnet["properties"].get("natGateway", {}).get("id", "").lower() for subnet in subnets} - {""}
    for gateway in sorted(wanted):
        for user in world.users(gateway, "subnets"):
            if parse(user).parent != network:
                raise properties.error(
                    "NatGatewayCannotSpanVirtualNetworks",
                    f"NAT gateway {gateway} is used by {user}; the subnets of a NAT gateway are in one virtual network",
                    "subnets",
                )


def prefixes_of(subnet: Document) -> tuple[Prefix, ...]:
    """The prefixes of a settled subnet document, IPv4 first."""
    properties = subnet["properties"]
    texts = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    return tuple(sorted((ip_network(text) for text in texts), key=lambda prefix: prefix.version))


def _prefixes(network: ResourceId, name: str, properties: Fields, space: list[Prefix]) -> list[Prefix]:
    texts = properties.texts("addressPrefixes")
    one = properties.text("addressPrefix")
    prefixes = [properties.prefix(text, "addressPrefix") for text in texts or ([one] if one else [])]
    if not prefixes:
        raise properties.error("InvalidRequestFormat", "addressPrefix or addressPrefixes is required")
    if len({prefix.version for prefix in prefixes}) < len(prefixes):
        raise properties.error("NetcfgInvalidSubnet", "one prefix of each IP version at most", "addressPrefixes")
    for prefix in prefixes:
        _check_size(properties, name, prefix)
        if not any(prefix.version == part.version and prefix.subnet_of(part) for part in space):  # type: ignore[arg-type]
            raise properties.error(
                "NetcfgInvalidSubnet",
                f"Subnet '{name}' is not valid in virtual network '{network.name}': {prefix} is not inside"
                f" {', '.join(map(str, space))}",
            )
    return prefixes


def _check_size(properties: Fields, name: str, prefix: Prefix) -> None:
    fits = (
        limits.LARGEST_SUBNET <= prefix.prefixlen <= limits.SMALLEST_SUBNET
        if prefix.version == 4
        else prefix.prefixlen == limits.IPV6_SUBNET
    )
    if not fits:
        rule = (
            f"/{limits.LARGEST_SUBNET} to /{limits.SMALLEST_SUBNET}"
            if prefix.version == 4
            else f"exactly /{limits.IPV6_SUBNET}"
        )
        raise properties.error("NetcfgInvalidSubnet", f"Subnet '{name}': {prefix} must be {rule}", "addressPrefix")


def _delegations(subnet: ResourceId, properties: Fields) -> list[Document]:
    found: list[Document] = []
    for each in properties.each("delegations"):
        name = each.required("name")
        resource = subnet.child("delegations", name)
        check_name(name, str(resource))
        each.allow("id", "type", "etag")
        inner = each.fields("properties")
        inner.allow("provisioningState", "actions")
        service = inner.required("serviceName")
        provider, _, kind = service.partition("/")
        if not kind or "." not in provider:
            raise inner.error("InvalidServiceNameForDelegation", f"{service!r} is no service", "serviceName")
        inner.refuse_unread()
        each.refuse_unread()
        found.append(
            {
                "name": name,
                "id": str(resource),
                "type": f"{SUBNETS}/delegations",
                "properties": {"provisioningState": "Succeeded", "serviceName": service},
            }
        )
    names = [each["name"].lower() for each in found]
    if len(set(names)) < len(names):
        raise properties.error("InvalidRequestFormat", "two have one name", "delegations")
    return found


def _check_policies(properties: Fields, policies: list[Document], endpoints: list[Document]) -> None:
    """A policy is about what goes by a service endpoint, so the subnet must have that of each service it names."""
    has = {each["service"].removesuffix(".Global") for each in endpoints}
    for policy in policies:
        for each in policy["properties"]["serviceEndpointPolicyDefinitions"]:
            service = each["properties"]["service"]
            if service not in has:
                raise properties.error(
                    "InvalidRequestFormat",
                    f"{policy['id']} is about {service}, and the subnet has no service endpoint for it",
                    "serviceEndpointPolicies",
                )


def _service_endpoints(properties: Fields) -> list[Document]:
    found: dict[str, Document] = {}
    for each in properties.each("serviceEndpoints"):
        each.allow("provisioningState")
        each.refuse_unsupported("networkIdentifier")
        service = each.choice("service", "", *_SERVICES)
        locations = each.texts("locations") or ["*"]
        each.refuse_unread()
        if service in found:
            raise properties.error("InvalidRequestFormat", f"{service} is listed twice", "serviceEndpoints")
        found[service] = {"provisioningState": "Succeeded", "service": service, "locations": locations}
    return list(found.values())
