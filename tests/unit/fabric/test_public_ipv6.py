"""Public addresses, prefixes and frontends of IPv6, and what they may stand beside."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Network
from typing import Any

import pytest

from podvnet.fabric.arm import public_ip_addresses, public_ip_prefixes
from podvnet.fabric.arm.public_ip_addresses import is_label_free
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    PUBLIC_POOL6,
    PUBLIC_PREFIXES,
    Document,
    World,
    shown,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import settle
from podvnet.model import limits
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make
from podvnet.plan.entrances import is_of_internet
from podvnet.plan.translations import public_pairs

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]
SIX = {"publicIPAddressVersion": "IPv6"}


@pytest.fixture
def dual(world: World, document: Make) -> World:
    """The world of the file, with the addresses pip4 and pip6 and the IPv6 prefix run6."""
    for full_type, name, properties in (
        (PUBLIC_ADDRESSES, "pip4", {}),
        (PUBLIC_ADDRESSES, "pip6", SIX),
        (PUBLIC_PREFIXES, "run6", SIX),
    ):
        world.put(settle(document(full_type, name, properties), world))
    return world


def configuration(name: str, version: int, public: str, *, primary: bool = False) -> Document:
    properties: Document = {
        "primary": primary,
        "subnet": {"id": "virtualNetworks/hub/subnets/dual"},
        "privateIPAddressVersion": f"IPv{version}",
    }
    if public:
        properties["publicIPAddress"] = {"id": f"publicIPAddresses/{public}"}
    return {"name": name, "properties": properties}


def nic(four: str, six: str) -> Document:
    return {"ipConfigurations": [configuration("a", 4, four, primary=True), configuration("b", 6, six)]}


def balancer(*frontends: Document, **parts: Any) -> Document:
    named = [{"name": f"f{position}", "properties": each} for position, each in enumerate(frontends)]
    return {"frontendIPConfigurations": named, **parts}


def public(name: str) -> Document:
    return {"publicIPAddress": {"id": f"publicIPAddresses/{name}"}}


OF_SUBNET: Document = {"subnet": {"id": "virtualNetworks/hub/subnets/dual"}, "privateIPAddressVersion": "IPv6"}
MUST_MATCH = "IPVersionForPublicIpAndNicIpConfigurationMustMatch"
ONE_OF_IPV4 = "AtleastOneIpV4RequiredForIpV6LbFrontendIpConfiguration"
ROWS: list[tuple[str, str, Document, str, str]] = [
    ("another version", PUBLIC_ADDRESSES, {"publicIPAddressVersion": "IPv5"}, "InvalidRequestFormat", "IPv4, IPv6"),
    ("/123", PUBLIC_PREFIXES, SIX | {"prefixLength": 123}, "InvalidRequestFormat", "between 124 and 127, not 123"),
    ("/128", PUBLIC_PREFIXES, SIX | {"prefixLength": 128}, "InvalidRequestFormat", "between 124 and 127, not 128"),
    ("/28 of IPv6", PUBLIC_PREFIXES, SIX | {"prefixLength": 28}, "InvalidRequestFormat", "between 124 and 127"),
    (
        "IPv4 of a prefix of IPv6",
        PUBLIC_ADDRESSES,
        {"publicIPPrefix": {"id": "publicIPPrefixes/run6"}},
        "InvalidRequestFormat",
        "the prefix is IPv6, the address IPv4",
    ),
    ("IPv6 on IPv4", NETWORK_INTERFACES, nic("pip6", ""), MUST_MATCH, "ipConfigurations/a', version 'IPv4' must match"),
    ("IPv4 on IPv6", NETWORK_INTERFACES, nic("", "pip4"), MUST_MATCH, "publicIPAddresses/pip4', version 'IPv4' and"),
    (
        "an address of a NAT gateway",
        NAT_GATEWAYS,
        {"publicIpAddresses": [{"id": "publicIPAddresses/pip6"}]},
        "InvalidRequestFormat",
        "leads IPv4 alone",
    ),
    (
        "a prefix of a NAT gateway",
        NAT_GATEWAYS,
        {"publicIpPrefixes": [{"id": "publicIPPrefixes/run6"}]},
        "InvalidRequestFormat",
        "publicIPPrefixes/run6 is IPv6",
    ),
    ("frontends of IPv6 alone", LOAD_BALANCERS, balancer(public("pip6")), ONE_OF_IPV4, "At least one IPv4 frontend"),
    (
        "a prefix as the only frontend",
        LOAD_BALANCERS,
        balancer({"publicIPPrefix": {"id": "publicIPPrefixes/run6"}}),
        ONE_OF_IPV4,
        "loadBalancers/new'",
    ),
    ("an internal frontend alone", LOAD_BALANCERS, balancer(OF_SUBNET), ONE_OF_IPV4, "frontendIPConfigurations"),
    (
        "IPv6 asked for with IPv4",
        LOAD_BALANCERS,
        balancer(public("pip4") | {"privateIPAddressVersion": "IPv6"}),
        "InvalidRequestFormat",
        "publicIPAddresses/pip4 is IPv4",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, str, Document, str, str], dual: World, document: Make, refusal: Refusal) -> None:
    _, full_type, properties, code, says = row
    error = refusal(document(full_type, "new", properties), dual)
    assert error.code == code
    assert says in error.message


def test_the_pool_holds_what_a_region_may_have_and_no_real_host() -> None:
    assert PUBLIC_POOL6.num_addresses > limits.PUBLIC_ADDRESSES_PER_REGION
    assert PUBLIC_POOL6.subnet_of(IPv6Network("2001:db8::/32"))
    assert is_of_internet(PUBLIC_POOL6[1])


def test_addresses_and_prefixes_are_chosen_and_kept(document: Make) -> None:
    world = World(public_pool6=IPv6Network("2001:db8:5::/123"))
    world.put(settle(document(INTERNET_HOSTS, "host", {"address": "2001:db8:5::2"}), world))

    def put(full_type: str, name: str, properties: Document) -> str:
        world.put(settle(document(full_type, name, SIX | properties), world))
        found = world.documents[make(Scope(), full_type, name).key]["properties"]
        return str(found.get("ipAddress") or found["ipPrefix"])

    assert put(PUBLIC_ADDRESSES, "a", {}) == "2001:db8:5::1"
    assert put(PUBLIC_ADDRESSES, "b", {}) == "2001:db8:5::3"
    assert put(PUBLIC_PREFIXES, "p", {"prefixLength": 127}) == "2001:db8:5::4/127"
    assert put(PUBLIC_PREFIXES, "q", {}) == "2001:db8:5::10/124"
    for address in ("::4", "::5"):
        of_prefix = {"publicIPPrefix": {"id": "publicIPPrefixes/p"}}
        assert put(PUBLIC_ADDRESSES, f"of{address[2:]}", of_prefix) == f"2001:db8:5{address}"
    assert put(PUBLIC_ADDRESSES, "a", {"idleTimeoutInMinutes": 30}) == "2001:db8:5::1"
    with pytest.raises(ArmError, match="StandardSkuPublicIPCountLimitReached"):
        put(PUBLIC_PREFIXES, "more", {})
    # Those of IPv4 come from a pool of their own.
    world.put(settle(document(PUBLIC_ADDRESSES, "four", {}), world))
    assert world.documents[make(Scope(), PUBLIC_ADDRESSES, "four").key]["properties"]["ipAddress"] == "192.0.2.1"


def test_what_azure_shows(dual: World, document: Make) -> None:
    named = SIX | {"dnsSettings": {"domainNameLabel": "six"}}
    found = settle(document(PUBLIC_ADDRESSES, "new", named), dual)
    assert found["properties"]["publicIPAddressVersion"] == "IPv6"
    assert found["properties"]["publicIPAllocationMethod"] == "Static"
    assert found["properties"]["dnsSettings"]["fqdn"] == "six.local.cloudapp.azure.com"
    assert str(public_ip_addresses.intent_of(found).prefix) == f"{found['properties']['ipAddress']}/128"
    assert settle(shown(found), dual)["properties"] == found["properties"]
    prefix = dual.documents[make(Scope(), PUBLIC_PREFIXES, "run6").key]
    assert (prefix["properties"]["prefixLength"], prefix["properties"]["publicIPAddressVersion"]) == (124, "IPv6")
    assert len(list(public_ip_prefixes.intent_of(prefix).addresses)) == 16


@pytest.mark.parametrize(("full_type", "name"), [(PUBLIC_ADDRESSES, "pip6"), (PUBLIC_PREFIXES, "run6")])
def test_the_version_cannot_change(full_type: str, name: str, dual: World, document: Make, refusal: Refusal) -> None:
    error = refusal(document(full_type, name, {}), dual)
    assert (error.code, error.status) == ("PropertyChangeNotAllowed", 409)
    assert "'publicIPAddressVersion' is not allowed: it is IPv6, not IPv4" in error.message


def test_one_address_of_each_version_may_share_a_label(world: World, document: Make, refusal: Refusal) -> None:
    label = {"dnsSettings": {"domainNameLabel": "shop"}}
    assert is_label_free("shop", "local", world)
    world.put(settle(document(PUBLIC_ADDRESSES, "four", label), world))
    world.put(settle(document(PUBLIC_ADDRESSES, "six", SIX | label), world))
    world.put(settle(document(PUBLIC_ADDRESSES, "six", SIX | label), world))
    assert not is_label_free("shop", "local", world)
    for version in ({}, SIX):
        assert refusal(document(PUBLIC_ADDRESSES, "third", version | label), world).code == "DnsRecordInUse"


def test_an_ip_configuration_of_each_version_has_its_own(dual: World, document: Make) -> None:
    dual.put(settle(document(NETWORK_INTERFACES, "both", nic("pip4", "pip6")), dual))
    intent = IntentReader().read(dual)
    found = intent.nics[make(Scope(), NETWORK_INTERFACES, "both").key]
    pairs = [(str(private), str(address)) for private, address in public_pairs(intent, found)]
    assert pairs == [("10.0.2.4", "192.0.2.1"), ("fd00::4", "2001:db8:192:2::1")]


def test_a_frontend_is_of_the_version_of_its_address(dual: World, document: Make) -> None:
    """Whatever it says itself: az says IPv4 of every one."""
    place = "loadBalancers/lb"
    rules = [
        {
            "name": "ports",
            "properties": {
                "frontendIPConfiguration": {"id": f"{place}/frontendIPConfigurations/f1"},
                "backendAddressPool": {"id": f"{place}/backendAddressPools/p"},
                "protocol": "Tcp",
                "frontendPortRangeStart": 2200,
                "frontendPortRangeEnd": 2201,
                "backendPort": 22,
            },
        }
    ]
    six = public("pip6") | {"privateIPAddressVersion": "IPv4"}
    wanted = balancer(public("pip4"), six, backendAddressPools=[{"name": "p"}], inboundNatRules=rules)
    dual.put(settle(document(LOAD_BALANCERS, "lb", wanted), dual))
    found = IntentReader().read(dual).load_balancers[make(Scope(), LOAD_BALANCERS, "lb").key]
    assert [str(each.public.name) for each in found.frontends if each.public] == ["pip4", "pip6"]
    shape = dual.documents[make(Scope(), LOAD_BALANCERS, "lb").key]["properties"]["frontendIPConfigurations"][1]
    assert "privateIPAddressVersion" not in shape["properties"]


def test_outbound_ports_are_counted_over_a_prefix_of_ipv6(dual: World, document: Make, refusal: Refusal) -> None:
    place = "loadBalancers/lb"

    def asking(ports: int) -> Document:
        rule = {
            "frontendIPConfigurations": [{"id": f"{place}/frontendIPConfigurations/f1"}],
            "backendAddressPool": {"id": f"{place}/backendAddressPools/p"},
            "protocol": "Tcp",
            "allocatedOutboundPorts": ports,
        }
        names = [{"name": str(number), "properties": {"ipAddress": f"10.0.2.{number}"}} for number in range(10, 30)]
        pool = {"virtualNetwork": {"id": "virtualNetworks/hub"}, "loadBalancerBackendAddresses": names}
        return balancer(
            public("pip4"),
            {"publicIPPrefix": {"id": "publicIPPrefixes/run6"}},
            backendAddressPools=[{"name": "p", "properties": pool}],
            outboundRules=[{"name": "out", "properties": rule}],
        )

    # 16 addresses of 64,000 ports for 20 members.
    settle(document(LOAD_BALANCERS, "lb", asking(51_200)), dual)
    error = refusal(document(LOAD_BALANCERS, "lb", asking(51_208)), dual)
    assert error.code.startswith("SpecifiedAllocatedOutboundPorts")
