"""Microsoft.Network/virtualNetworkGateways: route-based VPN gateways and ExpressRoute gateways.

A gateway holds addresses of GatewaySubnet, one an ip-configuration. BGP speaks from them: alone it has the last that is
free, active-active the first ones. Other features of a gateway are refused, each by its name.

Sources: Azure documents "About VPN Gateway configuration settings", "About gateway SKUs", "About ExpressRoute virtual
network gateways", "VPN Gateway FAQ"; error codes as clients have reported them, ``InvalidRequestFormat`` where no other
is known.
"""

from __future__ import annotations

from ipaddress import ip_address

from podvnet.fabric.arm.bgp_settings import read_asn, refuse_weight
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.gateway_connections import check_change
from podvnet.fabric.arm.gateway_subnet import network_of, refuse_second
from podvnet.fabric.arm.linked import Linker, linked
from podvnet.fabric.arm.public_ip_addresses import refuse_shared, refuse_taken
from podvnet.fabric.arm.public_ip_prefixes import refuse_change, version_of
from podvnet.fabric.arm.resource_type import check_name, head, stable_guid
from podvnet.fabric.arm.subnets import GATEWAY_SUBNET, prefixes_of
from podvnet.fabric.arm.world import NETWORK_GATEWAYS, PUBLIC_ADDRESSES, SUBNETS, Document, World
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError
from podvnet.model.gateway import AZURE_ASN, GatewayInstance, GatewayKind, VirtualNetworkGateway
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.subnet import usable

VPN_SKUS = (
    "VpnGw1", "VpnGw2", "VpnGw3", "VpnGw4", "VpnGw5", "VpnGw1AZ", "VpnGw2AZ", "VpnGw3AZ", "VpnGw4AZ", "VpnGw5AZ",
)  # fmt: skip
EXPRESS_ROUTE_SKUS = ("Standard", "HighPerformance", "UltraPerformance", "ErGw1AZ", "ErGw2AZ", "ErGw3AZ")
_SKUS = {GatewayKind.VPN: VPN_SKUS, GatewayKind.EXPRESS_ROUTE: EXPRESS_ROUTE_SKUS}
_NOT_CARRIED_OUT = ("Basic", "ErGwScale")
_ONLY_GENERATION = {"VpnGw1": "Generation1", "VpnGw4": "Generation2", "VpnGw5": "Generation2"}
"""By SKU, less its zones: the one generation there is of it."""


class VirtualNetworkGateways:
    """The type."""

    full_type = NETWORK_GATEWAYS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a gateway; choose its addresses."""
        document = head(resource, body)
        body.refuse_unsupported("extendedLocation", "identity")
        properties = body.fields("properties")
        kind = _kind(properties)
        _refuse_features(properties)
        active = properties.flag("activeActive", default=False)
        bgp = properties.flag("enableBgp", default=False)
        if active and kind is not GatewayKind.VPN:
            raise properties.error("InvalidRequestFormat", "only VPN gateways are active-active", "activeActive")
        sku = _sku(properties, kind)
        generation = _generation(properties, kind, sku)
        configurations = _configurations(resource, properties, document["location"], kind, world)
        wanted = 2 if active else 1
        if len(configurations) != wanted:
            what = f"must be {wanted} for a gateway that is {'' if active else 'not '}active-active"
            raise properties.error("InvalidRequestFormat", f"{what}, not {len(configurations)}", "ipConfigurations")
        subnet = parse(configurations[0]["properties"]["subnet"]["id"])
        refuse_second(properties, resource, kind, subnet.parent, world)
        previous = world.get(resource)
        if previous:
            refuse_change(resource, "gatewayType", previous["properties"]["gatewayType"], str(kind))
            refuse_change(resource, "subnet", str(network_of(previous)).lower(), subnet.parent.key)
        addresses = _addresses(resource, configurations, world, lowest=active or kind is not GatewayKind.VPN)
        settings = _bgp_settings(
            properties.fields("bgpSettings"), kind, configurations, addresses, previous=previous, world=world
        )
        properties.refuse_unread()
        body.refuse_unread()
        number = previous["_fabric"]["number"] if previous else world.free_number(NETWORK_GATEWAYS)
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
            "packetCaptureDiagnosticState": "None",
            "enablePrivateIpAddress": False,
            "isMigrateToCSES": False,
            "ipConfigurations": configurations,
            "natRules": [],
            "virtualNetworkGatewayPolicyGroups": [],
            "enableBgpRouteTranslationForNat": False,
            "disableIPSecReplayProtection": False,
            "sku": sku,
            "gatewayType": str(kind),
            "vpnType": "RouteBased",
            "enableBgp": bgp,
            "activeActive": active,
            "bgpSettings": settings,
            "vpnGatewayGeneration": generation,
            "allowRemoteVnetTraffic": False,
            "allowVirtualWanTraffic": False,
        }
        document["_fabric"] = {"number": number, "addresses": {name: str(each) for name, each in addresses.items()}}
        if previous:
            check_change(properties, document, world)
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A gateway goes only when no connection is of it."""
        users = world.users(resource.key, "connections")
        if users:
            raise ArmError(
                "VirtualNetworkGatewayCannotBeDeleted",
                f"Virtual network gateway {resource} can not be deleted because it is being used in following"
                f" connections: {', '.join(users)}.",
                target=str(resource),
            )


