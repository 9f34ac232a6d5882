"""Every type of resource through the SDK: made, read as Azure would show it, listed, changed, refused, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from podvnet.testing.cloud import Cloud

GROUP = "types"


@pytest.fixture(scope="module", autouse=True)
def group(cloud: Cloud) -> Iterator[None]:
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def located(**properties: Any) -> Any:
    return {"location": "local", "properties": properties}


def code_of(refused: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    error = refused.value.error
    return refused.value.status_code, error.code if error else None


def rule(priority: int, **more: Any) -> Any:
    base = {
        "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "443",
    }  # fmt: skip
    return {"properties": base | more}


def test_security_groups_and_their_rules(cloud: Cloud) -> None:
    groups, rules = cloud.network.network_security_groups, cloud.network.security_rules
    made = groups.begin_create_or_update(GROUP, "nsg", located(securityRules=[{"name": "web", **rule(100)}])).result()
    assert [each.name for each in made.default_security_rules or []] == [
        "AllowVnetInBound", "AllowAzureLoadBalancerInBound", "DenyAllInBound",
        "AllowVnetOutBound", "AllowInternetOutBound", "DenyAllOutBound",
    ]  # fmt: skip
    added = rules.begin_create_or_update(GROUP, "nsg", "ssh", rule(110, destinationPortRange="22")).result()
    assert added.destination_port_range == "22"
    assert [each.name for each in rules.list(GROUP, "nsg")] == ["web", "ssh"]
    for wrong, code in (
        (rule(100), "SecurityRuleConflict"),
        (rule(50), "SecurityRuleInvalidPriority"),
        (rule(120, destinationPortRange="80,443"), "SecurityRuleInvalidPortRange"),
        (rule(120, sourceAddressPrefix="nowhere"), "SecurityRuleInvalidAddressPrefix"),
    ):
        with pytest.raises(HttpResponseError) as refused:
            rules.begin_create_or_update(GROUP, "nsg", "wrong", wrong).result()
        assert code_of(refused) == (400, code)
    rules.begin_delete(GROUP, "nsg", "ssh").result()
    assert [each.name for each in rules.list(GROUP, "nsg")] == ["web"]


def test_what_a_subnet_uses_knows_it_and_cannot_go(cloud: Cloud) -> None:
    network = cloud.network
    nsg = network.network_security_groups.begin_create_or_update(GROUP, "used", located()).result()
    table = network.route_tables.begin_create_or_update(
        GROUP, "used",
        located(routes=[{"name": "out", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.80.9.4"}}]),
    ).result()  # fmt: skip
    subnet = {"addressPrefix": "10.80.1.0/24", "networkSecurityGroup": {"id": nsg.id}, "routeTable": {"id": table.id}}
    body = located(addressSpace={"addressPrefixes": ["10.80.0.0/16"]}, subnets=[{"name": "s", "properties": subnet}])
    network.virtual_networks.begin_create_or_update(GROUP, "user", body).result()
    identity = network.subnets.get(GROUP, "user", "s").id
    assert [each.id for each in network.network_security_groups.get(GROUP, "used").subnets or []] == [identity]
    assert [each.id for each in network.route_tables.get(GROUP, "used").subnets or []] == [identity]
    with pytest.raises(HttpResponseError) as refused:
        network.network_security_groups.begin_delete(GROUP, "used").result()
    assert code_of(refused) == (400, "InUseNetworkSecurityGroupCannotBeDeleted")
    with pytest.raises(HttpResponseError) as refused:
        network.route_tables.begin_delete(GROUP, "used").result()
    assert code_of(refused) == (400, "InUseRouteTableCannotBeDeleted")


def test_public_addresses_prefixes_and_nat_gateways(cloud: Cloud) -> None:
    network = cloud.network
    body = located(publicIPAllocationMethod="Static") | {"sku": {"name": "Standard"}}
    address = network.public_ip_addresses.begin_create_or_update(GROUP, "pip", body).result()
    assert address.ip_address
    gateway = network.nat_gateways.begin_create_or_update(
        GROUP, "nat", located(publicIpAddresses=[{"id": address.id}]) | {"sku": {"name": "Standard"}}
    ).result()
    assert gateway.name == "nat"
    with pytest.raises(HttpResponseError) as refused:
        network.public_ip_addresses.begin_delete(GROUP, "pip").result()
    assert code_of(refused) == (400, "PublicIPAddressCannotBeDeleted")
    assert [each.name for each in network.public_ip_addresses.list(GROUP)] == ["pip"]


def test_a_load_balancer_with_all_its_parts(cloud: Cloud) -> None:
    network = cloud.network
    body = located(publicIPAllocationMethod="Static") | {"sku": {"name": "Standard"}}
    address = network.public_ip_addresses.begin_create_or_update(GROUP, "front", body).result()
    group = f"/subscriptions/{cloud.access.subscription}/resourceGroups/{GROUP}"
    root = f"{group}/providers/Microsoft.Network/loadBalancers/lb"
    balancer = located(
        frontendIPConfigurations=[{"name": "fe", "properties": {"publicIPAddress": {"id": address.id}}}],
        backendAddressPools=[{"name": "pool"}],
        probes=[{"name": "probe", "properties": {"protocol": "Tcp", "port": 80, "intervalInSeconds": 5}}],
        loadBalancingRules=[{"name": "http", "properties": {
            "frontendIPConfiguration": {"id": f"{root}/frontendIPConfigurations/fe"},
            "backendAddressPool": {"id": f"{root}/backendAddressPools/pool"},
            "probe": {"id": f"{root}/probes/probe"},
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 8080}}],
    ) | {"sku": {"name": "Standard"}}  # fmt: skip
    made = network.load_balancers.begin_create_or_update(GROUP, "lb", balancer).result()
    assert [each.name for each in made.load_balancing_rules or []] == ["http"]
    assert network.load_balancer_backend_address_pools.get(GROUP, "lb", "pool").name == "pool"
    assert [each.name for each in network.load_balancer_probes.list(GROUP, "lb")] == ["probe"]
    shown = network.public_ip_addresses.get(GROUP, "front").ip_configuration
    assert shown is not None
    assert shown.id == f"{root}/frontendIPConfigurations/fe"


def test_peerings_connect_from_both_sides(cloud: Cloud) -> None:
    network = cloud.network
    ids = []
    for name, prefix in (("left", "10.91.0.0/16"), ("right", "10.92.0.0/16")):
        body = located(addressSpace={"addressPrefixes": [prefix]})
        ids.append(network.virtual_networks.begin_create_or_update(GROUP, name, body).result().id)
    peerings = network.virtual_network_peerings
    first: Any = {"properties": {"remoteVirtualNetwork": {"id": ids[1]}, "allowVirtualNetworkAccess": True}}
    assert peerings.begin_create_or_update(GROUP, "left", "p", first).result().peering_state == "Initiated"
    second: Any = {"properties": {"remoteVirtualNetwork": {"id": ids[0]}, "allowVirtualNetworkAccess": True}}
    assert peerings.begin_create_or_update(GROUP, "right", "p", second).result().peering_state == "Connected"
    assert peerings.get(GROUP, "left", "p").peering_state == "Connected"
    peerings.begin_delete(GROUP, "right", "p").result()
    assert peerings.get(GROUP, "left", "p").peering_state == "Disconnected"


def test_application_security_groups(cloud: Cloud) -> None:
    groups, body = cloud.network.application_security_groups, located()
    made = groups.begin_create_or_update(GROUP, "asg", body).result()
    assert made.provisioning_state == "Succeeded"
    assert [each.name for each in groups.list(GROUP)] == ["asg"]
