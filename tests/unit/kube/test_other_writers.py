"""What others write to the same resources, and what the resource manager makes of what is written."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from podvnet.azure.resource_manager import RefusedError, Resource
from podvnet.kube.service_rounds import InterruptedRoundError
from podvnet.model.resource_id import ResourceId, Scope, parse
from podvnet.testing.service_stage import ServiceStage

AZURE = "service.beta.kubernetes.io/azure-"
INTERNAL = {f"{AZURE}load-balancer-internal": "true"}
GUARD = parse("networkSecurityGroups/guard", Scope())


def theirs(stage: ServiceStage) -> dict[str, Any]:
    return {"name": "theirs", "properties": {"publicIPAddress": {"id": stage.publics()["theirs"]["id"]}}}


def test_a_load_balancer_that_others_have_put_something_into_meanwhile_is_not_deleted(stage: ServiceStage) -> None:
    stage.cluster.put("web")
    stage.settle()
    balancer = stage.home.balancer(internal=False)
    there = stage.edge.read(balancer)
    assert there is not None
    inner = there.document["properties"]
    fronts = [*inner["frontendIPConfigurations"], theirs(stage)]
    stage.edge.write(balancer, {**there.document, "properties": {**inner, "frontendIPConfigurations": fronts}})
    stage.cluster.delete("web")
    stage.settle()
    assert [each["name"] for each in stage.balancer()["frontendIPConfigurations"]] == ["theirs"]
    assert stage.cluster.services == {}


def test_a_load_balancer_that_others_have_made_meanwhile_is_not_overwritten(stage: ServiceStage) -> None:
    stage.settle()
    balancer = stage.home.balancer(internal=False)
    document = {"location": "local", "properties": {"frontendIPConfigurations": [theirs(stage)]}}
    stage.edge.write(balancer, document)
    stage.cluster.put("web")
    stage.settle()
    names = [each["name"] for each in stage.balancer()["frontendIPConfigurations"]]
    assert "theirs" in names
    assert len(names) == 2


def test_a_rule_of_ours_that_somebody_has_pointed_at_a_tag_is_put_right(stage: ServiceStage) -> None:
    stage.cluster.put("web", annotations={f"{AZURE}shared-securityrule": "true"})
    stage.cluster.serve("web", "10.1.0.11")
    stage.settle()
    found = stage.edge.read(GUARD)
    assert found is not None
    rule = next(each for each in found.document["properties"]["securityRules"] if each["name"].startswith("podvnet"))
    changed = {**rule["properties"], "destinationAddressPrefix": "VirtualNetwork", "destinationAddressPrefixes": []}
    stage.edge.write(GUARD.child("securityRules", rule["name"]), {"properties": changed})
    stage.restart()
    stage.settle()
    assert [each["destinationAddressPrefix"] for each in stage.security()] == ["10.1.0.11"]


def test_what_the_resource_manager_keeps_in_another_form_is_written_once_a_round(stage: ServiceStage) -> None:
    original = stage.edge.read

    def read(resource: ResourceId) -> Resource | None:
        """Tags of services are shown in capitals."""
        found = original(resource)
        if found and resource == GUARD:
            for each in found.document["properties"]["securityRules"]:
                each["properties"]["sourceAddressPrefix"] = each["properties"].get("sourceAddressPrefix", "").upper()
        return found

    stage.edge.read = read  # type: ignore[method-assign]
    stage.cluster.put("web")
    stage.cluster.serve("web", "10.1.0.11")
    stage.round()
    assert [method for method, resource in stage.edge.writes if resource == GUARD] == ["PUT"]
    assert stage.cluster.addresses("web"), "the rest is done"
    stage.cluster.serve("web", "10.1.0.12")
    stage.round()
    assert stage.members() == ["10.1.0.12"]


@pytest.mark.parametrize("internal", [False, True])
def test_a_load_balancer_whose_last_write_failed_is_written_again(stage: ServiceStage, internal: bool) -> None:
    stage.cluster.put("web", [80], INTERNAL if internal else {})
    stage.settle()
    balancer = stage.home.balancer(internal=internal)
    original, failed = stage.edge.read, [True]

    def read(resource: ResourceId) -> Resource | None:
        found = original(resource)
        if found and resource == balancer and failed[0]:
            found.document["properties"]["provisioningState"] = "Failed"
        return found

    def heal(method: str, resource: ResourceId) -> None:
        if (method, resource) == ("PUT", balancer):
            failed[0] = False

    stage.edge.read = read  # type: ignore[method-assign]
    stage.edge.before = heal
    stage.restart()
    before = len(stage.edge.writes)
    stage.settle()
    assert [resource for _, resource in stage.edge.writes[before:]] == [balancer]


def test_a_resource_that_answers_500_for_ever_keeps_no_other_service_waiting(stage: ServiceStage) -> None:
    stage.cluster.put("bad")
    stage.cluster.put("good", [81])
    bad = stage.cluster.chart().services[0].uid

    def refuse(method: str, resource: ResourceId) -> None:
        if method == "PUT" and bad in resource.name:
            raise RefusedError("an internal error", "", 500, "InternalServerError", None)

    stage.edge.before = refuse
    for _ in range(6):
        stage.now += 60
        with contextlib.suppress(InterruptedRoundError):
            stage.round()
    assert stage.cluster.addresses("good")
    assert stage.reasons("bad") == {"SyncLoadBalancerFailed"}


def test_a_shared_rule_that_cannot_be_taken_back_keeps_nobody_waiting(stage: ServiceStage) -> None:
    stage.cluster.put("old", [80], {f"{AZURE}shared-securityrule": "true"})
    stage.cluster.serve("old", "10.1.0.11")
    stage.settle()
    stage.cluster.delete("old")
    stage.cluster.put("new", [80], INTERNAL)

    def refuse(method: str, resource: ResourceId) -> None:
        if (method, resource) == ("PUT", GUARD):
            raise RefusedError("forbidden", "", 403, "AuthorizationFailed", None)

    stage.edge.before = refuse
    for _ in range(2):
        with contextlib.suppress(InterruptedRoundError):
            stage.round()
    assert stage.cluster.addresses("new")
    assert list(stage.cluster.services) == ["new"]
    stage.edge.before = lambda method, resource: None
    stage.settle()
    assert stage.security() == []