def intent_of(document: Document) -> VirtualNetworkGateway:
    """The gateway as the compilers see it."""
    properties, addresses = document["properties"], document["_fabric"]["addresses"]
    kind = GatewayKind(properties["gatewayType"])
    return VirtualNetworkGateway(
        id=parse(document["id"]),
        number=document["_fabric"]["number"],
        kind=kind,
        network=network_of(document),
        instances=tuple(
            GatewayInstance(
                each["name"],
                ip_address(addresses[each["name"]]),
                linked(each["properties"], "publicIPAddress") if kind is GatewayKind.VPN else None,
            )
            for each in properties["ipConfigurations"]
        ),
        asn=properties["bgpSettings"]["asn"],
        # An ExpressRoute gateway has no other way to know what is where.
        bgp=properties["enableBgp"] or kind is GatewayKind.EXPRESS_ROUTE,
    )


def _kind(properties: Fields) -> GatewayKind:
    kind = GatewayKind(properties.choice("gatewayType", "", *GatewayKind))
    if kind is GatewayKind.VPN:
        vpn = properties.choice("vpnType", "RouteBased", "RouteBased", "PolicyBased")
        if vpn != "RouteBased":
            what = "this fabric has route-based VPN gateways only: policy-based ones, which speak IKEv1, are retired"
            raise properties.error("UnsupportedProperty", what, "vpnType")
    else:
        # Clients send it with every gateway; of these it means nothing.
        properties.choice("vpnType", "RouteBased", "RouteBased", "PolicyBased")
    return kind


def _refuse_features(properties: Fields) -> None:
    """Refuse what gateways of Azure can have and those of this fabric do not."""
    properties.allow(
        "provisioningState", "resourceGuid", "packetCaptureDiagnosticState", "isMigrateToCSES",
        "inboundDnsForwardingEndpoint",
    )  # fmt: skip
    properties.refuse_unsupported(
        "natRules", "vpnClientConfiguration", "customRoutes", "gatewayDefaultSite", "autoScaleConfiguration",
        "virtualNetworkGatewayPolicyGroups", "virtualNetworkGatewayMigrationStatus", "vNetExtendedLocationResourceId",
    )  # fmt: skip
    for key in (
        "disableIPSecReplayProtection", "enableBgpRouteTranslationForNat", "enableDnsForwarding",
        "enablePrivateIpAddress", "allowRemoteVnetTraffic", "allowVirtualWanTraffic", "enableHighBandwidthVpnGateway",
    ):  # fmt: skip
        properties.only(key, False)
    properties.only("adminState", "Enabled")
    properties.only("resiliencyModel", "SingleHomed")


