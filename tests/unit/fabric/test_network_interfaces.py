from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.fabric.arm import network_interfaces
from podvnet.fabric.arm.network_interfaces import NetworkInterfaces
from podvnet.fabric.arm.world import NETWORK_INTERFACES, VIRTUAL_NETWORKS, Document, World, shown
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

HUB = make(Scope(), VIRTUAL_NETWORKS, "hub")
WEB = make(Scope(), NETWORK_INTERFACES, "web")
FRONT = str(HUB.child("subnets", "front"))


def config(name: str, address: str = "", *, primary: bool = False, **properties: object) -> dict[str, Any]:
    """An ip-configuration in hub's front, static when an address is given."""
    members: dict[str, Any] = {"subnet": {"id": "virtualNetworks/hub/subnets/front"}}
    if address:
        members |= {"privateIPAllocationMethod": "Static", "privateIPAddress": address}
    if primary:
        members["primary"] = True
    return {"name": name, "properties": members | properties}


def with_property(key: str, value: object) -> dict[str, Any]:
    made = config("a")
    made["properties"][key] = value
    return made


def nic(*configs: object, **properties: object) -> Document:
    return {"ipConfigurations": list(configs), **properties}


def block(prefix: str = "", **properties: Any) -> dict[str, Any]:
    """A secondary ip-configuration of sixteen addresses."""
    length: dict[str, Any] = {} if prefix else {"privateIPAddressPrefixLength": 28}
    return config("block", prefix, **(length | properties))


def within(subnet: str) -> dict[str, str]:
    return {"id": f"virtualNetworks/{subnet}"}


def addresses(document: Document) -> dict[str, str]:
    return {each["name"]: each["properties"]["privateIPAddress"] for each in document["properties"]["ipConfigurations"]}


A = config("a", primary=True)

