from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.network_security_groups import NetworkSecurityGroups
from podvnet.fabric.arm.service_tags import service_tag
from podvnet.fabric.arm.world import APPLICATION_GROUPS, NETWORK_INTERFACES, SECURITY_GROUPS, Document, World, shown
from podvnet.fabric.settlement import TYPES, settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

GROUP = make(Scope(), SECURITY_GROUPS, "new")


def rule(name: str = "r", *without: str, **properties: object) -> Document:
    inner: Document = {
        "priority": 100,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "80",
    }
    return {"name": name, "properties": {key: inner[key] for key in inner if key not in without} | properties}


def sources(*texts: str, **properties: object) -> Document:
    return rule("r", "sourceAddressPrefix", sourceAddressPrefixes=list(texts), **properties)


def groups(count: int, first: int = 0, name: str = "r", priority: int = 100) -> Document:
    many = [{"id": f"applicationSecurityGroups/g{number}"} for number in range(first, first + count)]
    return rule(name, "sourceAddressPrefix", sourceApplicationSecurityGroups=many, priority=priority)


ROWS: list[tuple[str, list[Document], str, str]] = [
    # Shape.
    ("nameless", [{"properties": {}}], "InvalidRequestFormat", "securityRules[0].name: is required"),
    ("bad name", [rule("-r")], "InvalidResourceName", "'-r' is invalid"),
    ("misspelt", [rule(sourceaddressPrefix="*")], "InvalidRequestFormat", "'sourceAddressPrefix' is meant?"),
    ("two of one name", [rule(), rule("R", priority=101)], "InvalidRequestFormat", "two rules are called 'R'"),
    ("no priority", [rule("r", "priority")], "InvalidRequestFormat", "priority: is required"),
    ("priority a text", [rule(priority="100")], "InvalidRequestFormat", "must be a number, not a string"),
    ("no direction", [rule("r", "direction")], "InvalidRequestFormat", "direction: must be one of Inbound, Outbound"),
    ("no access", [rule("r", "access")], "InvalidRequestFormat", "access: must be one of Allow, Deny"),
    ("unknown protocol", [rule(protocol="Sctp")], "InvalidRequestFormat", "one of Tcp, Udp, Icmp, Esp, Ah, *, not"),
    ("long description", [rule(description="x" * 141)], "InvalidRequestFormat", "at most 140 characters"),
    (
        "one and many addresses",
        [rule(sourceAddressPrefixes=["10.0.0.0/8"])],
        "InvalidRequestFormat",
        "sourceAddressPrefixes: cannot stand beside sourceAddressPrefix",
    ),
    # Priorities.
    ("99", [rule(priority=99)], "SecurityRuleInvalidPriority", "Value provided: 99 Allowed range 100-4096"),
    ("4097", [rule(priority=4097)], "SecurityRuleInvalidPriority", "Value provided: 4097 Allowed range 100-4096"),
    (
        "twice in a direction",
        [rule("r"), rule("s")],
        "SecurityRuleConflict",
        "Security rule s conflicts with rule r. Rules cannot have the same Priority and Direction",
    ),
    # Addresses.
    *(
        (f"address {text!r}", [rule(sourceAddressPrefix=text)], "SecurityRuleInvalidAddressPrefix", text)
        for text in ("10.0.0.256", "10.0.0.0/33", "10.0.0.1/24", "nowhere", "Storage.", "Internet.westus", "VirtualNet")
    ),
    ("host bits", [rule(sourceAddressPrefix="10.0.0.1/24")], "SecurityRuleInvalidAddressPrefix", "10.0.0.0/24"),
    ("no address", [rule("r", "sourceAddressPrefix")], "SecurityRuleInvalidAddressPrefix", "sourceAddressPrefix: is"),
    ("all and more", [sources("*", "10.0.0.0/8")], "SecurityRuleInvalidAddressPrefix", "takes nothing beside it"),
    ("two tags", [sources("Internet", "Storage")], "SecurityRuleInvalidAddressPrefix", "not Internet and Storage"),
    (
        "both IP versions",
        [rule(sourceAddressPrefix="fd00::/8", destinationAddressPrefix="10.0.0.4")],
        "SecurityRuleInvalidAddressPrefix",
        "IPv4 and IPv6",
    ),
    # Ports.
    *(
        (f"ports {text!r}", [rule(destinationPortRange=text)], "SecurityRuleInvalidPortRange", f"provided: {text}.")
        for text in ("80,443", "65536", "443-80", "-1", "http", "80-", "1-2-3")
    ),
    ("no port", [rule("r", "destinationPortRange")], "SecurityRuleInvalidPortRange", "PortRange: is required"),
    (
        "all ports and more",
        [rule("r", "sourcePortRange", sourcePortRanges=["*", "80"])],
        "SecurityRuleInvalidPortRange",
        "takes nothing beside it",
    ),
    # Platform tags.
    *(
        (
            f"{tag} {direction} {access}",
            [rule(destinationAddressPrefix=tag, direction=direction, access=access)],
            "SecurityRuleInvalidAccessType",
            f"{tag} is for outbound rules that deny only, not for {direction} {access}",
        )
        for tag in ("AzurePlatformDNS", "AzurePlatformIMDS", "AzurePlatformLKM")
        for direction, access in (("Outbound", "Allow"), ("Inbound", "Deny"))
    ),
    # Application security groups.
    (
        "unknown group",
        [rule("r", "sourceAddressPrefix", sourceApplicationSecurityGroups=[{"id": "applicationSecurityGroups/none"}])],
        "InvalidResourceReference",
        "applicationSecurityGroups/none referenced by resource",
    ),
    (
        "a group and an address",
        [rule(sourceApplicationSecurityGroups=[{"id": "applicationSecurityGroups/g0"}])],
        "InvalidRequestFormat",
        "a side is addresses or application security groups, not both",
    ),
    (
        "a group twice",
        [
            rule(
                "r",
                "sourceAddressPrefix",
                sourceApplicationSecurityGroups=[{"id": "applicationSecurityGroups/g0"}] * 2,
            )
        ],
        "InvalidRequestFormat",
        "is listed twice",
    ),
    ("11 groups a side", [groups(11)], "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
     "at most 10, not 11"),
    (
        "101 groups",
        [
            groups(min(10, 101 - first), first=first, name=f"r{first}", priority=100 + first)
            for first in range(0, 101, 10)
        ],
        "ApplicationSecurityGroupCountLimitReached",
        "at most 100 application security groups, not 101",
    ),
    # Room.
    (
        "1001 rules",
        [rule(f"r{number}", priority=100 + number) for number in range(1001)],
        "SecurityRuleCountLimitReached",
        "at most 1000 rules, not 1001",
    ),
    (
        "4001 addresses",
        [sources(*(f"10.{number >> 8}.{number & 255}.1" for number in range(4001)))],
        "SecurityRuleAddressPrefixCountLimitReached",
        "at most 4000 source addresses, not 4001",
    ),
]  # fmt: skip


