"""The private peering of an ExpressRoute circuit: two links, the autonomous systems at their ends, the key of BGP.

Source: Azure document "ExpressRoute routing requirements": two /30, and of autonomous systems 65515 to 65520 reserved.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from podvnet.fabric.arm.bgp_settings import read_asn
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.shared_key import read_md5_key
from podvnet.fabric.arm.world import CIRCUITS, Document
from podvnet.model.gateway import EXPRESS_ROUTE_ASN, CircuitPeering
from podvnet.model.resource_id import ResourceId

PRIVATE_PEERING = "AzurePrivatePeering"
_VLAN = (1, 4094)
_RESERVED = range(65515, 65521)
_LINK = 30


def private_peering(circuit: Document) -> Document | None:
    """The private peering of a settled circuit."""
    return next((each for each in circuit["properties"]["peerings"] if each["name"] == PRIVATE_PEERING), None)


def settle_peering(
    circuit: ResourceId, fields: Fields, previous: Document | None, *, provisioned: bool
) -> tuple[Document, str]:
    """A peering, settled, and the key of its BGP sessions.

    Args:
        circuit: whose it is.
        fields: the peering as it is wanted.
        previous: the circuit as it is kept.
        provisioned: the circuit's provider connects it; before that there is no peering.

    Raises:
        ArmError: it is refused.
    """
    name = fields.required("name")
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow(
        "provisioningState", "gatewayManagerEtag", "lastModifiedBy", "primaryAzurePort", "secondaryAzurePort",
        "peeredConnections", "stats",
    )  # fmt: skip
    properties.refuse_unsupported(
        "microsoftPeeringConfig", "ipv6PeeringConfig", "routeFilter", "connections", "expressRouteConnection"
    )
    kind = properties.text("peeringType", PRIVATE_PEERING)
    if kind != PRIVATE_PEERING or name != PRIVATE_PEERING:
        what = f"this fabric has {PRIVATE_PEERING} only, which is its name as well"
        raise properties.error("UnsupportedProperty", what, "peeringType")
    resource = circuit.child("peerings", name)
    known = private_peering(previous) if previous else None
    if known is None and not provisioned:
        raise properties.error(
            "InvalidRequestFormat",
            f"circuit {circuit} must be provisioned by its provider before it is peered: a site on premises has to name"
            " its service key",
        )
    if properties.number("azureASN", EXPRESS_ROUTE_ASN, 0, 1 << 32) not in {0, EXPRESS_ROUTE_ASN}:
        raise properties.error("InvalidRequestFormat", f"it is {EXPRESS_ROUTE_ASN}", "azureASN")
    links = [_link(properties, key) for key in ("primaryPeerAddressPrefix", "secondaryPeerAddressPrefix")]
    if links[0] == links[1]:
        raise properties.error("InvalidRequestFormat", "the two links are one", "secondaryPeerAddressPrefix")
    if properties.integer("peerASN") in _RESERVED:
        raise properties.error("InvalidRequestFormat", f"{_RESERVED[0]} to {_RESERVED[-1]} are reserved", "peerASN")
    properties.integer("vlanId")
    settled: Document = {
        "provisioningState": "Succeeded",
        "peeringType": PRIVATE_PEERING,
        "azureASN": EXPRESS_ROUTE_ASN,
        "peerASN": read_asn(properties, "peerASN", 0),
        "primaryPeerAddressPrefix": str(links[0]),
        "secondaryPeerAddressPrefix": str(links[1]),
        "primaryAzurePort": "local-primary",
        "secondaryAzurePort": "local-secondary",
        "state": properties.choice("state", "Enabled", "Enabled", "Disabled"),
        "vlanId": properties.number("vlanId", 0, *_VLAN),
        "gatewayManagerEtag": "",
        "lastModifiedBy": "Customer",
        "connections": [],
        "peeredConnections": [],
    }
    # What was read has no key in it; a client that means none says so by an empty one.
    said = properties.has("sharedKey")
    key = read_md5_key(properties, "sharedKey")
    kept = previous["_fabric"]["peeringKey"] if previous and known and not said else ""
    properties.refuse_unread()
    fields.refuse_unread()
    return {"name": name, "id": str(resource), "type": f"{CIRCUITS}/peerings", "properties": settled}, key or kept


def _link(properties: Fields, key: str) -> IPv4Network:
    prefix = properties.prefix(properties.required(key), key)
    if not isinstance(prefix, IPv4Network) or prefix.prefixlen != _LINK:
        raise properties.error("InvalidRequestFormat", f"must be a /{_LINK} of IPv4 addresses, not {prefix}", key)
    return prefix


def peering_of(settled: Document, key: str) -> CircuitPeering:
    """A settled peering as the compilers see it."""
    properties = settled["properties"]
    return CircuitPeering(
        primary=IPv4Network(properties["primaryPeerAddressPrefix"]),
        secondary=IPv4Network(properties["secondaryPeerAddressPrefix"]),
        vlan=properties["vlanId"],
        peer_asn=properties["peerASN"],
        shared_key=key,
    )
