"""Private endpoints through the real SDK: their NICs, zone groups and back-references, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.privatedns import PrivateDnsManagementClient
from azure.mgmt.sql import SqlManagementClient
from azure.mgmt.storage import StorageManagementClient

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, part, reference

GROUP, ACCOUNT, SERVER = "private-ends", "endacct", "end-sql"
HOST = f"{ACCOUNT}.blob.core.windows.net"
ZONE = "privatelink.blob.core.windows.net"


class Stage:
    """The SDK's clients, and ids of what endpoints lead to."""

    def __init__(self, cloud: Cloud) -> None:
        access = cloud.access
        arguments, options = (access.credential(), access.subscription), access.options()
        self.cloud = cloud
        self.network: Any = cloud.network
        self.storage: Any = StorageManagementClient(*arguments, **options)
        self.sql: Any = SqlManagementClient(*arguments, **options)
        self.dns: Any = PrivateDnsManagementClient(*arguments, **options)
        place = f"/subscriptions/{access.subscription}/resourceGroups/{GROUP}/providers"
        self.account = f"{place}/Microsoft.Storage/storageAccounts/{ACCOUNT}"
        self.server = f"{place}/Microsoft.Sql/servers/{SERVER}"

    def subnet(self, name: str = "ends") -> dict[str, str]:
        return reference(self.cloud, GROUP, f"virtualNetworks/home/subnets/{name}")

    def body(self, service: str = "", groups: tuple[str, ...] = ("blob",), **more: Any) -> Any:
        """An endpoint's body."""
        link = part("c", privateLinkServiceId=service or self.account, groupIds=list(groups))
        return located(**{"subnet": self.subnet(), "privateLinkServiceConnections": [link]} | more)

    def put(self, name: str, body: Any) -> Any:
        return self.network.private_endpoints.begin_create_or_update(GROUP, name, body).result()

    def group(self, *zones: str) -> Any:
        """A zone group's body."""
        configs = [part(zone.split(".")[1], privateDnsZoneId=self.zone(zone)) for zone in zones]
        return {"properties": {"privateDnsZoneConfigs": configs}}

    def zone(self, name: str) -> str:
        return reference(self.cloud, GROUP, f"privateDnsZones/{name}")["id"]

    def record(self) -> Any:
        return self.dns.record_sets.get(GROUP, ZONE, "A", ACCOUNT)


@pytest.fixture(scope="module")
def stage(cloud: Cloud) -> Iterator[Stage]:
    """A network with the subnets ends and taken, an account, a server, and a zone."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    subnets = [
        part("ends", addressPrefix="10.0.0.0/24"),
        part("taken", addressPrefix="10.0.1.0/24", delegations=[part("d", serviceName="Microsoft.Web/serverFarms")]),
        # What once could not be together: see "Support for private endpoints on subnets with service endpoints".
        part("both", addressPrefix="10.0.2.0/24", serviceEndpoints=[{"service": "Microsoft.Storage"}]),
    ]
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    body = located(addressSpace=space, subnets=subnets)
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "home", body).result()
    made = Stage(cloud)
    account: Any = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "local"}
    made.storage.storage_accounts.begin_create(GROUP, ACCOUNT, account).result()
    server = located(administratorLogin="boss", administratorLoginPassword="Correct-horse-7")
    made.sql.servers.begin_create_or_update(GROUP, SERVER, server).result()
    made.dns.private_zones.begin_create_or_update(GROUP, ZONE, {"location": "global"}).result()
    yield made
    cloud.resources.resource_groups.begin_delete(GROUP).result()


@pytest.fixture
def endpoint(stage: Stage) -> Iterator[Any]:
    """An endpoint of the account's blobs."""
    yield stage.put("blob", stage.body())
    stage.network.private_endpoints.begin_delete(GROUP, "blob").result()


def test_an_endpoint_is_as_it_is_shown(stage: Stage, endpoint: Any) -> None:
    assert (endpoint.type, endpoint.provisioning_state) == ("Microsoft.Network/privateEndpoints", "Succeeded")
    (link,) = endpoint.private_link_service_connections
    assert (link.name, link.private_link_service_id, link.group_ids) == ("c", stage.account, ["blob"])
    state = link.private_link_service_connection_state
    assert (state.status, state.description, state.actions_required) == ("Approved", "Auto-Approved", "None")
    assert endpoint.subnet.id == stage.subnet()["id"]
    assert [(each.fqdn, each.ip_addresses) for each in endpoint.custom_dns_configs] == [(HOST, ["10.0.0.4"])]
    assert "privateDnsZoneGroups" not in endpoint.as_dict()["properties"]
    ends = stage.network.private_endpoints
    assert ends.get(GROUP, "blob").as_dict() == endpoint.as_dict()
    assert [each.name for each in ends.list(GROUP)] == ["blob"]
    assert endpoint.id in [each.id for each in ends.list_by_subscription()]
    # What was read can be written.
    assert stage.put("blob", endpoint).as_dict() == endpoint.as_dict()