ROWS: list[tuple[str, Any, str, str]] = [
    # Shape.
    ("no ip-configuration", {}, "InvalidRequestFormat", "ipConfigurations: at least one is required"),
    ("an empty list", nic(), "InvalidRequestFormat", "ipConfigurations: at least one is required"),
    ("not a list", {"ipConfigurations": {}}, "InvalidRequestFormat", "must be a list, not an object"),
    ("not objects", nic("a"), "InvalidRequestFormat", "ipConfigurations[0]: must be an object, not a string"),
    ("nameless", nic({"properties": {}}), "InvalidRequestFormat", "properties.ipConfigurations[0].name: is required"),
    ("bad name", nic(config("a/b")), "InvalidResourceName", "'a/b' is invalid"),
    ("two of one name", nic(A, config("A")), "InvalidRequestFormat", "two are called 'A'"),
    ("misspelt member", nic(A, ipForwarding=True), "InvalidRequestFormat", "could not find member 'ipForwarding'"),
    (
        "member in the wrong case",
        nic(config("a", privateIpAddress="10.0.0.9")),
        "InvalidRequestFormat",
        "ipConfigurations[0].properties: could not find member 'privateIpAddress'; 'privateIPAddress' is meant?",
    ),
    (
        "member of the ip-configuration itself",
        nic(config("a") | {"subnet": {}}),
        "InvalidRequestFormat",
        "properties.ipConfigurations[0]: could not find member 'subnet'",
    ),
    (
        "misspelt member of the subnet",
        nic(config("a", subnet=within("hub/subnets/front") | {"Id": "x"})),
        "InvalidRequestFormat",
        "could not find member 'Id'; 'id' is meant?",
    ),
    ("forwarding not a flag", nic(A, enableIPForwarding="yes"), "InvalidRequestFormat", "true or false, not a string"),
    (
        "primary not a flag",
        nic({"name": "a", "properties": {"primary": "yes", "subnet": within("hub/subnets/front")}}),
        "InvalidRequestFormat",
        "properties.primary: must be true or false, not a string",
    ),
    ("two primaries", nic(A, config("b", primary=True)), "InvalidRequestFormat", "exactly one must be primary, not 2"),
    ("no primary of two", nic(config("a"), config("b")), "InvalidRequestFormat", "exactly one must be primary, not 0"),
    (
        "unknown IP version",
        nic(config("a", privateIPAddressVersion="IPv5")),
        "InvalidRequestFormat",
        "privateIPAddressVersion: must be IPv4 or IPv6",
    ),
    (
        "unknown method",
        nic(config("a", privateIPAllocationMethod="static")),
        "InvalidRequestFormat",
        "privateIPAllocationMethod: must be Dynamic or Static",
    ),
    (
        "primary of IPv6",
        nic(config("a", privateIPAddressVersion="IPv6", subnet=within("hub/subnets/dual"))),
        "InvalidRequestFormat",
        "the primary one must be IPv4",
    ),
    # The subnet.
    ("no subnet", nic({"name": "a"}), "InvalidRequestFormat", "ipConfigurations[0].properties.subnet.id: is required"),
    ("no id at all", nic(config("a", subnet={"id": "front"})), "LinkedInvalidPropertyId", "types and names must come"),
    (
        "the id of a network",
        nic(config("a", subnet=within("hub"))),
        "InvalidResourceReference",
        "is not a Microsoft.Network/virtualNetworks/subnets",
    ),
    (
        "unknown network",
        nic(config("a", subnet=within("none/subnets/front"))),
        "InvalidResourceReference",
        "/virtualNetworks/none/subnets/front referenced by resource",
    ),
    (
        "unknown subnet",
        nic(config("a", subnet=within("hub/subnets/none"))),
        "InvalidResourceReference",
        "/virtualNetworks/hub/subnets/none referenced by resource",
    ),
    (
        "two subnets",
        nic(A, config("b", subnet=within("hub/subnets/dual"))),
        "IpConfigurationsOnSameNicCannotUseDifferentSubnets",
        "must be in one subnet",
    ),
    (
        "IPv6 in a subnet without",
        nic(A, config("six", privateIPAddressVersion="IPv6")),
        "InvalidRequestFormat",
        "Subnet front has no IPv6 prefix",
    ),
    # Static addresses.
    ("static without", nic(config("a", privateIPAllocationMethod="Static")), "InvalidRequestFormat", "is no address"),
    ("not an address", nic(config("a", "10.0.0")), "InvalidRequestFormat", "'10.0.0' is no address"),
    ("the other version", nic(config("a", "fd00::4")), "InvalidRequestFormat", "fd00::4 is not IPv4"),
    (
        "an address with a zone",
        nic(A, config("six", "fd00::4%eth0", privateIPAddressVersion="IPv6")),
        "InvalidRequestFormat",
        "fd00::4%eth0 has a zone",
    ),
    ("outside", nic(config("a", "10.0.1.4")), "PrivateIPAddressNotInSubnet", "10.0.1.4 does not belong to the range"),
    *(
        (f"reserved {name}", nic(config("a", text)), "PrivateIPAddressInReservedRange", f"{text} falls within reserved")
        for name, text in (
            ("network", "10.0.0.0"),
            ("gateway", "10.0.0.1"),
            ("first of DNS", "10.0.0.2"),
            ("second of DNS", "10.0.0.3"),
            ("broadcast", "10.0.0.255"),
        )
    ),
    ("held by a static one", nic(config("a", "10.0.0.10")), "PrivateIPAddressInUse", "networkInterfaces/web/"),
    ("held by a dynamic one", nic(config("a", "10.0.0.6")), "PrivateIPAddressInUse", "networkInterfaces/db/"),
    (
        "twice in the list",
        nic(config("a", "10.0.0.9", primary=True), config("b", "10.0.0.9")),
        "PrivateIPAddressInUse",
        "IP configuration b: address 10.0.0.9 is already used by ip-configuration a",
    ),
    # Room.
    (
        "257 addresses",
        nic(A, *(config(f"n{n}") for n in range(256))),
        "PrivateIPAddressCountLimitReached",
        "at most 256 private addresses, not 257",
    ),
    (
        "a full subnet",
        nic(*(config(f"n{n}", primary=n == 0, subnet=within("hub/subnets/tiny")) for n in range(4))),
        "SubnetIsFull",
        "Subnet tiny with address prefix 10.0.1.0/29 does not have enough capacity for 4 IP addresses.",
    ),
    # What is referred to must be there.
    *(
        (f"{key}", nic(with_property(key, value)), "InvalidResourceReference", "/none referenced by resource")
        for key, value in (
            ("publicIPAddress", {"id": "publicIPAddresses/none"}),
            ("loadBalancerBackendAddressPools", [{"id": "loadBalancers/l/backendAddressPools/none"}]),
            ("loadBalancerInboundNatRules", [{"id": "loadBalancers/l/inboundNatRules/none"}]),
            ("applicationSecurityGroups", [{"id": "applicationSecurityGroups/none"}]),
        )
    ),
    (
        "security group",
        nic(A, networkSecurityGroup={"id": "networkSecurityGroups/none"}),
        "InvalidResourceReference",
        "networkSecurityGroup.id: Resource",
    ),
    (
        "DNS servers",
        nic(A, dnsSettings={"dnsServers": ["AzureProvidedDNS", "10.0.0.9"]}),
        "InvalidRequestFormat",
        "'AzureProvidedDNS' is no address, nor AzureProvidedDNS alone",
    ),
    ("DNS label", nic(A, dnsSettings={"internalDnsNameLabel": "-a"}), "InvalidResourceName", "'-a' is invalid"),
    # Blocks.
    ("a block of another size", nic(A, block(privateIPAddressPrefixLength=27)), "InvalidRequestFormat", "28 and 28"),
    (
        "a primary block",
        nic(config("a", primary=True, privateIPAddressPrefixLength=28)),
        "InvalidRequestFormat",
        "a block cannot be primary",
    ),
    ("a block alone", nic(block()), "InvalidRequestFormat", "the primary one must be IPv4, and one address"),
    (
        "a block of IPv6",
        nic(
            config("a", primary=True, subnet=within("hub/subnets/dual")),
            block(subnet=within("hub/subnets/dual"), privateIPAddressVersion="IPv6"),
        ),
        "UnsupportedProperty",
        "blocks of IPv4 addresses only",
    ),
    ("a block with host bits", nic(A, block("10.0.0.33/28")), "InvalidCIDRNotation", "10.0.0.33/28 has host bits set"),
    ("no block", nic(A, block("x/28")), "InvalidRequestFormat", "is no block"),
    ("a block of 27", nic(A, block("10.0.0.32/27")), "InvalidRequestFormat", "a block is a /28 of IPv4 addresses"),
    ("a block with the gateway", nic(A, block("10.0.0.0/28")), "PrivateIPAddressInReservedRange", "10.0.0.0 falls"),
    ("the last block", nic(A, block("10.0.0.240/28")), "PrivateIPAddressInReservedRange", "10.0.0.255 falls"),
    ("a block elsewhere", nic(A, block("10.0.1.0/28")), "PrivateIPAddressNotInSubnet", "10.0.1.0 does not belong"),
    (
        "a block with a held address",
        nic(config("a", "10.0.0.35", primary=True), block("10.0.0.32/28")),
        "PrivateIPAddressInUse",
        "10.0.0.35 is already used by ip-configuration a",
    ),
    (
        "a block in a subnet that is too small",
        nic(config("a", primary=True, subnet=within("hub/subnets/tiny")), block(subnet=within("hub/subnets/tiny"))),
        "SubnetIsFull",
        "does not have enough capacity for 16 IP addresses.",
    ),
    # What Azure has and this fabric does not carry out yet is refused, not ignored.
    ("taps", nic(A, tapConfigurations=[{"id": "x"}]), "UnsupportedProperty", "tapConfigurations"),
    ("auxiliary", nic(A, auxiliaryMode="MaxConnections"), "UnsupportedProperty", "auxiliaryMode"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, Any, str, str], world: World, document: Make, refusal: Refusal) -> None:
    _, properties, code, says = row
    error = refusal(document(NETWORK_INTERFACES, "new", properties), world)
    assert error.code == code
    assert says in error.message
    assert error.status == 400
    assert error.target


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param(nic(A), {"a": "10.0.0.8"}, id="the lowest free one"),
        pytest.param(nic(config("a")), {"a": "10.0.0.8"}, id="a single one is the primary"),
        pytest.param(
            nic(A, config("b"), config("c")), {"a": "10.0.0.8", "b": "10.0.0.9", "c": "10.0.0.11"}, id="round the held"
        ),
        pytest.param(nic(A, config("b", "10.0.0.8")), {"a": "10.0.0.9", "b": "10.0.0.8"}, id="statics come first"),
        pytest.param(nic(config("a", "10.0.0.254")), {"a": "10.0.0.254"}, id="the last usable one"),
        pytest.param(
            nic(*(config(f"n{n}", primary=n == 0, subnet=within("hub/subnets/tiny")) for n in range(3))),
            {"n0": "10.0.1.4", "n1": "10.0.1.5", "n2": "10.0.1.6"},
            id="a subnet to its last place",
        ),
        pytest.param(
            nic(
                config("four", primary=True, subnet=within("hub/subnets/dual")),
                config("six", subnet=within("hub/subnets/dual"), privateIPAddressVersion="IPv6"),
                config("one", "fd00::99", subnet=within("hub/subnets/dual"), privateIPAddressVersion="IPv6"),
            ),
            {"four": "10.0.2.4", "six": "fd00::4", "one": "fd00::99"},
            id="each IP version by itself",
        ),
        pytest.param(nic(config("a", subnet=within("HUB/SUBNETS/FRONT"))), {"a": "10.0.0.8"}, id="ids in another case"),
        pytest.param(nic(config("a", subnet={"id": FRONT})), {"a": "10.0.0.8"}, id="a full id"),
        pytest.param(nic(config("a", privateIPAddress="10.0.0.99")), {"a": "10.0.0.8"}, id="dynamic takes no wishes"),
        pytest.param(nic(config("a", applicationSecurityGroups=[], publicIPAddress=None)), {"a": "10.0.0.8"}, id="nil"),
    ],
)
def test_addresses_of_a_new_nic(properties: Any, expected: dict[str, str], world: World, document: Make) -> None:
    assert addresses(settle(document(NETWORK_INTERFACES, "new", properties), world)) == expected


