"""What holds at a NIC, asked through the real SDK: its routes, the rules of its security groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from podvnet.testing.cloud import Cloud

GROUP = "effective"


def located(**properties: Any) -> Any:
    return {"location": "local", "properties": properties}


def nic_body(subnet: str, **more: Any) -> Any:
    configuration = {"name": "primary", "properties": {"primary": True, "subnet": {"id": subnet}}}
    return located(ipConfigurations=[configuration], **more)


@pytest.fixture(scope="module", autouse=True)
def subnet(cloud: Cloud) -> Iterator[str]:
    """``nic`` on the running VM ``vm``, 10.71.1.4, in a subnet with a group and a route table; ``idle`` on none."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = cloud.network
    rules = [{"name": "web", "properties": {
        "priority": 200, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "Storage",
        "sourcePortRange": "*", "destinationAddressPrefixes": ["10.71.1.4", "10.71.1.5"],
        "destinationPortRanges": ["80", "8000-8100"]}}]  # fmt: skip
    nsg = network.network_security_groups.begin_create_or_update(GROUP, "nsg", located(securityRules=rules)).result()
    own = network.network_security_groups.begin_create_or_update(GROUP, "own", located()).result()
    routes = [
        {"name": "out", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.71.9.4"}},
        {"name": "drop", "properties": {"addressPrefix": "10.71.0.0/16", "nextHopType": "None"}},
    ]  # fmt: skip
    table = network.route_tables.begin_create_or_update(
        GROUP, "rt", located(routes=routes, disableBgpRoutePropagation=True)
    ).result()
    inside = {"addressPrefix": "10.71.1.0/24", "networkSecurityGroup": {"id": nsg.id}, "routeTable": {"id": table.id}}
    body = located(addressSpace={"addressPrefixes": ["10.71.0.0/16"]}, subnets=[{"name": "s", "properties": inside}])
    made = network.virtual_networks.begin_create_or_update(GROUP, "net", body).result()
    assert made.subnets
    found = made.subnets[0].id or ""
    nic = network.network_interfaces.begin_create_or_update(
        GROUP, "nic", nic_body(found, networkSecurityGroup={"id": own.id})
    ).result()
    network.network_interfaces.begin_create_or_update(GROUP, "idle", nic_body(found)).result()
    machine: Any = located(networkProfile={"networkInterfaces": [{"id": nic.id}]})
    cloud.compute.virtual_machines.begin_create_or_update(GROUP, "vm", machine).result()
    yield found
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def test_the_effective_routes_of_a_nic(cloud: Cloud) -> None:
    routes = cloud.network.network_interfaces.begin_get_effective_route_table(GROUP, "nic").result().value
    assert routes
    shown = {
        (each.source, (each.address_prefix or [""])[0]): (each.state, each.next_hop_type, each.name) for each in routes
    }
    assert shown == {
        ("Default", "10.71.0.0/16"): ("Invalid", "VnetLocal", None),
        ("Default", "0.0.0.0/0"): ("Invalid", "Internet", None),
        ("Default", "10.0.0.0/8"): ("Active", "None", None),
        ("Default", "172.16.0.0/12"): ("Active", "None", None),
        ("Default", "192.168.0.0/16"): ("Active", "None", None),
        ("Default", "100.64.0.0/10"): ("Active", "None", None),
        ("User", "0.0.0.0/0"): ("Active", "VirtualAppliance", "out"),
        ("User", "10.71.0.0/16"): ("Active", "None", "drop"),
    }
    assert [each.next_hop_ip_address for each in routes if each.name == "out"] == [["10.71.9.4"]]
    assert {each.disable_bgp_route_propagation for each in routes} == {True}


def test_the_effective_security_groups_of_a_nic(cloud: Cloud, subnet: str) -> None:
    found = cloud.network.network_interfaces.begin_list_effective_network_security_groups(GROUP, "nic").result().value
    assert found
    first, second = found
    assert first.association
    assert first.association.subnet
    assert first.association.subnet.id == subnet
    assert first.network_security_group
    assert (first.network_security_group.id or "").endswith("/nsg")
    assert second.association
    assert second.association.network_interface
    assert (second.association.network_interface.id or "").endswith("/nic")
    rules = {each.name: each for each in first.effective_security_rules or []}
    assert len(rules) == 7
    web = rules["securityRules/web"]
    assert (web.priority, web.access, web.direction, web.protocol) == (200, "Deny", "Inbound", "Tcp")
    assert (web.source_address_prefix, web.source_port_range) == ("Storage", "0-65535")
    assert "20.60.0.0/16" in (web.expanded_source_address_prefix or [])
    assert web.destination_address_prefixes == ["10.71.1.4/32", "10.71.1.5/32"]
    assert web.destination_port_ranges == ["80-80", "8000-8100"]
    local = rules["defaultSecurityRules/AllowVnetInBound"]
    # The subnet's default route makes the whole of IPv4 the virtual network.
    assert (local.protocol, local.source_address_prefix) == ("All", "VirtualNetwork")
    assert local.expanded_source_address_prefix == ["0.0.0.0/0"]
    assert rules["defaultSecurityRules/DenyAllInBound"].source_address_prefix == "0.0.0.0/0"
    assert (first.tag_map or {})["VirtualNetwork"] == ["0.0.0.0/0"]


def test_a_nic_without_a_running_vm_has_none(cloud: Cloud) -> None:
    interfaces = cloud.network.network_interfaces
    with pytest.raises(HttpResponseError, match="must be attached to a virtual machine that runs") as refused:
        interfaces.begin_get_effective_route_table(GROUP, "idle").result()
    assert refused.value.status_code == 409
    assert refused.value.error is not None
    assert refused.value.error.code == "OperationNotAllowed"
    with pytest.raises(HttpResponseError):
        interfaces.begin_list_effective_network_security_groups(GROUP, "idle").result()


def test_nor_has_one_that_is_not_there(cloud: Cloud) -> None:
    with pytest.raises(ResourceNotFoundError):
        cloud.network.network_interfaces.begin_get_effective_route_table(GROUP, "nobody").result()


def test_a_reader_may_not_ask(reader: Cloud) -> None:
    with pytest.raises(HttpResponseError) as refused:
        reader.network.network_interfaces.begin_get_effective_route_table(GROUP, "nic").result()
    assert refused.value.status_code == 403
