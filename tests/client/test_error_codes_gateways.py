"""Error codes of gateways, connections and circuits, each got through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import Row, located, part, reference, refusal_of

GROUP = "error-gateways"
SUBNET = "virtualNetworks/home/subnets/GatewaySubnet"


def put_gateway(cloud: Cloud, name: str, sku: str = "VpnGw1", public: str = "gw", **more: Any) -> Any:
    inner = {"subnet": reference(cloud, GROUP, SUBNET)}
    inner |= {"publicIPAddress": reference(cloud, GROUP, f"publicIPAddresses/{public}")} if public else {}
    body = located(**{"gatewayType": "Vpn", "sku": {"name": sku}, "ipConfigurations": [part("c", **inner)]} | more)
    return cloud.network.virtual_network_gateways.begin_create_or_update(GROUP, name, body)


def put_connection(cloud: Cloud, name: str, **more: Any) -> Any:
    gateway = reference(cloud, GROUP, "virtualNetworkGateways/vpn")
    body = located(**{"connectionType": "IPsec", "virtualNetworkGateway1": gateway, "sharedKey": "k"} | more)
    return cloud.network.virtual_network_gateway_connections.begin_create_or_update(GROUP, name, body)


def put_device(cloud: Cloud, name: str, *prefixes: str, **more: Any) -> Any:
    body = located(
        **{"gatewayIpAddress": "198.51.100.31"} | more, localNetworkAddressSpace={"addressPrefixes": prefixes}
    )
    return cloud.network.local_network_gateways.begin_create_or_update(GROUP, name, body)


def put_circuit(cloud: Cloud, name: str, bandwidth: int = 200) -> Any:
    provider = {"serviceProviderName": "Equinix", "peeringLocation": "Seattle", "bandwidthInMbps": bandwidth}
    sku = {"name": "Standard_MeteredData", "tier": "Standard", "family": "MeteredData"}
    body: Any = located(serviceProviderProperties=provider) | {"sku": sku}
    return cloud.network.express_route_circuits.begin_create_or_update(GROUP, name, body)


def put_nic(cloud: Cloud) -> Any:
    configuration = part("c", subnet=reference(cloud, GROUP, SUBNET))
    return cloud.network.network_interfaces.begin_create_or_update(
        GROUP, "nic", located(ipConfigurations=[configuration])
    )


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """The network home has a VPN gateway with a connection to the device office; a circuit that nobody provisions."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    for name in ("gw", "spare"):
        cloud.network.public_ip_addresses.begin_create_or_update(GROUP, name, located(_sku="Standard")).result()
    subnets = [part("GatewaySubnet", addressPrefix="10.0.255.0/27")]
    space: Any = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=subnets)
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "home", space).result()
    put_gateway(cloud, "vpn").result()
    put_device(cloud, "office", "192.168.0.0/16").result()
    put_connection(cloud, "link", localNetworkGateway2=reference(cloud, GROUP, "localNetworkGateways/office")).result()
    put_circuit(cloud, "line").result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


ROWS = [
    Row("GatewaySubnet", 400, "a NIC in the gateways' subnet", put_nic),
    Row("PublicIpForGatewayIsRequired", 400, "a gateway without address", lambda c: put_gateway(c, "vpn", public="")),
    Row("InvalidGatewaySize", 400, "another type's SKU", lambda c: put_gateway(c, "vpn", "ErGw1AZ")),
    Row("PublicIPAddressInUse", 400, "another gateway's address", lambda c: put_gateway(
        c, "er", "ErGw1AZ", gatewayType="ExpressRoute")),
    Row("InvalidRequestFormat", 400, "a second gateway", lambda c: put_gateway(c, "two", public="spare")),
    Row("UnsupportedProperty", 400, "a policy-based gateway", lambda c: put_gateway(c, "vpn", vpnType="PolicyBased")),
    Row("UnsupportedProperty", 400, "a Basic gateway", lambda c: put_gateway(c, "vpn", "Basic")),
    Row("GatewayConnectionMustHaveExactlyTwoEndpoints", 400, "one end", lambda c: put_connection(c, "n")),
    Row("InvalidResourceReference", 400, "a device that is not there", lambda c: put_connection(
        c, "n", localNetworkGateway2=reference(c, GROUP, "localNetworkGateways/none"))),
    Row("PropertyChangeNotAllowed", 409, "another type", lambda c: put_connection(
        c, "link", connectionType="Vnet2Vnet",
        virtualNetworkGateway2=reference(c, GROUP, "virtualNetworkGateways/vpn"))),
    Row("InvalidRequestFormat", 400, "a device without networks", lambda c: put_device(c, "n")),
    Row("InvalidCIDRNotation", 400, "a network with host bits", lambda c: put_device(c, "n", "192.168.0.1/16")),
    Row("PropertyChangeNotAllowed", 409, "less bandwidth", lambda c: put_circuit(c, "line", 100)),
    Row("VirtualNetworkGatewayCannotBeDeleted", 400, "a gateway with a connection",
        lambda c: c.network.virtual_network_gateways.begin_delete(GROUP, "vpn")),
    Row("LocalNetworkGatewayCannotBeDeleted", 400, "a device with a connection",
        lambda c: c.network.local_network_gateways.begin_delete(GROUP, "office")),
    Row("PublicIPAddressCannotBeDeleted", 400, "a gateway's address",
        lambda c: c.network.public_ip_addresses.begin_delete(GROUP, "gw")),
    Row("InUseSubnetCannotBeDeleted", 400, "the gateways' subnet",
        lambda c: c.network.subnets.begin_delete(GROUP, "home", "GatewaySubnet")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_gateways(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)
