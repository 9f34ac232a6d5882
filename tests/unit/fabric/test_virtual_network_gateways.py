"""VPN and ExpressRoute gateways: what they get, what is refused, and what keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.world import (
    NETWORK_GATEWAYS,
    PUBLIC_ADDRESSES,
    ROUTE_TABLES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.settlement import complete, settle, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

SUBNET = "virtualNetworks/hub/subnets/GatewaySubnet"


def config(name: str = "a", public: str = "gw", subnet: str = SUBNET, **more: object) -> Document:
    inner: Document = {"subnet": {"id": subnet}} | more
    return {
        "name": name,
        "properties": inner | ({"publicIPAddress": {"id": f"publicIPAddresses/{public}"}} if public else {}),
    }


def vpn(**more: Any) -> Document:
    return {"gatewayType": "Vpn", "sku": {"name": "VpnGw1"}, "ipConfigurations": [config()], "enableBgp": True} | more


def express(**more: Any) -> Document:
    return {"gatewayType": "ExpressRoute", "sku": {"name": "ErGw1AZ"}, "ipConfigurations": [config(public="")]} | more


def put(world: World, wanted: Document) -> Document:
    settled = settle(wanted, world)
    world.put(settled)
    complete(world)
    return settled


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


def test_a_gateway_is_as_it_is_shown(gated: World) -> None:
    found = shown(gated.documents[key(NETWORK_GATEWAYS, "vpn")])["properties"]
    settings = found["bgpSettings"]
    assert (settings["asn"], settings["bgpPeeringAddress"], settings["peerWeight"]) == (65515, "10.0.255.30", 0)
    (peer,) = settings["bgpPeeringAddresses"]
    assert peer["ipconfigurationId"] == found["ipConfigurations"][0]["id"]
    assert (peer["defaultBgpIpAddresses"], peer["tunnelIpAddresses"]) == (["10.0.255.30"], ["192.0.2.1"])
    assert found["sku"] == {"name": "VpnGw1", "tier": "VpnGw1", "capacity": 2}
    assert (found["vpnType"], found["vpnGatewayGeneration"], found["activeActive"]) == (
        "RouteBased",
        "Generation1",
        False,
    )
    assert shown(gated.documents[key(NETWORK_GATEWAYS, "er")])["properties"]["vpnGatewayGeneration"] == "None"


def test_what_was_read_can_be_written(gated: World, altered: Make) -> None:
    for name in ("vpn", "er"):
        before = gated.documents[key(NETWORK_GATEWAYS, name)]
        assert settle(altered(gated, NETWORK_GATEWAYS, name), gated) == before


def test_one_that_becomes_active_active_keeps_its_address_and_gets_another(gated: World, altered: Make) -> None:
    both = [config("a"), config("b", "spare")]
    found = put(gated, altered(gated, NETWORK_GATEWAYS, "vpn", activeActive=True, ipConfigurations=both))
    assert found["properties"]["bgpSettings"]["bgpPeeringAddress"] == "10.0.255.30,10.0.255.5"
    held = gated.holders[key(VIRTUAL_NETWORKS, "hub") + "/subnets/gatewaysubnet"]
    assert {str(address) for address in held} == {"10.0.255.30", "10.0.255.4", "10.0.255.5"}
    alone = put(gated, altered(gated, NETWORK_GATEWAYS, "vpn", activeActive=False, ipConfigurations=[config("a")]))
    assert alone["properties"]["bgpSettings"]["bgpPeeringAddress"] == "10.0.255.30"


def test_a_new_active_active_gateway_has_the_first_addresses(gated: World, document: Make) -> None:
    space = {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}
    subnet = {"name": "GatewaySubnet", "properties": {"addressPrefix": "10.9.0.0/29"}}
    put(gated, document(VIRTUAL_NETWORKS, "far", space | {"subnets": [subnet]}))
    put(gated, document(PUBLIC_ADDRESSES, "third", {}))
    far = "virtualNetworks/far/subnets/gatewaysubnet"
    both = [config("a", "spare", far), config("b", "third", far)]
    found = put(gated, document(NETWORK_GATEWAYS, "far", vpn(activeActive=True, ipConfigurations=both)))
    assert found["properties"]["bgpSettings"]["bgpPeeringAddress"] == "10.9.0.4,10.9.0.5"
    # Of a /29 the third is left, and a gateway of the other kind needs a /27.
    with pytest.raises(ArmError, match=r"must be /27 or larger for gateways of both types, and is 10.9.0.0/29"):
        put(gated, document(NETWORK_GATEWAYS, "far-er", express(ipConfigurations=[config(public="", subnet=far)])))


ROWS: list[tuple[str, Document, str, str]] = [
    ("no type", vpn(gatewayType=None), "InvalidRequestFormat", "gatewayType: must be one of Vpn, ExpressRoute"),
    ("a local one", vpn(gatewayType="LocalGateway"), "InvalidRequestFormat", "not 'LocalGateway'"),
    ("policy-based", vpn(vpnType="PolicyBased"), "UnsupportedProperty", "route-based VPN gateways only"),
    ("no SKU", vpn(sku={}), "InvalidRequestFormat", "sku.name: is required"),
    ("Basic", vpn(sku={"name": "Basic"}), "UnsupportedProperty", "no gateways of the SKU Basic"),
    ("scale units", express(sku={"name": "ErGwScale"}), "UnsupportedProperty", "SKU ErGwScale"),
    (
        "the other's SKU",
        vpn(sku={"name": "ErGw1AZ"}),
        "InvalidGatewaySize",
        "supported gateway sizes are VpnGw1,VpnGw2",
    ),
    ("two SKUs", vpn(sku={"name": "VpnGw1", "tier": "VpnGw2"}), "InvalidGatewaySize", "must be VpnGw1 as well"),
    ("a generation", vpn(vpnGatewayGeneration="Generation2"), "InvalidGatewaySize", "VpnGw1 is of Generation1 only"),
    (
        "no address",
        vpn(ipConfigurations=[config(public="")]),
        "PublicIpForGatewayIsRequired",
        "is required for gateway",
    ),
    (
        "no configuration",
        vpn(ipConfigurations=[]),
        "InvalidRequestFormat",
        "must be 1 for a gateway that is not active",
    ),
    ("two", vpn(ipConfigurations=[config(), config("b", "spare")]), "InvalidRequestFormat", "not active-active, not 2"),
    ("one active", vpn(activeActive=True), "InvalidRequestFormat", "must be 2 for a gateway that is active-active"),
    ("an active circuit's", express(activeActive=True), "InvalidRequestFormat", "only VPN gateways are active-active"),
    (
        "one address twice",
        vpn(activeActive=True, ipConfigurations=[config(), config("b")]),
        "PublicIPReferencedByMultipleIPConfigs",
        "/publicIPAddresses/gw is referenced",
    ),
    (
        "one name twice",
        vpn(activeActive=True, ipConfigurations=[config(), config("A", "spare")]),
        "InvalidRequestFormat",
        "two have one name",
    ),
    (
        "another subnet",
        vpn(ipConfigurations=[config(subnet="virtualNetworks/hub/subnets/pods")]),
        "InvalidRequestFormat",
        "in a subnet called GatewaySubnet, not in",
    ),
    ("no subnet", vpn(ipConfigurations=[{"name": "a"}]), "InvalidRequestFormat", "subnet.id: is required"),
    (
        "a static address",
        vpn(ipConfigurations=[config(privateIPAllocationMethod="Static")]),
        "UnsupportedProperty",
        "privateIPAllocationMethod",
    ),
    ("a reserved ASN", vpn(bgpSettings={"asn": 65520}), "InvalidRequestFormat", "65520 is an ASN that Azure or IANA"),
    ("12076", vpn(bgpSettings={"asn": 12076}), "InvalidRequestFormat", "12076 is an ASN"),
    ("no ASN", vpn(bgpSettings={"asn": 0}), "InvalidRequestFormat", "must be between 1 and 4294967295"),
    (
        "an ASN of a circuit's",
        express(bgpSettings={"asn": 65001}),
        "InvalidRequestFormat",
        "ExpressRoute gateway is 65515",
    ),
    ("a weight", vpn(bgpSettings={"peerWeight": 5}), "UnsupportedProperty", "does not weigh BGP peers"),
    (
        "its speaker",
        vpn(bgpSettings={"bgpPeeringAddress": "10.0.255.9"}),
        "InvalidRequestFormat",
        "and 10.0.255.30, not",
    ),
    (
        "APIPA",
        vpn(bgpSettings={"bgpPeeringAddresses": [{"customBgpIpAddresses": ["169.254.21.1"]}]}),
        "UnsupportedProperty",
        "customBgpIpAddresses",
    ),
    ("NAT rules", vpn(natRules=[{"name": "x"}]), "UnsupportedProperty", "natRules"),
    ("point-to-site", vpn(vpnClientConfiguration={"a": 1}), "UnsupportedProperty", "vpnClientConfiguration"),
    ("custom routes", vpn(customRoutes={"addressPrefixes": ["1.2.3.0/24"]}), "UnsupportedProperty", "customRoutes"),
    ("a default site", vpn(gatewayDefaultSite={"id": "x"}), "UnsupportedProperty", "gatewayDefaultSite"),
    ("a private tunnel", vpn(enablePrivateIpAddress=True), "UnsupportedProperty", "enablePrivateIpAddress"),
    ("no replay protection", vpn(disableIPSecReplayProtection=True), "UnsupportedProperty", "ReplayProtection"),
    ("other networks", express(allowRemoteVnetTraffic=True), "UnsupportedProperty", "allowRemoteVnetTraffic"),
    ("disabled", express(adminState="Disabled"), "UnsupportedProperty", "adminState"),
    ("misspelt", vpn(enableBGP=True), "InvalidRequestFormat", "'enableBgp' is meant?"),
]


@pytest.mark.parametrize(("_case", "properties", "code", "what"), ROWS, ids=[row[0] for row in ROWS])
def test_gateways_that_are_refused(
    _case: str, properties: Document, code: str, what: str, *, gated: World, document: Make, refusal: Refusal
) -> None:
    name = "er" if properties["gatewayType"] == "ExpressRoute" else "vpn"
    bare = {member: value for member, value in properties.items() if value is not None}
    error = refusal(document(NETWORK_GATEWAYS, name, bare), gated)
    assert error.code == code
    assert what in error.message


def test_a_network_has_one_gateway_of_a_kind(gated: World, document: Make, refusal: Refusal) -> None:
    error = refusal(document(NETWORK_GATEWAYS, "second", vpn(ipConfigurations=[config(public="spare")])), gated)
    assert error.code == "InvalidRequestFormat"
    assert "has a gateway of type Vpn already" in error.message
    error = refusal(document(NETWORK_GATEWAYS, "second", express()), gated)
    assert "has a gateway of type ExpressRoute already" in error.message


def test_public_addresses_must_be_its_own_standard_and_of_ipv4(gated: World, document: Make, refusal: Refusal) -> None:
    taken = document(NETWORK_GATEWAYS, "er", express(ipConfigurations=[config(public="gw")]))
    assert refusal(taken, gated).code == "PublicIPAddressInUse"
    put(gated, document(PUBLIC_ADDRESSES, "six", {"publicIPAddressVersion": "IPv6"}))
    put(gated, document(PUBLIC_ADDRESSES, "v2", {}, sku={"name": "StandardV2"}))
    for name, what in (("six", "is Standard, IPv6"), ("v2", "is StandardV2, IPv4")):
        error = refusal(document(NETWORK_GATEWAYS, "vpn", vpn(ipConfigurations=[config(public=name)])), gated)
        assert (error.code, what in error.message) == ("InvalidRequestFormat", True)


@pytest.mark.parametrize(
    ("name", "properties"), [("er", vpn(ipConfigurations=[config(public="spare")])), ("vpn", express())]
)
def test_its_type_does_not_change(
    name: str, properties: Document, gated: World, document: Make, refusal: Refusal
) -> None:
    other = gated.copy()
    other.remove(key(NETWORK_GATEWAYS, "er" if name == "vpn" else "vpn"))
    assert refusal(document(NETWORK_GATEWAYS, name, properties), other).code == "PropertyChangeNotAllowed"


def test_a_full_subnet_takes_no_gateway(gated: World, document: Make, refusal: Refusal) -> None:
    bare = gated.copy()
    held = bare.holders[key(VIRTUAL_NETWORKS, "hub") + "/subnets/gatewaysubnet"]
    first = next(iter(held))
    held.update({first + offset - (int(first) & 31): "x" for offset in range(32)})
    bare.documents.pop(key(NETWORK_GATEWAYS, "er"))
    error = refusal(document(NETWORK_GATEWAYS, "new", express()), bare)
    assert (error.code, "10.0.255.0/27 does not have enough capacity" in error.message) == ("SubnetIsFull", True)


def test_a_gateway_goes_when_its_connections_are_gone(gated: World) -> None:
    with pytest.raises(ArmErrorsError) as caught:
        settle_removal({key(NETWORK_GATEWAYS, "vpn")}, gated)
    (error,) = caught.value.errors
    assert error.code == "VirtualNetworkGatewayCannotBeDeleted"
    assert "being used in following connections: /subscriptions" in error.message
    connection = key("Microsoft.Network/connections", "to-office")
    after = settle_removal({key(NETWORK_GATEWAYS, "vpn"), connection}, gated).world
    assert key(NETWORK_GATEWAYS, "vpn") not in after.documents


@pytest.mark.parametrize(
    ("full_type", "name", "code"),
    [
        (PUBLIC_ADDRESSES, "gw", "PublicIPAddressCannotBeDeleted"),
        (VIRTUAL_NETWORKS, "hub", "InUseSubnetCannotBeDeleted"),
    ],
)
def test_what_a_gateway_has_stays(full_type: str, name: str, code: str, gated: World) -> None:
    with pytest.raises(ArmErrorsError, match=code):
        settle_removal({key(full_type, name)}, gated)


def test_its_subnet_takes_nothing_else(gated: World, document: Make, refusal: Refusal) -> None:
    nic = {"ipConfigurations": [{"name": "a", "properties": {"subnet": {"id": SUBNET}}}]}
    balancer = {"frontendIPConfigurations": [{"name": "a", "properties": {"subnet": {"id": SUBNET}}}]}
    for full_type, properties in (
        ("Microsoft.Network/networkInterfaces", nic),
        ("Microsoft.Network/loadBalancers", balancer),
    ):
        error = refusal(document(full_type, "x", properties), gated)
        assert (error.code, "is for virtual network gateways" in error.message) == ("GatewaySubnet", True)


@pytest.mark.parametrize(
    ("member", "value", "what"),
    [
        ("networkSecurityGroup", {"id": "networkSecurityGroups/g"}, "takes no network security group"),
        ("natGateway", {"id": "natGateways/n"}, "takes no NAT gateway"),
        ("delegations", [{"name": "d", "properties": {"serviceName": "Microsoft.Web/serverFarms"}}], "no delegation"),
    ],
)
def test_its_subnet_has_no_group_nat_gateway_or_delegation(
    member: str, value: object, what: str, *, gated: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    put(gated, document("Microsoft.Network/networkSecurityGroups", "g", {}))
    put(gated, document("Microsoft.Network/natGateways", "n", {}))
    changed = altered(gated, VIRTUAL_NETWORKS, "hub")
    changed["properties"]["subnets"][0]["properties"][member] = value
    assert what in refusal(changed, gated).message


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"disableBgpRoutePropagation": True}, "must not disable the propagation of BGP routes"),
        (
            {"routes": [{"name": "r", "properties": {"addressPrefix": "0.0.0.0/0", "nextHopType": "Internet"}}]},
            "must not have a route to 0.0.0.0/0",
        ),
    ],
)
def test_route_tables_that_its_subnet_cannot_have(
    table: Document, what: str, gated: World, document: Make, altered: Make
) -> None:
    put(gated, document(ROUTE_TABLES, "t", {}))
    changed = altered(gated, VIRTUAL_NETWORKS, "hub")
    changed["properties"]["subnets"][0]["properties"]["routeTable"] = {"id": "routeTables/t"}
    put(gated, changed)
    # Nor can the table become one of these while the subnet has it.
    with pytest.raises(ArmError, match=what):
        put(gated, document(ROUTE_TABLES, "t", table))


def test_the_prefix_of_its_subnet_does_not_change(gated: World, altered: Make, refusal: Refusal) -> None:
    changed = altered(gated, VIRTUAL_NETWORKS, "hub")
    changed["properties"]["subnets"][0]["properties"]["addressPrefix"] = "10.0.254.0/27"
    assert refusal(changed, gated).code == "InUseSubnetCannotBeUpdated"
