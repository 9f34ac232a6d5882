"""Single requests and what they are answered: such as were answered wrongly once, found by sequences of writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.resource_id import Scope, make
from podvnet.testing.offline import OfflineApi

GROUP = "rg"
SCOPE = Scope(resource_group=GROUP)
GROUP_PATH = f"/subscriptions/{SCOPE.subscription}/resourceGroups/{GROUP}"


def place(full_type: str, name: str) -> str:
    return str(make(SCOPE, full_type, name))


def located(**properties: Any) -> Document:
    return {"location": "local", "properties": properties}


def network(number: int) -> Document:
    subnet = {"name": "a", "properties": {"addressPrefix": f"10.{number}.0.0/28"}}
    return located(addressSpace={"addressPrefixes": [f"10.{number}.0.0/16"]}, subnets=[subnet])


def nic(subnet: str) -> Document:
    return located(ipConfigurations=[{"name": "x", "properties": {"subnet": {"id": subnet}}}])


NICS = [
    {"id": place(NETWORK_INTERFACES, "a"), "properties": {"primary": True}},
    {"id": place(NETWORK_INTERFACES, "b")},
]
MACHINE = located(networkProfile={"networkInterfaces": NICS})
SUBNETS = {name: f"{place(VIRTUAL_NETWORKS, name)}/subnets/a" for name in ("a", "b")}


@pytest.fixture
def api() -> Iterator[OfflineApi]:
    """Two networks, and in the first a VM with two NICs."""
    made = OfflineApi()
    for path, body in (
        (GROUP_PATH, {"location": "local"}),
        (place(ROUTE_TABLES, "a"), located()),
        (place(VIRTUAL_NETWORKS, "a"), network(0)),
        (place(VIRTUAL_NETWORKS, "b"), network(1)),
        (place(NETWORK_INTERFACES, "a"), nic(SUBNETS["a"])),
        (place(NETWORK_INTERFACES, "b"), nic(SUBNETS["a"])),
        (place(VIRTUAL_MACHINES, "a"), MACHINE),
    ):
        assert made.ask("PUT", path, body)[0] == 201
    yield made
    made.close()


def nested(levels: int) -> Document:
    value: Document = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("PATCH", str(make(SCOPE, VIRTUAL_NETWORKS, "a")), {"tags": {"a": "\ud800"}}, (400, "InvalidRequestContent")),
        ("PATCH", f"{make(SCOPE, VIRTUAL_NETWORKS, 'a')}/subnets/a", {"tags": {}}, (405, "MethodNotAllowed")),
        ("PUT", str(make(SCOPE, VIRTUAL_MACHINES, "a")), MACHINE | {"x": float("inf")}, (400, "InvalidRequestContent")),
        ("PUT", str(make(SCOPE, VIRTUAL_MACHINES, "a")), MACHINE | {"x": nested(600)}, (400, "InvalidRequestContent")),
        ("PUT", f"{GROUP_PATH}/providers/Microsoft.Resources/deployments", {}, (404, "InvalidResourceType")),
        (
            "POST",
            f"{GROUP_PATH}/providers/Microsoft.Resources/deployments/d/validate",
            {"properties": {"mode": "Incremental", "template": {}, "parameters": [None]}},
            (400, "InvalidRequestContent"),
        ),
        ("PATCH", GROUP_PATH, {"tags": ["a"]}, (400, "InvalidRequestFormat")),
        ("GET", f"{GROUP_PATH}\n", None, (404, "ResourceGroupNotFound")),
        ("GET", f"/x\n{GROUP_PATH}", None, (404, "InvalidResourceType")),
        ("GET", f"{make(SCOPE, VIRTUAL_NETWORKS, 'a?b')}", None, (404, "ResourceNotFound")),
        ("PUT", f"{make(SCOPE, ROUTE_TABLES, 'a?b')}", {"location": "local"}, (400, "InvalidResourceName")),
        ("TRACE", GROUP_PATH, None, (405, "InvalidResourceType")),
    ],
)
def test_what_once_was_answered_wrongly_is_refused(
    method: str, path: str, body: object, refusal: tuple[int, str], api: OfflineApi
) -> None:
    found, answer = api.ask(method, path, body)
    assert (found, answer["error"]["code"]) == refusal


@pytest.mark.parametrize("profile", [{"id": 5}, {"disk": {"id": "/not/ours"}}, {"id": [], "name": {}}, nested(100)])
@pytest.mark.parametrize("member", ["storageProfile", "diagnosticsProfile", "securityProfile"])
def test_what_a_machine_keeps_as_it_comes_refers_to_nothing(member: str, profile: Document, api: OfflineApi) -> None:
    before = api.world.referrers
    body = located(**MACHINE["properties"], **{member: profile})
    assert api.ask("PUT", place(VIRTUAL_MACHINES, "a"), body)[0] == 200
    assert api.world.referrers == before
    _, shown = api.ask("GET", place(VIRTUAL_MACHINES, "a"))
    assert shown["properties"][member] == profile


def test_a_nic_does_not_leave_the_network_of_the_others_of_its_machine(api: OfflineApi) -> None:
    status, answer = api.ask("PUT", place(NETWORK_INTERFACES, "b"), nic(SUBNETS["b"]))
    assert (status, answer["error"]["code"]) == (400, "SubnetsNotInSameVnet")


@pytest.mark.parametrize(
    ("full_type", "again"),
    [(ROUTE_TABLES, located()), (VIRTUAL_NETWORKS, network(0)), (NETWORK_INTERFACES, nic(SUBNETS["a"].upper()))],
)
def test_names_keep_the_case_they_were_created_with(full_type: str, again: Document, api: OfflineApi) -> None:
    _, shown = api.ask("GET", place(full_type, "a"))
    for members in again["properties"].values():
        for each in members if isinstance(members, list) else ():
            each["name"] = each["name"].upper()
    assert api.ask("PUT", place(full_type, "A"), again) == (200, shown)


@pytest.mark.parametrize(("version", "shown"), [("2025-05-01", None), ("2025-07-01", False)])
def test_a_new_subnet_is_private_as_of_the_api_version_that_made_it_so(
    version: str, shown: bool | None, api: OfflineApi
) -> None:
    def outbound(path: str) -> object:
        status, found = api.ask("GET", path)
        return status, found["properties"].get("defaultOutboundAccess")

    alone, within = f"{place(VIRTUAL_NETWORKS, 'a')}/subnets/alone", f"{place(VIRTUAL_NETWORKS, 'c')}/subnets/a"
    by_template = f"{place(VIRTUAL_NETWORKS, 't')}/subnets/a"
    subnet = {"properties": {"addressPrefix": "10.0.1.0/28"}}
    template: Document = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [{"type": VIRTUAL_NETWORKS, "apiVersion": version, "name": "t", **network(8)}],
    }
    deployment = {"properties": {"mode": "Incremental", "template": template}}
    for path, body, written_in in (
        (alone, subnet, version),
        (place(VIRTUAL_NETWORKS, "c"), network(7), version),
        # Of a template it is the resource's own version that counts.
        (f"{GROUP_PATH}/providers/Microsoft.Resources/deployments/d", deployment, "2024-07-01"),
    ):
        assert api.ask("PUT", path, body, version=written_in)[0] == 201
    assert [outbound(path) for path in (alone, within, by_template, SUBNETS["a"])] == [(200, shown)] * 3 + [(200, None)]
