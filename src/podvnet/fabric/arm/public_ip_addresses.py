"""Microsoft.Network/publicIPAddresses: one public address, chosen at creation and kept.

Source: Azure document "Public IP addresses": the Standard SKU is always static, an address cannot be asked for except
by its prefix, a domain name label is unique in its region; one address of each IP version may share it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, refuse_use
from podvnet.fabric.arm.public_ip_prefixes import (
    free_run,
    ip_tags,
    read_version,
    refuse_change,
    sku_of,
    version_of,
    zones_of,
)
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import PUBLIC_ADDRESSES, PUBLIC_PREFIXES, Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.public_address import PublicAddress
from podvnet.model.resource_id import ResourceId, parse

_LABEL = re.compile(r"[a-z][a-z0-9-]{1,61}[a-z0-9]")
_IDLE = (4, 30)


class PublicIpAddresses:
    """The type."""

    full_type = PUBLIC_ADDRESSES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a public address; choose it."""
        document = head(resource, body)
        previous = world.get(resource)
        body.allow("extendedLocation")
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid", "ipAddress", "ipConfiguration", "natGateway")
        properties.refuse_unsupported("servicePublicIPAddress", "linkedPublicIPAddress", "migrationPhase")
        version = read_version(properties)
        _check_method(properties)
        properties.only("deleteOption", "Detach")
        protection = properties.fields("ddosSettings")
        protection.only("protectionMode", "VirtualNetworkInherited")
        protection.refuse_unsupported("ddosProtectionPlan")
        protection.refuse_unread()
        idle = properties.number("idleTimeoutInMinutes", _IDLE[0], *_IDLE)
        tags = ip_tags(properties)
        names = _names(properties, document["location"], resource, version, world)
        prefix = Linker(resource, document["location"], world).one(properties, "publicIPPrefix", PUBLIC_PREFIXES)
        sku, zones = sku_of(body), zones_of(body)
        properties.refuse_unread()
        body.refuse_unread()
        if previous:
            refuse_change(resource, "publicIPAddressVersion", f"IPv{version_of(previous)}", f"IPv{version}")
            refuse_change(resource, "sku", previous["sku"], sku)
            refuse_change(resource, "zones", previous.get("zones", []), zones)
            old = previous["properties"].get("publicIPPrefix", {}).get("id", "none")
            refuse_change(resource, "publicIPPrefix", old.lower(), prefix["id"].lower() if prefix else "none")
        if prefix and not previous:
            _refuse_whole(properties, prefix, world)
        if prefix and prefix["sku"]["name"] != sku["name"]:
            raise body.error("InvalidRequestFormat", f"the prefix has SKU {prefix['sku']['name']}", "sku.name")
        if prefix and version_of(prefix) != version:
            what = f"the prefix is IPv{version_of(prefix)}, the address IPv{version}"
            raise properties.error("InvalidRequestFormat", what, "publicIPAddressVersion")
        document["sku"] = sku
        if zones:
            document["zones"] = zones
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "ipAddress": previous["properties"]["ipAddress"] if previous else _choose(resource, version, prefix, world),
            "publicIPAddressVersion": f"IPv{version}",
            "publicIPAllocationMethod": "Static",
            "idleTimeoutInMinutes": idle,
            "ipTags": tags,
            "ddosSettings": {"protectionMode": "VirtualNetworkInherited"},
        }
        if names:
            document["properties"]["dnsSettings"] = names
        if prefix:
            document["properties"]["publicIPPrefix"] = {"id": prefix["id"]}
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """An address goes only when nothing uses it."""
        refuse_use(resource, world, "PublicIPAddressCannotBeDeleted", "Public IP address")


def intent_of(document: Document) -> PublicAddress:
    """The address as the compilers see it."""
    properties = document["properties"]
    name = properties.get("dnsSettings", {}).get("fqdn", "")
    idle = 60 * properties["idleTimeoutInMinutes"]
    return PublicAddress(parse(document["id"]), ip_network(properties["ipAddress"]), name, idle)


def refuse_taken(fields: Fields, address: Document, user: ResourceId, world: World) -> None:
    """Refuse a public address that belongs to another resource than ``user``.

    Raises:
        ArmError: whose it is.
    """
    for holder in world.users(address["id"].lower()):
        if parse(holder).top != user.top:
            raise fields.error(
                "PublicIPAddressInUse",
                f"Resource {user} is referencing public IP address {address['id']} that is already allocated to"
                f" resource {holder}",
            )


