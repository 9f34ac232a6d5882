"""The shapes of gateways, connections, circuits and sites on premises, as JSON schemas."""

from __future__ import annotations

from podvnet.fabric.api.shapes import (
    FLAG,
    TEXT,
    Shape,
    choice,
    closed,
    component,
    listed,
    named,
    number,
    reference,
)
from podvnet.fabric.arm.circuit_peering import PRIVATE_PEERING
from podvnet.fabric.arm.express_route_circuits import BANDWIDTHS, FAMILIES, TIERS
from podvnet.fabric.arm.ipsec_policy import ALGORITHMS, DATA_SIZE, LIFETIME
from podvnet.fabric.arm.shared_key import LONGEST, MD5_LENGTH
from podvnet.fabric.arm.virtual_network_gateways import EXPRESS_ROUTE_SKUS, VPN_SKUS
from podvnet.fabric.arm.world import (
    CIRCUITS,
    CONNECTIONS,
    LOCAL_GATEWAYS,
    NETWORK_GATEWAYS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    SUBNETS,
)
from podvnet.model.gateway import EXPRESS_ROUTE_ASN, ConnectionKind, GatewayKind

_ASN = number(1, (1 << 32) - 1)
_KEY: Shape = {"type": "string", "maxLength": LONGEST}
_MD5: Shape = {"type": "string", "maxLength": MD5_LENGTH, "pattern": "^[0-9A-Za-z]*$"}
_WEIGHT: Shape = {"const": 0}
_PREFIXES = listed(component("Prefix"))
_SKU = choice(*VPN_SKUS, *EXPRESS_ROUTE_SKUS)
_POLICY = closed(
    ("saLifeTimeSeconds", "saDataSizeKilobytes", *ALGORITHMS),
    saLifeTimeSeconds=number(*LIFETIME),
    saDataSizeKilobytes=number(*DATA_SIZE),
    **{key: choice(*accepted) for key, accepted in ALGORITHMS.items()},
)
_POLICIES = listed(_POLICY) | {"maxItems": 1}
_HOST = closed(("name", "address"), name=component("Name"), address=component("Address"))
_TUNNEL = closed(
    ("name",),
    name=component("Name"),
    remoteAddress=component("PublicAddress"),
    publicIPAddress=reference(PUBLIC_ADDRESSES),
    sharedKey=_KEY,
    remotePrefixes=_PREFIXES,
    bgp=FLAG,
    bgpPeer=component("Address"),
    bgpAsn=_ASN,
    ipsecPolicies=_POLICIES,
)

GATEWAY_PROPERTIES: dict[str, Shape] = {
    NETWORK_GATEWAYS: closed(
        ("gatewayType", "sku", "ipConfigurations"),
        gatewayType=choice(*GatewayKind),
        vpnType=choice("RouteBased"),
        vpnGatewayGeneration=choice("None", "Generation1", "Generation2"),
        sku=closed(("name",), name=_SKU, tier=_SKU),
        enableBgp=FLAG,
        activeActive=FLAG,
        bgpSettings=closed(asn=_ASN, peerWeight=_WEIGHT),
        ipConfigurations=listed(
            named(
                "subnet",
                subnet=reference(SUBNETS),
                publicIPAddress=reference(PUBLIC_ADDRESSES),
                privateIPAllocationMethod=choice("Dynamic"),
            )
        )
        | {"minItems": 1, "maxItems": 2},
    ),
    LOCAL_GATEWAYS: closed(
        gatewayIpAddress=component("PublicAddress"),
        fqdn=TEXT,
        localNetworkAddressSpace=closed(addressPrefixes=_PREFIXES),
        bgpSettings=closed(
            ("asn", "bgpPeeringAddress"), asn=_ASN, bgpPeeringAddress=component("Address"), peerWeight=_WEIGHT
        ),
    ),
    CONNECTIONS: closed(
        ("connectionType", "virtualNetworkGateway1"),
        connectionType=choice(*ConnectionKind),
        connectionProtocol=choice("IKEv2"),
        connectionMode=choice("Default", "InitiatorOnly", "ResponderOnly"),
        virtualNetworkGateway1=reference(NETWORK_GATEWAYS),
        virtualNetworkGateway2=reference(NETWORK_GATEWAYS),
        localNetworkGateway2=reference(LOCAL_GATEWAYS),
        peer=reference(CIRCUITS),
        sharedKey=_KEY,
        authorizationKey=TEXT,
        enableBgp=FLAG,
        ipsecPolicies=_POLICIES,
        dpdTimeoutSeconds=number(9, 3600),
        routingWeight=number(0, 32_000),
    ),
    CIRCUITS: closed(
        ("serviceProviderProperties",),
        serviceProviderProperties=closed(
            ("serviceProviderName", "peeringLocation", "bandwidthInMbps"),
            serviceProviderName={"type": "string", "minLength": 1},
            peeringLocation={"type": "string", "minLength": 1},
            bandwidthInMbps={"type": "integer", "enum": list(BANDWIDTHS)},
        ),
        serviceProviderNotes=TEXT,
    ),
    ON_PREMISES_SITES: closed(
        ("addressPrefixes",),
        publicAddress=component("PublicAddress"),
        fqdn=TEXT,
        addressPrefixes=_PREFIXES | {"minItems": 1},
        hosts=listed(_HOST),
        asn=_ASN,
        bgpAddress=component("Address"),
        tunnels=listed(_TUNNEL),
        circuits=listed(
            closed(serviceKey={"type": "string", "format": "uuid"}, id=reference(CIRCUITS)["properties"]["id"])
        ),
        circuitSharedKey=_MD5,
    ),
}
"""By type: the properties, less the sub-resources of :data:`GATEWAY_CHILDREN`."""

GATEWAY_CHILDREN: dict[str, dict[str, Shape]] = {
    CIRCUITS: {
        "peerings": named(
            "peerASN", "primaryPeerAddressPrefix", "secondaryPeerAddressPrefix", "vlanId",
            peeringType=choice(PRIVATE_PEERING),
            peerASN=_ASN,
            azureASN={"const": EXPRESS_ROUTE_ASN},
            primaryPeerAddressPrefix=component("Prefix"),
            secondaryPeerAddressPrefix=component("Prefix"),
            vlanId=number(1, 4094),
            sharedKey=_MD5,
            state=choice("Enabled", "Disabled"),
        ),
        "authorizations": named(),
    }
}  # fmt: skip
"""By type of parent and kind: the sub-resources that a parent is written with."""

GATEWAY_BESIDE: dict[str, dict[str, Shape]] = {
    CIRCUITS: {
        "sku": closed(
            name=choice(*(f"{tier}_{family}" for tier in TIERS for family in FAMILIES)),
            tier=choice(*TIERS),
            family=choice(*FAMILIES),
        )
    }
}
"""By type: members that stand beside the properties."""
