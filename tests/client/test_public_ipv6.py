"""Public IPv6 through the SDK: addresses, prefixes, dual-stack NICs and load balancers, and what Azure refuses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud
from podvnet.testing.refusal import located, part, reference, refusal_of

GROUP = "public-ipv6"
SIX = {"publicIPAddressVersion": "IPv6"}


@pytest.fixture(scope="module", autouse=True)
def group(cloud: Cloud) -> Iterator[None]:
    """A dual-stack subnet, and the addresses pip4 and pip6."""
    cloud.resources.resource_groups.create_or_update(GROUP, {"location": "local"})
    network = cloud.network
    subnet = part("s", addressPrefixes=["10.94.1.0/24", "fd94:0:0:1::/64"])
    body = located(addressSpace={"addressPrefixes": ["10.94.0.0/16", "fd94::/48"]}, subnets=[subnet])
    network.virtual_networks.begin_create_or_update(GROUP, "v", body).result()
    address(cloud, "pip4").result()
    address(cloud, "pip6", **SIX).result()
    yield
    cloud.resources.resource_groups.begin_delete(GROUP).result()


def address(cloud: Cloud, name: str, **properties: Any) -> Any:
    body = located(_sku="Standard", publicIPAllocationMethod="Static", **properties)
    return cloud.network.public_ip_addresses.begin_create_or_update(GROUP, name, body)


def public(cloud: Cloud, name: str) -> Any:
    return reference(cloud, GROUP, f"publicIPAddresses/{name}")


def nic(cloud: Cloud, name: str, four: str, six: str, pool: str = "") -> Any:
    """A NIC of an IPv4 and an IPv6 address, each with a public one of its own where one is named."""
    configurations = []
    for version, own in ((4, four), (6, six)):
        properties: dict[str, Any] = {
            "primary": version == 4,
            "privateIPAddressVersion": f"IPv{version}",
            "subnet": reference(cloud, GROUP, "virtualNetworks/v/subnets/s"),
        }
        if own:
            properties["publicIPAddress"] = public(cloud, own)
        if pool:
            place = f"loadBalancers/{pool}/backendAddressPools/b{version}"
            properties["loadBalancerBackendAddressPools"] = [reference(cloud, GROUP, place)]
        configurations.append(part(f"v{version}", **properties))
    body = located(ipConfigurations=configurations)
    return cloud.network.network_interfaces.begin_create_or_update(GROUP, name, body)


def balancer(cloud: Cloud, *publics: str) -> Any:
    """A load balancer with a frontend, a pool and a rule for each address, ``b4`` and ``b6`` among them."""
    body = located(
        _sku="Standard",
        frontendIPConfigurations=[part(each, publicIPAddress=public(cloud, each)) for each in publics],
        backendAddressPools=[{"name": f"b{each[-1]}"} for each in publics],
        loadBalancingRules=[
            part(
                f"web{each[-1]}",
                frontendIPConfiguration=reference(cloud, GROUP, f"loadBalancers/lb/frontendIPConfigurations/{each}"),
                backendAddressPool=reference(cloud, GROUP, f"loadBalancers/lb/backendAddressPools/b{each[-1]}"),
                protocol="Tcp",
                frontendPort=80,
                backendPort=8080,
            )
            for each in publics
        ],
    )
    return cloud.network.load_balancers.begin_create_or_update(GROUP, "lb", body)


def test_an_address_is_of_ipv6_and_static(cloud: Cloud) -> None:
    found = cloud.network.public_ip_addresses.get(GROUP, "pip6")
    assert found.public_ip_address_version == "IPv6"
    assert found.public_ip_allocation_method == "Static"
    assert IPv6Address(found.ip_address or "") in IPv6Network("2001:db8::/32")


def test_a_prefix_and_an_address_of_it(cloud: Cloud) -> None:
    prefixes = cloud.network.public_ip_prefixes
    body = located(_sku="Standard", prefixLength=126, **SIX)
    made = prefixes.begin_create_or_update(GROUP, "run", body).result()
    assert IPv6Network(made.ip_prefix or "").prefixlen == 126
    within = {"publicIPPrefix": reference(cloud, GROUP, "publicIPPrefixes/run")}
    first = address(cloud, "first", **SIX, **within).result()
    assert IPv6Address(first.ip_address) == IPv6Network(made.ip_prefix or "")[0]
    assert [each.id for each in prefixes.get(GROUP, "run").public_ip_addresses or []] == [first.id]
    assert refusal_of(lambda its: address(its, "second", **within), cloud) == ("InvalidRequestFormat", 400)
    cloud.network.public_ip_addresses.begin_delete(GROUP, "first").result()
    prefixes.begin_delete(GROUP, "run").result()


def test_a_nic_has_a_public_address_of_each_version(cloud: Cloud) -> None:
    made = nic(cloud, "both", "pip4", "pip6").result()
    found = {each.name: each.public_ip_address.id.rsplit("/", 1)[1] for each in made.ip_configurations}
    assert found == {"v4": "pip4", "v6": "pip6"}
    holder = cloud.network.public_ip_addresses.get(GROUP, "pip6").ip_configuration
    assert holder
    assert (holder.id or "").endswith("/networkInterfaces/both/ipConfigurations/v6")
    cloud.network.network_interfaces.begin_delete(GROUP, "both").result()


@pytest.mark.parametrize(("four", "six"), [("pip6", ""), ("", "pip4")])
def test_an_address_of_the_other_version_is_refused(four: str, six: str, cloud: Cloud) -> None:
    expected = ("IPVersionForPublicIpAndNicIpConfigurationMustMatch", 400)
    assert refusal_of(lambda its: nic(its, "wrong", four, six), cloud) == expected


def test_a_load_balancer_of_both_versions(cloud: Cloud) -> None:
    one_of_ipv4 = "AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration"
    assert refusal_of(lambda its: balancer(its, "pip6"), cloud) == (one_of_ipv4, 400)
    made = balancer(cloud, "pip4", "pip6").result()
    assert [each.name for each in made.frontend_ip_configurations] == ["pip4", "pip6"]
    nic(cloud, "member", "", "", pool="lb").result()
    pool = cloud.network.load_balancer_backend_address_pools.get(GROUP, "lb", "b6")
    (member,) = pool.backend_ip_configurations or []
    assert (member.id or "").endswith("/networkInterfaces/member/ipConfigurations/v6")
    cloud.network.network_interfaces.begin_delete(GROUP, "member").result()
    cloud.network.load_balancers.begin_delete(GROUP, "lb").result()


@pytest.mark.parametrize(
    ("key", "code"), [("publicIpAddresses", "InvalidRequestFormat"), ("publicIpAddressesV6", "UnsupportedProperty")]
)
def test_a_nat_gateway_takes_no_ipv6(key: str, code: str, cloud: Cloud) -> None:
    used: Any = {key: [public(cloud, "pip6")]}
    body = located(_sku="Standard", **used)
    make = cloud.network.nat_gateways.begin_create_or_update
    assert refusal_of(lambda _: make(GROUP, "gateway", body), cloud) == (code, 400)


def test_addresses_of_both_versions_share_a_label(cloud: Cloud) -> None:
    label = {"dnsSettings": {"domainNameLabel": "both-versions"}}
    names = {
        made.dns_settings.fqdn
        for made in (address(cloud, "l4", **label).result(), address(cloud, "l6", **SIX, **label).result())
    }
    assert names == {"both-versions.local.cloudapp.azure.com"}
    assert refusal_of(lambda its: address(its, "l7", **SIX, **label), cloud) == ("DnsRecordInUse", 400)
    for name in ("l4", "l6"):
        cloud.network.public_ip_addresses.begin_delete(GROUP, name).result()
