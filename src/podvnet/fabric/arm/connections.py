"""Microsoft.Network/connections: of a gateway to a device, to another gateway, or to a circuit.

The shared key stands beside the document: no GET shows it. Whether a connection is up, and what has passed through it,
is no resource either: a view says Unknown until whoever runs gateways is asked.

Sources: Azure documents "About VPN devices for Site-to-Site VPN Gateway connections" (defaults), "About cryptographic
requirements and Azure VPN gateways", "Connect a virtual network to an ExpressRoute circuit".
"""

from __future__ import annotations

from podvnet.fabric.arm.circuit_peering import private_peering
from podvnet.fabric.arm.express_route_circuits import authorization_with, is_provisioned
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.gateway_connections import asn_of, refuse_more
from podvnet.fabric.arm.gateway_subnet import network_of
from podvnet.fabric.arm.ipsec_policy import policy_of, read_policy
from podvnet.fabric.arm.linked import Linker, linked
from podvnet.fabric.arm.local_network_gateways import intent_of as device_of
from podvnet.fabric.arm.local_network_gateways import refuse_same_device
from podvnet.fabric.arm.public_ip_prefixes import refuse_change
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.shared_key import made_key, read_key
from podvnet.fabric.arm.world import CIRCUITS, CONNECTIONS, LOCAL_GATEWAYS, NETWORK_GATEWAYS, Document, World
from podvnet.model.gateway import Connection, ConnectionKind, ConnectionStatus, GatewayKind
from podvnet.model.resource_id import ResourceId, Scope, parse

_DPD = (9, 3600)
_DPD_DEFAULT = 45
_WEIGHT = (0, 32_000)
_ENDS = {
    ConnectionKind.IPSEC: ("localNetworkGateway2", LOCAL_GATEWAYS),
    ConnectionKind.VNET_TO_VNET: ("virtualNetworkGateway2", NETWORK_GATEWAYS),
    ConnectionKind.EXPRESS_ROUTE: ("peer", CIRCUITS),
}
"""By kind: the member that names the far end, and the type it is of."""


class Connections:
    """The type."""

    full_type = CONNECTIONS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a connection."""
        document = head(resource, body)
        previous = world.get(resource)
        properties = body.fields("properties")
        _refuse_features(properties)
        kind = _kind(properties)
        gateway, end = _ends(resource, properties, document["location"], kind, world)
        if previous:
            _refuse_other_ends(resource, previous["properties"], kind, gateway, end)
        express = kind is ConnectionKind.EXPRESS_ROUTE
        _check_gateway(properties, gateway, GatewayKind.EXPRESS_ROUTE if express else GatewayKind.VPN)
        bgp = properties.flag("enableBgp", default=False)
        settled: Document = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "virtualNetworkGateway1": {"id": gateway["id"]},
            _ENDS[kind][0]: {"id": end["id"]},
            "connectionType": str(kind),
            "enableBgp": bgp,
            "routingWeight": properties.number("routingWeight", 0, *_WEIGHT),
            "connectionStatus": str(ConnectionStatus.UNKNOWN),
            "ingressBytesTransferred": 0,
            "egressBytesTransferred": 0,
            "usePolicyBasedTrafficSelectors": False,
            "ipsecPolicies": [],
            "trafficSelectorPolicies": [],
        }
        beside: Document = {}
        if express:
            beside["authorization"] = _check_circuit(resource, properties, gateway, end, previous=previous, world=world)
            settled |= {"expressRouteGatewayBypass": False, "enablePrivateLinkFastPath": False}
        else:
            settled |= _tunnel(properties)
            beside["sharedKey"] = _key(properties, previous)
            _check_tunnel(resource, properties, gateway, end, kind, bgp=bgp, world=world)
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = settled
        document["_fabric"] = beside
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A connection may always go."""


def key_of(document: Document) -> str:
    """The shared key of a settled connection; empty where there is none."""
    return str(document["_fabric"].get("sharedKey", ""))


def with_key(document: Document, key: str) -> Document:
    """A settled connection as it is put with another shared key."""
    shown = {name: value for name, value in document.items() if name != "_fabric"}
    return shown | {"properties": shown["properties"] | {"sharedKey": key}}


