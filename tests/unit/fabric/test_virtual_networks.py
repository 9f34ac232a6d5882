from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.fabric.arm import virtual_networks
from podvnet.fabric.arm.virtual_networks import VirtualNetworks
from podvnet.fabric.arm.world import (
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.settlement import TYPES, settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

HUB = make(Scope(), VIRTUAL_NETWORKS, "hub")


def subnet(name: str, prefix: str | list[str], **properties: object) -> dict[str, Any]:
    key = "addressPrefix" if isinstance(prefix, str) else "addressPrefixes"
    return {"name": name, "properties": {key: prefix, **properties}}


def delegation(service: str) -> dict[str, Any]:
    return {"name": "d", "properties": {"serviceName": service}}


def network(*subnets: dict[str, Any], space: Any = ("10.0.0.0/16", "fd00::/56"), **properties: object) -> Document:
    return {"addressSpace": {"addressPrefixes": list(space)}, "subnets": list(subnets), **properties}


ROWS: list[tuple[str, Any, str, str]] = [
    # What stands at the wrong place or has the wrong shape.
    ("no address space", {}, "InvalidRequestFormat", "addressSpace.addressPrefixes: at least one prefix is required"),
    ("empty address space", network(space=[]), "InvalidRequestFormat", "at least one prefix is required"),
    ("properties a list", [], "InvalidRequestFormat", "properties: must be an object, not a list"),
    (
        "prefix not a text",
        network(space=[10]),
        "InvalidRequestFormat",
        "properties.addressSpace.addressPrefixes[0]: must be a string, not a number",
    ),
    (
        "misspelt member",
        network(adressSpace={}),
        "InvalidRequestFormat",
        "properties: could not find member 'adressSpace'",
    ),
    (
        "member in the wrong case",
        {"addressspace": {}, "addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}},
        "InvalidRequestFormat",
        "could not find member 'addressspace'; 'addressSpace' is meant?",
    ),
    (
        "misspelt member of the address space",
        {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"], "prefixes": []}},
        "InvalidRequestFormat",
        "properties.addressSpace: could not find member 'prefixes'",
    ),
    (
        "misspelt member of a subnet",
        network(subnet("a", "10.0.0.0/24", addressprefix="10.0.0.0/24")),
        "InvalidRequestFormat",
        "properties.subnets[0].properties: could not find member 'addressprefix'; 'addressPrefix' is meant?",
    ),
    (
        "misspelt member of dhcpOptions",
        network(dhcpOptions={"dnsservers": []}),
        "InvalidRequestFormat",
        "could not find member 'dnsservers'; 'dnsServers' is meant?",
    ),
    ("member that is a number", network() | {1: 2}, "InvalidRequestFormat", "could not find member 1"),
    # The address space.
    ("not a prefix", network(space=["10.0.0.0"]), "NetcfgInvalidIPAddressPrefix", "'10.0.0.0' is not a prefix"),
    ("prefix too long", network(space=["10.0.0.0/33"]), "NetcfgInvalidIPAddressPrefix", "addressPrefixes[0]"),
    ("host bits", network(space=["10.0.0.1/16"]), "InvalidCIDRNotation", "10.0.0.0/16 is meant?"),
    ("multicast", network(space=["224.1.0.0/16"]), "NetcfgInvalidVirtualNetworkSite", "overlaps 224.0.0.0/4"),
    ("broadcast", network(space=["255.255.255.255/32"]), "NetcfgInvalidVirtualNetworkSite", "255.255.255.255/32"),
    ("loopback", network(space=["127.0.0.0/16"]), "NetcfgInvalidVirtualNetworkSite", "overlaps 127.0.0.0/8"),
    ("link-local", network(space=["169.254.0.0/24"]), "NetcfgInvalidVirtualNetworkSite", "overlaps 169.254.0.0/16"),
    ("wireserver", network(space=["168.63.0.0/16"]), "NetcfgInvalidVirtualNetworkSite", "overlaps 168.63.129.16/32"),
    ("everything", network(space=["0.0.0.0/0"]), "NetcfgInvalidVirtualNetworkSite", "which Azure keeps for itself"),
    (
        "prefixes overlap",
        network(space=["10.0.0.0/8", "10.1.0.0/16"]),
        "NetcfgInvalidVirtualNetworkSite",
        "10.0.0.0/8 and 10.1.0.0/16 overlap",
    ),
    (
        "DNS server",
        network(dhcpOptions={"dnsServers": ["dns.example"]}),
        "InvalidRequestFormat",
        "'dns.example' is no address",
    ),
    # Subnets.
    ("nameless", network({"properties": {}}), "InvalidRequestFormat", "properties.subnets[0].name: is required"),
    ("bad name", network(subnet("-a", "10.0.0.0/24")), "InvalidResourceName", "'-a' is invalid"),
    ("no prefix", network({"name": "a"}), "InvalidRequestFormat", "addressPrefix or addressPrefixes is required"),
    ("host bits in a subnet", network(subnet("a", "10.0.0.1/24")), "InvalidCIDRNotation", "10.0.0.0/24 is meant?"),
    ("outside", network(subnet("a", "10.1.0.0/24")), "NetcfgInvalidSubnet", "10.1.0.0/24 is not inside 10.0.0.0/16"),
    ("wider than the space", network(subnet("a", "10.0.0.0/8")), "NetcfgInvalidSubnet", "'a' is not valid in"),
    ("IPv6 outside", network(subnet("a", "fd01::/64")), "NetcfgInvalidSubnet", "fd01::/64 is not inside"),
    ("smaller than /29", network(subnet("a", "10.0.0.0/30")), "NetcfgInvalidSubnet", "10.0.0.0/30 must be /2 to /29"),
    ("larger than /2", network(subnet("a", "0.0.0.0/1")), "NetcfgInvalidSubnet", "0.0.0.0/1 must be /2 to /29"),
    ("IPv6 not /64", network(subnet("a", "fd00::/65")), "NetcfgInvalidSubnet", "fd00::/65 must be exactly /64"),
    (
        "two IPv4 prefixes",
        network(subnet("a", ["10.0.0.0/24", "10.0.1.0/24"])),
        "NetcfgInvalidSubnet",
        "one prefix of each IP version at most",
    ),
    (
        "two of one name",
        network(subnet("a", "10.0.0.0/24"), subnet("A", "10.0.1.0/24")),
        "InvalidRequestFormat",
        "two subnets are called 'a'",
    ),
    (
        "overlap",
        network(subnet("in", "10.0.5.0/24"), subnet("out", "10.0.4.0/22")),
        "NetcfgSubnetRangesOverlap",
        "overlaps with that of subnet 'in' (10.0.5.0/24)",
    ),
    (
        "the same range twice",
        network(subnet("a", "10.0.4.0/24"), subnet("b", "10.0.4.0/24")),
        "NetcfgSubnetRangesOverlap",
        "Subnet 'b' (10.0.4.0/24) is not valid because its IP address range overlaps with that of subnet 'a'",
    ),
    (
        "too many",
        network(*(subnet(f"s{n}", f"{ip_address('10.0.0.0') + 8 * n}/29") for n in range(3001)), space=["10.0.0.0/8"]),
        "SubnetCountLimitReached",
        "at most 3000",
    ),
    # What subnets refer to must be there.
    *(
        (
            f"{key} of a subnet",
            network(subnet("a", "10.0.0.0/24", **{key: {"id": f"{kind}/none"}})),
            "InvalidResourceReference",
            f"Microsoft.Network/{kind}/none referenced by resource",
        )
        for key, kind in (
            ("networkSecurityGroup", "networkSecurityGroups"),
            ("routeTable", "routeTables"),
            ("natGateway", "natGateways"),
        )
    ),
    (
        "a group where a table belongs",
        network(subnet("a", "10.0.0.0/24", routeTable={"id": "networkSecurityGroups/none"})),
        "InvalidResourceReference",
        "is not a Microsoft.Network/routeTables",
    ),
    (
        "unknown service",
        network(subnet("a", "10.0.0.0/24", serviceEndpoints=[{"service": "Microsoft.Nothing"}])),
        "InvalidRequestFormat",
        "serviceEndpoints[0].service: must be one of Microsoft.Storage,",
    ),
    (
        "a service twice",
        network(subnet("a", "10.0.0.0/24", serviceEndpoints=[{"service": "Microsoft.Sql"}] * 2)),
        "InvalidRequestFormat",
        "Microsoft.Sql is listed twice",
    ),
    (
        "delegated to nobody",
        network(subnet("a", "10.0.0.0/24", delegations=[{"name": "d"}])),
        "InvalidRequestFormat",
        "delegations[0].properties.serviceName: is required",
    ),
    (
        "delegated to no service",
        network(subnet("a", "10.0.0.0/24", delegations=[delegation("x")])),
        "InvalidServiceNameForDelegation",
        "'x' is no service",
    ),
    (
        "two delegations of one name",
        network(subnet("a", "10.0.0.0/24", delegations=[delegation("Microsoft.Web/serverFarms")] * 2)),
        "InvalidRequestFormat",
        "delegations: two have one name",
    ),
    (
        "private endpoint policies",
        network(subnet("a", "10.0.0.0/24", privateEndpointNetworkPolicies="None")),
        "InvalidRequestFormat",
        "must be one of Disabled, Enabled",
    ),
    ("flow timeout", network(flowTimeoutInMinutes=3), "InvalidRequestFormat", "must be between 4 and 30, not 3"),
    # What Azure has and this fabric does not carry out yet is refused, not ignored.
    ("DDoS protection", network(enableDdosProtection=True), "UnsupportedProperty", "enableDdosProtection"),
    ("encryption", network(encryption={"enabled": True}), "UnsupportedProperty", "encryption"),
    (
        "service endpoint policies",
        network(subnet("a", "10.0.0.0/24", serviceEndpointPolicies=[{"id": "serviceEndpointPolicies/x"}])),
        "InvalidResourceReference",
        "serviceEndpointPolicies/x referenced by resource",
    ),
    # Azure refuses to change what is in use; front holds web, db and spare.
    (
        "a used subnet left out",
        network(),
        "InUseSubnetCannotBeDeleted",
        "/ipConfigurations/a and cannot be deleted. In order to do so, first delete all ip-configurations in it (5).",
    ),
    ("a used subnet moved", network(subnet("front", "10.0.9.0/24")), "InUseSubnetCannotBeUpdated", "other prefixes"),
    (
        "a used subnet delegated",
        network(subnet("front", "10.0.0.0/24", delegations=[delegation("Microsoft.Web/serverFarms")])),
        "InUseSubnetCannotBeUpdated",
        "cannot be delegated",
    ),
    ("a used subnet grown", network(subnet("front", "10.0.0.0/23")), "InUseSubnetCannotBeUpdated", "Subnet front"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, Any, str, str], world: World, document: Make, refusal: Refusal) -> None:
    _, properties, code, says = row
    name = "hub" if code.startswith("InUse") else "new"
    error = refusal(document(VIRTUAL_NETWORKS, name, properties), world)
    assert error.code == code
    assert says in error.message
    assert error.status == 400
    assert error.target.startswith(str(make(Scope(), VIRTUAL_NETWORKS, name)))


@pytest.mark.parametrize(
    ("name", "members", "code"),
    [
        pytest.param("hub", {"location": ""}, "LocationRequired", id="no location"),
        pytest.param("hub", {"tags": []}, "InvalidRequestFormat", id="tags a list"),
        pytest.param("hub", {"tag": {}}, "InvalidRequestFormat", id="misspelt member"),
        pytest.param("-hub", {}, "InvalidResourceName", id="first character"),
        pytest.param("hub.", {}, "InvalidResourceName", id="last character"),
        pytest.param("hub\n", {}, "InvalidResourceName", id="newline at the end"),
        pytest.param("h b", {}, "InvalidResourceName", id="blank"),
        pytest.param("höb", {}, "InvalidResourceName", id="letter beyond ASCII"),
        pytest.param("h" * 81, {}, "InvalidResourceName", id="too long"),
    ],
)
def test_refused_heads(name: str, members: Document, code: str, document: Make, refusal: Refusal) -> None:
    assert refusal(document(VIRTUAL_NETWORKS, name, network(), **members), World()).code == code


@pytest.mark.parametrize("name", ["h", "_", "h" * 80, "a.b-c_d9", "9_"])
def test_names(name: str, document: Make) -> None:
    assert settle(document(VIRTUAL_NETWORKS, name, network()), World())["name"] == name


@pytest.mark.parametrize("prefix", ["10.0.0.0/29", "0.0.0.0/2", "52.0.0.0/24", "fd00::/64"])
def test_sizes(prefix: str, document: Make) -> None:
    settled = settle(document(VIRTUAL_NETWORKS, "net", network(subnet("a", prefix), space=[prefix])), World())
    assert settled["properties"]["subnets"][0]["properties"]["addressPrefix"] == prefix


def test_what_azure_fills_in(document: Make) -> None:
    wanted = document(VIRTUAL_NETWORKS, "net", network(subnet("a", "10.0.0.0/24")), tags={"n": 1})
    settled = shown(settle(wanted, World()))
    guid = settled["properties"].pop("resourceGuid")
    assert len(guid) == 36
    resource = make(Scope(), VIRTUAL_NETWORKS, "net")
    assert settled == {
        "name": "net",
        "id": str(resource),
        "type": VIRTUAL_NETWORKS,
        "location": "local",
        "tags": {"n": "1"},
        "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00::/56"]},
            "enableDdosProtection": False,
            "privateEndpointVNetPolicies": "Disabled",
            "virtualNetworkPeerings": [],
            "subnets": [
                {
                    "name": "a",
                    "id": str(resource.child("subnets", "a")),
                    "type": "Microsoft.Network/virtualNetworks/subnets",
                    "properties": {
                        "provisioningState": "Succeeded",
                        "addressPrefix": "10.0.0.0/24",
                        "delegations": [],
                        "privateEndpointNetworkPolicies": "Disabled",
                        "privateLinkServiceNetworkPolicies": "Enabled",
                    },
                }
            ],
        },
    }


