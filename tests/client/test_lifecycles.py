"""Every type of resource through the SDK: made, listed, tagged, put again, deleted, gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, part, reference, refusal_of

GROUP = "lifecycles"
Body = Callable[[Cloud], Any]


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """A network with the subnet s, a public address, a NIC."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    body = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[part("s", addressPrefix="10.0.0.0/24")])
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "home", body).result()
    cloud.network.public_ip_addresses.begin_create_or_update(GROUP, "way", located(_sku="Standard")).result()
    cloud.network.network_interfaces.begin_create_or_update(GROUP, "nic", interface(cloud)).result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def interface(cloud: Cloud) -> Any:
    subnet = reference(cloud, GROUP, "virtualNetworks/home/subnets/s")
    return located(ipConfigurations=[part("c", subnet=subnet)])


def balancer(cloud: Cloud) -> Any:
    front = part("f", publicIPAddress=reference(cloud, GROUP, "publicIPAddresses/way"))
    return located(_sku="Standard", frontendIPConfigurations=[front], backendAddressPools=[{"name": "b"}])


def machine(cloud: Cloud) -> Any:
    return located(networkProfile={"networkInterfaces": [reference(cloud, GROUP, "networkInterfaces/nic")]})


TYPES: list[tuple[str, Body]] = [
    ("virtual_networks", lambda _: located(addressSpace={"addressPrefixes": ["10.1.0.0/16"]})),
    ("network_security_groups", lambda _: located()),
    ("application_security_groups", lambda _: located()),
    ("route_tables", lambda _: located()),
    ("public_ip_addresses", lambda _: located(_sku="Standard")),
    ("public_ip_prefixes", lambda _: located(_sku="Standard", prefixLength=30)),
    ("nat_gateways", lambda _: located(_sku="Standard")),
    ("load_balancers", balancer),
    ("network_interfaces", interface),
    ("virtual_machines", machine),
]


@pytest.mark.parametrize(("kind", "body"), TYPES, ids=[kind for kind, _ in TYPES])
def test_a_resource_comes_changes_and_goes(kind: str, body: Body, cloud: Cloud) -> None:
    operations: Any = getattr(cloud.compute if kind == "virtual_machines" else cloud.network, kind)
    made = operations.begin_create_or_update(GROUP, "own", body(cloud)).result()
    assert (made.name, made.provisioning_state) == ("own", "Succeeded")
    assert "own" in [each.name for each in operations.list(GROUP)]
    everywhere = getattr(operations, "list_all", None) or operations.list_by_subscription
    assert made.id in [each.id for each in everywhere()]
    if kind == "virtual_machines":
        tagged = operations.begin_update(GROUP, "own", {"tags": {"a": "b"}}).result()
    else:
        tagged = operations.update_tags(GROUP, "own", {"tags": {"a": "b"}})
    assert (tagged.id, tagged.tags) == (made.id, {"a": "b"})
    again = operations.begin_create_or_update(GROUP, "own", tagged).result()
    assert again == operations.get(GROUP, "own") == tagged, "what was read is put back and changes nothing"
    operations.begin_delete(GROUP, "own").result()
    assert "own" not in [each.name for each in operations.list(GROUP)]
    assert refusal_of(lambda _: operations.get(GROUP, "own"), cloud) == ("ResourceNotFound", 404)
    operations.begin_delete(GROUP, "own").result()  # what is not there is deleted already


CHILDREN = [
    ("subnets", "home", {"addressPrefix": "10.0.1.0/24"}, "address_prefix", "10.0.1.0/24"),
    ("security_rules", "nsg", {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourcePortRange": "*",
        "sourceAddressPrefix": "*", "destinationPortRange": "*", "destinationAddressPrefix": "*"}, "access", "Deny"),
    ("routes", "table", {"addressPrefix": "10.9.0.0/16", "nextHopType": "None"}, "next_hop_type", "None"),
    ("load_balancer_backend_address_pools", "lb", {"drainPeriodInSeconds": 9}, "drain_period_in_seconds", 9),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "parent", "properties", "member", "value"), CHILDREN, ids=[row[0] for row in CHILDREN]
)
def test_a_child_comes_changes_and_goes(  # noqa: PLR0917 - a row of a table
    kind: str, parent: str, properties: dict[str, Any], member: str, value: object, cloud: Cloud
) -> None:
    network = cloud.network
    network.network_security_groups.begin_create_or_update(GROUP, "nsg", located()).result()
    network.route_tables.begin_create_or_update(GROUP, "table", located()).result()
    network.load_balancers.begin_create_or_update(GROUP, "lb", balancer(cloud)).result()
    operations: Any = getattr(network, kind)
    before = [each.name for each in operations.list(GROUP, parent)]
    made = operations.begin_create_or_update(GROUP, parent, "own", {"properties": properties}).result()
    assert getattr(made, member) == value
    assert [each.name for each in operations.list(GROUP, parent)] == [*before, "own"]
    assert operations.begin_create_or_update(GROUP, parent, "own", made).result() == operations.get(
        GROUP, parent, "own"
    )
    operations.begin_delete(GROUP, parent, "own").result()
    assert [each.name for each in operations.list(GROUP, parent)] == before
    assert refusal_of(lambda _: operations.get(GROUP, parent, "own"), cloud) == ("NotFound", 404)