def test_256_addresses(world: World, document: Make) -> None:
    subnets = [{"name": "wide", "properties": {"addressPrefix": "11.0.0.0/16"}}]
    wide = {"addressSpace": {"addressPrefixes": ["11.0.0.0/16"]}, "subnets": subnets}
    world.put(settle(document(VIRTUAL_NETWORKS, "wide", wide), world))
    configs = [config(f"n{n}", primary=n == 0, subnet=within("wide/subnets/wide")) for n in range(256)]
    settled = settle(document(NETWORK_INTERFACES, "new", nic(*configs)), world)
    assert list(addresses(settled).values()) == [str(ip_address("11.0.0.4") + n) for n in range(256)]


def test_blocks(world: World, document: Make) -> None:
    configs = [A, block(), config("c"), block("10.0.0.64/28") | {"name": "other"}]
    settled = settle(document(NETWORK_INTERFACES, "new", nic(*configs)), world)
    assert addresses(settled) == {"a": "10.0.0.8", "block": "10.0.0.16/28", "c": "10.0.0.9", "other": "10.0.0.64/28"}
    assert settled["properties"]["ipConfigurations"][1]["properties"] == {
        "provisioningState": "Succeeded",
        "privateIPAddress": "10.0.0.16/28",
        "privateIPAddressPrefixLength": 28,
        "privateIPAllocationMethod": "Dynamic",
        "subnet": {"id": FRONT},
        "primary": False,
        "privateIPAddressVersion": "IPv4",
    }
    world.put(settled)
    assert settle(shown(settled), world) == settled
    held = world.holders[FRONT.lower()]
    assert held[ip_address("10.0.0.31")].endswith("/networkInterfaces/new/ipConfigurations/block")
    # Its addresses are others' no more, nor is any part of it another block's.
    with pytest.raises(ArmError, match="PrivateIPAddressInUse"):
        settle(document(NETWORK_INTERFACES, "next", nic(config("a", "10.0.0.20"))), world)
    after = settle(document(NETWORK_INTERFACES, "next", nic(A, block())), world)
    assert addresses(after) == {"a": "10.0.0.11", "block": "10.0.0.32/28"}
    # The VM is given each of the sixteen.
    found = network_interfaces.intent_of(settled).ip_configurations
    assert [str(each.address) for each in found if each.name == "block"] == [f"10.0.0.{n}" for n in range(16, 32)]
    assert len(found) == 34
    world.remove(make(Scope(), NETWORK_INTERFACES, "new").key)
    assert len(world.holders[FRONT.lower()]) == 5


