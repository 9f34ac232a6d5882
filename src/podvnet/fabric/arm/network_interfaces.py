"""Microsoft.Network/networkInterfaces: a NIC and its ip-configurations.

A PUT replaces the whole list: an ip-configuration that is left out gives its address back; one that stays keeps the
address it has. Source: Azure document "Configure IP addresses for an Azure network interface".
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.virtual_networks import prefixes_of
from podvnet.fabric.arm.world import NETWORK_INTERFACES, SUBNETS, VIRTUAL_NETWORKS, Document, World
from podvnet.model import limits
from podvnet.model.address import Address, Prefix, arm_mac, derived_mac, parse_mac
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import IpConfiguration, NetworkInterface
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.model.subnet import is_reserved, usable

_OUI = bytes.fromhex("000d3a")
_NOT_YET = (
    "publicIPAddress",
    "loadBalancerBackendAddressPools",
    "loadBalancerInboundNatRules",
    "applicationSecurityGroups",
)


class _Wanted(NamedTuple):
    """An ip-configuration as asked for, before its address is settled."""

    name: str
    primary: bool
    subnet: ResourceId
    version: int
    static: Address | None
    fields: Fields


class NetworkInterfaces:
    """The type."""

    full_type = NETWORK_INTERFACES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a NIC; choose its dynamic addresses."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow(
            "provisioningState", "resourceGuid", "macAddress", "primary", "virtualMachine", "nicType",
            "hostedWorkloads", "enableAcceleratedNetworking", "vnetEncryptionSupported",
        )  # fmt: skip
        properties.refuse_unsupported("tapConfigurations")
        dns = properties.fields("dnsSettings")
        dns.allow("appliedDnsServers", "internalDomainNameSuffix")
        dns.refuse_unsupported("dnsServers", "internalDnsNameLabel")
        dns.refuse_unread()
        properties.refuse_unsupported("networkSecurityGroup")
        forwarding = properties.flag("enableIPForwarding", default=False)
        scope = Scope(resource.subscription, resource.resource_group)
        wanted = [self._wanted(each, scope) for each in properties.each("ipConfigurations")]
        self._check_list(properties, wanted)
        properties.refuse_unread()
        body.refuse_unread()
        previous = world.get(resource)
        configurations = self._settle_addresses(resource, wanted, previous, world)
        mac = previous["_fabric"]["mac"] if previous else derived_mac(_OUI, resource.key)
        number = previous["_fabric"]["number"] if previous else world.free_number(NETWORK_INTERFACES)
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "ipConfigurations": configurations,
            "dnsSettings": {"dnsServers": [], "appliedDnsServers": []},
            "enableAcceleratedNetworking": False,
            "enableIPForwarding": forwarding,
            "nicType": "Standard",
            "hostedWorkloads": [],
        }
        document["_fabric"] = {"number": number, "mac": mac}
        if previous:
            _carry_over(previous, document)
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A NIC goes only when it is on no VM."""
        machine = world.machine_of(resource)
        if machine:
            raise ArmError(
                "NicInUse",
                f"Network Interface {resource} is used by existing resource {machine['id']}. In order to delete the"
                " network interface, it must be dissociated from the resource.",
                target=str(resource),
            )

    @staticmethod
    def _wanted(fields: Fields, scope: Scope) -> _Wanted:
        name = fields.required("name")
        check_name(name, name)
        fields.allow("id", "type", "etag")
        properties = fields.fields("properties")
        properties.allow("provisioningState")
        properties.refuse_unsupported(*_NOT_YET)
        subnet = properties.reference("subnet", scope, SUBNETS)
        version = {"IPv4": 4, "IPv6": 6}.get(properties.text("privateIPAddressVersion", "IPv4"))
        if version is None:
            raise properties.error("InvalidRequestFormat", "must be IPv4 or IPv6", "privateIPAddressVersion")
        method = properties.text("privateIPAllocationMethod", "Dynamic")
        if method not in {"Dynamic", "Static"}:
            raise properties.error("InvalidRequestFormat", "must be Dynamic or Static", "privateIPAllocationMethod")
        text = properties.text("privateIPAddress")
        static = _static_address(properties, text, version) if method == "Static" else None
        primary = properties.flag("primary", default=False)
        properties.refuse_unread()
        fields.refuse_unread()
        return _Wanted(name, primary, subnet, version, static, properties)

    @staticmethod
    def _check_list(properties: Fields, wanted: list[_Wanted]) -> None:
        if not wanted:
            raise properties.error("InvalidRequestFormat", "at least one is required", "ipConfigurations")
        if len(wanted) > limits.ADDRESSES_PER_NIC:
            raise properties.error(
                "PrivateIPAddressCountLimitReached",
                f"a NIC holds at most {limits.ADDRESSES_PER_NIC} private addresses, not {len(wanted)}",
                "ipConfigurations",
            )
        seen: set[str] = set()
        for each in wanted:
            if each.name.lower() in seen:
                raise properties.error("InvalidRequestFormat", f"two are called {each.name!r}", "ipConfigurations")
            seen.add(each.name.lower())
        if any(each.subnet != wanted[0].subnet for each in wanted):
            raise properties.error(
                "IpConfigurationsOnSameNicCannotUseDifferentSubnets",
                "all ip-configurations of a NIC must be in one subnet",
                "ipConfigurations",
            )
        primaries = [each for each in wanted if each.primary]
        if len(wanted) > 1 and len(primaries) != 1:
            raise properties.error(
                "InvalidRequestFormat", f"exactly one must be primary, not {len(primaries)}", "ipConfigurations"
            )
        first = primaries[0] if primaries else wanted[0]
        if first.version != 4:
            raise properties.error("InvalidRequestFormat", "the primary one must be IPv4", "ipConfigurations")

    def _settle_addresses(
        self, resource: ResourceId, wanted: list[_Wanted], previous: Document | None, world: World
    ) -> list[Document]:
        subnet = _subnet_document(wanted[0].subnet, wanted[0].fields, world)
        held = world.holders.get(subnet["id"].lower(), {})
        own = resource.key + "/"
        # What this NIC holds is free to be chosen anew; what it keeps is taken below.
        others = {address for address, holder in held.items() if not holder.lower().startswith(own)}
        kept = _kept_addresses(previous, subnet["id"])
        taken: dict[Address, str] = {}
        chosen: dict[str, Address] = {}
        dynamic: list[_Wanted] = []
        for each in sorted(wanted, key=lambda each: each.static is None):
            address = each.static or kept.get(each.name.lower())
            if address is None or address.version != each.version:
                dynamic.append(each)
                continue
            if each.static:
                _check_static(each, subnet, others, taken, held)
            elif address in taken:  # a static one was put on the address that a dynamic one had
                dynamic.append(each)
                continue
            chosen[each.name] = address
            taken[address] = each.name
        self._choose(dynamic, subnet, others, taken, chosen)
        return [
            _configuration(resource, each, chosen[each.name], subnet["id"], primary=each.primary or len(wanted) == 1)
            for each in wanted
        ]

    @staticmethod
    def _choose(
        dynamic: list[_Wanted],
        subnet: Document,
        others: set[Address],
        taken: dict[Address, str],
        chosen: dict[str, Address],
    ) -> None:
        for version in (4, 6):
            asking = [each for each in dynamic if each.version == version]
            if not asking:
                continue
            prefix = _prefix(subnet, version, asking[0].fields)
            free = (address for address in usable(prefix) if address not in others and address not in taken)
            for each in asking:
                address = next(free, None)
                if address is None:
                    raise ArmError(
                        "SubnetIsFull",
                        f"Subnet {subnet['name']} with address prefix {prefix} does not have enough capacity for"
                        f" {len(asking)} IP addresses.",
                        target=subnet["id"],
                    )
                chosen[each.name] = address
                taken[address] = each.name


