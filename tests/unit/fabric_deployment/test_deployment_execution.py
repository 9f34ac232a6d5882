"""Deployments carried out against a store of documents: order, references, nested deployments, failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.deployment.execution import DeploymentFailedError, ReadyResource, deploy, steps
from podvnet.fabric.deployment.plan import Deployment, every_resource
from podvnet.fabric.deployment.validation import validate
from podvnet.model.arm_error import ArmError

Deploy = Callable[..., Deployment]
SUBSCRIPTION = "/subscriptions/11111111-2222-3333-4444-555555555555"
ROOT = f"{SUBSCRIPTION}/resourceGroups/rg1/providers/"
NIC = "Microsoft.Network/networkInterfaces"
DEPLOYMENTS = "Microsoft.Resources/deployments"


class Store:
    """What a resource manager would hold; settles by numbering."""

    def __init__(self, *refused: str) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.refused = refused

    def put(self, ready: ReadyResource) -> dict[str, Any]:
        self.order.append(ready.body["name"])
        if ready.body["name"] in self.refused:
            raise ArmError("SubnetIsFull", f"{ready.id} is refused", target=ready.id)
        properties = {**ready.body.get("properties", {}), "number": len(self.order), "provisioningState": "Succeeded"}
        self.documents[ready.id.lower()] = {**ready.body, "properties": properties}
        return self.documents[ready.id.lower()]

    def read(self, resource_id: str, version: str) -> dict[str, Any]:
        if resource_id.lower() not in self.documents:
            raise ArmError("ResourceNotFound", f"{resource_id} ({version})")
        return self.documents[resource_id.lower()]


def resource(name: str, kind: str = NIC, **members: Any) -> dict[str, Any]:
    return {"type": kind, "apiVersion": "2023-04-01", "name": name, **members}


def nested(name: str, scope: str = "", members: Any = None, parameters: Any = None, **more: Any) -> dict[str, Any]:
    template = {"$schema": "s", "contentVersion": "1.0.0.0", "resources": [], **(members or {})}
    properties: dict[str, Any] = {"mode": "Incremental", "template": template}
    if scope:
        properties["expressionEvaluationOptions"] = {"scope": scope}
    if parameters:
        properties["parameters"] = parameters
    return resource(name, DEPLOYMENTS, properties=properties, **more)


def test_resources_are_put_in_order_and_seen_by_the_next(deploy_template: Deploy) -> None:
    store = Store()
    deployment = deploy_template(
        resources=[resource("a", properties={"of": "[reference('b').number]"}), resource("b")],
        outputs={"n": {"type": "int", "value": "[reference('a').number]"}},
    )
    outcome = deploy(deployment, store.put, store.read)
    assert store.order == ["b", "a"]
    assert store.documents[f"{ROOT}{NIC}/a".lower()]["properties"]["of"] == 1
    assert outcome.outputs == {"n": {"type": "Int", "value": 2}}
    assert outcome.resources == [{"id": f"{ROOT}{NIC}/b"}, {"id": f"{ROOT}{NIC}/a"}]


def test_what_a_deployment_does_not_make_is_read(deploy_template: Deploy) -> None:
    store = Store()
    store.documents[f"{ROOT}{NIC}/old".lower()] = {"properties": {"ip": "10.0.0.4"}}
    deployment = deploy_template(
        resources=[resource("a", properties={"ip": f"[reference(resourceId('{NIC}', 'old'), '2020-01-01').ip]"})]
    )
    deploy(deployment, store.put, store.read)
    assert store.documents[f"{ROOT}{NIC}/a".lower()]["properties"]["ip"] == "10.0.0.4"


def test_a_failure_stops_what_depends_on_it_and_nothing_else(deploy_template: Deploy) -> None:
    store = Store("b")
    deployment = deploy_template(
        resources=[resource("a", dependsOn=["b"]), resource("b"), resource("c"), resource("d", dependsOn=["a"])],
        outputs={"never": {"type": "string", "value": "[fail('not evaluated')]"}},
    )
    with pytest.raises(DeploymentFailedError, match="DeploymentFailed: At least one resource") as caught:
        deploy(deployment, store.put, store.read)
    assert store.order == ["b", "c"]
    document = caught.value.document()
    assert document["details"] == [
        {
            "code": "SubnetIsFull",
            "message": f"{ROOT}{NIC}/b is refused",
            "details": [],
            "target": f"{ROOT}{NIC}/b",
        }
    ]
    assert [(each.id[-1], each.error is None) for each in caught.value.operations] == [("b", False), ("c", True)]


def test_a_wrong_body_is_a_failed_operation(deploy_template: Deploy) -> None:
    store = Store()
    deployment = deploy_template(
        resources=[resource("a", properties={"x": "[reference('b').missing]"}), resource("b")],
    )
    with pytest.raises(DeploymentFailedError) as caught:
        deploy(deployment, store.put, store.read)
    assert "property 'missing' doesn't exist" in str(caught.value.details[0])


def test_one_step_at_a_time(deploy_template: Deploy) -> None:
    work = steps(deploy_template(resources=[resource("a"), resource("b", dependsOn=["a"])]), Store().read)
    assert next(work).body["name"] == "a"
    assert work.send({"properties": {}}).body["name"] == "b"
    with pytest.raises(StopIteration) as end:
        work.send({"properties": {}})
    assert len(end.value.value.operations) == 2


# Nested deployments

INNER = {
    "parameters": {"name": {"type": "string"}, "n": {"type": "int", "defaultValue": 0}},
    "variables": {"v": "[concat(parameters('name'), '-', resourceGroup().name)]"},
    "resources": [resource("[variables('v')]", properties={"n": "[parameters('n')]"})],
    "outputs": {"number": {"type": "int", "value": "[reference(variables('v')).number]"}},
}


def test_inner_scope(deploy_template: Deploy) -> None:
    store = Store()
    deployment = deploy_template(
        variables={"v": "outer"},
        resources=[
            nested("dep", "inner", INNER, {"name": {"value": "x"}, "n": {"value": "[reference('first').number]"}}),
            resource("first"),
            resource("last", properties={"n": "[reference('dep').outputs.number.value]"}),
        ],
        outputs={"o": {"type": "int", "value": "[reference('dep').outputs.number.value]"}},
    )
    # What its parameters need is not known yet, so its resources are not either.
    assert [each.name for each in every_resource(deployment)] == ["first", "dep", "last"]
    outcome = deploy(deployment, store.put, store.read)
    assert store.order == ["first", "x-rg1", "dep", "last"]
    assert outcome.outputs["o"]["value"] == 2
    record = store.documents[f"{ROOT}{DEPLOYMENTS}/dep".lower()]["properties"]
    assert record["outputs"] == {"number": {"type": "Int", "value": 2}}
    assert record["parameters"]["n"] == {"type": "Int", "value": 1}
    assert [each.deployment.rsplit("/", 1)[-1] for each in outcome.operations] == ["d1", "dep", "d1", "d1"]


def test_inner_scope_in_another_group(deploy_template: Deploy) -> None:
    store = Store()
    inner = {
        "resources": [resource("x", location="[resourceGroup().location]")],
        "outputs": {"id": {"type": "string", "value": f"[resourceId('{NIC}', 'x')]"}},
    }
    deployment = deploy_template(
        resources=[
            nested("dep", "inner", inner, resourceGroup="rg2"),
            resource(
                "last",
                dependsOn=[f"[extensionResourceId('{SUBSCRIPTION}/resourceGroups/rg2', '{DEPLOYMENTS}', 'dep')]"],
            ),
        ],
        outputs={"id": {"type": "string", "value": "[reference('dep').outputs.id.value]"}},
    )
    there = f"{SUBSCRIPTION}/resourceGroups/rg2/providers/"
    assert [each.id for each in every_resource(deployment)][:2] == [f"{there}{DEPLOYMENTS}/dep", f"{there}{NIC}/x"]
    assert deploy(deployment, store.put, store.read).outputs["id"]["value"] == f"{there}{NIC}/x"
    assert store.documents[f"{there}{NIC}/x".lower()]["location"] == "northeurope"
    assert store.order[-1] == "last"


def test_outer_scope(deploy_template: Deploy) -> None:
    store = Store()
    inner = {
        "variables": {"v": "inner"},
        "resources": [
            resource(
                "[concat(variables('v'), copyIndex())]",
                properties={"group": "[resourceGroup().name]", "n": "[reference('first').number]"},
            )
        ],
        "outputs": {"o": {"type": "string", "value": "[variables('v')]"}},
    }
    deployment = deploy_template(
        variables={"v": "outer"},
        resources=[
            nested("[concat('dep', copyIndex())]", "", inner, resourceGroup="rg2", copy={"name": "deps", "count": 2}),
            resource("first"),
        ],
        outputs={"o": {"type": "string", "value": "[reference('dep1').outputs.o.value]"}},
    )
    outcome = deploy(deployment, store.put, store.read)
    assert store.order == ["first", "outer0", "dep0", "outer1", "dep1"]
    made = store.documents[f"{SUBSCRIPTION}/resourceGroups/rg2/providers/{NIC}/outer1".lower()]
    # The group's name is that of the template around, the place that of the nested deployment.
    assert made["properties"]["group"] == "rg1"
    assert made["properties"]["n"] == 1
    assert outcome.outputs["o"]["value"] == "outer"


def test_a_nested_deployment_to_the_subscription(deploy_template: Deploy) -> None:
    inner = {"resources": [resource("g", "Microsoft.Resources/resourceGroups", location="[deployment().location]")]}
    deployment = deploy_template(
        resources=[nested("dep", "inner", inner, subscriptionId="[subscription().subscriptionId]", location="westus")]
    )
    assert [each.id for each in every_resource(deployment)] == [
        f"{SUBSCRIPTION}/providers/{DEPLOYMENTS}/dep",
        f"{SUBSCRIPTION}/resourceGroups/g",
    ]
    store = Store()
    deploy(deployment, store.put, store.read)
    assert store.documents[f"{SUBSCRIPTION}/resourceGroups/g".lower()]["location"] == "westus"


def test_a_failure_inside(deploy_template: Deploy) -> None:
    store = Store("x")
    deployment = deploy_template(
        resources=[
            nested("dep", "inner", {"resources": [resource("x"), resource("y")]}),
            resource("last", dependsOn=["dep"]),
        ]
    )
    with pytest.raises(DeploymentFailedError) as caught:
        deploy(deployment, store.put, store.read)
    assert store.order == ["x", "y"]
    assert [error.code for error in caught.value.details] == ["DeploymentFailed"]
    assert [(each.id.rsplit("/", 1)[-1], each.error is None) for each in caught.value.operations] == [
        ("x", False),
        ("y", True),
        ("dep", False),
    ]


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        pytest.param(None, "a deployment has 'properties', not Null", id="none"),
        pytest.param({"templateLink": {"uri": "http://x"}}, "linked templates are not fetched", id="link"),
        pytest.param({"mode": "Complete", "template": {}}, "a nested deployment is incremental", id="mode"),
        pytest.param({"template": {}}, r"resources\[0\].properties.template'", id="no template"),
        pytest.param({"template": 1, "expressionEvaluationOptions": {"scope": "x"}}, "'inner' or 'outer'", id="scope"),
    ],
)
def test_a_nested_deployment_is_refused(properties: Any, why: str, deploy_template: Deploy) -> None:
    with pytest.raises(ArmError, match=why) as caught:
        validate(deploy_template(resources=[resource("d", DEPLOYMENTS, properties=properties)]))
    assert caught.value.code == "InvalidTemplate"


def test_a_deployment_to_a_management_group_is_refused(deploy_template: Deploy) -> None:
    with pytest.raises(ArmError, match="not carried out"):
        deploy_template(resources=[{**nested("d"), "scope": "/"}])