@pytest.fixture
def grouped(document: Make) -> World:
    """A world with the application security groups g0 to g104."""
    world = World()
    for number in range(105):
        world.put(settle(document(APPLICATION_GROUPS, f"g{number}", {}), world))
    return world


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, list[Document], str, str], grouped: World, document: Make, refusal: Refusal) -> None:
    _, rules, code, says = row
    error = refusal(document(SECURITY_GROUPS, "new", {"securityRules": rules}), grouped)
    assert error.code == code
    assert says in error.message
    assert error.status == 400


FORMS: list[tuple[str, Document, Document]] = [
    ("one", {"sourceAddressPrefix": "10.0.0.4"}, {"sourceAddressPrefix": "10.0.0.4", "sourceAddressPrefixes": []}),
    (
        "one of many",
        {"sourceAddressPrefixes": ["10.0.0.4"]},
        {"sourceAddressPrefix": "10.0.0.4", "sourceAddressPrefixes": []},
    ),
    (
        "many",
        {"sourceAddressPrefixes": ["10.0.0.4", "Storage.westus"]},
        {"sourceAddressPrefixes": ["10.0.0.4", "Storage.westus"]},
    ),
    (
        "one twice",
        {"sourceAddressPrefix": "", "sourceAddressPrefixes": ["::1", "::1"]},
        {"sourceAddressPrefix": "::1", "sourceAddressPrefixes": []},
    ),
    (
        "a tag in another case",
        {"sourceAddressPrefix": "VIRTUALNETWORK"},
        {"sourceAddressPrefix": "VirtualNetwork", "sourceAddressPrefixes": []},
    ),
    (
        "a group",
        {"sourceApplicationSecurityGroups": [{"id": "applicationSecurityGroups/G0"}]},
        {
            "sourceAddressPrefixes": [],
            "sourceApplicationSecurityGroups": [{"id": str(make(Scope(), APPLICATION_GROUPS, "g0"))}],
        },
    ),
]