def test_it_has_a_nic_of_its_own_that_nobody_else_writes(stage: Stage, endpoint: Any) -> None:
    (reference_,) = endpoint.network_interfaces
    name = reference_.id.rsplit("/", 1)[1]
    nics = stage.network.network_interfaces
    nic = nics.get(GROUP, name)
    assert name.startswith("blob.nic.")
    assert nic.private_endpoint.id == endpoint.id
    (config,) = nic.ip_configurations
    assert (config.private_ip_address, config.subnet.id) == ("10.0.0.4", stage.subnet()["id"])
    link = config.private_link_connection_properties
    assert (link.group_id, link.required_member_name, link.fqdns) == ("blob", "blob", [HOST])
    subnet = stage.network.subnets.get(GROUP, "home", "ends")
    assert [each.id for each in subnet.private_endpoints] == [endpoint.id]
    assert [each.id for each in subnet.ip_configurations] == [config.id]
    assert refusal(lambda: nics.begin_delete(GROUP, name).result()) == (400, "NicInUse")
    assert refusal(lambda: nics.begin_create_or_update(GROUP, name, nic).result()) == (
        400,
        "CannotModifyNicAttachedToPrivateEndpoint",
    )
    profile = {"networkInterfaces": [{"id": nic.id}]}
    machine: Any = located(networkProfile=profile)
    machines: Any = stage.cloud.compute.virtual_machines
    assert refusal(lambda: machines.begin_create_or_update(GROUP, "vm", machine).result()) == (400, "NicInUse")
    usage = {each.id: each.current_value for each in stage.network.virtual_networks.list_usage(GROUP, "home")}
    assert usage[stage.subnet()["id"]] == 1


def test_the_subnet_stays_as_long_as_the_endpoint_does(stage: Stage, endpoint: Any) -> None:
    assert endpoint.name == "blob"
    subnets, networks = stage.network.subnets, stage.network.virtual_networks
    assert refusal(lambda: subnets.begin_delete(GROUP, "home", "ends").result()) == (400, "InUseSubnetCannotBeDeleted")
    assert refusal(lambda: networks.begin_delete(GROUP, "home").result()) == (400, "InUseSubnetCannotBeDeleted")


def test_services_show_who_is_connected(stage: Stage, endpoint: Any) -> None:
    account = stage.storage.storage_accounts.get_properties(GROUP, ACCOUNT)
    (connection,) = account.private_endpoint_connections
    assert connection.private_endpoint.id == endpoint.id
    assert connection.private_link_service_connection_state.status == "Approved"
    # The account as it was read can be written.
    stage.storage.storage_accounts.update(GROUP, ACCOUNT, {"properties": {"publicNetworkAccess": "Enabled"}})
    stage.put("sql", stage.body(stage.server, ("sqlServer",)))
    (connection,) = stage.sql.servers.get(GROUP, SERVER).private_endpoint_connections
    assert connection.id.startswith(f"{stage.server}/privateEndpointConnections/sql.")
    stage.network.private_endpoints.begin_delete(GROUP, "sql").result()
    assert not stage.sql.servers.get(GROUP, SERVER).private_endpoint_connections


def test_its_address_and_the_name_of_its_nic_can_be_chosen(stage: Stage) -> None:
    fixed = [part("fixed", groupId="blob", memberName="blob", privateIPAddress="10.0.0.77")]
    body = stage.body(ipConfigurations=fixed, customNetworkInterfaceName="blob-nic")
    made = stage.put("chosen", body)
    assert [each.private_ip_address for each in made.ip_configurations] == ["10.0.0.77"]
    nic = stage.network.network_interfaces.get(GROUP, "blob-nic")
    assert nic.ip_configurations[0].private_ip_allocation_method == "Static"
    # A dynamic one keeps what it has.
    stage.put("chosen", stage.body(customNetworkInterfaceName="blob-nic"))
    nic = stage.network.network_interfaces.get(GROUP, "blob-nic")
    assert (nic.ip_configurations[0].private_ip_address, nic.ip_configurations[0].private_ip_allocation_method) == (
        "10.0.0.77",
        "Dynamic",
    )
    assert refusal(lambda: stage.put("second", stage.body(ipConfigurations=fixed))) == (400, "PrivateIPAddressInUse")
    config = part("c", subnet=stage.subnet(), privateIPAllocationMethod="Static", privateIPAddress="10.0.0.77")
    nics, taken = stage.network.network_interfaces, located(ipConfigurations=[config])
    assert refusal(lambda: nics.begin_create_or_update(GROUP, "nic", taken).result()) == (400, "PrivateIPAddressInUse")
    stage.network.private_endpoints.begin_delete(GROUP, "chosen").result()
    with pytest.raises(ResourceNotFoundError):
        stage.network.network_interfaces.get(GROUP, "blob-nic")


