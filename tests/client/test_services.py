"""Storage accounts and Sql servers through their real management SDKs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.sql import SqlManagementClient
from azure.mgmt.storage import StorageManagementClient

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, part, reference

GROUP = "services"
PASSWORD = "Correct-horse-7"


@pytest.fixture(scope="module")
def storage(cloud: Cloud) -> Any:
    return StorageManagementClient(cloud.access.credential(), cloud.access.subscription, **cloud.access.options())


@pytest.fixture(scope="module")
def sql(cloud: Cloud) -> Any:
    return SqlManagementClient(cloud.access.credential(), cloud.access.subscription, **cloud.access.options())


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud, storage: Any, sql: Any) -> Iterator[None]:
    """A network with the subnets with, which has endpoints, and without; an account and a server."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    services = [{"service": "Microsoft.Storage"}, {"service": "Microsoft.Sql"}]
    subnets = [
        part("with", addressPrefix="10.0.0.0/24", serviceEndpoints=services),
        part("without", addressPrefix="10.0.1.0/24"),
    ]
    body = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=subnets)
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "home", body).result()
    account: Any = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "local", "tags": {"a": "b"}}
    made = storage.storage_accounts.begin_create(GROUP, "clientacct", account).result()
    assert made.provisioning_state == "Succeeded"
    server: Any = located(administratorLogin="boss", administratorLoginPassword=PASSWORD)
    assert sql.servers.begin_create_or_update(GROUP, "client-sql", server).result().state == "Ready"
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def subnet(cloud: Cloud, name: str) -> str:
    found: str = reference(cloud, GROUP, f"virtualNetworks/home/subnets/{name}")["id"]
    return found


def test_an_account_is_as_it_is_shown(storage: Any) -> None:
    found = storage.storage_accounts.get_properties(GROUP, "clientacct")
    assert (found.sku.name, found.sku.tier, found.kind, found.tags) == (
        "Standard_LRS",
        "Standard",
        "StorageV2",
        {"a": "b"},
    )
    assert found.primary_endpoints.blob == "https://clientacct.blob.core.windows.net/"
    assert found.primary_endpoints.queue == "https://clientacct.queue.core.windows.net/"
    assert found.primary_endpoints.table == "https://clientacct.table.core.windows.net/"
    assert (found.network_rule_set.default_action, found.network_rule_set.bypass) == ("Allow", "AzureServices")
    assert found.public_network_access == "Enabled"
    assert found.id in [each.id for each in storage.storage_accounts.list()]
    assert found.id in [each.id for each in storage.storage_accounts.list_by_resource_group(GROUP)]


def test_its_keys_stay_what_they_are(storage: Any) -> None:
    keys = {each.key_name: each.value for each in storage.storage_accounts.list_keys(GROUP, "clientacct").keys_property}
    assert keys.keys() == {"key1", "key2"}
    storage.storage_accounts.update(GROUP, "clientacct", {"tags": {"a": "c"}})
    again = storage.storage_accounts.list_keys(GROUP, "clientacct").keys_property
    assert {each.key_name: each.value for each in again} == keys
    with pytest.raises(ResourceNotFoundError):
        storage.storage_accounts.list_keys(GROUP, "nobody")


@pytest.mark.parametrize(
    ("name", "free", "reason"),
    [("freeacct", True, None), ("clientacct", False, "AlreadyExists"), ("Not-A-Name", False, "AccountNameInvalid")],
)
def test_whether_a_name_is_free(name: str, free: bool, reason: str | None, storage: Any) -> None:
    found = storage.storage_accounts.check_name_availability(
        {"name": name, "type": "Microsoft.Storage/storageAccounts"}
    )
    assert (found.name_available, found.reason) == (free, reason)


def test_whether_the_name_of_a_server_is_free(sql: Any) -> None:
    for name, free in (("other-sql", True), ("client-sql", False)):
        found = sql.servers.check_name_availability({"name": name, "type": "Microsoft.Sql/servers"})
        assert (found.name, found.available) == (name, free)


def test_the_firewall_of_an_account(cloud: Cloud, storage: Any) -> None:
    rules: Any = {
        "defaultAction": "Deny",
        "virtualNetworkRules": [{"id": subnet(cloud, "with"), "action": "Allow"}],
        "ipRules": [{"value": "198.51.100.7", "action": "Allow"}, {"value": "203.0.113.0/28"}],
    }
    found = storage.storage_accounts.update(GROUP, "clientacct", {"properties": {"networkAcls": rules}})
    shown = found.network_rule_set
    assert shown.default_action == "Deny"
    assert [(each.virtual_network_resource_id, each.state) for each in shown.virtual_network_rules] == [
        (subnet(cloud, "with"), "Succeeded")
    ]
    assert [each.ip_address_or_range for each in shown.ip_rules] == ["198.51.100.7", "203.0.113.0/28"]
    assert found.tags


BAD_RULES: list[tuple[str, dict[str, Any], str]] = [
    ("subnet without endpoint", {"virtualNetworkRules": ["without"]}, "NetworkAclsValidationFailure"),
    ("no subnet", {"virtualNetworkRules": ["nowhere"]}, "NetworkAclsValidationFailure"),
    ("private", {"ipRules": [{"value": "10.0.0.4"}]}, "InvalidValuesForRequestParameters"),
    ("too small", {"ipRules": [{"value": "198.51.100.6/31"}]}, "InvalidValuesForRequestParameters"),
    ("no address", {"ipRules": [{"value": "here"}]}, "InvalidValuesForRequestParameters"),
    ("more than it can", {"resourceAccessRules": [{"tenantId": "t"}]}, "UnsupportedProperty"),
]