def _sku(properties: Fields, kind: GatewayKind) -> Document:
    fields = properties.fields("sku")
    fields.allow("capacity")
    name = fields.required("name")
    if any(name.lower() == each.lower() for each in _NOT_CARRIED_OUT):
        raise fields.error("UnsupportedProperty", f"this fabric has no gateways of the SKU {name}", "name")
    accepted = _SKUS[kind]
    found = next((each for each in accepted if each.lower() == name.lower()), None)
    if found is None:
        what = f"The specified gateway size is not valid, supported gateway sizes are {','.join(accepted)}."
        raise fields.error("InvalidGatewaySize", what, "name")
    tier = fields.text("tier", found)
    if tier.lower() != found.lower():
        what = f"Virtual network gateway Sku specified is not valid: its tier must be {found} as well, not {tier}."
        raise fields.error("InvalidGatewaySize", what, "tier")
    fields.refuse_unread()
    return {"name": found, "tier": found, "capacity": 2}


def _generation(properties: Fields, kind: GatewayKind, sku: Document) -> str:
    if kind is not GatewayKind.VPN:
        return properties.choice("vpnGatewayGeneration", "None", "None")
    only = _ONLY_GENERATION.get(sku["name"].removesuffix("AZ"), "")
    wanted = properties.choice("vpnGatewayGeneration", only or "Generation1", "Generation1", "Generation2", "None")
    if wanted == "None":
        return only or "Generation1"
    if only and wanted != only:
        what = f"The specified gateway size is not valid: {sku['name']} is of {only} only."
        raise properties.error("InvalidGatewaySize", what, "vpnGatewayGeneration")
    return wanted


def _configurations(
    gateway: ResourceId, properties: Fields, location: str, kind: GatewayKind, world: World
) -> list[Document]:
    """The ip-configurations: all in the one GatewaySubnet, each with a public address of its own."""
    linker = Linker(gateway, location, world)
    found: list[Document] = []
    used: list[tuple[str, str]] = []
    for each in properties.each("ipConfigurations"):
        name = each.required("name")
        resource = gateway.child("ipConfigurations", name)
        check_name(name, str(resource))
        each.allow("id", "type", "etag")
        inner = each.fields("properties")
        inner.allow("provisioningState", "privateIPAddress")
        inner.only("privateIPAllocationMethod", "Dynamic")
        subnet = linker.required(inner, "subnet", SUBNETS)
        if subnet["name"].lower() != GATEWAY_SUBNET:
            what = f"a gateway is in a subnet called GatewaySubnet, not in {subnet['id']}"
            raise inner.error("InvalidRequestFormat", what, "subnet")
        settled: Document = {
            "provisioningState": "Succeeded",
            "privateIPAllocationMethod": "Dynamic",
            "subnet": {"id": subnet["id"]},
        }
        public = _public(gateway, inner, linker, kind, world)
        if public:
            settled["publicIPAddress"] = {"id": public["id"]}
            used.append((public["id"], str(resource)))
        inner.refuse_unread()
        each.refuse_unread()
        found.append(
            {"name": name, "id": str(resource), "type": f"{NETWORK_GATEWAYS}/ipConfigurations", "properties": settled}
        )
    refuse_shared(properties, used)
    if len({each["name"].lower() for each in found}) < len(found):
        raise properties.error("InvalidRequestFormat", "two have one name", "ipConfigurations")
    if len({each["properties"]["subnet"]["id"].lower() for each in found}) > 1:
        raise properties.error("InvalidRequestFormat", "they are of one virtual network", "ipConfigurations")
    return found


