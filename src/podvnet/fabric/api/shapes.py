"""The shapes of what clients write: by type of resource, the members that it takes, as JSON schemas.

They say what a member may hold by itself; what must agree between members and resources is for the types to check.
Members that the fabric accepts only to say that it does not carry them out are left out.
"""

from __future__ import annotations

from typing import Any

from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    ENDPOINT_POLICIES,
    INTERNET_HOSTS,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    NETWORK_WATCHERS,
    PRIVATE_ENDPOINTS,
    PRIVATE_ZONES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    SERVICE_TAGS,
    SQL_SERVERS,
    STORAGE_ACCOUNTS,
    SUBNETS,
    USER_ASSIGNED_IDENTITIES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
)

Shape = dict[str, Any]

NAME = r"\w([\w.-]*\w)?"
"""Of resources, as a pattern; in ids as well."""


def closed(required: tuple[str, ...] = (), **members: Shape) -> Shape:
    """An object of these members and no others."""
    shape: Shape = {"type": "object", "properties": members, "additionalProperties": False}
    return shape | ({"required": list(required)} if required else {})


def named(*required: str, **members: Shape) -> Shape:
    """A sub-resource: a name and properties."""
    inner = closed(required, **members)
    return closed(("name", "properties") if required else ("name",), name=component("Name"), properties=inner)


def component(name: str) -> Shape:
    """A reference to a shape that has a name of its own."""
    return {"$ref": f"#/components/schemas/{name}"}


def listed(shape: Shape) -> Shape:
    """A list."""
    return {"type": "array", "items": shape}


def choice(*values: str) -> Shape:
    """One of a few strings."""
    return {"type": "string", "enum": list(values)}


def either(*shapes: Shape) -> Shape:
    """One of a few shapes."""
    return {"anyOf": list(shapes)}


def number(low: int, high: int) -> Shape:
    """An integer, ends included."""
    return {"type": "integer", "minimum": low, "maximum": high}


def reference(full_type: str) -> Shape:
    """``{"id": …}`` of a resource or sub-resource of a type."""
    provider, *kinds = full_type.split("/")
    tail = "".join(f"/{kind}/{NAME}" for kind in kinds)
    # The dot of a provider's name is a dot.
    place = f"/resourceGroups/{NAME}/providers/{provider.replace('.', '[.]')}"
    pattern = f"^/subscriptions/[0-9a-f-]{{36}}{place}{tail}$"
    return closed(("id",), id={"type": "string", "pattern": pattern})


TEXT: Shape = {"type": "string"}
TAGS: Shape = {"type": "object", "additionalProperties": TEXT}
FLAG: Shape = {"type": "boolean"}
PORT: Shape = {"type": "string", "pattern": r"^(\*|\d{1,5}(-\d{1,5})?)$"}
SCALARS: dict[str, Shape] = {
    "Name": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": f"^{NAME}$"},
    "GroupName": {"type": "string", "minLength": 1, "maxLength": 80, "pattern": f"^{NAME}$"},
    "Location": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9 ]*$"},
    "Prefix": {"type": "string", "pattern": r"^([\d.]{7,15}/\d{1,2}|[0-9a-f:]{2,39}/\d{1,3})$"},
    "Address": {"type": "string", "pattern": r"^([\d.]{7,15}|[0-9a-f:]{2,39})$"},
    "PublicAddress": {"type": "string", "format": "ipv4"},
    "Traffic": {"type": "string", "minLength": 1},
}
"""Strings with a form of their own. ``Traffic``: an address, a prefix, a service tag or all."""

_BALANCER = {kind: reference(f"{LOAD_BALANCERS}/{kind}") for kind in (
    "frontendIPConfigurations", "backendAddressPools", "probes", "inboundNatRules")}  # fmt: skip
