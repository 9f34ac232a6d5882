"""Programs inside a VM: a token from IMDS, and the resource manager at the address that Azure's SDKs have built in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud

LISTS_NICS = """
import json, sys
from azure.identity import ManagedIdentityCredential
from azure.mgmt.network import NetworkManagementClient
credential = ManagedIdentityCredential(**json.loads(sys.argv[2]))
network = NetworkManagementClient(credential, sys.argv[1], connection_verify="/etc/podvnet/ca.pem")
print(json.dumps([nic.name for nic in network.network_interfaces.list("rg")]))
"""
TOKEN = "http://169.254.169.254/metadata/identity/oauth2/token"
ARM = "https://management.azure.com/"
MACHINE = "rg..worker"
CURL_TIMED_OUT = 28
MSI = "2023-01-31"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.fixture(scope="module", autouse=True)
def worker(cloud: Cloud) -> Iterator[None]:
    """A VM without an identity."""
    body: Any = {
        "location": "local",
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.60.0.0/16"]},
            # The resource manager is met on the internet.
            "subnets": [{"name": "s", "properties": {"addressPrefix": "10.60.1.0/24", "defaultOutboundAccess": True}}],
        },
    }
    network = cloud.network.virtual_networks.begin_create_or_update("rg", "identity", body).result()
    assert network.subnets
    subnet = {"id": network.subnets[0].id}
    configurations = [{"name": "primary", "properties": {"primary": True, "subnet": subnet}}]
    configurations += [{"name": "pod", "properties": {"subnet": subnet}}]
    nic = cloud.network.network_interfaces.begin_create_or_update(
        "rg",
        "worker",
        {"location": "local", "properties": {"ipConfigurations": configurations}},  # type: ignore[call-overload]
    ).result()
    give(cloud, None, nic.id)
    yield
    cloud.compute.virtual_machines.begin_delete("rg", "worker").result()
    cloud.network.network_interfaces.begin_delete("rg", "worker").result()
    cloud.network.virtual_networks.begin_delete("rg", "identity").result()


def give(cloud: Cloud, identity: dict[str, Any] | None, nic: str | None = None) -> Any:
    """Put the VM with an identity."""
    nic = nic or cloud.network.network_interfaces.get("rg", "worker").id
    body: Any = {"location": "local", "properties": {"networkProfile": {"networkInterfaces": [{"id": nic}]}}}
    body |= {"identity": identity} if identity else {}
    return cloud.compute.virtual_machines.begin_create_or_update("rg", "worker", body).result()


def ask(cloud: Cloud, query: str, *, path: str = TOKEN) -> tuple[int, dict[str, str]]:
    """Ask IMDS from inside the VM."""
    done = cloud.lab.inside(MACHINE, "curl", "-s", "-H", "Metadata: true", "-w", "\n%{http_code}", f"{path}?{query}")
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def nics_seen(cloud: Cloud, **identity: str) -> list[str]:
    """The NICs that the SDK lists inside the VM, logged in as one of its identities."""
    program = (sys.executable, "-c", LISTS_NICS, cloud.access.subscription, json.dumps(identity))
    found: list[str] = json.loads(cloud.lab.inside(MACHINE, *program).stdout)
    return found


def test_a_vm_without_an_identity_gets_no_token(cloud: Cloud) -> None:
    give(cloud, {"type": "None"})
    assert ask(cloud, f"api-version=2018-02-01&resource={ARM}") == (
        400,
        {"error": "invalid_request", "error_description": "Identity not found"},
    )
    program = (sys.executable, "-c", LISTS_NICS, cloud.access.subscription, "{}")
    refused = cloud.lab.inside(MACHINE, *program, check=False)
    assert refused.returncode == 1
    assert "CredentialUnavailableError" in refused.stderr
    assert "Identity not found" in refused.stderr


def test_the_sdk_inside_a_vm_lists_nics_as_the_vm(cloud: Cloud) -> None:
    machine = give(cloud, {"type": "SystemAssigned"})
    assert machine.identity.type == "SystemAssigned"
    assert machine.identity.tenant_id == cloud.access.tenant
    status, token = ask(cloud, f"api-version=2018-02-01&resource={ARM}&object_id={machine.identity.principal_id}")
    assert status == 200
    assert set(token) == {
        "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource",
        "token_type",
    }  # fmt: skip
    assert all(isinstance(value, str) for value in token.values())
    assert (token["resource"], token["token_type"]) == (ARM, "Bearer")
    assert int(token["expires_on"]) - int(token["not_before"]) == int(token["expires_in"])
    assert "worker" in nics_seen(cloud)


def test_a_vm_is_one_of_its_user_assigned_identities(cloud: Cloud) -> None:
    made = {}
    for name in ("blue", "green"):
        identity = f"/subscriptions/{cloud.access.subscription}/resourceGroups/rg/providers/{IDENTITY}/{name}"
        body: Any = {"location": "local"}
        resource = cloud.resources.resources.begin_create_or_update_by_id(identity, body, api_version=MSI).result()
        assert isinstance(resource.properties, dict)
        made[name] = (resource.id, resource.properties["clientId"])
    machine = give(cloud, {"type": "UserAssigned", "userAssignedIdentities": {each: {} for each, _ in made.values()}})
    assert {each.client_id for each in machine.identity.user_assigned_identities.values()} == {
        client for _, client in made.values()
    }
    status, refused = ask(cloud, f"api-version=2018-02-01&resource={ARM}")
    assert (status, refused["error"]) == (400, "invalid_request")
    assert "please specify the clientId" in refused["error_description"]
    assert "worker" in nics_seen(cloud, client_id=made["blue"][1])
    cloud.resources.resources.begin_delete_by_id(str(made["blue"][0]), api_version=MSI).result()
    status, refused = ask(cloud, f"api-version=2018-02-01&resource={ARM}&client_id={made['blue'][1]}")
    assert (status, refused["error_description"]) == (400, "Identity not found")
    give(cloud, {"type": "None"})
    cloud.resources.resources.begin_delete_by_id(str(made["green"][0]), api_version=MSI).result()


def test_a_token_ends_with_its_identity(cloud: Cloud) -> None:
    give(cloud, {"type": "SystemAssigned"})
    _, token = ask(cloud, f"api-version=2018-02-01&resource={ARM}")
    asks = (
        "curl", "-s", "--cacert", "/etc/podvnet/ca.pem", "-H", f"Authorization: Bearer {token['access_token']}",
        f"{ARM}subscriptions?api-version=2022-12-01",
    )  # fmt: skip
    found = json.loads(cloud.lab.inside(MACHINE, *asks).stdout)
    assert [each["subscriptionId"] for each in found["value"]] == [cloud.access.subscription]
    give(cloud, {"type": "None"})
    refused = json.loads(cloud.lab.inside(MACHINE, *asks).stdout)
    assert refused["error"]["code"] == "InvalidAuthenticationToken"


def test_info_tells_the_tenant(cloud: Cloud) -> None:
    path = "http://169.254.169.254/metadata/identity/info"
    assert ask(cloud, "api-version=2018-02-01", path=path) == (200, {"tenantId": cloud.access.tenant})


def test_a_pod_gets_no_token(cloud: Cloud) -> None:
    give(cloud, {"type": "SystemAssigned"})
    pod = cloud.lab.run_pod("identity-pod", MACHINE)
    asks = ("curl", "-s", "-m", "2", "-H", "Metadata: true", f"{TOKEN}?api-version=2018-02-01&resource={ARM}")
    assert "access_token" in cloud.lab.inside(MACHINE, *asks).stdout
    unanswered = cloud.lab.inside(MACHINE, "nsenter", f"--net={pod.sandbox}", *asks, check=False)
    assert (unanswered.returncode, unanswered.stdout) == (CURL_TIMED_OUT, "")
    cloud.lab.delete_pod("identity-pod")
