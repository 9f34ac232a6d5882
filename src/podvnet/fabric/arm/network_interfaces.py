"""Microsoft.Network/networkInterfaces: a NIC and its ip-configurations.

A PUT replaces the whole list: an ip-configuration that is left out gives its address back; one that stays keeps the
address it has. Source: Azure document "Configure IP addresses for an Azure network interface".
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.internal_names import AZURE_DNS, domain_suffix
from podvnet.fabric.arm.linked import Linker, linked
from podvnet.fabric.arm.membership import check_groups, check_load_balancers
from podvnet.fabric.arm.private_address import Allotment, Place, Wish, place_of, read_wish
from podvnet.fabric.arm.private_dns_records import LABEL
from podvnet.fabric.arm.private_endpoint_nics import refuse_removal, refuse_write
from podvnet.fabric.arm.public_ip_addresses import refuse_shared, refuse_taken
from podvnet.fabric.arm.public_ip_prefixes import version_of
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    LOAD_BALANCERS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    SECURITY_GROUPS,
    SUBNETS,
    Document,
    World,
    addresses_of,
)
from podvnet.model import limits
from podvnet.model.address import Address, arm_mac, derived_mac, parse_mac
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import IpConfiguration, NetworkInterface
from podvnet.model.resource_id import ResourceId, parse

_OUI = bytes.fromhex("000d3a")
_LISTS = {
    "loadBalancerBackendAddressPools": f"{LOAD_BALANCERS}/backendAddressPools",
    "loadBalancerInboundNatRules": f"{LOAD_BALANCERS}/inboundNatRules",
    "applicationSecurityGroups": APPLICATION_GROUPS,
}
"""What an ip-configuration can be a member of."""


class _Wanted(NamedTuple):
    """An ip-configuration as asked for, before its address is settled."""

    wish: Wish
    primary: bool
    subnet: Document
    links: Document


class NetworkInterfaces:
    """The type."""

    full_type = NETWORK_INTERFACES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a NIC; choose its dynamic addresses."""
        refuse_write(world.get(resource))
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow(
            "provisioningState", "resourceGuid", "macAddress", "primary", "virtualMachine", "nicType",
            "hostedWorkloads", "enableAcceleratedNetworking", "vnetEncryptionSupported", "migrationPhase",
            "defaultOutboundConnectivityEnabled", "allowPort25Out",
        )  # fmt: skip
        body.only("kind", "Regular")
        properties.refuse_unsupported("tapConfigurations", "privateLinkService", "workloadType")
        properties.only("auxiliaryMode", "None")
        properties.only("auxiliarySku", "None")
        properties.only("disableTcpStateTracking", False)
        dns_fields = properties.fields("dnsSettings")
        forwarding = properties.flag("enableIPForwarding", default=False)
        linker = Linker(resource, document["location"], world)
        group = linker.one(properties, "networkSecurityGroup", SECURITY_GROUPS)
        wanted = [self._wanted(resource, each, linker, world) for each in properties.each("ipConfigurations")]
        self._check_list(resource, properties, wanted)
        properties.refuse_unread()
        body.refuse_unread()
        previous = world.get(resource)
        subnet = wanted[0].subnet
        _check_network(resource, properties, subnet, len(wanted), world)
        allotment = Allotment(subnet, resource.key, world)
        places = allotment.give([each.wish for each in wanted], _kept_places(previous, subnet["id"]))
        configurations = [
            _configuration(resource, each, places[each.wish.name], primary=each.primary or len(wanted) == 1)
            for each in wanted
        ]
        check_groups(resource, properties, configurations, world)
        check_load_balancers(resource, properties, configurations, world)
        mac = previous["_fabric"]["mac"] if previous else derived_mac(_OUI, resource.key)
        number = previous["_fabric"]["number"] if previous else world.free_number(NETWORK_INTERFACES)
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "ipConfigurations": configurations,
            "dnsSettings": _dns_settings(dns_fields, domain_suffix(parse(subnet["id"]).parent)),
            "enableAcceleratedNetworking": False,
            "vnetEncryptionSupported": False,
            "enableIPForwarding": forwarding,
            "disableTcpStateTracking": False,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
            "allowPort25Out": True,
            "defaultOutboundConnectivityEnabled": False,
            "auxiliaryMode": "None",
            "auxiliarySku": "None",
        }
        document["kind"] = "Regular"
        if group:
            document["properties"]["networkSecurityGroup"] = {"id": group["id"]}
        document["_fabric"] = {"number": number, "mac": mac}
        if previous:
            _carry_over(previous, document)
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A NIC goes only when it is on no VM, and no private endpoint's."""
        refuse_removal(resource, world)
        machine = world.machine_of(resource)
        if machine:
            raise ArmError(
                "NicInUse",
                f"Network Interface {resource} is used by existing resource {machine['id']}. In order to delete the"
                " network interface, it must be dissociated from the resource.",
                target=str(resource),
            )

    @staticmethod
    def _wanted(nic: ResourceId, fields: Fields, linker: Linker, world: World) -> _Wanted:
        name = fields.required("name")
        check_name(name, name)
        fields.allow("id", "type", "etag")
        properties = fields.fields("properties")
        properties.allow("provisioningState", "privateLinkConnectionProperties")
        properties.refuse_unsupported(
            "gatewayLoadBalancer", "virtualNetworkTaps", "applicationGatewayBackendAddressPools"
        )
        subnet = linker.required(properties, "subnet", SUBNETS)
        links: Document = {}
        public = linker.one(properties, "publicIPAddress", PUBLIC_ADDRESSES)
        if public:
            refuse_taken(properties, public, nic, world)
            links["publicIPAddress"] = {"id": public["id"]}
        for key, full_type in _LISTS.items():
            found = linker.each(properties, key, full_type)
            if found:
                links[key] = [{"id": each["id"]} for each in found]
        wish = read_wish(name, properties, blocks=True)
        if public and version_of(public) != wish.version:
            raise properties.error(
                "IPVersionForPublicIpAndNicIpConfigurationMustMatch",
                f"IP version for publicIPAddress '{public['id']}', version 'IPv{version_of(public)}' and network"
                f" interface ipConfiguration '{nic.child('ipConfigurations', name)}', version 'IPv{wish.version}' must"
                " match.",
                "publicIPAddress",
            )
        primary = properties.flag("primary", default=False)
        if wish.block and (primary or links):
            what = "be primary" if primary else f"have {next(iter(links))}"
            raise properties.error("InvalidRequestFormat", f"an ip-configuration that is a block cannot {what}")
        properties.refuse_unread()
        fields.refuse_unread()
        return _Wanted(wish, primary, subnet, links)

    @staticmethod
    def _check_list(nic: ResourceId, properties: Fields, wanted: list[_Wanted]) -> None:
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
            if each.wish.name.lower() in seen:
                raise properties.error("InvalidRequestFormat", f"two are called {each.wish.name!r}", "ipConfigurations")
            seen.add(each.wish.name.lower())
        if any(each.subnet["id"] != wanted[0].subnet["id"] for each in wanted):
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
        if first.wish.version != 4 or first.wish.block:
            raise properties.error(
                "InvalidRequestFormat", "the primary one must be IPv4, and one address", "ipConfigurations"
            )
        if wanted[0].subnet["properties"]["delegations"]:
            raise properties.error(
                "ResourceNotPermittedOnDelegatedSubnet",
                f"Subnet {wanted[0].subnet['name']} is delegated and takes no NICs other than its service's",
                "ipConfigurations",
            )
        publics = [
            (each.links["publicIPAddress"]["id"], str(nic.child("ipConfigurations", each.wish.name)))
            for each in wanted
            if "publicIPAddress" in each.links
        ]
        refuse_shared(properties, publics)