def refuse_shared(fields: Fields, used: list[tuple[str, str]]) -> None:
    """Refuse a public address that two parts of one resource want.

    Args:
        fields: where they stand.
        used: the ids of the addresses, and of those who want them.

    Raises:
        ArmError: which address, and by whom.
    """
    seen: dict[str, str] = {}
    for address, user in used:
        if address.lower() in seen:
            raise fields.error(
                "PublicIPReferencedByMultipleIPConfigs",
                f"Public IP address {address} is referenced by multiple ipconfigs: {seen[address.lower()]}, {user}",
            )
        seen[address.lower()] = user


def _check_method(properties: Fields) -> None:
    method = properties.choice("publicIPAllocationMethod", "Static", "Static", "Dynamic")
    if method != "Static":
        raise properties.error(
            "StandardSkuPublicIPAddressesCannotHaveDynamicAllocation",
            "Standard sku public IP addresses are always Static",
            "publicIPAllocationMethod",
        )


def _names(properties: Fields, location: str, resource: ResourceId, version: int, world: World) -> Document:
    settings = properties.fields("dnsSettings")
    settings.allow("fqdn")
    settings.only("domainNameLabelScope")
    label, reverse = settings.text("domainNameLabel"), settings.text("reverseFqdn")
    settings.refuse_unread()
    names = {"reverseFqdn": reverse} if reverse else {}
    if not label:
        return names
    if not _LABEL.fullmatch(label):
        raise settings.error("InvalidDomainNameLabel", _invalid(label), "domainNameLabel")
    name = _fqdn(label, location)
    holders = (each for each in _holders(name, world) if each["id"].lower() != resource.key)
    if any(version_of(each) == version for each in holders):
        raise settings.error(
            "DnsRecordInUse", f"DNS record {name} is already used by another public IP", "domainNameLabel"
        )
    return {"domainNameLabel": label, "fqdn": name} | names


def is_label_free(label: str, location: str, world: World) -> bool:
    """Tell whether no public address of a region has a domain name label.

    Source: Azure REST reference "Check Dns Name Availability" of Microsoft.Network.

    Raises:
        ArmError: it cannot be one.
    """
    if not _LABEL.fullmatch(label):
        raise ArmError("InvalidDomainNameLabel", _invalid(label))
    return not any(_holders(_fqdn(label, location), world))


def _fqdn(label: str, location: str) -> str:
    return f"{label}.{location.replace(' ', '').lower()}.cloudapp.azure.com"


def _holders(name: str, world: World) -> Iterator[Document]:
    """The public addresses that have a name."""
    for each in world.of_type(PUBLIC_ADDRESSES):
        if each["properties"].get("dnsSettings", {}).get("fqdn", "") == name:
            yield each


def _invalid(label: str) -> str:
    what = f"The domain name label {label} is invalid. It must conform to the following regular expression:"
    return f"{what} ^{_LABEL.pattern}$"


def _refuse_whole(properties: Fields, prefix: Document, world: World) -> None:
    """Refuse an address of a prefix that something uses as a whole."""
    user = next(iter(world.users(prefix["id"].lower(), "natGateways", "frontendIPConfigurations")), None)
    if user:
        raise properties.error(
            "PublicIPPrefixInUse", f"public IP prefix {prefix['id']} is already used by {user}", "publicIPPrefix"
        )


def _choose(resource: ResourceId, version: int, prefix: Document | None, world: World) -> str:
    if prefix is None:
        return str(free_run(resource, version, 32 if version == 4 else 128, world).network_address)
    held = {
        world.documents[user.lower()]["properties"]["ipAddress"]
        for user in world.users(prefix["id"].lower(), "publicIPAddresses")
    }
    for address in ip_network(prefix["properties"]["ipPrefix"]):
        if str(address) not in held:
            return str(address)
    raise ArmError(
        "PublicIpPrefixOutOfIpAddresses",
        f"all addresses of {prefix['id']} ({prefix['properties']['ipPrefix']}) are given out",
        target=str(resource),
    )