@pytest.mark.parametrize("row", FORMS, ids=[row[0] for row in FORMS])
def test_forms(row: tuple[str, Document, Document], grouped: World, document: Make) -> None:
    _, given, expected = row
    wanted = document(SECURITY_GROUPS, "new", {"securityRules": [rule("r", "sourceAddressPrefix", **given)]})
    settled = settle(wanted, grouped)
    inner = settled["properties"]["securityRules"][0]["properties"]
    found = {key: value for key, value in inner.items() if key.startswith(("sourceA",))}
    assert found == expected
    assert settle(shown(settled), grouped) == settled


def test_what_azure_fills_in(document: Make) -> None:
    settled = shown(settle(document(SECURITY_GROUPS, "new", {"securityRules": [rule(protocol="tcp")]}), World()))
    defaults = settled["properties"].pop("defaultSecurityRules")
    assert settled["properties"].pop("resourceGuid")
    assert settled["properties"] == {
        "provisioningState": "Succeeded",
        "securityRules": [
            {
                "name": "r",
                "id": f"{GROUP}/securityRules/r",
                "type": "Microsoft.Network/networkSecurityGroups/securityRules",
                "properties": {
                    "provisioningState": "Succeeded",
                    "protocol": "Tcp",
                    "access": "Allow",
                    "priority": 100,
                    "direction": "Inbound",
                    "sourcePortRange": "*",
                    "sourcePortRanges": [],
                    "sourceAddressPrefix": "*",
                    "sourceAddressPrefixes": [],
                    "destinationPortRange": "80",
                    "destinationPortRanges": [],
                    "destinationAddressPrefix": "*",
                    "destinationAddressPrefixes": [],
                },
            }
        ],
    }
    assert [
        (each["name"], *(each["properties"][key] for key in ("priority", "direction", "access"))) for each in defaults
    ] == [
        ("AllowVnetInBound", 65000, "Inbound", "Allow"),
        ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow"),
        ("DenyAllInBound", 65500, "Inbound", "Deny"),
        ("AllowVnetOutBound", 65000, "Outbound", "Allow"),
        ("AllowInternetOutBound", 65001, "Outbound", "Allow"),
        ("DenyAllOutBound", 65500, "Outbound", "Deny"),
    ]
    assert defaults[1]["properties"]["sourceAddressPrefix"] == "AzureLoadBalancer"
    assert defaults[4]["properties"]["destinationAddressPrefix"] == "Internet"
    assert defaults[0]["id"] == f"{GROUP}/defaultSecurityRules/AllowVnetInBound"


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule("r"), rule("s", direction="Outbound")], id="a priority in each direction"),
        pytest.param([rule("r", priority=4096), rule("s", priority=100)], id="the ends"),
        pytest.param([rule(f"r{number}", priority=100 + number) for number in range(1000)], id="1000 rules"),
        pytest.param(
            [rule(destinationAddressPrefix="AzurePlatformIMDS", direction="Outbound", access="Deny")], id="platform"
        ),
        pytest.param([rule(destinationPortRange="0-65535", sourcePortRange="0")], id="ports"),
        pytest.param([rule(sourceAddressPrefix="0.0.0.0/0", description="x" * 140)], id="everywhere"),
    ],
)
def test_accepted(rules: list[Document], document: Make) -> None:
    settled = settle(document(SECURITY_GROUPS, "new", {"securityRules": rules, "flushConnection": True}), World())
    assert len(settled["properties"]["securityRules"]) == len(rules)
    assert settled["properties"]["flushConnection"] is True


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("internet", "Internet"),
        ("STORAGE.WestUS2", "Storage.WestUS2"),
        ("AzureFrontDoor.Backend", "AzureFrontDoor.Backend"),
        ("AzureCloud", "AzureCloud"),
        ("AzureLoadBalancer.westus", None),
        ("Storage.a b", None),
        ("", None),
    ],
)
def test_service_tags(text: str, tag: str | None) -> None:
    assert service_tag(text) == tag


