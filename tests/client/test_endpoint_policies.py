"""Service endpoint policies and their definitions through the real SDK, and the subnets that have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, part, reference

GROUP = "policies"
STORAGE = "Microsoft.Storage"


@pytest.fixture(scope="module")
def scope(cloud: Cloud) -> Iterator[str]:
    """A network with the subnets with and without an endpoint; the id of its group."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    subnets = [
        part("with", addressPrefix="10.0.0.0/24", serviceEndpoints=[{"service": STORAGE}]),
        part("without", addressPrefix="10.0.1.0/24"),
    ]
    body = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=subnets)
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "home", body).result()
    yield f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}"
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def definition(name: str, *resources: str, **more: Any) -> dict[str, Any]:
    return part(name, **{"service": STORAGE, "serviceResources": list(resources)} | more)


def test_a_policy_and_its_definitions(cloud: Cloud, scope: str) -> None:
    policies: Any = cloud.network.service_endpoint_policies
    definitions: Any = cloud.network.service_endpoint_policy_definitions
    made = policies.begin_create_or_update(GROUP, "p", located(serviceEndpointPolicyDefinitions=[
        definition("group", scope, description="all of ours")])).result()  # fmt: skip
    assert (made.type, made.provisioning_state) == ("Microsoft.Network/serviceEndpointPolicies", "Succeeded")
    (first,) = made.service_endpoint_policy_definitions
    assert (first.name, first.service, first.service_resources) == ("group", STORAGE, [scope])
    assert first.description == "all of ours"
    account = f"{scope}/providers/Microsoft.Storage/storageAccounts/nobody1"
    second = definitions.begin_create_or_update(GROUP, "p", "account", definition("account", account)).result()
    assert second.service_resources == [account]
    assert [each.name for each in definitions.list_by_resource_group(GROUP, "p")] == ["group", "account"]
    assert definitions.get(GROUP, "p", "account").as_dict() == second.as_dict()
    assert [each.name for each in policies.list_by_resource_group(GROUP)] == ["p"]
    assert made.id in [each.id for each in policies.list()]
    assert policies.update_tags(GROUP, "p", {"tags": {"a": "b"}}).tags == {"a": "b"}
    definitions.begin_delete(GROUP, "p", "account").result()
    assert [each.name for each in definitions.list_by_resource_group(GROUP, "p")] == ["group"]
    policies.begin_delete(GROUP, "p").result()
    with pytest.raises(ResourceNotFoundError):
        policies.get(GROUP, "p")


def test_a_subnet_that_has_a_policy_keeps_it(cloud: Cloud, scope: str) -> None:
    policies: Any = cloud.network.service_endpoint_policies
    subnets: Any = cloud.network.subnets
    body = located(serviceEndpointPolicyDefinitions=[definition("group", scope)])
    made = policies.begin_create_or_update(GROUP, "kept", body).result()
    subnet = subnets.get(GROUP, "home", "with")
    subnet.service_endpoint_policies = [{"id": made.id}]
    found = subnets.begin_create_or_update(GROUP, "home", "with", subnet).result()
    assert [each.id for each in found.service_endpoint_policies] == [made.id]
    assert [each.id for each in policies.get(GROUP, "kept").subnets] == [found.id]
    assert refusal(lambda: policies.begin_delete(GROUP, "kept").result()) == (
        400,
        "ServiceEndpointPolicyCannotBeDeletedIfReferencedBySubnet",
    )
    # Without the endpoint there is nothing for the policy to be about.
    found.service_endpoints = []
    assert refusal(lambda: subnets.begin_create_or_update(GROUP, "home", "with", found).result()) == (
        400,
        "InvalidRequestFormat",
    )
    other = part("without", addressPrefix="10.0.1.0/24", serviceEndpointPolicies=[{"id": made.id}])
    assert refusal(lambda: subnets.begin_create_or_update(GROUP, "home", "without", other).result()) == (
        400,
        "InvalidRequestFormat",
    )
    missing = part("with", addressPrefix="10.0.0.0/24", serviceEndpointPolicies=[
        reference(cloud, GROUP, "serviceEndpointPolicies/nobody")])  # fmt: skip
    assert refusal(lambda: subnets.begin_create_or_update(GROUP, "home", "with", missing).result()) == (
        400,
        "InvalidResourceReference",
    )
    bare = part("with", addressPrefix="10.0.0.0/24")
    subnets.begin_create_or_update(GROUP, "home", "with", bare).result()
    policies.begin_delete(GROUP, "kept").result()


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"service": "Microsoft.Sql"}, "UnsupportedProperty"),
        ({"service": "Global", "serviceResources": ["/services/Azure"]}, "UnsupportedProperty"),
        ({"serviceResources": []}, "InvalidRequestFormat"),
        ({"serviceResources": ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/x"]},
         "InvalidRequestFormat"),
        ({"serviceResources": ["storageAccounts/x"]}, "InvalidRequestFormat"),
        ({"description": "x" * 141}, "InvalidRequestFormat"),
        ({"misspelt": 1}, "InvalidRequestFormat"),
    ],
)  # fmt: skip
def test_definitions_that_are_refused(properties: dict[str, Any], code: str, cloud: Cloud, scope: str) -> None:
    policies: Any = cloud.network.service_endpoint_policies
    body = located(serviceEndpointPolicyDefinitions=[definition("d", scope, **properties)])
    assert refusal(lambda: policies.begin_create_or_update(GROUP, "bad", body).result()) == (400, code)


def test_two_definitions_of_one_name_are_refused(cloud: Cloud, scope: str) -> None:
    policies: Any = cloud.network.service_endpoint_policies
    body = located(serviceEndpointPolicyDefinitions=[definition("d", scope), definition("D", scope)])
    assert refusal(lambda: policies.begin_create_or_update(GROUP, "bad", body).result()) == (
        400,
        "InvalidRequestFormat",
    )


def refusal(act: Any) -> tuple[int | None, str | None]:
    with pytest.raises(HttpResponseError) as refused:
        act()
    error = refused.value.error
    return refused.value.status_code, error.code if error else None
