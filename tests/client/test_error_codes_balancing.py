"""Error codes of public addresses, prefixes, NAT gateways and load balancers, each got through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import Row, located, part, reference, refusal_of

GROUP = "error-balancing"


def address(cloud: Cloud, name: str = "new", sku: str = "Standard", **properties: Any) -> Any:
    body = located(_sku=sku, publicIPAllocationMethod="Static", **properties)
    return cloud.network.public_ip_addresses.begin_create_or_update(GROUP, name, body)


def prefix(cloud: Cloud, name: str, length: int, sku: str = "Standard") -> Any:
    body = located(_sku=sku, prefixLength=length)
    return cloud.network.public_ip_prefixes.begin_create_or_update(GROUP, name, body)


def gateway(cloud: Cloud, name: str, *addresses: str) -> Any:
    listed = [reference(cloud, GROUP, f"publicIPAddresses/{each}") for each in addresses]
    body = located(_sku="Standard", publicIpAddresses=listed)
    return cloud.network.nat_gateways.begin_create_or_update(GROUP, name, body)


def front(cloud: Cloud, public: str = "", name: str = "f") -> Any:
    if public:
        return part(name, publicIPAddress=reference(cloud, GROUP, f"publicIPAddresses/{public}"))
    return part(name, subnet=reference(cloud, GROUP, "virtualNetworks/v/subnets/s"))


def rule(cloud: Cloud, name: str, *, balancer: str = "new", **more: Any) -> Any:
    root = f"loadBalancers/{balancer}"
    ends = {
        "frontendIPConfiguration": reference(cloud, GROUP, f"{root}/frontendIPConfigurations/f"),
        "backendAddressPool": reference(cloud, GROUP, f"{root}/backendAddressPools/b"),
    }
    return part(name, **ends | {"protocol": "Tcp", "frontendPort": 80, "backendPort": 80} | more)


def outbound(cloud: Cloud, name: str, **more: Any) -> Any:
    root = "loadBalancers/new"
    return part(
        name,
        frontendIPConfigurations=[reference(cloud, GROUP, f"{root}/frontendIPConfigurations/f")],
        backendAddressPool=reference(cloud, GROUP, f"{root}/backendAddressPools/b"),
        **{"protocol": "All"} | more,
    )


def balancer(cloud: Cloud, *frontends: Any, name: str = "new", pools: tuple[str, ...] = ("b",), **lists: Any) -> Any:
    members: dict[str, Any] = {
        "frontendIPConfigurations": list(frontends),
        "backendAddressPools": [{"name": pool} for pool in pools],
    }
    body = located(_sku="Standard", **members, **lists)
    return cloud.network.load_balancers.begin_create_or_update(GROUP, name, body)


def nic(cloud: Cloud, *pools: str, public: str = "") -> Any:
    links: dict[str, Any] = {
        "subnet": reference(cloud, GROUP, "virtualNetworks/v/subnets/s"),
        "loadBalancerBackendAddressPools": [reference(cloud, GROUP, f"loadBalancers/{pool}") for pool in pools],
    }
    if public:
        links["publicIPAddress"] = reference(cloud, GROUP, f"publicIPAddresses/{public}")
    body = located(ipConfigurations=[part("c", **links)])
    return cloud.network.network_interfaces.begin_create_or_update(GROUP, "member", body)


def exhaust(cloud: Cloud) -> Any:
    """Ask for more public prefixes than the fabric's 256 public addresses hold."""
    for number in range(16):
        prefix(cloud, f"run{number}", 28).result()
    return prefix(cloud, "over", 28)


def in_two_pools(cloud: Cloud) -> Any:
    """Two pools with one backend port each is right for a load balancer, and wrong for a NIC in both."""
    other: dict[str, Any] = {"backendAddressPool": reference(cloud, GROUP, "loadBalancers/new/backendAddressPools/d")}
    rules = [rule(cloud, "r"), rule(cloud, "s", frontendPort=81, **other)]
    balancer(cloud, front(cloud, "free"), pools=("b", "d"), loadBalancingRules=rules).result()
    return nic(cloud, "new/backendAddressPools/b", "new/backendAddressPools/d")


def too_many_ports(cloud: Cloud) -> Any:
    """One address has 64,000 ports; two members that get 40,000 each want more."""
    addresses = [part(f"a{n}", ipAddress=f"10.0.0.{n + 100}") for n in range(2)]
    pool = part(
        "b", virtualNetwork=reference(cloud, GROUP, "virtualNetworks/v"), loadBalancerBackendAddresses=addresses
    )
    body = located(
        _sku="Standard",
        frontendIPConfigurations=[front(cloud, "free")],
        backendAddressPools=[pool],
        outboundRules=[outbound(cloud, "o", allocatedOutboundPorts=40_000)],
    )
    return cloud.network.load_balancers.begin_create_or_update(GROUP, "new", body)