def _public(gateway: ResourceId, inner: Fields, linker: Linker, kind: GatewayKind, world: World) -> Document | None:
    public = linker.one(inner, "publicIPAddress", PUBLIC_ADDRESSES)
    if public is None:
        if kind is GatewayKind.VPN:
            raise inner.error(
                "PublicIpForGatewayIsRequired",
                f"Public IP address reference is required for gateway IP configuration {gateway}.",
                "publicIPAddress",
            )
        return None
    refuse_taken(inner, public, gateway, world)
    if version_of(public) != 4 or public["sku"]["name"] != "Standard":
        what = f"must be a Standard address of IPv4; {public['id']} is {public['sku']['name']}, IPv{version_of(public)}"
        raise inner.error("InvalidRequestFormat", what, "publicIPAddress")
    return public


def _addresses(
    gateway: ResourceId, configurations: list[Document], world: World, *, lowest: bool
) -> dict[str, Address]:
    """By ip-configuration, its address of the subnet: that which it has, or a free one.

    Raises:
        ArmError: ``SubnetIsFull``.
    """
    subnet = world.find(parse(configurations[0]["properties"]["subnet"]["id"]))
    previous = world.get(gateway)
    held = world.holders.get(subnet["id"].lower(), {}) if subnet else {}
    prefix = next((each for each in prefixes_of(subnet) if each.version == 4), None) if subnet else None
    known = previous["_fabric"]["addresses"] if previous else {}
    kept = {each["name"]: ip_address(known[each["name"]]) for each in configurations if each["name"] in known}
    taken = {address for address, holder in held.items() if not holder.lower().startswith(f"{gateway.key}/")}
    order = list(usable(prefix)) if prefix else []
    free = [each for each in (order if lowest else reversed(order)) if each not in taken | set(kept.values())]
    for each in configurations:
        if each["name"] not in kept:
            if not free:
                raise ArmError(
                    "SubnetIsFull",
                    f"Subnet GatewaySubnet with address prefix {prefix} does not have enough capacity for"
                    f" {len(configurations)} IP addresses.",
                    target=str(gateway),
                )
            kept[each["name"]] = free.pop(0)
    return kept


def _bgp_settings(
    fields: Fields,
    kind: GatewayKind,
    configurations: list[Document],
    addresses: dict[str, Address],
    *,
    previous: Document | None,
    world: World,
) -> Document:
    """The BGP settings as they are shown: of them a client writes the autonomous system, the rest is chosen."""
    known = previous["properties"]["bgpSettings"]["asn"] if previous else AZURE_ASN
    asn = read_asn(fields, "asn", known, azure=True)
    if kind is not GatewayKind.VPN and asn != AZURE_ASN:
        raise fields.error("InvalidRequestFormat", f"that of an ExpressRoute gateway is {AZURE_ASN}", "asn")
    refuse_weight(fields)
    shown = ",".join(str(addresses[each["name"]]) for each in configurations)
    told = fields.text("bgpPeeringAddress")
    before = previous["properties"]["bgpSettings"]["bgpPeeringAddress"] if previous else shown
    if told and told not in {shown, before}:
        what = f"it is Azure's choice, and {shown}, not {told}"
        raise fields.error("InvalidRequestFormat", what, "bgpPeeringAddress")
    for each in fields.each("bgpPeeringAddresses"):
        each.allow("ipconfigurationId", "defaultBgpIpAddresses", "tunnelIpAddresses")
        each.refuse_unsupported("customBgpIpAddresses")
        each.refuse_unread()
    fields.refuse_unread()
    return {
        "asn": asn,
        "bgpPeeringAddress": shown,
        "peerWeight": 0,
        "bgpPeeringAddresses": [_speaker(each, addresses[each["name"]], world) for each in configurations],
    }


def _speaker(configuration: Document, address: Address, world: World) -> Document:
    public = linked(configuration["properties"], "publicIPAddress")
    found = world.get(public) if public else None
    return {
        "ipconfigurationId": configuration["id"],
        "defaultBgpIpAddresses": [str(address)],
        "customBgpIpAddresses": [],
        "tunnelIpAddresses": [found["properties"]["ipAddress"]] if found else [],
    }
