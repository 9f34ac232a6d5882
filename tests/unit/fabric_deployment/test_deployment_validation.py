"""What validate and what-if answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.deployment.plan import Deployment
from podvnet.fabric.deployment.validation import validate
from podvnet.fabric.deployment.what_if import Change, what_if
from podvnet.model.arm_error import ArmError

Deploy = Callable[..., Deployment]
ROOT = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg1/providers/"
NIC = "Microsoft.Network/networkInterfaces"
NET = "Microsoft.Network/virtualNetworks"


def resource(name: str, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2023-04-01", "name": name, **members}


def test_validate(deploy_template: Deploy) -> None:
    answer = validate(
        deploy_template(
            parameters={"p": {"type": "int"}, "s": {"type": "securestring"}},
            resources=[
                resource("n", NIC, dependsOn=["v"], location="[resourceGroup().location]"),
                resource("v", NET, location="eastus"),
            ],
            given={"p": 4, "s": "x"},
        )
    )
    properties = answer.pop("properties")
    assert answer == {
        "id": f"{ROOT}Microsoft.Resources/deployments/d1",
        "name": "d1",
        "type": "Microsoft.Resources/deployments",
    }
    network = {"id": f"{ROOT}{NET}/v", "resourceType": NET, "resourceName": "v"}
    assert properties.pop("templateHash").isdigit()
    assert properties == {
        "parameters": {"p": {"type": "Int", "value": 4}, "s": {"type": "SecureString"}},
        "mode": "Incremental",
        "provisioningState": "Succeeded",
        "timestamp": "2024-03-09T07:08:05.012000Z",
        "duration": "PT0S",
        "providers": [
            {
                "namespace": "Microsoft.Network",
                "resourceTypes": [
                    {"resourceType": "virtualNetworks", "locations": ["eastus"]},
                    {"resourceType": "networkInterfaces", "locations": ["westeurope"]},
                ],
            }
        ],
        "dependencies": [{"dependsOn": [network], "id": f"{ROOT}{NIC}/n", "resourceType": NIC, "resourceName": "n"}],
        "validatedResources": [{"id": f"{ROOT}{NET}/v"}, {"id": f"{ROOT}{NIC}/n"}],
    }


def test_providers_are_asked(deploy_template: Deploy) -> None:
    asked = []

    def preflight(resource_id: str, version: str, body: dict[str, Any]) -> None:
        asked.append((resource_id, version, body["properties"]))
        raise ArmError("NetcfgInvalidSubnet", resource_id)

    deployment = deploy_template(
        resources=[
            resource("n", NIC, properties={"x": "[reference('v').y]", "z": "[add(1, 1)]"}),
            resource("v", NET, properties={}),
        ]
    )
    with pytest.raises(ArmError, match="'d1' is not valid according to the validation procedure") as caught:
        validate(deployment, preflight)
    assert caught.value.code == "InvalidTemplateDeployment"
    details = caught.value.document()["details"]
    assert isinstance(details, list)
    assert [each["code"] for each in details] == ["NetcfgInvalidSubnet"] * 2
    assert asked[1] == (f"{ROOT}{NIC}/n", "2023-04-01", {"x": "[reference('v').y]", "z": 2})


BEFORE = {
    "id": "/v",
    "etag": "1",
    "tags": {"team": "a", "old": "x"},
    "properties": {
        "provisioningState": "Succeeded",
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16", "10.1.0.0/16"]},
        "subnets": [
            {"name": "a", "etag": "1", "properties": {"addressPrefix": "10.0.0.0/24"}},
            {"name": "b", "properties": {"addressPrefix": "10.0.1.0/24"}},
        ],
        "ddos": False,
    },
}


def entry(path: str, kind: str, before: Any = None, after: Any = None, children: Any = ()) -> dict[str, Any]:
    return {"path": path, "propertyChangeType": kind, "before": before, "after": after, "children": list(children)}


def test_what_changes_is_told_by_member() -> None:
    after: dict[str, Any] = {
        "id": "/v",
        "etag": "2",
        "tags": {"team": "b"},
        "properties": {
            "provisioningState": "Updating",
            "addressSpace": {"addressPrefixes": ["10.2.0.0/16", "10.0.0.0/16"]},
            "subnets": [
                {"name": "B", "properties": {"addressPrefix": "10.0.9.0/24", "n": 1}},
                {"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}},
                {"name": "c"},
            ],
            "ddos": True,
            "new": {"x": 1},
        },
    }
    (change,) = what_if([Change("/v", BEFORE, after)])["properties"]["changes"]
    assert change["changeType"] == "Modify"
    assert "etag" not in change["before"]
    assert change["delta"] == [
        entry("tags.team", "Modify", "a", "b"),
        entry("tags.old", "Delete", "x"),
        entry(
            "properties.addressSpace.addressPrefixes",
            "Array",
            children=[entry("1", "Delete", "10.1.0.0/16"), entry("0", "Create", None, "10.2.0.0/16")],
        ),
        entry(
            "properties.subnets",
            "Array",
            children=[
                entry(
                    "1",
                    "Modify",
                    children=[
                        entry("name", "Modify", "b", "B"),
                        entry("properties.addressPrefix", "Modify", "10.0.1.0/24", "10.0.9.0/24"),
                        entry("properties.n", "Create", None, 1),
                    ],
                ),
                entry("2", "Create", None, {"name": "c"}),
            ],
        ),
        entry("properties.ddos", "Modify", False, True),
        entry("properties.new", "Create", None, {"x": 1}),
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(Change("/v", None, BEFORE), "Create", id="create"),
        pytest.param(Change("/v", BEFORE, None, deleted=True), "Delete", id="delete"),
        pytest.param(Change("/v", BEFORE, None), "Ignore", id="ignore"),
        pytest.param(Change("/v", BEFORE, {**BEFORE, "etag": "2"}), "NoChange", id="only what the server writes"),
        pytest.param(Change("/v", BEFORE, {**BEFORE, "tags": {}}), "Modify", id="modify"),
        pytest.param(Change("/v", None, BEFORE, unsupported="why"), "Unsupported", id="unsupported"),
    ],
)
def test_kinds_of_change(change: Change, kind: str) -> None:
    answer = what_if([change])
    assert answer["status"] == "Succeeded"
    (found,) = answer["properties"]["changes"]
    assert found["changeType"] == kind
    assert ("before" in found) == (change.before is not None)
    assert ("after" in found) == (change.after is not None and not change.unsupported)


def test_ids_only() -> None:
    changes = [Change("/v", BEFORE, {**BEFORE, "tags": {}}), Change("/w", None, BEFORE)]
    assert what_if(changes, bodies=False)["properties"]["changes"] == [
        {"resourceId": "/v", "changeType": "Deploy"},
        {"resourceId": "/w", "changeType": "Create"},
    ]


def test_arrays_of_arrays_and_unnamed_objects() -> None:
    (found,) = what_if([Change("/v", {"a": [{"x": 1}, {"x": 2}]}, {"a": [{"x": 1}, {"x": 3}]})])["properties"][
        "changes"
    ]
    assert found["delta"] == [
        entry("a", "Array", children=[entry("1", "Modify", children=[entry("x", "Modify", 2, 3)])])
    ]