def test_an_endpoint_can_be_in_a_subnet_with_service_endpoints(stage: Stage) -> None:
    made = stage.put("both", stage.body(subnet=stage.subnet("both")))
    assert made.custom_dns_configs[0].ip_addresses == ["10.0.2.4"]
    stage.network.private_endpoints.begin_delete(GROUP, "both").result()


def test_what_an_endpoint_is_by_does_not_change(stage: Stage, endpoint: Any) -> None:
    assert endpoint.name == "blob"
    for body in (
        stage.body(groups=("queue",)),
        stage.body(stage.server, ("sqlServer",)),
        stage.body(subnet=stage.subnet("both")),
        stage.body(customNetworkInterfaceName="other"),
    ):
        assert refusal(lambda body=body: stage.put("blob", body)) == (409, "PropertyChangeNotAllowed")


def test_a_zone_group_writes_the_record_and_takes_it_out(stage: Stage, endpoint: Any) -> None:
    assert endpoint.name == "blob"
    groups = stage.network.private_dns_zone_groups
    made = groups.begin_create_or_update(GROUP, "blob", "default", stage.group(ZONE)).result()
    (config,) = made.private_dns_zone_configs
    (record,) = config.record_sets
    assert (record.record_type, record.record_set_name, record.ip_addresses) == ("A", ACCOUNT, ["10.0.0.4"])
    assert record.fqdn == f"{ACCOUNT}.{ZONE}"
    found = stage.record()
    assert ([each.ipv4_address for each in found.a_records], found.ttl) == (["10.0.0.4"], 10)
    assert found.metadata["creator"].startswith("created by private endpoint blob with resource guid ")
    assert [each.name for each in groups.list("blob", GROUP)] == ["default"]
    # The group tells it, so the endpoint does not; and a write of the endpoint leaves the group.
    assert stage.put("blob", stage.body()).custom_dns_configs == []
    assert groups.get(GROUP, "blob", "default").as_dict() == made.as_dict()
    zone = stage.dns.private_zones.get(GROUP, ZONE)
    assert zone.number_of_record_sets == 2
    stage.dns.private_zones.begin_create_or_update(GROUP, ZONE, {"location": "global", "tags": {"a": "b"}}).result()
    assert stage.record().a_records[0].ipv4_address == "10.0.0.4"
    groups.begin_delete(GROUP, "blob", "default").result()
    with pytest.raises(ResourceNotFoundError):
        stage.record()
    assert stage.network.private_endpoints.get(GROUP, "blob").custom_dns_configs[0].fqdn == HOST


def test_the_record_goes_with_the_endpoint_and_endpoints_of_one_name_share_it(stage: Stage) -> None:
    groups = stage.network.private_dns_zone_groups
    for name in ("one", "two"):
        stage.put(name, stage.body())
        groups.begin_create_or_update(GROUP, name, "default", stage.group(ZONE)).result()
    assert {each.ipv4_address for each in stage.record().a_records} == {"10.0.0.4", "10.0.0.5"}
    stage.network.private_endpoints.begin_delete(GROUP, "one").result()
    assert [each.ipv4_address for each in stage.record().a_records] == ["10.0.0.5"]
    stage.network.private_endpoints.begin_delete(GROUP, "two").result()
    with pytest.raises(ResourceNotFoundError):
        stage.record()


def test_an_endpoint_whose_service_is_deleted_is_disconnected(stage: Stage) -> None:
    account: Any = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "local"}
    gone = stage.storage.storage_accounts.begin_create(GROUP, "goneacct", account).result().id
    stage.put("orphan", stage.body(gone))
    stage.storage.storage_accounts.delete(GROUP, "goneacct")
    found = stage.network.private_endpoints.get(GROUP, "orphan")
    (link,) = found.private_link_service_connections
    assert link.private_link_service_connection_state.status == "Disconnected"
    assert stage.put("orphan", found).name == "orphan"
    stage.network.private_endpoints.begin_delete(GROUP, "orphan").result()