def intent_of(document: Document) -> NetworkInterface:
    """The NIC as the compilers see it: the primary ip-configuration first."""
    properties, inner = document["properties"], document["_fabric"]
    outbound = inner.get("outbound")
    configurations = [
        IpConfiguration(
            name=each["name"],
            address=address,
            primary=each["properties"]["primary"],
            outbound=ip_address(outbound) if outbound and each["properties"]["primary"] else None,
            groups=_ids(each, "applicationSecurityGroups"),
            public=linked(each["properties"], "publicIPAddress"),
            pools=_ids(each, "loadBalancerBackendAddressPools"),
            nat_rules=_ids(each, "loadBalancerInboundNatRules"),
        )
        for each in properties["ipConfigurations"]
        for address in addresses_of(each)
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
        security_group=linked(properties, "networkSecurityGroup"),
        dns_servers=_own_servers(properties["dnsSettings"]["dnsServers"]),
        name_label=properties["dnsSettings"].get("internalDnsNameLabel", ""),
    )


def _own_servers(servers: list[str]) -> tuple[Address, ...] | None:
    if not servers:
        return None
    return tuple(ip_address(each) for each in servers if each != AZURE_DNS)


def _ids(configuration: Document, key: str) -> tuple[ResourceId, ...]:
    return tuple(parse(each["id"]) for each in configuration["properties"].get(key, []))


