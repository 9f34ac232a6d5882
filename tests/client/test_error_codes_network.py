"""Error codes of virtual networks, subnets, peerings and route tables, each got through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import Row, located, part, reference, refusal_of

GROUP = "error-network"


def space(*prefixes: str, subnets: Any = (), peerings: Any = (), **more: Any) -> Any:
    lists: dict[str, Any] = {"subnets": list(subnets), "virtualNetworkPeerings": list(peerings)}
    return located(addressSpace={"addressPrefixes": list(prefixes)}, **lists, **more)


def subnet(prefix: str, name: str = "s", **more: Any) -> Any:
    return part(name, addressPrefix=prefix, **more)


def put(cloud: Cloud, name: str, body: Any) -> Any:
    return cloud.network.virtual_networks.begin_create_or_update(GROUP, name, body)


def put_subnet(cloud: Cloud, network: str, name: str, **properties: Any) -> Any:
    body: Any = {"properties": properties}
    return cloud.network.subnets.begin_create_or_update(GROUP, network, name, body)


def peer(cloud: Cloud, network: str, remote: str, name: str = "p", **more: Any) -> Any:
    body: Any = {"properties": {"remoteVirtualNetwork": reference(cloud, GROUP, f"virtualNetworks/{remote}"), **more}}
    return cloud.network.virtual_network_peerings.begin_create_or_update(GROUP, network, name, body)


def route(prefix: str, name: str = "r", kind: str = "None") -> Any:
    return part(name, addressPrefix=prefix, nextHopType=kind)


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """``used`` has a NIC in ``s`` and nothing in ``idle``. Peered: a and b, and c with d, which is stale."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    put(cloud, "used", space(
        "10.0.0.0/16", "10.5.0.0/16", subnets=[subnet("10.0.1.0/24"), subnet("10.5.1.0/24", "idle")],
    )).result()  # fmt: skip
    configuration = part("c", subnet=reference(cloud, GROUP, "virtualNetworks/used/subnets/s"))
    cloud.network.network_interfaces.begin_create_or_update(
        GROUP, "nic", located(ipConfigurations=[configuration])
    ).result()
    for name, prefix in (
        ("a", "10.11.0.0/16"), ("b", "10.12.0.0/16"), ("c", "10.13.0.0/16"), ("d", "10.14.0.0/16"),
        ("like-a", "10.11.0.0/16"), ("far", "10.15.0.0/16"),
    ):  # fmt: skip
        put(cloud, name, space(prefix)).result()
    peer(cloud, "a", "b").result()
    peer(cloud, "b", "a").result()
    peer(cloud, "c", "d").result()
    peer(cloud, "d", "c").result()
    cloud.network.virtual_network_peerings.begin_delete(GROUP, "d", "p").result()
    table = cloud.network.route_tables.begin_create_or_update(GROUP, "table", located(routes=[])).result()
    put_subnet(cloud, "far", "routed", addressPrefix="10.15.0.0/24", routeTable={"id": table.id}).result()
    gateway = cloud.network.nat_gateways.begin_create_or_update(GROUP, "gateway", located(_sku="Standard")).result()
    put_subnet(cloud, "far", "nat", addressPrefix="10.15.1.0/24", natGateway={"id": gateway.id}).result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


