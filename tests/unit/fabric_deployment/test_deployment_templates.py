"""Whole templates in the shapes that the command line, the quick starts and the Bicep compiler produce."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from podvnet.fabric.deployment import template
from podvnet.fabric.deployment.execution import Outcome, ReadyResource, deploy
from podvnet.fabric.deployment.plan import Deployment, every_resource, expand
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.fabric.deployment.validation import validate
from podvnet.model.arm_error import ArmError

HERE = Path(__file__).parent / "templates"
ROOT = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg1/providers/"
NOW = datetime(2024, 3, 9, tzinfo=UTC)


class Manager:
    """Settles what it is given as far as these templates look at it."""

    def __init__(self) -> None:
        self.put_bodies: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []

    def put(self, ready: ReadyResource) -> dict[str, Any]:
        properties = dict(ready.body.get("properties", {}))
        if "subnets" in properties:
            properties["subnets"] = [
                {**each, "id": f"{ready.id}/subnets/{each['name']}"} for each in properties["subnets"]
            ]
        if ready.type.endswith("publicIPAddresses"):
            properties["ipAddress"] = "203.0.113.7"
        self.order.append(ready.body["name"])
        self.put_bodies[ready.body["name"]] = ready.body
        return {**ready.body, "properties": properties}

    def read(self, resource_id: str, version: str) -> dict[str, Any]:
        if resource_id.endswith("/hub"):
            return {"location": "northeurope", "properties": {}}
        raise ArmError("ResourceNotFound", f"{resource_id} {version}")


def expanded(name: str, scope: DeploymentScope, **given: Any) -> Deployment:
    parameters = {key: {"value": value} for key, value in given.items()}
    return expand(template.read((HERE / name).read_text()), parameters, scope, NOW)


def run(name: str, scope: DeploymentScope, **given: Any) -> tuple[Manager, Outcome]:
    manager = Manager()
    return manager, deploy(expanded(name, scope, **given), manager.put, manager.read)


def test_load_balancer_by_command_line(scope: DeploymentScope) -> None:
    manager, outcome = run("load_balancer_by_command_line.json", scope)
    assert manager.order == ["PublicIPlb1", "lb1"]
    body = manager.put_bodies["lb1"]
    assert body["sku"] == {"name": "Standard"}
    front = body["properties"]["frontendIPConfigurations"][0]["properties"]
    assert front == {"publicIPAddress": {"id": f"{ROOT}Microsoft.Network/publicIPAddresses/PublicIPlb1"}}
    assert outcome.outputs["loadBalancer"]["value"]["backendAddressPools"] == [{"name": "lb1bepool"}]


def test_quick_start(scope: DeploymentScope) -> None:
    manager, outcome = run("quick_start.json", scope, adminUsername="me", adminPassword="correct horse battery")
    assert manager.order == ["web-pip", "web-lb", "web-nsg", "web-vnet", "web-nic0", "web-vm0", "web-nic1", "web-vm1"]
    network = manager.put_bodies["web-vnet"]["properties"]
    assert [each["properties"]["addressPrefix"] for each in network["subnets"]] == ["10.4.0.0/24", "10.4.1.0/24"]
    rules = manager.put_bodies["web-nsg"]["properties"]["securityRules"]
    assert [(each["name"], each["properties"]["priority"]) for each in rules] == [
        ("port-22", 1000),
        ("port-80", 1010),
        ("port-443", 1020),
    ]
    machine = manager.put_bodies["web-vm1"]["properties"]
    assert machine["osProfile"]["adminPassword"] == "correct horse battery"
    assert machine["networkProfile"]["networkInterfaces"][0]["id"].endswith("/networkInterfaces/web-nic1")
    label = manager.put_bodies["web-pip"]["properties"]["dnsSettings"]["domainNameLabel"]
    assert len(label) == len("web") + 13
    assert outcome.outputs == {
        "address": {"type": "String", "value": "203.0.113.7"},
        "nics": {"type": "Array", "value": ["ipconfig1", "ipconfig1"]},
    }


@pytest.mark.parametrize("name", ["compiled.json", "compiled_symbolic.json"])
def test_compiled(name: str, scope: DeploymentScope) -> None:
    manager, outcome = run(name, scope, adminPassword="secret")
    assert manager.order[:4] == ["app-nsg", "app-vnet", "app-pip", "app-lb"]
    assert manager.order[4:] == ["app-nic-0", "app-nic-1", "app-vm-0", "vm-0", "app-vm-1", "vm-1"]
    subnet = f"{ROOT}Microsoft.Network/virtualNetworks/app-vnet/subnets/default"
    config = manager.put_bodies["app-nic-1"]["properties"]["ipConfigurations"][0]["properties"]
    assert config["subnet"] == {"id": subnet}
    rules = manager.put_bodies["app-nsg"]["properties"]["securityRules"]
    assert [each["properties"]["protocol"] for each in rules] == ["Tcp", "Udp"]
    assert outcome.outputs["vmIds"]["value"] == [f"{ROOT}Microsoft.Compute/virtualMachines/app-vm-{i}" for i in (0, 1)]
    assert outcome.outputs["address"]["value"] == "203.0.113.7"
    record = manager.put_bodies["vm-0"]["properties"]
    assert record["parameters"]["adminPassword"] == {"type": "SecureString"}
    assert "secret" not in str(record)


@pytest.mark.parametrize("name", ["compiled.json", "compiled_symbolic.json"])
def test_compiled_with_an_internal_load_balancer(name: str, scope: DeploymentScope) -> None:
    manager, outcome = run(name, scope, adminPassword="secret", public=False, count=3)
    assert "app-pip" not in manager.order
    front = manager.put_bodies["app-lb"]["properties"]["frontendIPConfigurations"][0]["properties"]
    assert front["subnet"]["id"].endswith("/app-vnet/subnets/default")
    assert outcome.outputs.get("address", {}).get("value") is None
    assert len(outcome.outputs["vmIds"]["value"]) == 3


@pytest.mark.parametrize("name", ["compiled.json", "compiled_symbolic.json"])
def test_compiled_is_validated_to_the_last_machine(name: str, scope: DeploymentScope) -> None:
    deployment = expanded(name, scope, adminPassword="secret")
    seen: list[str] = []
    answer = validate(deployment, lambda resource_id, _, __: seen.append(resource_id))
    listed = [each["id"] for each in answer["properties"]["validatedResources"]]
    assert f"{ROOT}Microsoft.Compute/virtualMachines/app-vm-1" in listed
    assert len(seen) == 8
    assert not any(each.existing for each in every_resource(deployment))
    assert "secret" not in str(answer)


def test_an_existing_network_is_read(scope: DeploymentScope) -> None:
    _, outcome = run("compiled_symbolic.json", scope, adminPassword="secret")
    assert outcome.outputs["hub"]["value"] == "northeurope"