def intent_of(document: Document) -> NetworkInterface:
    """The NIC as the compilers see it: the primary ip-configuration first."""
    properties, inner = document["properties"], document["_fabric"]
    outbound = inner.get("outbound")
    configurations = [
        IpConfiguration(
            name=each["name"],
            address=ip_address(each["properties"]["privateIPAddress"]),
            primary=each["properties"]["primary"],
            outbound=ip_address(outbound) if outbound and each["properties"]["primary"] else None,
        )
        for each in properties["ipConfigurations"]
    ]
    subnet = parse(properties["ipConfigurations"][0]["properties"]["subnet"]["id"])
    return NetworkInterface(
        id=parse(document["id"]),
        number=inner["number"],
        mac=parse_mac(inner["mac"]),
        virtual_network=subnet.parent,
        subnet=subnet,
        ip_configurations=tuple(sorted(configurations, key=lambda each: not each.primary)),
        ip_forwarding=properties["enableIPForwarding"],
    )


def attach(document: Document, machine_id: str, *, primary: bool, outbound: str | None) -> Document:
    """The NIC's document once it is on a VM. ``outbound`` is its default outbound address, if it has one."""
    inner = {key: value for key, value in document["_fabric"].items() if key != "outbound"}
    if outbound:
        inner["outbound"] = outbound
    properties = document["properties"] | {
        "virtualMachine": {"id": machine_id},
        "primary": primary,
        "macAddress": arm_mac(parse_mac(inner["mac"])),
    }
    return document | {"properties": properties, "_fabric": inner}