_SKU = closed(name=choice("Standard"), tier=choice("Regional"))
_ZONES = listed(choice("1", "2", "3"))
_PUBLIC = {"sku": closed(name=choice("Standard", "StandardV2"), tier=choice("Regional")), "zones": _ZONES}
_IP_TAGS = listed(closed(("ipTagType",), ipTagType={"type": "string", "minLength": 1}, tag=TEXT))
_PRIVATE = {
    "privateIPAddressVersion": choice("IPv4", "IPv6"),
    "privateIPAllocationMethod": choice("Dynamic", "Static"),
    "privateIPAddress": component("Address"),
}
_PLACED_NIC = reference(NETWORK_INTERFACES)
_PLACED_NIC["properties"]["properties"] = closed(primary=FLAG)
_IDENTITY = closed(
    ("type",),
    type=choice("None", "SystemAssigned", "UserAssigned", "SystemAssigned, UserAssigned"),
    userAssignedIdentities={"type": "object", "additionalProperties": closed()},
)
_SUBNET = named(
    "addressPrefix",
    addressPrefix=component("Prefix"),
    addressPrefixes=listed(component("Prefix")),
    defaultOutboundAccess=FLAG,
    networkSecurityGroup=reference(SECURITY_GROUPS),
    routeTable=reference(ROUTE_TABLES),
    natGateway=reference(NAT_GATEWAYS),
    delegations=listed(named("serviceName", serviceName={"type": "string", "pattern": r"^[A-Z]\w+[.]\w+/\w+$"})),
    serviceEndpoints=listed(
        closed(("service",), service=choice("Microsoft.Storage", "Microsoft.Sql"), locations=listed(TEXT))
    ),
    privateEndpointNetworkPolicies=choice("Disabled", "Enabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"),
    privateLinkServiceNetworkPolicies=choice("Enabled", "Disabled"),
    serviceEndpointPolicies=listed(reference(ENDPOINT_POLICIES)),
)
_PEERING = named(
    "remoteVirtualNetwork",
    remoteVirtualNetwork=reference(VIRTUAL_NETWORKS),
    allowVirtualNetworkAccess=FLAG,
    allowForwardedTraffic=FLAG,
    allowGatewayTransit=FLAG,
    useRemoteGateways=FLAG,
    doNotVerifyRemoteGateways=FLAG,
)
_SECURITY_RULE = named(
    "priority", "direction", "access", "protocol",
    priority=number(100, 4096),
    direction=choice("Inbound", "Outbound"),
    access=choice("Allow", "Deny"),
    protocol=choice("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"),
    description={"type": "string", "maxLength": 140},
    sourcePortRange=PORT,
    sourcePortRanges=listed(PORT),
    destinationPortRange=PORT,
    destinationPortRanges=listed(PORT),
    sourceAddressPrefix=component("Traffic"),
    sourceAddressPrefixes=listed(component("Traffic")),
    destinationAddressPrefix=component("Traffic"),
    destinationAddressPrefixes=listed(component("Traffic")),
    sourceApplicationSecurityGroups=listed(reference(APPLICATION_GROUPS)),
    destinationApplicationSecurityGroups=listed(reference(APPLICATION_GROUPS)),
)  # fmt: skip
_ROUTE = named(
    "addressPrefix", "nextHopType",
    addressPrefix=component("Traffic"),
    nextHopType=choice("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None"),
    nextHopIpAddress=component("Address"),
)  # fmt: skip
_POOL = named(
    drainPeriodInSeconds=number(0, 4000),
    virtualNetwork=reference(VIRTUAL_NETWORKS),
    loadBalancerBackendAddresses=listed(
        named(
            "ipAddress",
            ipAddress=component("Address"),
            adminState=choice("None", "Up", "Down"),
            virtualNetwork=reference(VIRTUAL_NETWORKS),
            subnet=reference(SUBNETS),
        )
    ),
)
_SPOKEN = {
    "protocol": choice("Tcp", "Udp", "All"),
    "enableTcpReset": FLAG,
    "idleTimeoutInMinutes": number(4, 100),
}
_NAT_RULE = named(
    "frontendIPConfiguration", "protocol", "backendPort",
    frontendIPConfiguration=_BALANCER["frontendIPConfigurations"],
    backendAddressPool=_BALANCER["backendAddressPools"],
    backendPort=number(1, 65535),
    frontendPort=number(0, 65534),
    frontendPortRangeStart=number(0, 65534),
    frontendPortRangeEnd=number(0, 65534),
    enableFloatingIP=FLAG,
    **_SPOKEN,
)  # fmt: skip


_SUBNET_RULE = reference(SUBNETS)
_SUBNET_RULE["properties"]["action"] = choice("Allow")
_ACCOUNT_RULES = closed(
    defaultAction=choice("Allow", "Deny"),
    bypass=choice("None", "AzureServices", "Logging", "Metrics"),
    virtualNetworkRules=listed(_SUBNET_RULE),
    ipRules=listed(closed(("value",), value=component("PublicAddress"), action=choice("Allow"))),
)

