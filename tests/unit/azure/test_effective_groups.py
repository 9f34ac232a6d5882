"""Answers about the rules at a NIC, as Azure writes them; the fabric's are in tests/property."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest

from podvnet.azure.effective_groups import read_groups
from podvnet.azure.error import SourceError
from podvnet.model.nic_security import NicSecurity
from podvnet.model.security import ALL_PORTS, Direction, Protocol, SecurityRule, Side

PROVIDER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
SPACE = ["10.0.0.0/16", "168.63.129.16/32"]


def rule(name: str = "securityRules/r", **more: Any) -> dict[str, Any]:
    """A rule about everything, in the shape of the examples in Azure's reference."""
    everything = {
        "name": name,
        "protocol": "All",
        "sourcePortRange": "0-65535",
        "destinationPortRange": "0-65535",
        "sourceAddressPrefix": "0.0.0.0/0",
        "destinationAddressPrefix": "0.0.0.0/0",
        "access": "Deny",
        "priority": 100,
        "direction": "Inbound",
    }
    return everything | more


INSIDE = rule(
    "defaultSecurityRules/AllowVnetInBound",
    priority=65000,
    access="Allow",
    sourceAddressPrefix="VirtualNetwork",
    sourceAddressPrefixes=["VirtualNetwork"],
    expandedSourceAddressPrefix=SPACE,
)


def answer(*rules: dict[str, Any], place: str = "networkInterface", **more: Any) -> dict[str, Any]:
    return {
        "networkSecurityGroup": {"id": f"{PROVIDER}/networkSecurityGroups/{place}"},
        "association": {place: {"id": f"{PROVIDER}/somewhere/else"}},
        "effectiveSecurityRules": list(rules),
        "tagMap": None,
    } | more


def read(*answers: dict[str, Any], **more: Any) -> NicSecurity:
    return read_groups(json.loads(json.dumps({"value": list(answers), **more})), "arm")


def read_rule(**more: Any) -> SecurityRule:
    group = read(answer(rule(**more), INSIDE)).nic
    assert group
    return group.rules[0]


def test_no_group_filters_nothing() -> None:
    assert read() == NicSecurity()


def test_groups_are_known_by_their_place_and_rules_by_their_priority() -> None:
    found = read(answer(INSIDE, rule(priority=300), rule("securityRules/first"), place="subnet"), answer(INSIDE))
    assert found.nic
    assert found.subnet
    assert found.nic.id.name == "networkInterface"
    assert [each.priority for each in found.subnet.rules] == [100, 300, 65000]
    assert found.virtual_network == tuple(map(ip_network, SPACE))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"sourceAddressPrefix": "0.0.0.0/0"}, Side()),
        ({"sourceAddressPrefixes": ["0.0.0.0/0", "0.0.0.0/0"]}, Side()),
        ({"sourceAddressPrefix": "*"}, Side()),
        ({"sourceAddressPrefix": "10.0.0.4"}, Side((ip_network("10.0.0.4/32"),))),
        (
            {"sourceAddressPrefixes": ["10.0.1.0/24", "fd00::/8"]},
            Side((ip_network("10.0.1.0/24"), ip_network("fd00::/8"))),
        ),
        ({"sourceAddressPrefix": "Internet"}, Side(tag="Internet")),
        (
            {"sourceAddressPrefix": "Internet", "expandedSourceAddressPrefix": ["32.0.0.0/3"]},
            Side((ip_network("32.0.0.0/3"),)),
        ),
        (
            {"sourceAddressPrefixes": ["10.9.0.0/16", "Sql"], "expandedSourceAddressPrefix": ["13.69.104.192/26"]},
            Side((ip_network("10.9.0.0/16"), ip_network("13.69.104.192/26"))),
        ),
        ({"sourcePortRange": "80-80"}, Side(ports=((80, 80),))),
        ({"sourcePortRanges": ["22", "8000-8100"]}, Side(ports=((22, 22), (8000, 8100)))),
        ({"sourcePortRanges": ["22", "*"]}, Side(ports=ALL_PORTS)),
    ],
)
def test_sides(written: dict[str, Any], expected: Side) -> None:
    assert read_rule(**written).source == expected


def test_everything_of_one_ip_version_is_that_only_where_the_answer_tells_them_apart() -> None:
    both = rule("defaultSecurityRules/DenyAllInBound", priority=65500, sourceAddressPrefixes=["0.0.0.0/0", "::/0"])
    group = read(answer(rule(), INSIDE, both)).nic
    assert group
    assert group.rules[0].source == Side((ip_network("0.0.0.0/0"),))
    assert group.rules[-1].source == Side()


@pytest.mark.parametrize(
    ("written", "expected"), [("All", Protocol.ANY), ("tcp", Protocol.TCP), ("Icmp", Protocol.ICMP)]
)
def test_protocols(written: str, expected: Protocol) -> None:
    assert read_rule(protocol=written).protocol is expected


def test_what_a_rule_decides() -> None:
    found = read_rule(access="allow", direction="outbound", priority=7)
    assert (found.allow, found.direction, found.priority) == (True, Direction.OUTBOUND, 7)


def test_a_rule_about_a_group_without_members_is_about_nothing() -> None:
    group = read(answer(rule(sourceAddressPrefix="", sourceAddressPrefixes=[]), INSIDE)).nic
    assert group
    assert [each.priority for each in group.rules] == [65000]


def test_a_name_is_harmless_where_it_is_written() -> None:
    assert read_rule(name='securityRules/a" drop; #').name == "securityRules/a__drop___"


def test_the_map_of_tags_says_what_the_virtual_network_is_when_no_rule_does() -> None:
    found = read(answer(rule(), tagMap={"VirtualNetwork": SPACE}))
    assert found.virtual_network == tuple(map(ip_network, SPACE))


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "KeyError"),
        ({"value": [answer(INSIDE)], "nextLink": "https://more"}, "another address"),
        ({"value": [answer(rule())]}, "VirtualNetwork"),
        ({"value": [answer(INSIDE), answer(INSIDE)]}, "two groups of one networkInterface"),
        ({"value": [answer(INSIDE, association={"networkManager": {"id": "x"}})]}, "neither"),
        ({"value": [answer(INSIDE, rule(access="Maybe"))]}, "Maybe|maybe"),
        ({"value": [answer(INSIDE, rule(protocol="Gre"))]}, "gre"),
        ({"value": [answer(INSIDE, rule(sourceAddressPrefix="10.0.0.0/99"))]}, "10.0.0.0/99"),
        ({"value": [answer(INSIDE, rule(sourceAddressPrefixes=["Sql", "Storage"]))]}, "Sql, Storage"),
        ({"value": [answer(INSIDE, rule(sourcePortRange="http"))]}, "http"),
        ({"value": "none"}, "TypeError"),
    ],
)
def test_what_is_not_understood_is_refused_as_a_whole(document: dict[str, Any], named: str) -> None:
    with pytest.raises(SourceError, match=named) as refused:
        read_groups(document, "arm/nic")
    assert "arm/nic" in refused.value.message
