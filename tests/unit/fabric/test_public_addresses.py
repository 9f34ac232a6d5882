from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest

from podvnet.fabric.arm.public_ip_addresses import intent_of
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    Document,
    World,
    shown,
)
from podvnet.fabric.settlement import TYPES, settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

BASIC = {"name": "Basic"}

# In the stocked world run is used by the NAT gateway exit, as is way; own is nic's; front is a load balancer's.
ROWS: list[tuple[str, str, dict[str, Any], dict[str, Any], str, str]] = [
    ("misspelt", PUBLIC_ADDRESSES, {"ipaddress": "1.2.3.4"}, {}, "InvalidRequestFormat", "'ipAddress' is meant?"),
    (
        "dynamic",
        PUBLIC_ADDRESSES,
        {"publicIPAllocationMethod": "Dynamic"},
        {},
        "StandardSkuPublicIPAddressesCannotHaveDynamicAllocation",
        "always Static",
    ),
    ("Basic", PUBLIC_ADDRESSES, {}, {"sku": BASIC}, "IPv4BasicSkuPublicIpCountLimitReached", "more than 0 IPv4 Basic"),
    ("unknown SKU", PUBLIC_ADDRESSES, {}, {"sku": {"name": "Best"}}, "InvalidRequestFormat", "one of Standard"),
    ("global", PUBLIC_ADDRESSES, {}, {"sku": {"tier": "Global"}}, "UnsupportedProperty", "sku.tier"),
    ("idle 3", PUBLIC_ADDRESSES, {"idleTimeoutInMinutes": 3}, {}, "InvalidRequestFormat", "between 4 and 30, not 3"),
    ("idle 31", PUBLIC_ADDRESSES, {"idleTimeoutInMinutes": 31}, {}, "InvalidRequestFormat", "between 4 and 30, not 31"),
    ("zone 4", PUBLIC_ADDRESSES, {}, {"zones": ["4"]}, "InvalidRequestFormat", "zones are 1, 2 and 3, each once"),
    ("a zone twice", PUBLIC_ADDRESSES, {}, {"zones": ["1", "1"]}, "InvalidRequestFormat", "each once, not '1'"),
    *(
        (
            f"label {label}",
            PUBLIC_ADDRESSES,
            {"dnsSettings": {"domainNameLabel": label}},
            {},
            "InvalidDomainNameLabel",
            "must conform to the following regular expression: ^[a-z][a-z0-9-]{1,61}[a-z0-9]$",
        )
        for label in ("A", "1abc", "ab-", "a" * 64)
    ),
    (
        "a label that is taken",
        PUBLIC_ADDRESSES,
        {"dnsSettings": {"domainNameLabel": "taken"}},
        {},
        "DnsRecordInUse",
        "DNS record taken.local.cloudapp.azure.com is already used",
    ),
    (
        "unknown prefix",
        PUBLIC_ADDRESSES,
        {"publicIPPrefix": {"id": "publicIPPrefixes/none"}},
        {},
        "InvalidResourceReference",
        "publicIPPrefixes/none referenced by resource",
    ),
    (
        "a prefix in whole use",
        PUBLIC_ADDRESSES,
        {"publicIPPrefix": {"id": "publicIPPrefixes/run"}},
        {},
        "PublicIPPrefixInUse",
        "natGateways/exit",
    ),
    (
        "a full prefix",
        PUBLIC_ADDRESSES,
        {"publicIPPrefix": {"id": "publicIPPrefixes/full"}},
        {},
        "PublicIpPrefixOutOfIpAddresses",
        "are given out",
    ),
    (
        "a prefix of another SKU",
        PUBLIC_ADDRESSES,
        {"publicIPPrefix": {"id": "publicIPPrefixes/full"}},
        {"sku": {"name": "StandardV2"}},
        "InvalidRequestFormat",
        "the prefix has SKU Standard",
    ),
    ("custom", PUBLIC_PREFIXES, {"customIPPrefix": {"id": "x"}}, {}, "UnsupportedProperty", "customIPPrefix"),
    ("/27", PUBLIC_PREFIXES, {"prefixLength": 27}, {}, "InvalidRequestFormat", "must be between 28 and 31, not 27"),
    ("/32", PUBLIC_PREFIXES, {"prefixLength": 32}, {}, "InvalidRequestFormat", "must be between 28 and 31, not 32"),
    ("a Basic prefix", PUBLIC_PREFIXES, {}, {"sku": BASIC}, "IPv4BasicSkuPublicIpCountLimitReached", "sku.name"),
    (
        "idle of a gateway",
        NAT_GATEWAYS,
        {"idleTimeoutInMinutes": 121},
        {},
        "InvalidRequestFormat",
        "4 and 120, not 121",
    ),
    ("two zones of a gateway", NAT_GATEWAYS, {}, {"zones": ["1", "2"]}, "InvalidRequestFormat", "in one zone, not 2"),
    ("a gateway's SKU", NAT_GATEWAYS, {}, {"sku": BASIC}, "InvalidRequestFormat", "one of Standard, StandardV2"),
    (
        "unknown address",
        NAT_GATEWAYS,
        {"publicIpAddresses": [{"id": "publicIPAddresses/none"}]},
        {},
        "InvalidResourceReference",
        "publicIpAddresses[0].id: Resource",
    ),
    *(
        (
            f"the address of {user}",
            NAT_GATEWAYS,
            {"publicIpAddresses": [{"id": f"publicIPAddresses/{name}"}]},
            {},
            "PublicIPAddressInUse",
            f"/providers/Microsoft.Network/{user}",
        )
        for name, user in (
            ("own", "networkInterfaces/nic/ipConfigurations/x"),
            ("front", "loadBalancers/public/frontendIPConfigurations/f"),
            ("way", "natGateways/exit"),
        )
    ),
    (
        "an address twice",
        NAT_GATEWAYS,
        {"publicIpAddresses": [{"id": "publicIPAddresses/spare"}] * 2},
        {},
        "InvalidRequestFormat",
        "is listed twice",
    ),
    (
        "another's prefix",
        NAT_GATEWAYS,
        {"publicIpPrefixes": [{"id": "publicIPPrefixes/run"}]},
        {},
        "PublicIPPrefixInUse",
        "already used by",
    ),
    (
        "17 addresses",
        NAT_GATEWAYS,
        {
            "publicIpAddresses": [{"id": "publicIPAddresses/spare"}],
            "publicIpPrefixes": [{"id": "publicIPPrefixes/wide"}],
        },
        {},
        "NatGatewayPublicIpCountLimitReached",
        "at most 16 public addresses, not 17",
    ),
    ("IPv6 of a gateway", NAT_GATEWAYS, {"publicIpAddressesV6": [{"id": "x"}]}, {}, "UnsupportedProperty", "V6"),
    # A NIC's.
    *(
        (
            f"a NIC with {name}",
            NETWORK_INTERFACES,
            {
                "ipConfigurations": [
                    {
                        "name": "a",
                        "properties": {
                            "subnet": {"id": "virtualNetworks/one/subnets/a"},
                            "publicIPAddress": {"id": f"publicIPAddresses/{name}"},
                        },
                    }
                ]
            },
            {},
            "PublicIPAddressInUse",
            "already allocated to resource",
        )
        for name in ("own", "front", "way")
    ),
    (
        "two configurations with one address",
        NETWORK_INTERFACES,
        {
            "ipConfigurations": [
                {
                    "name": name,
                    "properties": {
                        "primary": name == "a",
                        "subnet": {"id": "virtualNetworks/one/subnets/a"},
                        "publicIPAddress": {"id": "publicIPAddresses/spare"},
                    },
                }
                for name in ("a", "b")
            ]
        },
        {},
        "PublicIPReferencedByMultipleIPConfigs",
        "ipConfigurations/a, ",
    ),
]