def test_removal(stocked: World) -> None:
    guard = make(Scope(), SECURITY_GROUPS, "guard")
    with pytest.raises(ArmError, match=r"InUseNetworkSecurityGroupCannotBeDeleted: .*/networkInterfaces/nic, .*/a\."):
        NetworkSecurityGroups().check_removal(guard, stocked)


# The application security groups web and db stand in one rule; nic, in the network one, is in web.
def member(document: Make, network: str, *groups: str) -> Document:
    links = [{"id": f"applicationSecurityGroups/{group}"} for group in groups]
    subnet = {"id": f"virtualNetworks/{network}/subnets/a"}
    config = {"name": "a", "properties": {"subnet": subnet, "applicationSecurityGroups": links}}
    return document(NETWORK_INTERFACES, "new", {"ipConfigurations": [config]})


def test_members_of_groups_are_in_one_network(stocked: World, document: Make, refusal: Refusal) -> None:
    stocked.put(settle(member(document, "one", "web", "db"), stocked))
    for groups_ in (["web"], ["db"]):
        stocked.remove(make(Scope(), NETWORK_INTERFACES, "new").key)
        error = refusal(member(document, "two", *groups_), stocked)
        assert error.code == "ApplicationSecurityGroupsNotInSameVnet"
        assert "/virtualNetworks/one" in error.message
        stocked.put(settle(member(document, "one", *groups_), stocked))


def test_groups_of_one_rule_are_in_one_network(stocked: World, document: Make, refusal: Refusal) -> None:
    stocked.put(settle(document(APPLICATION_GROUPS, "far", {}), stocked))
    stocked.put(settle(member(document, "two", "far"), stocked))
    sides = {
        f"{side}ApplicationSecurityGroups": [{"id": f"applicationSecurityGroups/{name}"}]
        for side, name in (("source", "web"), ("destination", "far"))
    }
    mixed = rule("r", "sourceAddressPrefix", "destinationAddressPrefix", **sides)
    error = refusal(document(SECURITY_GROUPS, "new", {"securityRules": [mixed]}), stocked)
    assert error.code == "AllApplicationSecurityGroupsInSecurityRuleMustBeFromSameVnet"


def test_too_many_groups_of_one_configuration(grouped: World, stocked: World, document: Make, refusal: Refusal) -> None:
    for each in grouped.documents.values():
        stocked.put(each)
    error = refusal(member(document, "one", *(f"g{number}" for number in range(21))), stocked)
    assert error.code == "ApplicationSecurityGroupCountLimitReached"


@pytest.mark.parametrize("name", ["web", "db"])
def test_removal_of_application_security_groups(name: str, stocked: World, document: Make) -> None:
    kind = TYPES[APPLICATION_GROUPS.lower()]
    with pytest.raises(ArmError, match="InUseApplicationSecurityGroupCannotBeDeleted"):
        kind.check_removal(make(Scope(), APPLICATION_GROUPS, name), stocked)
    stocked.put(settle(document(APPLICATION_GROUPS, "free", {}), stocked))
    kind.check_removal(make(Scope(), APPLICATION_GROUPS, "free"), stocked)


def test_an_application_security_group_has_no_members_of_its_own(document: Make, refusal: Refusal) -> None:
    settled = shown(settle(document(APPLICATION_GROUPS, "web", {}), World()))
    assert settled["properties"].keys() == {"provisioningState", "resourceGuid"}
    wrong: Any = {"members": []}
    assert refusal(document(APPLICATION_GROUPS, "web", wrong), World()).code == "InvalidRequestFormat"