@pytest.mark.parametrize("key", ["hub", "spoke"])
def test_settling_what_is_shown_changes_nothing(key: str, world: World) -> None:
    held = world.documents[make(Scope(), VIRTUAL_NETWORKS, key).key]
    assert settle(shown(held), world) == held


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"space": ["10.0.0.0/16", "fd00::/56", "11.0.0.0/16"]}, id="a prefix more"),
        pytest.param({"dhcpOptions": {"dnsServers": ["10.0.0.9"]}}, id="other DNS servers"),
        pytest.param({"extra": subnet("new", "10.0.200.0/24")}, id="a subnet more"),
        pytest.param({"moved": True}, id="a subnet without ip-configurations left out"),
    ],
)
def test_changes_while_in_use(change: Document, world: World, document: Make) -> None:
    subnets = [subnet("front", "10.0.0.0/24"), subnet("dual", "10.0.2.0/24")]
    extra = change.pop("extra", None)
    if change.pop("moved", False):
        subnets.pop()
    wanted = document(VIRTUAL_NETWORKS, "hub", network(*subnets, *([extra] if extra else []), **change))
    world.put(settle(wanted, world))


def test_what_a_subnet_has(world: World, document: Make) -> None:
    for full_type in (SECURITY_GROUPS, ROUTE_TABLES, NAT_GATEWAYS):
        world.put(settle(document(full_type, "x", {}), world))
    has = {
        "networkSecurityGroup": {"id": "networkSecurityGroups/X"},
        "routeTable": {"id": "routeTables/x"},
        "natGateway": {"id": "natGateways/x"},
        "serviceEndpoints": [{"service": "microsoft.storage"}, {"service": "Microsoft.Sql", "locations": ["local"]}],
        "delegations": [delegation("Microsoft.Web/serverFarms")],
        "privateEndpointNetworkPolicies": "Enabled",
    }
    wanted = document(VIRTUAL_NETWORKS, "new", network(subnet("a", "10.0.0.0/24", **has), flowTimeoutInMinutes=10))
    settled = settle(wanted, world)
    world.put(settled)
    found = settled["properties"]["subnets"][0]["properties"]
    resource = make(Scope(), VIRTUAL_NETWORKS, "new").child("subnets", "a")
    assert found["networkSecurityGroup"] == {"id": str(make(Scope(), SECURITY_GROUPS, "x"))}
    assert found["routeTable"] == {"id": str(make(Scope(), ROUTE_TABLES, "x"))}
    assert found["natGateway"] == {"id": str(make(Scope(), NAT_GATEWAYS, "x"))}
    assert found["serviceEndpoints"] == [
        {"provisioningState": "Succeeded", "service": "Microsoft.Storage", "locations": ["*"]},
        {"provisioningState": "Succeeded", "service": "Microsoft.Sql", "locations": ["local"]},
    ]
    assert found["delegations"] == [
        {
            "name": "d",
            "id": f"{resource}/delegations/d",
            "type": "Microsoft.Network/virtualNetworks/subnets/delegations",
            "properties": {"provisioningState": "Succeeded", "serviceName": "Microsoft.Web/serverFarms"},
        }
    ]
    assert found["privateEndpointNetworkPolicies"] == "Enabled"
    assert settled["properties"]["flowTimeoutInMinutes"] == 10
    assert settle(shown(settled), world) == settled
    for full_type, code in (
        (SECURITY_GROUPS, "InUseNetworkSecurityGroupCannotBeDeleted"),
        (ROUTE_TABLES, "InUseRouteTableCannotBeDeleted"),
        (NAT_GATEWAYS, "InUseNatGatewayCannotBeDeleted"),
    ):
        with pytest.raises(ArmError, match=rf"{code}: .*/x cannot be deleted .*: {resource}\."):
            TYPES[full_type.lower()].check_removal(make(Scope(), full_type, "x"), world)


