"""The frontends of a load balancer, and their addresses.

Sources: Azure documents "Azure Load Balancer components", "Multiple frontends for Azure Load Balancer".
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker
from podvnet.fabric.arm.private_address import Allotment, Wish, place_of, read_wish
from podvnet.fabric.arm.public_ip_addresses import refuse_shared, refuse_taken
from podvnet.fabric.arm.public_ip_prefixes import version_of, zones_of
from podvnet.fabric.arm.resource_type import check_name, check_names
from podvnet.fabric.arm.world import LOAD_BALANCERS, PUBLIC_ADDRESSES, PUBLIC_PREFIXES, SUBNETS, Document, World
from podvnet.model.resource_id import ResourceId, parse


def settle_frontends(
    balancer: ResourceId, properties: Fields, linker: Linker, sku: Document, world: World
) -> list[Document]:
    """Check and complete the frontends of a load balancer, and choose their dynamic addresses.

    Raises:
        ArmError: one is refused, or what they are together.
    """
    found: list[Document] = []
    wishes: dict[str, list[Wish]] = {}
    subnets: dict[str, Document] = {}
    publics: list[tuple[str, str]] = []
    for each in properties.each("frontendIPConfigurations"):
        frontend, inner = _frontend(balancer, each, linker, world)
        if "subnet" in frontend["properties"]:
            key = frontend["properties"]["subnet"]["id"].lower()
            subnets[key] = frontend["properties"]["subnet"]
            wishes.setdefault(key, []).append(read_wish(frontend["name"], inner, blocks=False))
        elif inner.text("privateIPAddress"):
            raise inner.error("InvalidRequestFormat", "a public frontend has no private address", "privateIPAddress")
        inner.allow("privateIPAddressVersion", "privateIPAllocationMethod", "privateIPAddress")
        public = frontend["properties"].get("publicIPAddress", frontend["properties"].get("publicIPPrefix"))
        if public:
            publics.append((public["id"], frontend["id"]))
            # az says IPv4 of every frontend.
            if inner.text("privateIPAddressVersion").lower() == "ipv6" and _version(frontend, world) == 4:
                what = f"public IP address {public['id']} is IPv4"
                raise inner.error("InvalidRequestFormat", what, "privateIPAddressVersion")
            if world.documents[public["id"].lower()]["sku"]["name"] != sku["name"]:
                raise inner.error(
                    "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed",
                    f"{sku['name']} sku load balancer {balancer} cannot reference public IP address {public['id']} of"
                    " another sku",
                )
        inner.refuse_unread()
        each.refuse_unread()
        found.append(frontend)
    refuse_shared(properties, publics)
    check_names(properties, "frontendIPConfigurations", found)
    _give_addresses(balancer, found, wishes, world)
    _check_versions(balancer, properties, found, world)
    return found


def _frontend(balancer: ResourceId, fields: Fields, linker: Linker, world: World) -> tuple[Document, Fields]:
    name = fields.required("name")
    resource = balancer.child("frontendIPConfigurations", name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    zones = zones_of(fields)
    inner = fields.fields("properties")
    inner.allow("provisioningState", "inboundNatRules", "inboundNatPools", "outboundRules", "loadBalancingRules")
    inner.refuse_unsupported("gatewayLoadBalancer")
    subnet = linker.one(inner, "subnet", SUBNETS)
    public = linker.one(inner, "publicIPAddress", PUBLIC_ADDRESSES)
    prefix = linker.one(inner, "publicIPPrefix", PUBLIC_PREFIXES)
    if (subnet is not None) + (public is not None) + (prefix is not None) != 1:
        raise inner.error("InvalidRequestFormat", "has one of subnet, publicIPAddress and publicIPPrefix")
    if zones and subnet is None:
        raise fields.error("InvalidRequestFormat", "zones of a public frontend are those of its address", "zones")
    settled: Document = {"provisioningState": "Succeeded", "privateIPAllocationMethod": "Dynamic"}
    if subnet:
        settled["subnet"] = {"id": subnet["id"]}
    if public:
        refuse_taken(inner, public, balancer, world)
        settled["publicIPAddress"] = {"id": public["id"]}
    if prefix:
        _refuse_used_prefix(inner, prefix, balancer, world)
        settled["publicIPPrefix"] = {"id": prefix["id"]}
    document = {
        "name": name,
        "id": str(resource),
        "type": f"{LOAD_BALANCERS}/frontendIPConfigurations",
        "properties": settled,
    }
    return document | ({"zones": zones} if zones else {}), inner


def _check_versions(balancer: ResourceId, properties: Fields, frontends: list[Document], world: World) -> None:
    """Refuse frontends that are all IPv6: Azure wants one of IPv4 beside them."""
    if frontends and all(_version(each, world) == 6 for each in frontends):
        raise properties.error(
            "AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration",
            "At least one IPv4 frontend ipConfiguration is required for an IPv6 frontend ipConfiguration on the load"
            f" balancer '{balancer}'",
            "frontendIPConfigurations",
        )


def _version(frontend: Document, world: World) -> int:
    """The IP version of a settled frontend: a public one has that of its address, whatever else it says."""
    inner = frontend["properties"]
    public = inner.get("publicIPAddress", inner.get("publicIPPrefix"))
    if public:
        return version_of(world.documents[public["id"].lower()])
    return 6 if inner["privateIPAddressVersion"] == "IPv6" else 4


def _refuse_used_prefix(fields: Fields, prefix: Document, balancer: ResourceId, world: World) -> None:
    for user in world.users(prefix["id"].lower()):
        if parse(user).top != balancer:
            raise fields.error(
                "PublicIPPrefixInUse", f"public IP prefix {prefix['id']} is already used by {user}", "publicIPPrefix"
            )


def _give_addresses(
    balancer: ResourceId, frontends: list[Document], wishes: dict[str, list[Wish]], world: World
) -> None:
    previous = world.get(balancer)
    held = previous["properties"]["frontendIPConfigurations"] if previous else []
    for key, asked in wishes.items():
        subnet = world.find(parse(key))
        if subnet is None:
            continue
        kept = {
            each["name"].lower(): place_of(each)
            for each in held
            if each["properties"].get("subnet", {}).get("id", "").lower() == key
        }
        places = Allotment(subnet, balancer.key, world).give(asked, kept)
        for frontend in frontends:
            wish = next((wish for wish in asked if wish.name == frontend["name"]), None)
            if wish:
                frontend["properties"] |= {
                    "privateIPAddress": str(places[wish.name]),
                    "privateIPAllocationMethod": "Static" if wish.static is not None else "Dynamic",
                    "privateIPAddressVersion": f"IPv{wish.version}",
                }