def test_a_block_that_becomes_one_address_and_back(world: World, document: Make) -> None:
    world.put(settle(document(NETWORK_INTERFACES, "new", nic(A, config("block"))), world))
    held = world.documents[make(Scope(), NETWORK_INTERFACES, "new").key]
    for asked, expected in ((block(), "10.0.0.16/28"), (config("block"), "10.0.0.9")):
        held = settle(document(NETWORK_INTERFACES, "new", nic(A, asked)), world)
        world.put(held)
        assert addresses(held) == {"a": "10.0.0.8", "block": expected}


def test_16_000_addresses_are_found_at_once(world: World, document: Make) -> None:
    """What each further NIC costs does not grow with those that are there."""
    subnets = [{"name": "wide", "properties": {"addressPrefix": "11.0.0.0/16"}}]
    wide = {"addressSpace": {"addressPrefixes": ["11.0.0.0/16"]}, "subnets": subnets}
    world.put(settle(document(VIRTUAL_NETWORKS, "wide", wide), world))
    configs = [config(f"n{n}", primary=n == 0, subnet=within("wide/subnets/wide")) for n in range(250)]
    for number in range(64):
        settled = settle(document(NETWORK_INTERFACES, f"n{number}", nic(*configs)), world)
        assert addresses(settled)["n0"] == str(ip_address("11.0.0.4") + number * 250)
        world.put(settled)
    key = make(Scope(), NETWORK_INTERFACES, "n3").key
    world.remove(key)
    again = settle(document(NETWORK_INTERFACES, "again", nic(*configs[:2])), world)
    assert list(addresses(again).values()) == [str(ip_address("11.0.0.4") + 750 + n) for n in range(2)]


