"""Error codes of private endpoints and service endpoint policies, each got through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.mgmt.storage import StorageManagementClient

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import Row, located, part, reference, refusal_of

GROUP, ACCOUNT = "error-services", "errorsacct"


def put(cloud: Cloud, *parts: str, name: str = "new") -> Any:
    """Write a private endpoint of the account."""
    place = f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}/providers"
    account = f"{place}/Microsoft.Storage/storageAccounts/{ACCOUNT}"
    link = part("c", privateLinkServiceId=account, groupIds=list(parts))
    subnet = reference(cloud, GROUP, "virtualNetworks/v/subnets/s")
    body = located(subnet=subnet, privateLinkServiceConnections=[link], customNetworkInterfaceName=f"{name}-nic")
    return cloud.network.private_endpoints.begin_create_or_update(GROUP, name, body)


def own_nic(cloud: Cloud) -> Any:
    """Write the NIC of the endpoint that there is."""
    nic = cloud.network.network_interfaces.get(GROUP, "made-nic")
    return cloud.network.network_interfaces.begin_create_or_update(GROUP, "made-nic", nic)


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """A network whose subnet s has an endpoint and a policy, an account, and a private endpoint of it."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    policies: Any = cloud.network.service_endpoint_policies
    policy = policies.begin_create_or_update(GROUP, "policy", located()).result().id
    endpoints = [{"service": "Microsoft.Storage"}]
    own = {"addressPrefix": "10.0.0.0/24", "serviceEndpoints": endpoints, "serviceEndpointPolicies": [{"id": policy}]}
    body = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[part("s", **own)])
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "v", body).result()
    access = cloud.access
    storage: Any = StorageManagementClient(access.credential(), access.subscription, **access.options())
    account = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "local"}
    storage.storage_accounts.begin_create(GROUP, ACCOUNT, account).result()
    put(cloud, "blob", name="made").result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


ROWS = [
    Row("OnlyOneGroupIdPermitted", 400, "two parts of an account", lambda c: put(c, "blob", "queue")),
    Row("PropertyChangeNotAllowed", 409, "another part", lambda c: put(c, "queue", name="made")),
    Row("CannotModifyNicAttachedToPrivateEndpoint", 400, "an endpoint's NIC", own_nic),
    Row(
        "NicInUse", 400, "an endpoint's NIC",
        lambda c: c.network.network_interfaces.begin_delete(GROUP, "made-nic"),
    ),
    Row(
        "InUseSubnetCannotBeDeleted", 400, "a subnet with a private endpoint",
        lambda c: c.network.subnets.begin_delete(GROUP, "v", "s"),
    ),
    Row(
        "ServiceEndpointPolicyCannotBeDeletedIfReferencedBySubnet", 400, "a policy that a subnet has",
        lambda c: c.network.service_endpoint_policies.begin_delete(GROUP, "policy"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_services(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)