@pytest.mark.parametrize(("_case", "rules", "code"), BAD_RULES, ids=[row[0] for row in BAD_RULES])
def test_rules_that_an_account_refuses(
    _case: str, rules: dict[str, Any], code: str, cloud: Cloud, storage: Any
) -> None:
    named = [{"id": subnet(cloud, each)} for each in rules.get("virtualNetworkRules", [])]
    wanted: Any = {"properties": {"networkAcls": rules | {"virtualNetworkRules": named, "defaultAction": "Deny"}}}
    with pytest.raises(HttpResponseError) as refused:
        storage.storage_accounts.update(GROUP, "clientacct", wanted)
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (400, code)


def test_the_rules_of_a_server(cloud: Cloud, sql: Any) -> None:
    rule = sql.virtual_network_rules.begin_create_or_update(
        GROUP, "client-sql", "with", {"properties": {"virtualNetworkSubnetId": subnet(cloud, "with")}}
    ).result()
    assert (rule.name, rule.state, rule.virtual_network_subnet_id) == ("with", "Ready", subnet(cloud, "with"))
    own: Any = {"properties": {"virtualNetworkSubnetId": subnet(cloud, "without")}}
    with pytest.raises(HttpResponseError) as refused:
        sql.virtual_network_rules.begin_create_or_update(GROUP, "client-sql", "without", own)
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (400, "VirtualNetworkRuleBadRequest")
    own["properties"]["ignoreMissingVnetServiceEndpoint"] = True
    early = sql.virtual_network_rules.begin_create_or_update(GROUP, "client-sql", "without", own).result()
    assert early.state == "Initializing"
    azure = sql.firewall_rules.create_or_update(
        GROUP,
        "client-sql",
        "AllowAllWindowsAzureIps",
        {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}},
    )
    assert (azure.start_ip_address, azure.end_ip_address) == ("0.0.0.0", "0.0.0.0")
    # A write of the server says nothing of them, and leaves them.
    sql.servers.begin_update(GROUP, "client-sql", {"properties": {"publicNetworkAccess": "Enabled"}}).result()
    listed = sql.virtual_network_rules.list_by_server(GROUP, "client-sql")
    assert sorted(each.name for each in listed) == ["with", "without"]
    sql.virtual_network_rules.begin_delete(GROUP, "client-sql", "without").result()
    sql.firewall_rules.delete(GROUP, "client-sql", "AllowAllWindowsAzureIps")
    assert list(sql.firewall_rules.list_by_server(GROUP, "client-sql")) == []
    with pytest.raises(ResourceNotFoundError):
        sql.virtual_network_rules.get(GROUP, "client-sql", "without")


BAD_SERVERS: list[tuple[str, dict[str, Any], str]] = [
    ("password", {"administratorLogin": "boss", "administratorLoginPassword": "simple"}, "PasswordNotComplex"),
    ("login", {"administratorLogin": "sa", "administratorLoginPassword": PASSWORD}, "InvalidParameterValue"),
    ("no login", {"administratorLoginPassword": PASSWORD}, "InvalidParameterValue"),
    (
        "version",
        {"administratorLogin": "boss", "administratorLoginPassword": PASSWORD, "version": "2.0"},
        "UnsupportedProperty",
    ),
]


@pytest.mark.parametrize(("_case", "properties", "code"), BAD_SERVERS, ids=[row[0] for row in BAD_SERVERS])
def test_servers_that_are_refused(_case: str, properties: dict[str, Any], code: str, sql: Any) -> None:
    with pytest.raises(HttpResponseError) as refused:
        sql.servers.begin_create_or_update(GROUP, "bad-sql", located(**properties))
    assert refused.value.error is not None
    assert refused.value.error.code == code


def test_a_server_is_as_it_is_shown(sql: Any) -> None:
    found = sql.servers.get(GROUP, "client-sql")
    assert found.fully_qualified_domain_name == "client-sql.database.windows.net"
    assert (found.administrator_login, found.administrator_login_password) == ("boss", None)
    assert found.id in [each.id for each in sql.servers.list()]
    with pytest.raises(HttpResponseError) as refused:
        sql.databases.begin_create_or_update(GROUP, "client-sql", "d", located())
    assert refused.value.error is not None
    assert refused.value.error.code == "InvalidResourceType"


def test_names_are_unique_in_all_groups_and_deletions_are_done_at_once(cloud: Cloud, storage: Any) -> None:
    account: Any = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "local"}
    with pytest.raises(HttpResponseError) as refused:
        storage.storage_accounts.begin_create("rg", "clientacct", account)
    assert refused.value.error is not None
    assert (refused.value.status_code, refused.value.error.code) == (409, "StorageAccountAlreadyTaken")
    assert storage.storage_accounts.begin_create("rg", "otheracct", account).result().name == "otheracct"
    storage.storage_accounts.delete("rg", "otheracct")
    storage.storage_accounts.delete("rg", "otheracct")
    assert "otheracct" not in [each.name for each in storage.storage_accounts.list()]