def test_dns_settings(world: World, document: Make) -> None:
    for servers in (["AzureProvidedDNS"], ["10.0.0.9", "fd00::9"]):
        settings = {"dnsServers": servers, "internalDnsNameLabel": "me"}
        settled = settle(document(NETWORK_INTERFACES, "new", nic(A, dnsSettings=settings)), world)
        shown_ = settled["properties"]["dnsSettings"]
        suffix = shown_.pop("internalDomainNameSuffix")
        assert suffix.endswith(".bx.internal.cloudapp.net")
        assert shown_.pop("internalFqdn") == f"me.{suffix}"
        assert shown_ == settings | {"appliedDnsServers": []}


# web has a (10.0.0.4), b (.5) and, static, c (.10). .6 and .7 are others'.
@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        pytest.param((A, config("b"), config("c", "10.0.0.10")), {"a": ".4", "b": ".5", "c": ".10"}, id="all stay"),
        pytest.param((config("b"), A), {"b": ".5", "a": ".4"}, id="in another order, one left out"),
        pytest.param((config("B"), A), {"b": ".5", "a": ".4"}, id="a name in another case is the same"),
        pytest.param((A, config("x"), config("b")), {"a": ".4", "x": ".8", "b": ".5"}, id="a new one in the middle"),
        pytest.param((A, config("x")), {"a": ".4", "x": ".5"}, id="a new one takes what one left out gave back"),
        pytest.param((config("x", primary=True),), {"x": ".4"}, id="all are new"),
        pytest.param((A, config("c")), {"a": ".4", "c": ".10"}, id="what was static keeps its address"),
        pytest.param((A, config("b", "10.0.0.5")), {"a": ".4", "b": ".5"}, id="a dynamic one is pinned"),
        pytest.param((A, config("b", "10.0.0.20")), {"a": ".4", "b": ".20"}, id="a dynamic one is moved"),
        pytest.param((A, config("s", "10.0.0.5")), {"a": ".4", "s": ".5"}, id="a static one takes a left address"),
        pytest.param(
            (config("s", "10.0.0.4"), A), {"s": ".4", "a": ".5"}, id="a static one takes a dynamic one's: before it"
        ),
        pytest.param(
            (A, config("s", "10.0.0.4")), {"a": ".5", "s": ".4"}, id="a static one takes a dynamic one's: after it"
        ),
        pytest.param(
            (config("a", "10.0.0.5", primary=True), config("b", "10.0.0.4")), {"a": ".5", "b": ".4"}, id="two swap"
        ),
    ],
)
def test_addresses_after_a_replacement(
    configs: tuple[Document, ...], expected: dict[str, str], world: World, document: Make
) -> None:
    settled = settle(document(NETWORK_INTERFACES, "web", nic(*configs)), world)
    assert addresses(settled) == {name: f"10.0.0{tail}" for name, tail in expected.items()}
    world.put(settled)
    held = {str(address): holder for address, holder in world.holders[FRONT.lower()].items()}
    assert held.keys() == {"10.0.0.6", "10.0.0.7", *addresses(settled).values()}
    for name, address in addresses(settled).items():
        assert held[address] == f"{WEB}/ipConfigurations/{name}"