@pytest.mark.parametrize(
    ("version", "new"),
    [(None, None), ("2024-05-01", None), ("2025-05-01", None), ("2025-07-01", False), ("2026-01-01", False)],
)
def test_default_outbound_access_is_what_the_version_of_its_creation_made_it(
    version: str | None, new: bool | None, world: World, document: Make
) -> None:
    """The hub was made by a file that names no version: its subnets keep theirs, whatever writes them again."""
    hub = shown(world.documents[HUB.key])["properties"]
    for each in hub["subnets"]:
        each["properties"].pop("defaultOutboundAccess", None)
    hub["subnets"] += [subnet("said", "10.0.8.0/24", defaultOutboundAccess=True), subnet("new", "10.0.9.0/24")]
    written = document(VIRTUAL_NETWORKS, "hub", hub) | ({"apiVersion": version} if version else {})
    settled = settle(written, world)
    kept = {each["name"]: each["properties"].get("defaultOutboundAccess") for each in settled["properties"]["subnets"]}
    assert (kept["front"], kept["said"], kept["new"]) == (None, True, new)
    # An older version says on by saying nothing; a newer one leaves what is there.
    assert kept["quiet"] is new


def test_a_nat_gateway_is_of_one_network(world: World, document: Make, refusal: Refusal) -> None:
    world.put(settle(document(NAT_GATEWAYS, "x", {}), world))
    gateway = {"id": "natGateways/x"}
    world.put(settle(document(VIRTUAL_NETWORKS, "one", network(subnet("a", "10.0.0.0/24", natGateway=gateway))), world))
    error = refusal(document(VIRTUAL_NETWORKS, "two", network(subnet("a", "10.0.0.0/24", natGateway=gateway))), world)
    assert error.code == "NatGatewayCannotSpanVirtualNetworks"
    reserved = network(subnet("GatewaySubnet", "10.0.1.0/24", natGateway=gateway))
    assert "takes no NAT gateway" in refusal(document(VIRTUAL_NETWORKS, "one", reserved), world).message