@pytest.fixture
def rich(stocked: World, document: Make) -> World:
    """The stocked world with the prefixes full, all of whose addresses are given out, and wide; taken has a name."""
    stocked.put(settle(document(PUBLIC_PREFIXES, "full", {"prefixLength": 31}), stocked))
    stocked.put(settle(document(PUBLIC_PREFIXES, "wide", {"prefixLength": 28}), stocked))
    for name in ("f0", "f1"):
        of_prefix = {"publicIPPrefix": {"id": "publicIPPrefixes/full"}}
        stocked.put(settle(document(PUBLIC_ADDRESSES, name, of_prefix), stocked))
    named = {"dnsSettings": {"domainNameLabel": "taken"}}
    stocked.put(settle(document(PUBLIC_ADDRESSES, "taken", named), stocked))
    return stocked


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(
    row: tuple[str, str, dict[str, Any], dict[str, Any], str, str], rich: World, document: Make, refusal: Refusal
) -> None:
    _, full_type, properties, members, code, says = row
    error = refusal(document(full_type, "new", properties, **members), rich)
    assert error.code == code
    assert says in error.message
    assert error.status == 400


@pytest.mark.parametrize(
    ("full_type", "name", "members"),
    [
        pytest.param(PUBLIC_ADDRESSES, "own", {"sku": {"name": "StandardV2"}}, id="SKU"),
        pytest.param(PUBLIC_ADDRESSES, "own", {"zones": ["1"]}, id="zones"),
        pytest.param(
            PUBLIC_ADDRESSES, "own", {"properties": {"publicIPPrefix": {"id": "publicIPPrefixes/wide"}}}, id="prefix"
        ),
        pytest.param(PUBLIC_ADDRESSES, "f0", {}, id="no prefix"),
        pytest.param(PUBLIC_PREFIXES, "full", {"properties": {"prefixLength": 30}}, id="length"),
        pytest.param(NAT_GATEWAYS, "exit", {"sku": {"name": "StandardV2"}}, id="gateway"),
    ],
)
def test_what_cannot_change(full_type: str, name: str, members: Document, rich: World, document: Make) -> None:
    with pytest.raises(ArmError) as caught:
        settle(document(full_type, name, {}) | members, rich)
    error = caught.value
    assert (error.code, error.status) == ("PropertyChangeNotAllowed", 409)