CHILDREN: dict[str, dict[str, Shape]] = {
    VIRTUAL_NETWORKS: {"subnets": _SUBNET, "virtualNetworkPeerings": _PEERING},
    SECURITY_GROUPS: {"securityRules": _SECURITY_RULE},
    ROUTE_TABLES: {"routes": _ROUTE},
    NETWORK_INTERFACES: {
        "ipConfigurations": named(
            "subnet",
            subnet=reference(SUBNETS),
            primary=FLAG,
            privateIPAddressPrefixLength=number(28, 28),
            publicIPAddress=reference(PUBLIC_ADDRESSES),
            loadBalancerBackendAddressPools=listed(_BALANCER["backendAddressPools"]),
            loadBalancerInboundNatRules=listed(_BALANCER["inboundNatRules"]),
            applicationSecurityGroups=listed(reference(APPLICATION_GROUPS)),
            **_PRIVATE,
        )
    },
    SQL_SERVERS: {
        "virtualNetworkRules": named(
            "virtualNetworkSubnetId",
            virtualNetworkSubnetId=reference(SUBNETS)["properties"]["id"],
            ignoreMissingVnetServiceEndpoint=FLAG,
        ),
        "firewallRules": named(
            "startIpAddress", "endIpAddress",
            startIpAddress=component("PublicAddress"),
            endIpAddress=component("PublicAddress"),
        ),
    },
    PRIVATE_ENDPOINTS: {
        "privateDnsZoneGroups": named(
            "privateDnsZoneConfigs",
            privateDnsZoneConfigs=listed(
                named("privateDnsZoneId", privateDnsZoneId=reference(PRIVATE_ZONES)["properties"]["id"])
            ),
        )
    },
    ENDPOINT_POLICIES: {
        "serviceEndpointPolicyDefinitions": named(
            "service", "serviceResources",
            service=choice("Microsoft.Storage"),
            description={"type": "string", "maxLength": 140},
            serviceResources=listed(reference(STORAGE_ACCOUNTS)["properties"]["id"]) | {"minItems": 1},
        )
    },
    NETWORK_WATCHERS: {
        "flowLogs": named(
            "targetResourceId", "storageId",
            targetResourceId=reference(SECURITY_GROUPS)["properties"]["id"],
            storageId=reference("Microsoft.Storage/storageAccounts")["properties"]["id"],
            enabled=FLAG,
            retentionPolicy=closed(days=number(0, 365), enabled={"const": False}),
            format=closed(type=choice("JSON"), version=number(1, 2)),
        )
    },
    LOAD_BALANCERS: {
        "frontendIPConfigurations": named(
            subnet=reference(SUBNETS),
            publicIPAddress=reference(PUBLIC_ADDRESSES),
            publicIPPrefix=reference(PUBLIC_PREFIXES),
            **_PRIVATE,
        ),
        "backendAddressPools": _POOL,
        "probes": named(
            "protocol", "port",
            protocol=choice("Tcp", "Http", "Https"),
            port=number(1, 65535),
            requestPath=TEXT,
            intervalInSeconds=number(5, 119),
            numberOfProbes=number(1, 100),
            probeThreshold=number(1, 100),
            noHealthyBackendsBehavior=choice("AllProbedDown", "AllProbedUp"),
        ),
        "loadBalancingRules": named(
            "frontendIPConfiguration", "protocol", "frontendPort",
            frontendIPConfiguration=_BALANCER["frontendIPConfigurations"],
            backendAddressPool=_BALANCER["backendAddressPools"],
            backendAddressPools=listed(_BALANCER["backendAddressPools"]),
            probe=_BALANCER["probes"],
            frontendPort=number(0, 65534),
            backendPort=number(0, 65535),
            enableFloatingIP=FLAG,
            loadDistribution=choice("Default", "SourceIP", "SourceIPProtocol"),
            disableOutboundSnat=FLAG,
            enableConnectionTracking=FLAG,
            **_SPOKEN,
        ),
        "inboundNatRules": _NAT_RULE,
        "outboundRules": named(
            "frontendIPConfigurations", "backendAddressPool", "protocol",
            frontendIPConfigurations=listed(_BALANCER["frontendIPConfigurations"]),
            backendAddressPool=_BALANCER["backendAddressPools"],
            allocatedOutboundPorts=number(0, 64000) | {"multipleOf": 8},
            **_SPOKEN,
        ),
    },
}  # fmt: skip
"""By type of parent and kind: the sub-resources that a parent is written with."""

