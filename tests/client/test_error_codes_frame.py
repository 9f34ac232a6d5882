"""Error codes of tokens, subscriptions, resource groups, providers and deployments, each got through the SDK."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.identity.tokens import load_key
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.refusal import Row, located, refusal_of

GROUP = "error-frame"
ELSEWHERE = "11111111-1111-1111-1111-111111111111"


class FixedToken:
    """A credential that has one token, good or bad."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


def token(cloud: Cloud, **changes: Any) -> str:
    """A token that the fabric's own key signs, with some claims changed."""
    now = int(time.time())
    claims = {
        "aud": cloud.access.endpoint, "iss": f"{cloud.access.endpoint}/{TENANT}/v2.0", "nbf": now, "exp": now + 600,
        "appid": cloud.access.client, "oid": "o", "tid": TENANT,
    }  # fmt: skip
    key = load_key(Path(os.environ["PODVNET_STATE"]) / "fabric" / "identity" / "token.key")
    return jwt.encode(claims | changes, key, algorithm="RS256")


def with_token(text: Callable[[Cloud], str]) -> Callable[[Cloud], Any]:
    """List the networks with a token."""

    def act(cloud: Cloud) -> Any:
        options = cloud.access.options()
        return NetworkManagementClient(
            FixedToken(text(cloud)), cloud.access.subscription, **options
        ).virtual_networks.list(GROUP)  # fmt: skip

    return act


def without_header(cloud: Cloud) -> Any:
    nothing: Any = SansIOHTTPPolicy()
    return NetworkManagementClient(
        FixedToken(""), cloud.access.subscription, authentication_policy=nothing, **cloud.access.options()
    ).virtual_networks.list(GROUP)


def client(cloud: Cloud, subscription: str = "", **options: Any) -> NetworkManagementClient:
    subscription = subscription or cloud.access.subscription
    return NetworkManagementClient(cloud.access.credential(), subscription, **cloud.access.options(), **options)


def generic(cloud: Cloud, namespace: str, kind: str) -> Any:
    """Make a resource of any type."""
    resources = ResourceManagementClient(
        cloud.access.credential(), cloud.access.subscription, **cloud.access.options()
    ).resources
    body: Any = {"location": "local", "properties": {}}
    return resources.begin_create_or_update(GROUP, namespace, "", kind, "x", body, api_version="2024-05-01")


def deploy(cloud: Cloud, *resources: Any, **parts: Any) -> Any:
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": list(resources),
    }  # fmt: skip
    body: Any = {"properties": {"mode": "Incremental", "template": template | parts}}
    return deployments(cloud).begin_create_or_update(GROUP, "d", body)


def deployments(cloud: Cloud) -> Any:
    return DeploymentsMgmtClient(
        cloud.access.credential(), cloud.access.subscription, **cloud.access.options()
    ).deployments


def network(cloud: Cloud, body: Any) -> Any:
    return cloud.network.virtual_networks.begin_create_or_update(GROUP, "v", body)


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


NETWORK = {"type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "n", "location": "local"}

ROWS = [
    Row("AuthenticationFailed", 401, "no header", without_header),
    Row("AuthenticationFailedMissingToken", 401, "a header without token", with_token(lambda _: "")),
    Row("InvalidAuthenticationToken", 401, "no token at all", with_token(lambda _: "not.a.token")),
    Row("ExpiredAuthenticationToken", 401, "a token of yesterday", with_token(lambda c: token(c, exp=1))),
    Row("InvalidAuthenticationTokenTenant", 401, "another issuer", with_token(lambda c: token(c, iss="https://x.y"))),
    Row("InvalidAuthenticationTokenAudience", 401, "for others", with_token(lambda c: token(c, aud="https://x.y"))),
    Row(
        "AuthorizationFailed", 403, "a reader that writes",
        lambda c: cloud_for(c.lab, access_for("--reader")).network.virtual_networks.begin_delete(GROUP, "v"),
    ),
    Row("InvalidSubscriptionId", 400, "no GUID", lambda c: client(c, "mine").virtual_networks.list_all()),
    Row("SubscriptionNotFound", 404, "an unknown one", lambda c: client(c, ELSEWHERE).virtual_networks.list_all()),
    Row("ResourceGroupNotFound", 404, "no such group", lambda c: c.network.virtual_networks.list("none")),
    Row("ResourceNotFound", 404, "no such network", lambda c: c.network.virtual_networks.get(GROUP, "none")),
    Row("InvalidResourceType", 404, "an unknown type", lambda c: generic(c, "Microsoft.Network", "nothings")),
    Row("InvalidResourceNamespace", 404, "an unknown provider", lambda c: generic(c, "Microsoft.Nothing", "things")),
    Row(
        "MissingApiVersionParameter", 400, "no version",
        lambda c: c.network.virtual_networks.get(GROUP, "v", params={"api-version": ""}),
    ),
    Row(
        "InvalidApiVersionParameter", 400, "a version of 2014",
        lambda c: c.network.virtual_networks.get(GROUP, "v", params={"api-version": "2014-01-01"}),
    ),
    Row("InvalidRequestContent", 400, "half a body", lambda c: network(c, io.BytesIO(b'{"location":'))),
    Row("InvalidRequestFormat", 400, "a list for a text", lambda c: network(c, {"location": [], "properties": {}})),
    Row("LocationRequired", 400, "no region", lambda c: network(c, {"properties": {}})),
    Row(
        "InvalidResourceGroupLocation", 409, "a group that moves",
        lambda c: c.resources.resource_groups.create_or_update(GROUP, {"location": "westus"}),
    ),
    Row("DeploymentNotFound", 404, "no such deployment", lambda c: deployments(c).get(GROUP, "none")),
    Row("InvalidTemplate", 400, "a parameter without value", lambda c: deploy(c, parameters={"p": {"type": "int"}})),
    Row(
        "InvalidTemplateDeployment", 400, "a type nobody knows",
        lambda c: deploy(c, NETWORK | {"type": "Microsoft.Network/nothings"}),
    ),
    # The deployment is accepted; what becomes of it stands in the status of the operation, which is found (200).
    Row(
        "DeploymentFailed", 200, "a resource that is refused",
        lambda c: deploy(c, NETWORK | {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.1/8"]}}}),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_the_frame(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)


def test_a_put_that_meets_another_etag_says_so_in_its_details(cloud: Cloud) -> None:
    """Recorded: the code says less than its one detail does."""
    made = network(cloud, located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]})).result()
    groups: list[Any] = []

    def act(again: Cloud) -> Any:
        return again.network.virtual_networks.begin_create_or_update(
            GROUP, "v", located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}),
            headers={"If-Match": 'W/"invalid"'}, raw_response_hook=groups.append,
        )  # fmt: skip

    assert refusal_of(act, cloud) == ("PreconditionFailed", 412)
    error = groups[0].http_response.json()["error"]
    assert error["message"] == "Precondition failed."
    said = f'Etag provided in if-match header W/"invalid" does not match etag {made.etag} of resource {made.id}.'
    found = [(each["code"], each["message"]) for each in error["details"]]
    assert found == [("PreconditionFailedEtagMismatch", said)]