def attach(document: Document, machine_id: str, *, primary: bool, outbound: str | None) -> Document:
    """The NIC's document once it is on a VM. ``outbound`` is its default outbound address, if it has one."""
    inner = {key: value for key, value in document["_fabric"].items() if key != "outbound"}
    if outbound:
        inner["outbound"] = outbound
    properties = document["properties"] | {
        "virtualMachine": {"id": machine_id},
        "primary": primary,
        "macAddress": arm_mac(parse_mac(inner["mac"])),
        "defaultOutboundConnectivityEnabled": outbound is not None,
    }
    return document | {"properties": properties, "_fabric": inner}


def detach(document: Document) -> Document:
    """The NIC's document once it is on no VM."""
    properties = {
        key: value
        for key, value in document["properties"].items()
        if key not in {"virtualMachine", "primary", "macAddress"}
    } | {"defaultOutboundConnectivityEnabled": False}
    inner = {key: value for key, value in document["_fabric"].items() if key != "outbound"}
    return document | {"properties": properties, "_fabric": inner}


def _carry_over(previous: Document, document: Document) -> None:
    """Keep what belongs to the attachment to a VM and not to the NIC's own definition."""
    for key in ("virtualMachine", "primary", "macAddress", "defaultOutboundConnectivityEnabled"):
        if key in previous["properties"]:
            document["properties"][key] = previous["properties"][key]
    if "outbound" in previous["_fabric"]:
        document["_fabric"]["outbound"] = previous["_fabric"]["outbound"]


def _check_network(nic: ResourceId, properties: Fields, subnet: Document, count: int, world: World) -> None:
    """Refuse more private addresses than a virtual network holds; a block counts as one."""
    network = f"{parse(subnet['id']).parent.key}/"
    held = [found for key, found in world.holders.items() if key.startswith(network)]
    # Telling blocks from addresses takes long, and is needed only close to the limit.
    if sum(map(len, held)) + count <= limits.ADDRESSES_PER_VIRTUAL_NETWORK:
        return
    own = f"{nic.key}/"
    others = sum(not holder.lower().startswith(own) for found in held for holder in set(found.values()))
    if others + count > limits.ADDRESSES_PER_VIRTUAL_NETWORK:
        raise properties.error(
            "PrivateIPAddressCountLimitReached",
            f"a virtual network holds at most {limits.ADDRESSES_PER_VIRTUAL_NETWORK} private addresses, not"
            f" {others + count}",
            "ipConfigurations",
        )


def _kept_places(previous: Document | None, subnet: str) -> dict[str, Place]:
    if previous is None:
        return {}
    return {
        each["name"].lower(): place_of(each)
        for each in previous["properties"]["ipConfigurations"]
        if each["properties"]["subnet"]["id"].lower() == subnet.lower()
    }


def _dns_settings(dns: Fields, suffix: str) -> Document:
    """The NIC's own DNS servers and name. What a VM is told in the end stands in the view of the NIC."""
    dns.allow("appliedDnsServers", "internalDomainNameSuffix", "internalFqdn")
    servers = dns.texts("dnsServers")
    for server in servers:
        try:
            if server != AZURE_DNS or len(servers) > 1:
                ip_address(server)
        except ValueError:
            what = f"{server!r} is no address, nor {AZURE_DNS} alone"
            raise dns.error("InvalidRequestFormat", what, "dnsServers") from None
    settings: Document = {"dnsServers": servers, "appliedDnsServers": [], "internalDomainNameSuffix": suffix}
    label = dns.text("internalDnsNameLabel")
    if label:
        check_name(label, label)
        if not LABEL.fullmatch(label):
            what = f"{label!r} is no label of a domain name: 1 to 63 letters, digits, '-' and '_'"
            raise dns.error("InvalidDnsNameLabel", what, "internalDnsNameLabel")
        settings |= {"internalDnsNameLabel": label, "internalFqdn": f"{label}.{suffix}"}
    dns.refuse_unread()
    return settings


def _configuration(resource: ResourceId, each: _Wanted, place: Place, *, primary: bool) -> Document:
    length = {"privateIPAddressPrefixLength": limits.BLOCK_LENGTH} if each.wish.block else {}
    return {
        "name": each.wish.name,
        "id": str(resource.child("ipConfigurations", each.wish.name)),
        "type": NETWORK_INTERFACES + "/ipConfigurations",
        "properties": {
            "provisioningState": "Succeeded",
            "privateIPAddress": str(place),
            "privateIPAllocationMethod": "Static" if each.wish.static is not None else "Dynamic",
            "subnet": {"id": each.subnet["id"]},
            "primary": primary,
            "privateIPAddressVersion": f"IPv{each.wish.version}",
        }
        | length
        | each.links,
    }