def test_an_ip_configuration_that_changes_its_ip_version_gets_another_address(world: World, document: Make) -> None:
    dual = within("hub/subnets/dual")
    for version, expected in (("IPv4", "10.0.2.5"), ("IPv6", "fd00::4"), ("IPv4", "10.0.2.5")):
        pair = config("x", primary=True, subnet=dual), config("y", subnet=dual, privateIPAddressVersion=version)
        world.put(settle(document(NETWORK_INTERFACES, "new", nic(*pair)), world))
        settled = world.documents[make(Scope(), NETWORK_INTERFACES, "new").key]
        assert addresses(settled) == {"x": "10.0.2.4", "y": expected}


def test_a_replaced_nic_gives_its_addresses_back(world: World, document: Make) -> None:
    moved = settle(document(NETWORK_INTERFACES, "web", nic(config("a", subnet=within("hub/subnets/quiet")))), world)
    assert addresses(moved) == {"a": "10.0.3.4"}
    world.put(moved)
    assert {str(address) for address in world.holders[FRONT.lower()]} == {"10.0.0.6", "10.0.0.7"}
    world.put(settle(document(NETWORK_INTERFACES, "new", nic(A, config("b"), config("c", "10.0.0.10"))), world))
    assert {str(address) for address in world.holders[FRONT.lower()]} == {
        "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.10",
    }  # fmt: skip


def test_a_removed_nic_gives_its_addresses_back(world: World) -> None:
    for name in ("web", "db", "spare"):
        world.remove(make(Scope(), NETWORK_INTERFACES, name).key)
    assert world.holders == {}


def test_settling_changes_nothing_in_the_world(world: World, document: Make) -> None:
    before = world.copy()
    settle(document(NETWORK_INTERFACES, "web", nic(A)), world)
    assert world == before
    copied = world.copy()
    copied.put(settle(document(NETWORK_INTERFACES, "web", nic(A)), world))
    assert world == before
    assert copied != before