def intent_of(document: Document, world: World) -> Connection:
    """The connection as the compilers see it, the device at its far end within it."""
    properties = document["properties"]
    device = linked(properties, "localNetworkGateway2")
    found = world.get(device) if device else None
    policies = properties["ipsecPolicies"]
    return Connection(
        id=parse(document["id"]),
        kind=ConnectionKind(properties["connectionType"]),
        gateway=parse(properties["virtualNetworkGateway1"]["id"]),
        site=device_of(found, world) if found else None,
        remote_gateway=linked(properties, "virtualNetworkGateway2"),
        circuit=linked(properties, "peer"),
        shared_key=key_of(document),
        bgp=properties["enableBgp"],
        policy=policy_of(policies[0]) if policies else None,
        dpd_timeout=properties.get("dpdTimeoutSeconds", _DPD_DEFAULT),
        mode=properties.get("connectionMode", "Default"),
        routing_weight=properties["routingWeight"],
    )


def _kind(properties: Fields) -> ConnectionKind:
    kind = properties.choice("connectionType", "", *ConnectionKind, "VPNClient")
    if kind == "VPNClient":
        what = "this fabric has no point-to-site connections"
        raise properties.error("UnsupportedProperty", what, "connectionType")
    return ConnectionKind(kind)


def _refuse_features(properties: Fields) -> None:
    """Refuse what connections of Azure can have and those of this fabric do not."""
    properties.allow(
        "provisioningState", "resourceGuid", "connectionStatus", "tunnelConnectionStatus", "ingressBytesTransferred",
        "egressBytesTransferred", "packetCaptureDiagnosticState", "connectionStatusReason",
    )  # fmt: skip
    properties.refuse_unsupported(
        "trafficSelectorPolicies", "ingressNatRules", "egressNatRules", "gatewayCustomBgpIpAddresses",
        "tunnelProperties", "certificateAuthentication", "routingConfiguration",
    )  # fmt: skip
    for key in (
        "usePolicyBasedTrafficSelectors", "useLocalAzureIpAddress", "expressRouteGatewayBypass",
        "enablePrivateLinkFastPath",
    ):  # fmt: skip
        properties.only(key, False)
    properties.only("authenticationType", "PSK")


def _ends(
    resource: ResourceId, properties: Fields, location: str, kind: ConnectionKind, world: World
) -> tuple[Document, Document]:
    """The gateway and the far end. A circuit, and another gateway, may be in another region."""
    key, full_type = _ENDS[kind]
    others = {name for name, _ in _ENDS.values()} - {key}
    named = [name for name in sorted(others) if properties.has(name)]
    properties.allow(*others)
    if not properties.has("virtualNetworkGateway1") or not properties.has(key) or named:
        raise properties.error(
            "GatewayConnectionMustHaveExactlyTwoEndpoints",
            f"Virtual Network Gateway connection {resource} must have exactly two endpoints. The first endpoint must"
            f" be a VirtualNetworkGateway, the second endpoint of a connection of type {kind} is {key}.",
        )
    linker = Linker(resource, location, world)
    gateway = linker.required(properties, "virtualNetworkGateway1", NETWORK_GATEWAYS)
    if kind is ConnectionKind.IPSEC:
        return gateway, linker.required(properties, key, full_type)
    scope = Scope(resource.subscription, resource.resource_group)
    wanted = properties.reference(key, scope, full_type)
    end = world.get(wanted)
    if end is None:
        raise properties.error(
            "InvalidResourceReference", f"Resource {wanted} referenced by resource {resource} was not found", key
        )
    return gateway, end


def _refuse_other_ends(
    resource: ResourceId, previous: Document, kind: ConnectionKind, gateway: Document, end: Document
) -> None:
    refuse_change(resource, "connectionType", previous["connectionType"], str(kind))
    key = _ENDS[kind][0]
    for name, found in (("virtualNetworkGateway1", gateway), (key, end)):
        refuse_change(resource, name, previous[name]["id"].lower(), found["id"].lower())


def _check_gateway(properties: Fields, gateway: Document, wanted: GatewayKind, key: str = "1") -> None:
    kind = gateway["properties"]["gatewayType"]
    if kind != wanted:
        what = f"must be a gateway of type {wanted}; {gateway['id']} is of type {kind}"
        raise properties.error("InvalidRequestFormat", what, f"virtualNetworkGateway{key}")


