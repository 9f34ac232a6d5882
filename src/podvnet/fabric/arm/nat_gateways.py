"""Microsoft.Network/natGateways: the way out of the subnets that name it.

Source: Azure document "Azure NAT Gateway resource": up to sixteen addresses, of public addresses and whole prefixes, of
IPv4 alone; those of IPv6, which the SKU StandardV2 has, are not carried out.
"""

from __future__ import annotations

from ipaddress import ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, refuse_use
from podvnet.fabric.arm.public_ip_addresses import refuse_taken
from podvnet.fabric.arm.public_ip_prefixes import refuse_change, version_of, zones_of
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import NAT_GATEWAYS, PUBLIC_ADDRESSES, PUBLIC_PREFIXES, Document, World
from podvnet.model import limits
from podvnet.model.public_address import NatGateway
from podvnet.model.resource_id import ResourceId, parse

_IDLE = (4, 120)


class NatGateways:
    """The type."""

    full_type = NAT_GATEWAYS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a gateway."""
        document = head(resource, body)
        previous = world.get(resource)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "subnets")
        properties.only("type", "Public")
        properties.refuse_unsupported(
            "publicIpAddressesV6", "publicIpPrefixesV6", "sourceVirtualNetwork", "serviceGateway"
        )
        properties.only("nat64", "Disabled", "None")
        idle = properties.number("idleTimeoutInMinutes", _IDLE[0], *_IDLE)
        linker = Linker(resource, document["location"], world)
        addresses = linker.each(properties, "publicIpAddresses", PUBLIC_ADDRESSES)
        prefixes = linker.each(properties, "publicIpPrefixes", PUBLIC_PREFIXES)
        for each in addresses:
            refuse_taken(properties, each, resource, world)
        for key, listed in (("publicIpAddresses", addresses), ("publicIpPrefixes", prefixes)):
            six = next((each for each in listed if version_of(each) == 6), None)
            if six:
                what = f"a NAT gateway leads IPv4 alone to the internet; {six['id']} is IPv6"
                raise properties.error("InvalidRequestFormat", what, key)
        _check_prefixes(properties, prefixes, resource, world)
        count = len(addresses) + sum(ip_network(each["properties"]["ipPrefix"]).num_addresses for each in prefixes)
        if count > limits.ADDRESSES_PER_NAT_GATEWAY:
            raise properties.error(
                "NatGatewayPublicIpCountLimitReached",
                f"a NAT gateway has at most {limits.ADDRESSES_PER_NAT_GATEWAY} public addresses, not {count}",
            )
        inner = body.fields("sku")
        sku = {"name": inner.choice("name", "Standard", "Standard", "StandardV2"), "tier": "Regional"}
        inner.only("tier", "Regional")
        zones = zones_of(body)
        for fields in (inner, properties, body):
            fields.refuse_unread()
        if len(zones) > 1 and sku["name"] == "Standard":
            raise body.error(
                "InvalidRequestFormat", f"a Standard NAT gateway is in one zone, not {len(zones)}", "zones"
            )
        if previous:
            refuse_change(resource, "sku", previous["sku"], sku)
            refuse_change(resource, "zones", previous.get("zones", []), zones)
        document["sku"] = sku
        if zones:
            document["zones"] = zones
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "idleTimeoutInMinutes": idle,
            "type": "Public",
        }
        for key, found in (("publicIpAddresses", addresses), ("publicIpPrefixes", prefixes)):
            if found:
                document["properties"][key] = [{"id": each["id"]} for each in found]
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A gateway goes only when no subnet has it."""
        refuse_use(resource, world, "InUseNatGatewayCannotBeDeleted", "NAT gateway")


def intent_of(document: Document) -> NatGateway:
    """The gateway as the compilers see it."""
    properties = document["properties"]
    used = [*properties.get("publicIpAddresses", []), *properties.get("publicIpPrefixes", [])]
    addresses = tuple(parse(each["id"]) for each in used)
    return NatGateway(parse(document["id"]), addresses, 60 * properties["idleTimeoutInMinutes"])


def _check_prefixes(properties: Fields, prefixes: list[Document], resource: ResourceId, world: World) -> None:
    for each in prefixes:
        for user in world.users(each["id"].lower()):
            if user.lower() != resource.key:
                raise properties.error(
                    "PublicIPPrefixInUse",
                    f"Resource {resource} is referencing public IP prefix {each['id']} that is already used by {user}",
                    "publicIpPrefixes",
                )