def test_a_delegated_subnet_takes_no_nics(world: World, document: Make, refusal: Refusal) -> None:
    subnets = [subnet("mine", "10.0.0.0/24", delegations=[delegation("Microsoft.Web/serverFarms")])]
    world.put(settle(document(VIRTUAL_NETWORKS, "new", network(*subnets)), world))
    config = {"name": "a", "properties": {"subnet": {"id": "virtualNetworks/new/subnets/mine"}}}
    error = refusal(document(NETWORK_INTERFACES, "new", {"ipConfigurations": [config]}), world)
    assert error.code == "ResourceNotPermittedOnDelegatedSubnet"


def test_numbers_are_kept_and_the_lowest_free_is_given(world: World, document: Make) -> None:
    def number(name: str) -> int:
        settled = settle(document(VIRTUAL_NETWORKS, name, network(subnet("front", "10.0.0.0/24"))), world)
        found: int = settled["_fabric"]["number"]
        return found

    assert (number("hub"), number("new")) == (1, 3)
    world.remove(make(Scope(), VIRTUAL_NETWORKS, "spoke").key)
    assert (number("hub"), number("new")) == (1, 2)


def test_removal(world: World) -> None:
    with pytest.raises(ArmError, match=r"InUseSubnetCannotBeDeleted: Subnet front is in use by .*/ipConfigurations/"):
        VirtualNetworks().check_removal(HUB, world)
    VirtualNetworks().check_removal(make(Scope(), VIRTUAL_NETWORKS, "spoke"), world)


def test_intent(world: World) -> None:
    hub = virtual_networks.intent_of(world.documents[HUB.key])
    assert (hub.id, hub.number) == (HUB, 1)
    assert [str(prefix) for prefix in hub.prefixes] == ["10.0.0.0/16", "fd00::/56"]
    found = {each.id.name: ([str(prefix) for prefix in each.prefixes], each.default_outbound) for each in hub.subnets}
    assert found == {
        "front": (["10.0.0.0/24"], True),
        "tiny": (["10.0.1.0/29"], True),
        "dual": (["10.0.2.0/24", "fd00::/64"], True),
        "quiet": (["10.0.3.0/24"], False),
    }