def _tunnel(properties: Fields) -> Document:
    """What only connections by IPsec have."""
    protocol = properties.choice("connectionProtocol", "IKEv2", "IKEv2", "IKEv1")
    if protocol != "IKEv2":
        raise properties.error("UnsupportedProperty", "this fabric speaks IKEv2 only", "connectionProtocol")
    if properties.text("authorizationKey"):
        raise properties.error("InvalidRequestFormat", "is for ExpressRoute connections", "authorizationKey")
    policies = [read_policy(each) for each in properties.each("ipsecPolicies")]
    if len(policies) > 1:
        raise properties.error("InvalidRequestFormat", f"one policy at most, not {len(policies)}", "ipsecPolicies")
    # 0 is what a client that says nothing of it sends.
    default = not properties.has("dpdTimeoutSeconds") or properties.number("dpdTimeoutSeconds", 0, 0, _DPD[1]) == 0
    dpd = _DPD_DEFAULT if default else properties.number("dpdTimeoutSeconds", _DPD_DEFAULT, *_DPD)
    return {
        "connectionProtocol": "IKEv2",
        "connectionMode": properties.choice("connectionMode", "Default", "Default", "InitiatorOnly", "ResponderOnly"),
        "authenticationType": "PSK",
        "useLocalAzureIpAddress": False,
        "ipsecPolicies": policies,
        "dpdTimeoutSeconds": dpd,
    }


def _key(properties: Fields, previous: Document | None) -> str:
    """The shared key that is given, that there is, or a new one."""
    return read_key(properties, "sharedKey") or (key_of(previous) if previous else "") or made_key()


def _check_tunnel(
    resource: ResourceId,
    properties: Fields,
    gateway: Document,
    end: Document,
    kind: ConnectionKind,
    *,
    bgp: bool,
    world: World,
) -> None:
    """Refuse a tunnel that its two ends cannot have."""
    if kind is ConnectionKind.VNET_TO_VNET:
        _check_gateway(properties, end, GatewayKind.VPN, "2")
        if network_of(end) == network_of(gateway):
            what = "the two gateways are of two virtual networks"
            raise properties.error("InvalidRequestFormat", what, "virtualNetworkGateway2")
        speaks = end["properties"]["enableBgp"]
    else:
        refuse_same_device(properties, str(resource), gateway["id"], end, world, bgp=bgp)
        speaks = "bgpSettings" in end["properties"]
    if bgp and not (speaks and gateway["properties"]["enableBgp"]):
        silent = end if gateway["properties"]["enableBgp"] else gateway
        raise properties.error("InvalidRequestFormat", f"{silent['id']} has no BGP", "enableBgp")
    if bgp and asn_of(end) == asn_of(gateway):
        what = f"{gateway['id']} and {end['id']} are one autonomous system, {asn_of(end)}"
        raise properties.error("InvalidRequestFormat", what, "enableBgp")
    refuse_more(properties, str(resource), gateway, end, world)


def _check_circuit(
    resource: ResourceId,
    properties: Fields,
    gateway: Document,
    circuit: Document,
    *,
    previous: Document | None,
    world: World,
) -> str:
    """Refuse a circuit that carries nothing yet; the name of the authorization that was given, if any."""
    properties.allow("connectionMode", "connectionProtocol", "dpdTimeoutSeconds", "authenticationType")
    if properties.text("sharedKey") or next(properties.each("ipsecPolicies"), None):
        key = "sharedKey" if properties.text("sharedKey") else "ipsecPolicies"
        raise properties.error("InvalidRequestFormat", "cannot be used with an ExpressRoute connection", key)
    both = gateway["id"].lower(), circuit["id"].lower()
    for other in world.of_type(CONNECTIONS):
        ends = other["properties"]
        theirs = ends["virtualNetworkGateway1"]["id"].lower(), ends.get("peer", {}).get("id", "").lower()
        if theirs == both and other["id"].lower() != resource.key:
            raise properties.error("InvalidRequestFormat", f"{other['id']} connects the two already", "peer")
    if previous is None and not is_provisioned(circuit, world):
        what = f"{circuit['id']} must be provisioned by its provider first: it is NotProvisioned"
        raise properties.error("InvalidRequestFormat", what, "peer")
    if previous is None and private_peering(circuit) is None:
        raise properties.error("InvalidRequestFormat", f"{circuit['id']} has no AzurePrivatePeering", "peer")
    refuse_more(properties, str(resource), gateway, circuit, world)
    key = properties.text("authorizationKey")
    kept: str = previous["_fabric"]["authorization"] if previous else ""
    return authorization_with(properties, circuit, key, resource, world) if key else kept
