"""Template deployments through the SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.resource.deployments import DeploymentsMgmtClient

from podvnet.testing.cloud import Cloud

TEMPLATE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "az" / "template.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def deployments(cloud: Cloud) -> Any:
    cloud.resources.resource_groups.create_or_update("templates", {"location": "local"})
    client = DeploymentsMgmtClient(cloud.access.credential(), cloud.access.subscription, **cloud.access.options())
    yield client.deployments
    cloud.resources.resource_groups.begin_delete("templates").result()


def body(**parameters: Any) -> Any:
    values = {name: {"value": value} for name, value in parameters.items()}
    return {"properties": {"mode": "Incremental", "template": TEMPLATE, "parameters": values}}


def test_a_template_makes_its_resources_and_outputs(cloud: Cloud, deployments: Any) -> None:
    done = deployments.begin_create_or_update("templates", "first", body(count=2)).result()
    assert done.properties.provisioning_state == "Succeeded"
    assert done.properties.outputs["firstAddress"]["value"] == "10.60.1.4"
    assert {each.name for each in cloud.network.network_interfaces.list("templates")} == {"nic-0", "nic-1"}
    assert {each.name for each in cloud.compute.virtual_machines.list("templates")} == {"vm-0", "vm-1"}
    assert deployments.get("templates", "first").properties.provisioning_state == "Succeeded"
    again = deployments.begin_create_or_update("templates", "first", body(count=2)).result()
    assert again.properties.provisioning_state == "Succeeded"


def test_a_wrong_template_does_nothing(cloud: Cloud, deployments: Any) -> None:
    for parameters, fragment in (({"count": 99}, "count"), ({"nothing": 1}, "nothing")):
        with pytest.raises(HttpResponseError) as refused:
            deployments.begin_create_or_update("templates", "wrong", body(**parameters)).result()
        assert refused.value.status_code == 400
        assert fragment in str(refused.value)
    with pytest.raises(HttpResponseError) as missing:
        deployments.get("templates", "wrong")
    assert missing.value.error is not None
    assert missing.value.error.code == "DeploymentNotFound"


def test_a_refused_resource_fails_the_deployment_and_says_why(deployments: Any) -> None:
    network = json.loads(json.dumps(TEMPLATE["resources"][0]))
    network["name"] = "bad"
    network["properties"]["subnets"][0]["properties"]["addressPrefix"] = "10.99.0.0/24"
    wrong = {**TEMPLATE, "resources": [network], "outputs": {}}
    with pytest.raises(HttpResponseError) as failed:
        deployments.begin_create_or_update(
            "templates", "failing", {"properties": {"mode": "Incremental", "template": wrong}}
        ).result()
    assert "NetcfgInvalidSubnet" in str(failed.value)


def test_what_if_tells_what_would_change(deployments: Any) -> None:
    answer = deployments.begin_what_if("templates", "maybe", body(count=3)).result()
    kinds = {change.resource_id.split("/")[-1]: change.change_type for change in answer.changes}
    assert kinds["nic-2"] == "Create"
    assert kinds["vm-2"] == "Create"
    assert kinds["nic-0"] == "NoChange"