PROPERTIES: dict[str, Shape] = {
    SERVICE_TAGS: closed(("addressPrefixes",), addressPrefixes=listed(component("Prefix"))),
    INTERNET_HOSTS: closed(
        ("address",), address=either(component("PublicAddress"), {"type": "string", "format": "ipv6"}), dns=FLAG
    ),
    APPLICATION_GROUPS: closed(),
    NETWORK_WATCHERS: closed(),
    SECURITY_GROUPS: closed(flushConnection=FLAG),
    ROUTE_TABLES: closed(disableBgpRoutePropagation=FLAG),
    PUBLIC_PREFIXES: closed(
        prefixLength=either(number(28, 31), number(124, 127)),
        publicIPAddressVersion=choice("IPv4", "IPv6"),
        ipTags=_IP_TAGS,
    ),
    PUBLIC_ADDRESSES: closed(
        publicIPAllocationMethod=choice("Static"),
        publicIPAddressVersion=choice("IPv4", "IPv6"),
        publicIPPrefix=reference(PUBLIC_PREFIXES),
        idleTimeoutInMinutes=number(4, 30),
        dnsSettings=closed(domainNameLabel={"type": "string", "pattern": "^[a-z][a-z0-9-]{1,61}[a-z0-9]$"}),
        ipTags=_IP_TAGS,
    ),
    NAT_GATEWAYS: closed(
        publicIpAddresses=listed(reference(PUBLIC_ADDRESSES)),
        publicIpPrefixes=listed(reference(PUBLIC_PREFIXES)),
        idleTimeoutInMinutes=number(4, 120),
    ),
    VIRTUAL_NETWORKS: closed(
        ("addressSpace",),
        addressSpace=closed(("addressPrefixes",), addressPrefixes=listed(component("Prefix")) | {"minItems": 1}),
        dhcpOptions=closed(dnsServers=listed(component("Address"))),
        flowTimeoutInMinutes=number(4, 30),
    ),
    LOAD_BALANCERS: closed(scope=choice("Public", "Private")),
    NETWORK_INTERFACES: closed(
        ("ipConfigurations",),
        networkSecurityGroup=reference(SECURITY_GROUPS),
        enableIPForwarding=FLAG,
        dnsSettings=closed(dnsServers=listed(component("Address")), internalDnsNameLabel=component("Name")),
    ),
    USER_ASSIGNED_IDENTITIES: closed(),
    PRIVATE_ZONES: closed(),
    ENDPOINT_POLICIES: closed(),
    PRIVATE_ENDPOINTS: closed(
        ("subnet", "privateLinkServiceConnections"),
        subnet=reference(SUBNETS),
        privateLinkServiceConnections=listed(
            named(
                "privateLinkServiceId",
                "groupIds",
                privateLinkServiceId=reference(STORAGE_ACCOUNTS)["properties"]["id"],
                groupIds=listed(choice("blob", "queue", "table")) | {"minItems": 1},
                requestMessage=TEXT,
            )
        )
        | {"minItems": 1, "maxItems": 1},
        ipConfigurations=listed(
            named(
                "privateIPAddress",
                privateIPAddress=component("Address"),
                groupId=choice("blob", "queue", "table", "sqlServer"),
                memberName=choice("blob", "queue", "table", "sqlServer"),
            )
        ),
        customNetworkInterfaceName=component("Name"),
    ),
    STORAGE_ACCOUNTS: closed(
        accessTier=choice("Hot", "Cool", "Cold", "Premium"),
        allowBlobPublicAccess=FLAG,
        minimumTlsVersion=choice("TLS1_2", "TLS1_3"),
        publicNetworkAccess=choice("Enabled", "Disabled"),
        networkAcls=_ACCOUNT_RULES,
    ),
    SQL_SERVERS: closed(
        ("administratorLogin", "administratorLoginPassword"),
        administratorLogin={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,62}$"},
        administratorLoginPassword={"type": "string", "minLength": 8, "maxLength": 128},
        minimalTlsVersion=choice("1.2", "1.3"),
        publicNetworkAccess=choice("Enabled", "Disabled"),
    ),
    VIRTUAL_MACHINES: closed(
        ("networkProfile",),
        hardwareProfile=closed(vmSize=TEXT),
        networkProfile=closed(
            ("networkInterfaces",),
            networkInterfaces=listed(_PLACED_NIC) | {"minItems": 1},
        ),
        osProfile={"type": "object"},
        storageProfile={"type": "object"},
        diagnosticsProfile={"type": "object"},
        securityProfile={"type": "object"},
        priority=TEXT,
        licenseType=TEXT,
    ),
}
"""By type: the properties, less the sub-resources of :data:`CHILDREN`."""
BESIDE: dict[str, dict[str, Shape]] = {
    PUBLIC_PREFIXES: _PUBLIC,
    PUBLIC_ADDRESSES: _PUBLIC,
    NAT_GATEWAYS: _PUBLIC,
    LOAD_BALANCERS: {"sku": _SKU},
    STORAGE_ACCOUNTS: {
        "sku": closed(("name",), name=choice("Standard_LRS", "Standard_ZRS", "Premium_LRS")),
        "kind": choice("StorageV2", "Storage", "BlobStorage", "BlockBlobStorage"),
    },
    VIRTUAL_MACHINES: {"identity": _IDENTITY, "zones": _ZONES},
}
"""By type: members that stand beside the properties."""
PATCHES: dict[str, Shape] = {VIRTUAL_MACHINES: closed(tags=TAGS, identity=_IDENTITY) | {"minProperties": 1}}
"""By type: what a PATCH takes, where it is more than the tags."""