@pytest.mark.parametrize("name", ["web", "db", "spare"])
def test_settling_what_is_shown_changes_nothing(name: str, world: World) -> None:
    held = world.documents[make(Scope(), NETWORK_INTERFACES, name).key]
    assert settle(shown(held), world) == held


def test_what_azure_fills_in(world: World) -> None:
    spare = shown(world.documents[make(Scope(), NETWORK_INTERFACES, "spare").key])
    web = shown(world.documents[WEB.key])
    assert spare["properties"]["ipConfigurations"] == [
        {
            "name": "a",
            "id": f"{make(Scope(), NETWORK_INTERFACES, 'spare')}/ipConfigurations/a",
            "type": "Microsoft.Network/networkInterfaces/ipConfigurations",
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": "10.0.0.7",
                "privateIPAllocationMethod": "Dynamic",
                "subnet": {"id": FRONT},
                "primary": True,
                "privateIPAddressVersion": "IPv4",
            },
        }
    ]
    assert "_fabric" not in spare
    # A MAC is shown once the NIC is on a VM.
    assert not {"virtualMachine", "macAddress", "primary"} & spare["properties"].keys()
    assert web["properties"]["virtualMachine"]["id"].endswith("/virtualMachines/one")
    assert web["properties"]["primary"] is True
    assert web["properties"]["macAddress"].startswith("00-0D-3A-")


def test_the_mac_is_the_same_after_a_replacement(world: World, document: Make) -> None:
    before = world.documents[WEB.key]
    after = settle(document(NETWORK_INTERFACES, "WEB", nic(config("z"))), world)
    assert after["properties"]["macAddress"] == before["properties"]["macAddress"]
    assert after["_fabric"] == before["_fabric"]


def test_intent_puts_the_primary_first(world: World, document: Make) -> None:
    settled = settle(document(NETWORK_INTERFACES, "web", nic(config("b"), A, enableIPForwarding=True)), world)
    found = network_interfaces.intent_of(settled)
    assert found.id == WEB
    assert [(each.name, str(each.address), each.primary) for each in found.ip_configurations] == [
        ("a", "10.0.0.4", True),
        ("b", "10.0.0.5", False),
    ]
    assert found.ip_forwarding
    assert (found.virtual_network, found.subnet.name) == (HUB, "front")
    assert [str(each.outbound) for each in found.ip_configurations] == ["203.0.113.1", "None"]


def test_removal(world: World) -> None:
    NetworkInterfaces().check_removal(make(Scope(), NETWORK_INTERFACES, "spare"), world)
    with pytest.raises(
        ArmError, match=r"NicInUse: Network Interface .*/web is used by existing .*/virtualMachines/one"
    ):
        NetworkInterfaces().check_removal(WEB, world)


def test_a_virtual_network_holds_65536_addresses_a_block_being_one(document: Make, refusal: Refusal) -> None:
    """Neither other networks' addresses count, nor the NIC's own."""
    world = World()
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}}
    subnet = {"name": "front", "properties": {"addressPrefix": "10.0.0.0/9"}}
    world.put(settle(document(VIRTUAL_NETWORKS, "hub", space | {"subnets": [subnet]}), world))
    first = int(ip_address("10.64.0.0"))
    held = {ip_address(first + number): f"/other/ipConfigurations/{number}" for number in range(65_534)}
    blocks = {ip_address(first - 16 + number): "/other/ipConfigurations/block" for number in range(16)}
    world.holders = {FRONT.lower(): held | blocks, "/elsewhere/subnets/x": dict(held)}
    assert settle(document(NETWORK_INTERFACES, "web", nic(A)), world)
    world.put(settle(document(NETWORK_INTERFACES, "web", nic(A)), world))
    assert settle(document(NETWORK_INTERFACES, "web", nic(A)), world), "its own address counts once"
    error = refusal(document(NETWORK_INTERFACES, "web", nic(A, config("b"))), world)
    assert (error.code, error.status) == ("PrivateIPAddressCountLimitReached", 400)
    assert "at most 65536 private addresses, not 65537" in error.message