def test_what_azure_fills_in(document: Make) -> None:
    named = {"dnsSettings": {"domainNameLabel": "me-9"}}
    members: Document = {"zones": ["1", "2", "3"], "location": "East US", "sku": {"name": "standard"}}
    settled = settle(document(PUBLIC_ADDRESSES, "new", named) | members, World())
    found = shown(settled)
    assert found["properties"].pop("resourceGuid")
    assert found["sku"] == {"name": "Standard", "tier": "Regional"}
    assert found["zones"] == ["1", "2", "3"]
    assert found["properties"] == {
        "provisioningState": "Succeeded",
        "ipAddress": "192.0.2.1",
        "publicIPAddressVersion": "IPv4",
        "publicIPAllocationMethod": "Static",
        "idleTimeoutInMinutes": 4,
        "ipTags": [],
        "ddosSettings": {"protectionMode": "VirtualNetworkInherited"},
        "dnsSettings": {"domainNameLabel": "me-9", "fqdn": "me-9.eastus.cloudapp.azure.com"},
    }
    assert settle(shown(settled), World()) == settled


def test_addresses_are_chosen_and_kept(document: Make) -> None:
    world = World(public_pool=IPv4Network("198.51.100.0/28"))
    world.put(settle(document(INTERNET_HOSTS, "host", {"address": "198.51.100.2"}), world))

    def put(full_type: str, name: str, properties: Document) -> str:
        world.put(settle(document(full_type, name, properties), world))
        found = world.documents[make(Scope(), full_type, name).key]["properties"]
        return str(found.get("ipAddress") or found["ipPrefix"])

    # .2 is a host's; a prefix is aligned; an address of a prefix is of it.
    assert put(PUBLIC_ADDRESSES, "a", {}) == "198.51.100.1"
    assert put(PUBLIC_ADDRESSES, "b", {}) == "198.51.100.3"
    assert put(PUBLIC_PREFIXES, "p", {"prefixLength": 30}) == "198.51.100.4/30"
    assert put(PUBLIC_ADDRESSES, "c", {}) == "198.51.100.8"
    assert put(PUBLIC_ADDRESSES, "d", {"publicIPPrefix": {"id": "publicIPPrefixes/p"}}) == "198.51.100.4"
    assert put(PUBLIC_ADDRESSES, "e", {"publicIPPrefix": {"id": "publicIPPrefixes/p"}}) == "198.51.100.5"
    assert put(PUBLIC_ADDRESSES, "a", {"idleTimeoutInMinutes": 30}) == "198.51.100.1"
    assert put(PUBLIC_PREFIXES, "p", {"prefixLength": 30}) == "198.51.100.4/30"
    world.remove(make(Scope(), PUBLIC_ADDRESSES, "a").key)
    assert put(PUBLIC_ADDRESSES, "f", {}) == "198.51.100.1"
    for name in range(6):
        put(PUBLIC_ADDRESSES, f"x{name}", {})
    for full_type, properties in (
        (PUBLIC_ADDRESSES, {}),
        (PUBLIC_PREFIXES, {"prefixLength": 31}),
        (PUBLIC_PREFIXES, {}),
    ):
        with pytest.raises(ArmError, match="StandardSkuPublicIPCountLimitReached"):
            settle(document(full_type, "more", properties), world)