ROWS = [
    Row("InvalidRequestFormat", 400, "a network without address space", lambda c: put(c, "new", space())),
    Row("InvalidRequestFormat", 400, "a member nobody knows", lambda c: put(c, "new", space("10.1.0.0/16", nothing=1))),
    Row("InvalidResourceName", 400, "a name that ends with a dot", lambda c: put(c, "new.", space("10.1.0.0/16"))),
    Row(
        "NetcfgInvalidVirtualNetworkSite", 400, "prefixes that overlap",
        lambda c: put(c, "new", space("10.1.0.0/16", "10.1.2.0/24")),
    ),
    Row(
        "NetcfgInvalidVirtualNetworkSite", 400, "a multicast address space",
        lambda c: put(c, "new", space("224.1.0.0/16")),
    ),
    Row("NetcfgInvalidIPAddressPrefix", 400, "no prefix at all", lambda c: put(c, "new", space("10.1.0.0"))),
    Row("NetcfgInvalidIPAddressPrefix", 400, "a prefix too long", lambda c: put(c, "new", space("10.1.0.0/33"))),
    Row("InvalidCIDRNotation", 400, "host bits that are set", lambda c: put(c, "new", space("10.1.2.0/16"))),
    Row(
        "NetcfgInvalidSubnet", 400, "a subnet outside",
        lambda c: put(c, "new", space("10.1.0.0/16", subnets=[subnet("10.2.0.0/24")])),
    ),
    Row(
        "NetcfgInvalidSubnet", 400, "a subnet too small",
        lambda c: put_subnet(c, "far", "n", addressPrefix="10.15.9.0/30"),
    ),
    Row(
        "NetcfgInvalidSubnet", 400, "an IPv6 subnet that is no /64",
        lambda c: put(c, "new", space("10.1.0.0/16", "fd00::/48", subnets=[subnet("fd00::/56")])),
    ),
    Row(
        "NetcfgSubnetRangesOverlap", 400, "subnets that overlap",
        lambda c: put_subnet(c, "used", "n", addressPrefix="10.0.1.128/25"),
    ),
    Row(
        "InUseSubnetCannotBeDeleted", 400, "a subnet with a NIC",
        lambda c: c.network.subnets.begin_delete(GROUP, "used", "s"),
    ),
    Row(
        "InUseSubnetCannotBeDeleted", 400, "a network with a NIC",
        lambda c: c.network.virtual_networks.begin_delete(GROUP, "used"),
    ),
    Row(
        "InUseSubnetCannotBeUpdated", 400, "another prefix of a subnet with a NIC",
        lambda c: put_subnet(c, "used", "s", addressPrefix="10.0.2.0/24"),
    ),
    Row(
        "InUsePrefixCannotBeDeleted", 400, "a prefix gone from under a subnet",
        lambda c: put(c, "used", space("10.0.0.0/16", subnets=[subnet("10.0.1.0/24"), subnet("10.5.1.0/24", "idle")])),
    ),
    Row("VnetAddressSpacesOverlap", 400, "a peering of two alike", lambda c: peer(c, "a", "like-a", "q")),
    Row(
        "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet", 400, "a peering with a peer of one alike",
        lambda c: peer(c, "like-a", "b"),
    ),
    Row("AnotherPeeringAlreadyReferencesRemoteVnet", 400, "a second peering", lambda c: peer(c, "a", "b", "again")),
    Row("RemotePeeringIsDisconnected", 400, "against a stale peering", lambda c: peer(c, "d", "c")),
    Row("RemoteVnetHasNoGateways", 400, "no gateway to use", lambda c: peer(c, "far", "used", useRemoteGateways=True)),
    Row("PropertyChangeNotAllowed", 409, "another remote network", lambda c: peer(c, "a", "far")),
    Row("InvalidResourceReference", 400, "a remote network that is not there", lambda c: peer(c, "far", "none")),
    Row(
        "InvalidResourceReference", 400, "a route table that is not there",
        lambda c: put_subnet(
            c, "far", "n", addressPrefix="10.15.9.0/24", routeTable=reference(c, GROUP, "routeTables/x")
        ),
    ),
    Row(
        "InUseRouteTableCannotBeDeleted", 400, "a table with a subnet",
        lambda c: c.network.route_tables.begin_delete(GROUP, "table"),
    ),
    Row(
        "InUseNatGatewayCannotBeDeleted", 400, "a gateway with a subnet",
        lambda c: c.network.nat_gateways.begin_delete(GROUP, "gateway"),
    ),
    Row(
        "InvalidCIDRNotation", 400, "a route with host bits",
        lambda c: c.network.route_tables.begin_create_or_update(GROUP, "n", located(routes=[route("10.0.0.1/8")])),
    ),
    Row(
        "NotFound", 404, "a subnet that is not there",
        lambda c: c.network.subnets.get(GROUP, "used", "none"),
    ),
    Row(
        "ParentResourceNotFound", 404, "a subnet of no network",
        lambda c: put_subnet(c, "none", "s", addressPrefix="10.1.0.0/24"),
    ),
    Row(
        "PreconditionFailed", 412, "an etag of another state",
        lambda c: c.network.virtual_networks.begin_create_or_update(
            GROUP, "far", space("10.15.0.0/16"), headers={"If-Match": 'W/"invalid"'}
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_networks(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)
