"""Create, read, list, update, delete through the real SDKs, and packets between what was made."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.runtime.probe import seen_as
from podvnet.testing.cloud import Cloud


def network_body(prefix: str, **subnets: str) -> Any:
    return {
        "location": "local",
        "properties": {
            "addressSpace": {"addressPrefixes": [prefix]},
            "subnets": [{"name": name, "properties": {"addressPrefix": each}} for name, each in subnets.items()],
        },
    }


def nic_body(subnet: str, secondaries: int = 0) -> Any:
    configurations = [{"name": "primary", "properties": {"primary": True, "subnet": {"id": subnet}}}]
    configurations += [{"name": f"pod{n}", "properties": {"subnet": {"id": subnet}}} for n in range(secondaries)]
    return {"location": "local", "properties": {"ipConfigurations": configurations}}


def vm_body(nic: str) -> Any:
    return {
        "location": "local",
        "properties": {"networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]}},
    }


def test_pods_on_what_the_sdk_made_reach_one_another(cloud: Cloud) -> None:
    network = cloud.network.virtual_networks.begin_create_or_update(
        "rg", "main", network_body("10.20.0.0/16", a="10.20.1.0/24", b="10.20.2.0/24")
    ).result()
    assert network.subnets is not None
    for name, subnet in zip(("alpha", "beta"), network.subnets, strict=True):
        assert subnet.id is not None
        nic = cloud.network.network_interfaces.begin_create_or_update("rg", name, nic_body(subnet.id, 4)).result()
        assert nic.id is not None
        assert nic.mac_address is None, "a NIC on no VM has no MAC"
        machine = cloud.compute.virtual_machines.begin_create_or_update("rg", name, vm_body(nic.id)).result()
        assert machine.vm_id
        placed = cloud.network.network_interfaces.get("rg", name)
        assert placed.virtual_machine is not None
        assert placed.virtual_machine.id == machine.id
        assert placed.mac_address
    lab = cloud.lab
    near, far = lab.run_pod("near", "rg..alpha"), lab.run_pod("far", "rg..beta")
    assert (near.address, far.address) == ("10.20.1.5", "10.20.2.5")
    assert seen_as(near.descriptor, far.address) == near.address
    lab.delete_pod("near")
    lab.delete_pod("far")
    for name in ("alpha", "beta"):
        cloud.compute.virtual_machines.begin_delete("rg", name).result()
        cloud.network.network_interfaces.begin_delete("rg", name).result()
    cloud.network.virtual_networks.begin_delete("rg", "main").result()
    assert list(cloud.network.virtual_networks.list("rg")) == []


def test_a_network_is_read_as_it_was_written(cloud: Cloud) -> None:
    body = network_body("10.30.0.0/16", front="10.30.1.0/24")
    body["tags"] = {"owner": "Me"}
    made = cloud.network.virtual_networks.begin_create_or_update("rg", "Read", body).result()
    read = cloud.network.virtual_networks.get("RG", "read")
    assert read == made, "ids are compared without case"
    assert read.name == "Read"
    assert read.type == "Microsoft.Network/virtualNetworks"
    assert read.tags == {"owner": "Me"}
    assert read.provisioning_state == "Succeeded"
    assert read.resource_guid
    subnet = cloud.network.subnets.get("rg", "Read", "front")
    assert subnet.address_prefix == "10.30.1.0/24"
    assert subnet.etag == read.etag
    tagged = cloud.network.virtual_networks.update_tags("rg", "Read", {"tags": {"owner": "You"}})
    assert tagged.tags == {"owner": "You"}
    assert tagged.etag != read.etag
    cloud.network.virtual_networks.begin_delete("rg", "Read").result()
    with pytest.raises(ResourceNotFoundError) as missing:
        cloud.network.virtual_networks.get("rg", "Read")
    assert missing.value.error is not None
    assert missing.value.error.code == "ResourceNotFound"


def test_subnets_by_themselves(cloud: Cloud) -> None:
    cloud.network.virtual_networks.begin_create_or_update("rg", "sub", network_body("10.31.0.0/16")).result()
    subnets = cloud.network.subnets
    for n in (1, 2):
        body: Any = {"properties": {"addressPrefix": f"10.31.{n}.0/24"}}
        assert subnets.begin_create_or_update("rg", "sub", f"s{n}", body).result().name == f"s{n}"
    assert [each.name for each in subnets.list("rg", "sub")] == ["s1", "s2"]
    subnets.begin_delete("rg", "sub", "s1").result()
    assert [each.name for each in subnets.list("rg", "sub")] == ["s2"]
    cloud.network.virtual_networks.begin_delete("rg", "sub").result()


def test_a_put_that_was_meant_for_another_state_is_refused(cloud: Cloud) -> None:
    networks = cloud.network.virtual_networks
    first = networks.begin_create_or_update("rg", "etag", network_body("10.32.0.0/16")).result()
    networks.update_tags("rg", "etag", {"tags": {"changed": "yes"}})
    with pytest.raises(HttpResponseError) as refused:
        networks.begin_create_or_update(
            "rg", "etag", network_body("10.32.0.0/16"), headers={"If-Match": first.etag}
        ).result()
    assert refused.value.status_code == 412
    networks.begin_delete("rg", "etag").result()


def test_what_is_in_use_stays(cloud: Cloud) -> None:
    network = cloud.network.virtual_networks.begin_create_or_update(
        "rg", "used", network_body("10.33.0.0/16", s="10.33.1.0/24")
    ).result()
    assert network.subnets is not None
    assert network.subnets[0].id is not None
    nic = cloud.network.network_interfaces.begin_create_or_update(
        "rg", "user", nic_body(network.subnets[0].id)
    ).result()
    for action in (
        lambda: cloud.network.subnets.begin_delete("rg", "used", "s").result(),
        lambda: cloud.network.virtual_networks.begin_delete("rg", "used").result(),
    ):
        with pytest.raises(HttpResponseError) as refused:
            action()  # type: ignore[no-untyped-call]
        assert refused.value.status_code == 400
        assert refused.value.error is not None
        assert refused.value.error.code == "InUseSubnetCannotBeDeleted"
        assert "ip-configurations" in str(refused.value)
    seen = cloud.network.subnets.get("rg", "used", "s")
    assert nic.ip_configurations is not None
    assert [each.id for each in seen.ip_configurations or []] == [nic.ip_configurations[0].id]
    cloud.network.network_interfaces.begin_delete("rg", "user").result()
    cloud.network.virtual_networks.begin_delete("rg", "used").result()


def test_a_list_of_many_comes_in_pages(cloud: Cloud) -> None:
    cloud.network.virtual_networks.begin_create_or_update(
        "rg", "many", network_body("10.34.0.0/16", s="10.34.0.0/22")
    ).result()
    subnet = cloud.network.subnets.get("rg", "many", "s").id
    assert subnet is not None
    for n in range(105):
        cloud.network.network_interfaces.begin_create_or_update("rg", f"many{n:03}", nic_body(subnet)).result()
    names = [each.name for each in cloud.network.network_interfaces.list("rg")]
    assert names == [f"many{n:03}" for n in range(105)]
    pages = list(cloud.network.network_interfaces.list_all().by_page())
    assert len(pages) == 2


def test_a_resource_group_takes_its_resources_along(cloud: Cloud) -> None:
    groups = cloud.resources.resource_groups
    groups.create_or_update("brief", {"location": "local", "tags": {"a": "b"}})
    assert groups.check_existence("brief")
    cloud.network.virtual_networks.begin_create_or_update("brief", "v", network_body("10.35.0.0/16")).result()
    assert [each.name for each in cloud.resources.resources.list_by_resource_group("brief")] == ["v"]
    groups.begin_delete("brief").result()
    assert not groups.check_existence("brief")
    with pytest.raises(ResourceNotFoundError) as missing:
        cloud.network.virtual_networks.get("brief", "v")
    assert missing.value.error is not None
    assert missing.value.error.code == "ResourceGroupNotFound"