LINK = "privateLinkServiceConnections"
REFUSED: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [
    ("two parts", ("blob", "queue"), {}, "OnlyOneGroupIdPermitted"),
    ("a part without a stand-in", ("file",), {}, "UnsupportedProperty"),
    ("no such part", ("sqlServer",), {}, "InvalidRequestFormat"),
    ("no part", (), {}, "InvalidRequestFormat"),
    ("no connection", ("blob",), {LINK: []}, "InvalidRequestFormat"),
    ("by hand", ("blob",), {"manualPrivateLinkServiceConnections": [{"name": "m"}]}, "UnsupportedProperty"),
    ("groups of its own", ("blob",), {"applicationSecurityGroups": [{"id": "x"}]}, "UnsupportedProperty"),
    ("IPv6", ("blob",), {"ipVersionType": "IPv6"}, "UnsupportedProperty"),
    ("not in the subnet", ("blob",), {"ipConfigurations": [part("a", privateIPAddress="10.9.0.4")]},
     "PrivateIPAddressNotInSubnet"),
    ("reserved", ("blob",), {"ipConfigurations": [part("a", privateIPAddress="10.0.0.1")]},
     "PrivateIPAddressInReservedRange"),
    ("an address for another part", ("blob",),
     {"ipConfigurations": [part("a", groupId="queue", privateIPAddress="10.0.0.9")]}, "InvalidRequestFormat"),
    ("two addresses", ("blob",),
     {"ipConfigurations": [part(each, privateIPAddress=f"10.0.0.{each}") for each in ("8", "9")]},
     "InvalidRequestFormat"),
    ("misspelt", ("blob",), {"groupIds": ["blob"]}, "InvalidRequestFormat"),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "groups", "more", "code"), REFUSED, ids=[row[0] for row in REFUSED])
def test_endpoints_that_are_refused(
    _case: str, groups: tuple[str, ...], more: dict[str, Any], code: str, stage: Stage
) -> None:
    assert refusal(lambda: stage.put("bad", stage.body(groups=groups, **more))) == (400, code)


def test_endpoints_of_what_is_not_there_or_has_none_are_refused(stage: Stage) -> None:
    nobody = stage.account.replace(ACCOUNT, "nobody")
    vault = stage.account.replace("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults")
    delegated, missing = stage.subnet("taken"), stage.subnet("nowhere")
    for body, code in (
        (stage.body(nobody), "InvalidResourceReference"),
        (stage.body(vault), "UnsupportedProperty"),
        (stage.body("vaults/here"), "UnsupportedProperty"),
        (stage.body("here"), "LinkedInvalidPropertyId"),
        (stage.body(subnet=missing), "InvalidResourceReference"),
        (stage.body(subnet=delegated), "ResourceNotPermittedOnDelegatedSubnet"),
    ):
        assert refusal(lambda body=body: stage.put("bad", body)) == (400, code)


def test_zone_groups_that_are_refused(stage: Stage, endpoint: Any) -> None:
    assert endpoint.name == "blob"
    groups = stage.network.private_dns_zone_groups

    def put(name: str, body: Any) -> Any:
        return groups.begin_create_or_update(GROUP, "blob", name, body).result()

    assert refusal(lambda: put("g", stage.group("privatelink.queue.core.windows.net"))) == (
        400,
        "InvalidResourceReference",
    )
    assert refusal(lambda: put("g", stage.group())) == (400, "InvalidRequestFormat")
    assert refusal(lambda: put("g", stage.group(ZONE, ZONE))) == (400, "InvalidRequestFormat")
    put("g", stage.group(ZONE))
    assert refusal(lambda: put("h", stage.group(ZONE))) == (400, "InvalidRequestFormat")
    # A zone that is not the service's is told nothing.
    stage.dns.private_zones.begin_create_or_update(GROUP, "corp.example", {"location": "global"}).result()
    made = put("g", stage.group("corp.example"))
    assert made.private_dns_zone_configs[0].record_sets == []
    assert stage.dns.private_zones.get(GROUP, "corp.example").number_of_record_sets == 1


def refusal(act: Any) -> tuple[int | None, str | None]:
    with pytest.raises(HttpResponseError) as refused:
        act()
    error = refused.value.error
    return refused.value.status_code, error.code if error else None
