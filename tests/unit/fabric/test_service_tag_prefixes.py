"""Service tags that a user gives prefixes: checked, and put in where rules and routes name them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from podvnet.fabric.arm.world import ROUTE_TABLES, SECURITY_GROUPS, SERVICE_TAGS, Document, World
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle_all
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.resource_id import Scope, make

RULE = {
    "priority": 100, "direction": "Outbound", "access": "Allow", "protocol": "*", "sourcePortRange": "*",
    "destinationPortRange": "*", "sourceAddressPrefix": "*",
}  # fmt: skip


def document(full_type: str, name: str, **properties: Any) -> Document:
    identity = str(make(Scope(), full_type, name))
    return {"id": identity, "type": full_type, "name": name, "location": "local", "properties": properties}


def tag(name: str, *prefixes: str) -> Document:
    return document(SERVICE_TAGS, name, addressPrefixes=list(prefixes))


def world(*documents: Document) -> World:
    return settle_all(list(documents), World(), set()).world


def destination(rule_tag: str, *tags: Document) -> tuple[tuple[Any, ...], str]:
    rules = [{"name": "r", "properties": RULE | {"destinationAddressPrefix": rule_tag}}]
    intent = IntentReader().read(world(document(SECURITY_GROUPS, "guard", securityRules=rules), *tags))
    (group,) = intent.security_groups.values()
    found = next(rule for rule in group.rules if rule.name == "securityRules/r").destination
    return found.prefixes, found.tag


@pytest.mark.parametrize(
    ("rule_tag", "tags", "expected"),
    [
        ("Storage", [], ((), "Storage")),
        ("Storage", [tag("Storage", "198.51.100.0/28")], ((ip_network("198.51.100.0/28"),), "")),
        ("Storage.WestEurope", [tag("Storage", "198.51.100.0/28")], ((ip_network("198.51.100.0/28"),), "")),
        ("Storage", [tag("Storage.WestEurope", "198.51.100.0/28")], ((), "Storage")),
        ("AzureKeyVault", [tag("azurekeyvault", "fd99::/64")], ((ip_network("fd99::/64"),), "")),
    ],
)
def test_rules(rule_tag: str, tags: list[Document], expected: tuple[tuple[Any, ...], str]) -> None:
    assert destination(rule_tag, *tags) == expected


def test_routes_and_that_one_written_as_a_prefix_wins() -> None:
    routes = [
        {"name": "tagged", "properties": {"addressPrefix": "Storage", "nextHopType": "None"}},
        {"name": "written", "properties": {"addressPrefix": "198.51.100.0/28", "nextHopType": "Internet"}},
    ]
    made = world(document(ROUTE_TABLES, "table", routes=routes), tag("Storage", "198.51.100.0/28", "198.51.100.16/28"))
    (table,) = IntentReader().read(made).route_tables.values()
    assert [(route.name, str(route.prefix)) for route in table.routes] == [
        ("tagged", "198.51.100.16/28"),
        ("written", "198.51.100.0/28"),
    ]


def test_a_reader_notices_that_a_tag_has_changed() -> None:
    rules = [{"name": "r", "properties": RULE | {"destinationAddressPrefix": "Storage"}}]
    group = document(SECURITY_GROUPS, "guard", securityRules=rules)
    reader = IntentReader()
    before = world(group)
    reader.read(before)
    after = settle_all([group, tag("Storage", "198.51.100.0/28")], before, set()).world
    (found,) = reader.read(after).security_groups.values()
    assert any(rule.destination.prefixes for rule in found.rules)


@pytest.mark.parametrize("name", ["VirtualNetwork", "Internet", "AzurePlatformDNS", "AzureLoadBalancer", "NoSuchTag"])
def test_tags_that_take_no_prefixes(name: str) -> None:
    with pytest.raises(ArmErrorsError, match="InvalidResourceName"):
        world(tag(name, "198.51.100.0/28"))


def test_a_tag_without_prefixes_is_refused() -> None:
    with pytest.raises(ArmErrorsError, match="at least one prefix"):
        world(tag("Storage"))
