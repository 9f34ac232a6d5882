"""Microsoft.Network/publicIPPrefixes: a run of public addresses, chosen at creation and kept.

Source: Azure document "Public IP address prefix": sizes /28 to /31, of IPv6 /124 to /127, all addresses usable, none
can be asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import refuse_use
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    Document,
    World,
)
from podvnet.model.address import Address, Prefix
from podvnet.model.arm_error import ArmError
from podvnet.model.public_address import PublicAddress
from podvnet.model.resource_id import ResourceId, parse

_LENGTHS = {4: (28, 31), 6: (124, 127)}
"""By IP version, the shortest and the longest; the shortest where nothing is said."""


class PublicIpPrefixes:
    """The type."""

    full_type = PUBLIC_PREFIXES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a prefix; choose its addresses."""
        document = head(resource, body)
        previous = world.get(resource)
        properties = body.fields("properties")
        properties.allow(
            "provisioningState", "resourceGuid", "publicIPAddresses", "loadBalancerFrontendIpConfiguration",
            "natGateway", "ipPrefix",
        )  # fmt: skip
        properties.refuse_unsupported("customIPPrefix")
        version = read_version(properties)
        length = properties.number("prefixLength", _LENGTHS[version][0], *_LENGTHS[version])
        tags = ip_tags(properties)
        sku, zones = sku_of(body), zones_of(body)
        properties.refuse_unread()
        body.refuse_unread()
        if previous:
            refuse_change(resource, "publicIPAddressVersion", f"IPv{version_of(previous)}", f"IPv{version}")
            refuse_change(resource, "prefixLength", previous["properties"]["prefixLength"], length)
            refuse_change(resource, "sku", previous["sku"], sku)
            refuse_change(resource, "zones", previous.get("zones", []), zones)
        prefix = previous["properties"]["ipPrefix"] if previous else str(_choose(resource, version, length, world))
        document["sku"] = sku
        if zones:
            document["zones"] = zones
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "prefixLength": length,
            "publicIPAddressVersion": f"IPv{version}",
            "ipTags": tags,
            "ipPrefix": prefix,
        }
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A prefix goes only when no public address is of it and nothing uses it."""
        refuse_use(resource, world, "InUsePublicIpPrefixCannotBeDeleted", "Public IP prefix")


def intent_of(document: Document) -> PublicAddress:
    """The prefix as the compilers see it."""
    return PublicAddress(parse(document["id"]), ip_network(document["properties"]["ipPrefix"]))


def read_version(properties: Fields) -> int:
    """The IP version that a public address or prefix asks for: 4 unless it says otherwise."""
    return int(properties.choice("publicIPAddressVersion", "IPv4", "IPv4", "IPv6").removeprefix("IPv"))


def version_of(public: Document) -> int:
    """The IP version of a settled public address or prefix."""
    return int(public["properties"]["publicIPAddressVersion"].removeprefix("IPv"))


def sku_of(body: Fields) -> Document:
    """The SKU of a public address or prefix: Standard unless it says otherwise.

    Source: Azure retired the Basic SKU on 30 September 2025; what is asked for with it is refused so since.
    """
    fields = body.fields("sku")
    name = fields.text("name", "Standard")
    if name.lower() == "basic":
        raise fields.error(
            "IPv4BasicSkuPublicIpCountLimitReached",
            "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region",
            "name",
        )
    sku = {"name": fields.choice("name", "Standard", "Standard", "StandardV2"), "tier": "Regional"}
    fields.only("tier", "Regional")
    fields.refuse_unread()
    return sku


def zones_of(body: Fields) -> list[str]:
    """The availability zones of a resource."""
    zones = body.texts("zones")
    for position, zone in enumerate(zones):
        if zone not in {"1", "2", "3"} or zone in zones[:position]:
            raise body.error("InvalidRequestFormat", f"zones are 1, 2 and 3, each once, not {zone!r}", "zones")
    return zones


def ip_tags(properties: Fields) -> list[Document]:
    """The tags that say what an address is for."""
    tags = []
    for each in properties.each("ipTags"):
        tags.append({"ipTagType": each.required("ipTagType"), "tag": each.text("tag")})
        each.refuse_unread()
    return tags


def refuse_change(resource: ResourceId, key: str, old: object, new: object) -> None:
    """Refuse the change of a member that is settled at creation.

    Raises:
        ArmError: it changes.
    """
    if old != new:
        raise ArmError(
            "PropertyChangeNotAllowed",
            f"Changing property '{key}' is not allowed: it is {old}, not {new}. Create another resource.",
            status=HTTPStatus.CONFLICT,
            target=str(resource),
        )


def given_out(world: World) -> Iterator[Prefix]:
    """The public addresses and prefixes that there are."""
    for document in world.of_type(PUBLIC_PREFIXES):
        yield ip_network(document["properties"]["ipPrefix"])
    for document in world.of_type(PUBLIC_ADDRESSES):
        yield ip_network(document["properties"]["ipAddress"])


def public_hosts(world: World) -> Iterator[tuple[Document, Address]]:
    """The hosts of the internet, sites' routers among them, that have addresses of their own choice."""
    for full_type, key in ((INTERNET_HOSTS, "address"), (ON_PREMISES_SITES, "publicAddress")):
        for document in world.of_type(full_type):
            if key in document["properties"]:
                yield document, ip_address(document["properties"][key])


def free_run(resource: ResourceId, version: int, length: int, world: World) -> Prefix:
    """The lowest run of a length in the public pool of an IP version that nobody has.

    Raises:
        ArmError: there is none.
    """
    # As one long number of a bit an address, a run is free when its bits are not set.
    pool = _pool(world, version)
    first = int(pool.network_address)
    size = 1 << (pool.max_prefixlen - length)
    bits = 0
    hosts = (ip_network(address) for _, address in public_hosts(world))
    for run in (*given_out(world), *hosts):
        if run.version == version and run.overlaps(pool):
            bits |= ((1 << run.num_addresses) - 1) << max(0, int(run.network_address) - first)
    ends = {0, pool.num_addresses - 1} if size == 1 and pool.num_addresses > 2 else set()
    for offset in range(0, pool.num_addresses - size + 1, size):
        if not bits >> offset & ((1 << size) - 1) and offset not in ends:
            return ip_network((first + offset, length))
    raise ArmError(
        "StandardSkuPublicIPCountLimitReached",
        f"the fabric's public addresses ({pool}) hold no {size} free ones in a row",
        target=str(resource),
    )


def _pool(world: World, version: int) -> Prefix:
    return world.public_pool6 if version == 6 else world.public_pool


def _choose(resource: ResourceId, version: int, length: int, world: World) -> Prefix:
    pool = _pool(world, version)
    if length <= pool.prefixlen:
        raise ArmError(
            "StandardSkuPublicIPCountLimitReached",
            f"the fabric's public addresses ({pool}) are too few for a /{length}",
            target=str(resource),
        )
    return free_run(resource, version, length, world)
