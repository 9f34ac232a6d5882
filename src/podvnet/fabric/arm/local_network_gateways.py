"""Microsoft.Network/localNetworkGateways: what the user has written of a device on premises.

Source: Azure document "About VPN Gateway configuration settings" (local network gateways): an address or a name, not
both; prefixes may be left out where BGP says what there is.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.bgp_settings import read_address, read_asn, read_speaker, refuse_weight
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.gateway_connections import refuse_one_system
from podvnet.fabric.arm.linked import refuse_use
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import CONNECTIONS, LOCAL_GATEWAYS, ON_PREMISES_SITES, Document, World
from podvnet.model.address import Prefix, disjoint
from podvnet.model.gateway import LocalNetworkGateway
from podvnet.model.resource_id import ResourceId, parse


class LocalNetworkGateways:
    """The type."""

    full_type = LOCAL_GATEWAYS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete what is written of a device."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid")
        place = _place(properties)
        space = properties.fields("localNetworkAddressSpace")
        space.refuse_unsupported("ipamPoolPrefixAllocations")
        prefixes = read_prefixes(space)
        space.refuse_unread()
        bgp = _bgp(properties, place)
        properties.refuse_unread()
        body.refuse_unread()
        if not prefixes and not bgp:
            what = "at least one prefix is required without bgpSettings"
            raise properties.error("InvalidRequestFormat", what, "localNetworkAddressSpace")
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "localNetworkAddressSpace": {"addressPrefixes": [str(each) for each in prefixes]},
            **place,
        }
        if bgp:
            document["properties"]["bgpSettings"] = bgp
        _check_connections(properties, resource, document, world)
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """It goes only when no connection leads to it."""
        refuse_use(resource, world, "LocalNetworkGatewayCannotBeDeleted", "Local network gateway")


def read_prefixes(fields: Fields, key: str = "addressPrefixes") -> list[Prefix]:
    """IPv4 prefixes of networks on premises, which do not overlap; the default route among them.

    Raises:
        ArmError: one is none, or two overlap.
    """
    prefixes = [fields.prefix(text, f"{key}[{place}]") for place, text in enumerate(fields.texts(key))]
    six = next((each for each in prefixes if each.version == 6), None)
    if six:
        raise fields.error("UnsupportedProperty", f"gateways of this fabric carry IPv4; {six} is IPv6", key)
    clash = disjoint([each for each in prefixes if each.prefixlen])
    if clash or len(set(prefixes)) < len(prefixes):
        what = f"{clash[0]} and {clash[1]} overlap" if clash else "one is there twice"
        raise fields.error("InvalidRequestFormat", what, key)
    return prefixes


def refuse_same_device(
    fields: Fields, connection: str, gateway: str, device: Document, world: World, *, bgp: bool
) -> None:
    """Refuse a second connection of a gateway to one device, or one with BGP to the address of another's.

    Source: Azure document "Highly available cross-premises and VNet-to-VNet connectivity": each device has a public
    address, and a BGP peer address, of its own.

    Args:
        fields: where the error points.
        connection: the id of the connection, which is new or changes.
        gateway: the id of its gateway.
        device: the local network gateway it is to lead to.
        world: where the other connections are.
        bgp: the connection speaks it.

    Raises:
        ArmError: which one leads there already.
    """
    for other in world.of_type(CONNECTIONS):
        properties = other["properties"]
        if other["id"].lower() == connection.lower() or "localNetworkGateway2" not in properties:
            continue
        if properties["virtualNetworkGateway1"]["id"].lower() != gateway.lower():
            continue
        found = world.documents.get(properties["localNetworkGateway2"]["id"].lower())
        if found is None:
            continue
        if found["id"].lower() == device["id"].lower() or address_of(found["properties"]) == address_of(
            device["properties"]
        ):
            what = f"{other['id']} connects {gateway} to the device {address_of(device['properties'])} already"
            raise fields.error("InvalidRequestFormat", what)
        speakers = [each["properties"].get("bgpSettings", {}).get("bgpPeeringAddress") for each in (found, device)]
        if bgp and properties["enableBgp"] and speakers[0] == speakers[1]:
            what = f"{other['id']} speaks BGP with {speakers[0]} already; each device has an address of its own for it"
            raise fields.error("InvalidRequestFormat", what)


def address_of(properties: Document) -> str:
    """What a device is reached by: its address, or its name."""
    return str(properties.get("gatewayIpAddress") or properties["fqdn"]).lower()


def intent_of(document: Document, world: World) -> LocalNetworkGateway:
    """The device as the compilers see it. Its name is that of a site's router, or leads nowhere."""
    properties = document["properties"]
    bgp = properties.get("bgpSettings", {})
    name = properties.get("fqdn", "")
    text = properties.get("gatewayIpAddress") or _resolved(name, world)
    return LocalNetworkGateway(
        id=parse(document["id"]),
        address=ip_address(text) if text else None,
        prefixes=tuple(ip_network(each) for each in properties["localNetworkAddressSpace"]["addressPrefixes"]),
        name=name,
        asn=bgp.get("asn"),
        bgp_address=ip_address(bgp["bgpPeeringAddress"]) if bgp else None,
    )


def _resolved(name: str, world: World) -> str:
    for site in world.of_type(ON_PREMISES_SITES):
        if site["properties"].get("fqdn", "").lower() == name.lower():
            return str(site["properties"].get("publicAddress", ""))
    return ""


def _place(properties: Fields) -> Document:
    text, name = properties.text("gatewayIpAddress"), properties.text("fqdn")
    if bool(text) == bool(name):
        what = "one of gatewayIpAddress and fqdn is required, and only one"
        raise properties.error("InvalidRequestFormat", what)
    return {"gatewayIpAddress": str(read_address(properties, "gatewayIpAddress", text))} if text else {"fqdn": name}


def _bgp(properties: Fields, place: Document) -> Document:
    if not properties.has("bgpSettings"):
        properties.allow("bgpSettings")
        return {}
    fields = properties.fields("bgpSettings")
    fields.refuse_unsupported("bgpPeeringAddresses")
    asn = read_asn(fields, "asn", 0) if fields.has("asn") else 0
    address = read_speaker(fields, "bgpPeeringAddress")
    refuse_weight(fields)
    fields.refuse_unread()
    if not asn or address is None:
        missing = "bgpPeeringAddress" if asn else "asn"
        raise fields.error("InvalidRequestFormat", "is required", missing)
    if place.get("gatewayIpAddress") == str(address):
        what = "is inside the tunnel, so it cannot be the device's public address"
        raise fields.error("InvalidRequestFormat", what, "bgpPeeringAddress")
    return {"asn": asn, "bgpPeeringAddress": str(address), "peerWeight": 0}


def _check_connections(properties: Fields, resource: ResourceId, document: Document, world: World) -> None:
    """Refuse a change that the connections to the device do not take."""
    for user in world.users(resource.key, "connections"):
        connection = world.documents[user.lower()]["properties"]
        if connection["enableBgp"] and "bgpSettings" not in document["properties"]:
            raise properties.error("InvalidRequestFormat", f"{user} speaks BGP with it", "bgpSettings")
        if connection["enableBgp"]:
            refuse_one_system(properties, user, document, world)
        gateway = connection["virtualNetworkGateway1"]["id"]
        refuse_same_device(properties, user, gateway, document, world, bgp=connection["enableBgp"])