def test_an_internet_host_cannot_have_a_public_address(rich: World, document: Make, refusal: Refusal) -> None:
    error = refusal(document(INTERNET_HOSTS, "new", {"address": "192.0.2.1"}), rich)
    assert "192.0.2.1 is a public address of the fabric's" in error.message


@pytest.mark.parametrize(
    ("full_type", "name", "code"),
    [
        (PUBLIC_ADDRESSES, "own", "PublicIPAddressCannotBeDeleted"),
        (PUBLIC_ADDRESSES, "front", "PublicIPAddressCannotBeDeleted"),
        (PUBLIC_ADDRESSES, "way", "PublicIPAddressCannotBeDeleted"),
        (PUBLIC_PREFIXES, "run", "InUsePublicIpPrefixCannotBeDeleted"),
        (PUBLIC_PREFIXES, "full", "InUsePublicIpPrefixCannotBeDeleted"),
        (NAT_GATEWAYS, "exit", "InUseNatGatewayCannotBeDeleted"),
        (PUBLIC_ADDRESSES, "spare", ""),
        (PUBLIC_PREFIXES, "wide", ""),
    ],
)
def test_removal(full_type: str, name: str, code: str, rich: World) -> None:
    kind, resource = TYPES[full_type.lower()], make(Scope(), full_type, name)
    if not code:
        kind.check_removal(resource, rich)
        return
    with pytest.raises(ArmError, match=f"{code}: .* cannot be deleted because it is in use by"):
        kind.check_removal(resource, rich)


def test_the_compilers_know_for_how_long_flows_are_kept(document: Make) -> None:
    found = settle(document(PUBLIC_ADDRESSES, "own", {"idleTimeoutInMinutes": 30}), World())
    assert intent_of(found).idle_timeout == 1800


def test_a_nat_gateway_as_azure_shows_it(rich: World) -> None:
    found = shown(rich.documents[make(Scope(), NAT_GATEWAYS, "exit").key])
    assert found["sku"] == {"name": "Standard", "tier": "Regional"}
    assert found["properties"]["idleTimeoutInMinutes"] == 4
    assert found["properties"]["publicIpAddresses"] == [{"id": str(make(Scope(), PUBLIC_ADDRESSES, "way"))}]
    assert found["properties"]["publicIpPrefixes"] == [{"id": str(make(Scope(), PUBLIC_PREFIXES, "run"))}]