@pytest.fixture(scope="module", autouse=True)
def stage(cloud: Cloud) -> Iterator[None]:
    """Public addresses: ``used`` by the NAT gateway ``nat``, ``free``, ``named`` with a label, ``v2`` of another SKU.

    Load balancers: ``one`` and ``two`` internal, ``out`` and ``away`` public, ``busy`` with 301 rules; each has the
    pool b. Nothing is behind them.
    """
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    body = located(addressSpace={"addressPrefixes": ["10.0.0.0/16"]}, subnets=[part("s", addressPrefix="10.0.0.0/24")])
    cloud.network.virtual_networks.begin_create_or_update(GROUP, "v", body).result()
    for name in ("used", "free", "first", "second", "third"):
        address(cloud, name).result()
    address(cloud, "named", dnsSettings={"domainNameLabel": "taken"}).result()
    address(cloud, "v2", "StandardV2").result()
    prefix(cloud, "kept", 31).result()
    address(cloud, "of-prefix", publicIPPrefix=reference(cloud, GROUP, "publicIPPrefixes/kept")).result()
    gateway(cloud, "nat", "used").result()
    for name in ("one", "two"):
        balancer(cloud, front(cloud), name=name).result()
    for name, public in (("out", "first"), ("away", "second")):
        balancer(cloud, front(cloud, public), name=name).result()
    rules = [
        rule(cloud, f"r{number}", balancer="busy", frontendPort=1000 + number, backendPort=1000 + number)
        for number in range(301)
    ]
    balancer(cloud, front(cloud, "third"), name="busy", loadBalancingRules=rules).result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


ROWS = [
    Row(
        "PublicIPAddressCannotBeDeleted", 400, "an address in use",
        lambda c: c.network.public_ip_addresses.begin_delete(GROUP, "used"),
    ),
    Row("PublicIPAddressInUse", 400, "another's address for a gateway", lambda c: gateway(c, "new", "used")),
    Row("PublicIPAddressInUse", 400, "another's address for a NIC", lambda c: nic(c, public="used")),
    Row(
        "PublicIPReferencedByMultipleIPConfigs", 400, "two frontends of one address",
        lambda c: balancer(c, front(c, "free"), front(c, "free", "g")),
    ),
    Row("DnsRecordInUse", 400, "a label that is taken", lambda c: address(c, dnsSettings={"domainNameLabel": "taken"})),
    Row("PropertyChangeNotAllowed", 409, "another SKU", lambda c: address(c, "free", "StandardV2")),
    Row("StandardSkuPublicIPCountLimitReached", 400, "all public addresses given out", exhaust),
    Row(
        "InUsePublicIpPrefixCannotBeDeleted", 400, "a prefix with an address",
        lambda c: c.network.public_ip_prefixes.begin_delete(GROUP, "kept"),
    ),
    Row("InvalidResourceReference", 400, "a gateway's unknown address", lambda c: gateway(c, "new", "none")),
    Row(
        "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", 400, "an address of another SKU",
        lambda c: balancer(c, front(c, "v2")),
    ),
    Row("LoadBalancerWithoutFrontendIPCantHaveChildResources", 400, "a pool alone", balancer),
    Row(
        "RulesUseSameBackendPortProtocolAndPool", 400, "a backend port twice",
        lambda c: balancer(c, front(c, "free"), loadBalancingRules=[rule(c, "r"), rule(c, "s", frontendPort=81)]),
    ),
    Row(
        "RulesUseSameBackendPortProtocolAndPoolAndFrontendIPWithFloatingIPEnabled", 400, "a floating port twice",
        lambda c: balancer(c, front(c, "free"), loadBalancingRules=[
            rule(c, "r", enableFloatingIP=True), rule(c, "s", frontendPort=81, enableFloatingIP=True)]),
    ),
    Row(
        "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig", 400, "a NIC in pools with one port",
        in_two_pools,
    ),
    Row("AnotherInternalLoadBalancerExists", 400, "two internal ones",
        lambda c: nic(c, "one/backendAddressPools/b", "two/backendAddressPools/b")),
    Row("NetworkInterfaceUsesMultipleLoadBalancersOfSameType", 400, "two public ones",
        lambda c: nic(c, "out/backendAddressPools/b", "away/backendAddressPools/b")),
    Row(
        "LoadBalancerRuleCountLimitReachedForNic", 400, "behind 301 rules",
        lambda c: nic(c, "busy/backendAddressPools/b"),
    ),
    Row(
        "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts", 400, "too many ports",
        too_many_ports,
    ),
    Row(
        "MoreThanOneOutboundRuleUsingSameFrontendIPConfigurationAndProtocolIsNotSupported", 400, "two outbound rules",
        lambda c: balancer(c, front(c, "free"), outboundRules=[outbound(c, "o"), outbound(c, "p", protocol="Tcp")]),
    ),
    Row(
        "InvalidResourceReference", 400, "a rule with no such pool",
        lambda c: balancer(c, front(c, "free"), pools=("other",), loadBalancingRules=[rule(c, "r")]),
    ),
    Row(
        "NotFound", 404, "no such probe",
        lambda c: c.network.load_balancer_probes.get(GROUP, "one", "none"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code}-{row.what}" for row in ROWS])
def test_an_error_code_of_balancing(row: Row, cloud: Cloud) -> None:
    assert refusal_of(row.act, cloud) == (row.code, row.status)