def detach(document: Document) -> Document:
    """The NIC's document once it is on no VM."""
    properties = {
        key: value
        for key, value in document["properties"].items()
        if key not in {"virtualMachine", "primary", "macAddress"}
    }
    inner = {key: value for key, value in document["_fabric"].items() if key != "outbound"}
    return document | {"properties": properties, "_fabric": inner}


def _carry_over(previous: Document, document: Document) -> None:
    """Keep what belongs to the attachment to a VM and not to the NIC's own definition."""
    for key in ("virtualMachine", "primary", "macAddress"):
        if key in previous["properties"]:
            document["properties"][key] = previous["properties"][key]
    if "outbound" in previous["_fabric"]:
        document["_fabric"]["outbound"] = previous["_fabric"]["outbound"]


def _kept_addresses(previous: Document | None, subnet: str) -> dict[str, Address]:
    if previous is None:
        return {}
    return {
        each["name"].lower(): ip_address(each["properties"]["privateIPAddress"])
        for each in previous["properties"]["ipConfigurations"]
        if each["properties"]["subnet"]["id"].lower() == subnet.lower()
    }


def _static_address(properties: Fields, text: str, version: int) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise properties.error("InvalidRequestFormat", f"{text!r} is no address", "privateIPAddress") from None
    if address.version == 6 and address.scope_id:
        raise properties.error("InvalidRequestFormat", f"{text} has a zone", "privateIPAddress")
    if address.version != version:
        raise properties.error("InvalidRequestFormat", f"{text} is not IPv{version}", "privateIPAddress")
    return address


def _subnet_document(subnet: ResourceId, fields: Fields, world: World) -> Document:
    network = world.get(subnet.parent)
    if network and network["type"] == VIRTUAL_NETWORKS:
        for each in network["properties"]["subnets"]:
            if each["id"].lower() == subnet.key:
                found: Document = each
                return found
    raise fields.error("InvalidResourceReference", f"Resource {subnet} was not found", "subnet.id")


def _prefix(subnet: Document, version: int, fields: Fields) -> Prefix:
    found = next((prefix for prefix in prefixes_of(subnet) if prefix.version == version), None)
    if found is None:
        raise fields.error("InvalidRequestFormat", f"Subnet {subnet['name']} has no IPv{version} prefix")
    return found


def _check_static(
    each: _Wanted, subnet: Document, others: set[Address], taken: dict[Address, str], held: dict[Address, str]
) -> None:
    address = each.static
    if address is None:
        return
    prefix = _prefix(subnet, each.version, each.fields)
    if address not in prefix:
        raise each.fields.error(
            "PrivateIPAddressNotInSubnet",
            f"Private static IP address {address} does not belong to the range of subnet prefix {prefix}",
        )
    if is_reserved(prefix, address):
        raise each.fields.error(
            "PrivateIPAddressInReservedRange",
            f"Private static IP address {address} falls within reserved IP range of subnet prefix {prefix}",
        )
    if address in others or address in taken:
        holder = f"ip-configuration {taken[address]}" if address in taken else held[address]
        raise each.fields.error(
            "PrivateIPAddressInUse", f"IP configuration {each.name}: address {address} is already used by {holder}"
        )


def _configuration(resource: ResourceId, each: _Wanted, address: Address, subnet: str, *, primary: bool) -> Document:
    return {
        "name": each.name,
        "id": str(resource.child("ipConfigurations", each.name)),
        "type": NETWORK_INTERFACES + "/ipConfigurations",
        "properties": {
            "provisioningState": "Succeeded",
            "privateIPAddress": str(address),
            "privateIPAllocationMethod": "Static" if each.static else "Dynamic",
            "subnet": {"id": subnet},
            "primary": primary,
            "privateIPAddressVersion": f"IPv{each.version}",
        },
    }
