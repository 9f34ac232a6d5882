from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import references
from podvnet.fabric.arm.load_balancers import LoadBalancers
from podvnet.fabric.arm.world import LOAD_BALANCERS, NETWORK_INTERFACES, VIRTUAL_NETWORKS, Document, World, shown
from podvnet.fabric.settlement import TYPES, settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

NEW = make(Scope(), LOAD_BALANCERS, "new")


def ref(kind: str, name: str, balancer: str = "new") -> dict[str, str]:
    return {"id": f"loadBalancers/{balancer}/{kind}/{name}"}


def part(name: str, **properties: object) -> Document:
    return {"name": name, "properties": properties}


def public(name: str = "f", address: str = "spare") -> Document:
    return part(name, publicIPAddress={"id": f"publicIPAddresses/{address}"})


def internal(name: str = "f", address: str = "", subnet: str = "one/subnets/a") -> Document:
    wish = {"privateIPAllocationMethod": "Static", "privateIPAddress": address} if address else {}
    return part(name, subnet={"id": f"virtualNetworks/{subnet}"}, **wish)


def rule(name: str = "r", **properties: object) -> Document:
    members: Document = {
        "frontendIPConfiguration": ref("frontendIPConfigurations", "f"),
        "backendAddressPool": ref("backendAddressPools", "b"),
        "protocol": "Tcp",
        "frontendPort": 80,
        "backendPort": 80,
    }
    return {"name": name, "properties": members | properties}


def nat(name: str = "n", **properties: object) -> Document:
    members: Document = {
        "frontendIPConfiguration": ref("frontendIPConfigurations", "f"),
        "protocol": "Tcp",
        "frontendPort": 22,
        "backendPort": 22,
    }
    return {"name": name, "properties": members | properties}


def nat_range(first: int, last: int, name: str = "n", protocol: str = "Tcp") -> Document:
    return nat(
        name,
        protocol=protocol,
        frontendPort=0,
        frontendPortRangeStart=first,
        frontendPortRangeEnd=last,
        backendAddressPool=ref("backendAddressPools", "b"),
    )


def outbound(name: str = "o", **properties: object) -> Document:
    members: Document = {
        "frontendIPConfigurations": [ref("frontendIPConfigurations", "f")],
        "backendAddressPool": ref("backendAddressPools", "b"),
        "protocol": "All",
    }
    return {"name": name, "properties": members | properties}


def probe(name: str = "p", **properties: Any) -> Document:
    return {"name": name, "properties": {"protocol": "Tcp", "port": 80} | properties}


def http(**properties: Any) -> Document:
    return probe(protocol="Http", requestPath="/", **properties)


def balancer(  # noqa: PLR0917 - the lists of a load balancer, in the order of a document
    frontends: tuple[Document, ...] = (),
    pools: tuple[Document, ...] = ({"name": "b"},),
    probes: tuple[Document, ...] = (),
    rules: tuple[Document, ...] = (),
    nats: tuple[Document, ...] = (),
    outbounds: tuple[Document, ...] = (),
) -> Document:
    lists = {
        "frontendIPConfigurations": frontends or (public(),),
        "backendAddressPools": pools,
        "probes": probes,
        "loadBalancingRules": rules,
        "inboundNatRules": nats,
        "outboundRules": outbounds,
    }
    return {key: list(each) for key, each in lists.items()}


def ips(*addresses: str, **properties: object) -> Document:
    members = [part(f"m{number}", ipAddress=address) for number, address in enumerate(addresses)]
    return part("b", loadBalancerBackendAddresses=members, **properties)


ONE = {"id": "virtualNetworks/one"}
HA: dict[str, Any] = {"protocol": "All", "frontendPort": 0, "backendPort": 0}

# In the stocked world 10.1.0.4 is the load balancer inner's, 10.1.0.5 nic's, 10.1.0.16/28 too.
ROWS: list[tuple[str, Document, str, str]] = [
    # Frontends.
    ("misspelt", {"frontends": []}, "InvalidRequestFormat", "could not find member 'frontends'"),
    (
        "no frontend but a pool",
        {"backendAddressPools": [{"name": "b"}]},
        "LoadBalancerWithoutFrontendIPCantHaveChildResources",
        "cannot have child resources",
    ),
    (
        "no frontend but a rule",
        {"loadBalancingRules": [rule()]},
        "LoadBalancerWithoutFrontendIPCantHaveChildResources",
        "/new does not have",
    ),
    ("a frontend of nothing", balancer((part("f"),)), "InvalidRequestFormat", "has one of subnet, publicIPAddress and"),
    (
        "a frontend of both",
        balancer((part("f", **(public()["properties"] | internal()["properties"])),)),
        "InvalidRequestFormat",
        "has one of",
    ),
    (
        "two of one name",
        balancer((internal(), internal("F"))),
        "InvalidRequestFormat",
        "frontendIPConfigurations: two are",
    ),
    (
        "unknown address",
        balancer((public(address="none"),)),
        "InvalidResourceReference",
        "publicIPAddresses/none referenced",
    ),
    (
        "unknown subnet",
        balancer((internal(subnet="one/subnets/none"),)),
        "InvalidResourceReference",
        "subnets/none referenced",
    ),
    *(
        (f"the address {name}", balancer((public(address=name),)), "PublicIPAddressInUse", "already allocated")
        for name in ("own", "front", "way")
    ),
    (
        "an address twice",
        balancer((public(), public("g"))),
        "PublicIPReferencedByMultipleIPConfigs",
        "frontendIPConfigurations/g",
    ),
    (
        "another's prefix",
        balancer((part("f", publicIPPrefix={"id": "publicIPPrefixes/run"}),)),
        "PublicIPPrefixInUse",
        "natGateways/exit",
    ),
    (
        "an address of another SKU",
        balancer((public(address="second"),)),
        "DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed",
        "Standard sku load balancer",
    ),
    (
        "a held private address",
        balancer((internal(address="10.1.0.5"),)),
        "PrivateIPAddressInUse",
        "networkInterfaces/nic",
    ),
    ("one of a held block", balancer((internal(address="10.1.0.20"),)), "PrivateIPAddressInUse", "ipConfigurations/y"),
    ("another's frontend", balancer((internal(address="10.1.0.4"),)), "PrivateIPAddressInUse", "loadBalancers/inner/"),
    (
        "twice the same",
        balancer((internal(address="10.1.0.9"), internal("g", "10.1.0.9"))),
        "PrivateIPAddressInUse",
        "ip-configuration f",
    ),
    ("outside", balancer((internal(address="10.1.1.9"),)), "PrivateIPAddressNotInSubnet", "10.1.1.9 does not belong"),
    ("the gateway", balancer((internal(address="10.1.0.1"),)), "PrivateIPAddressInReservedRange", "10.1.0.1 falls"),
    (
        "a private address of a public one",
        balancer((part("f", privateIPAddress="10.1.0.9", **public()["properties"]),)),
        "InvalidRequestFormat",
        "a public frontend has no private address",
    ),
    (
        "zones of a public one",
        balancer((public() | {"zones": ["1"]},)),
        "InvalidRequestFormat",
        "are those of its address",
    ),
    ("public and internal", balancer((public(), internal("g"))), "InvalidRequestFormat", "all be public or all in one"),
    (
        "of two networks",
        balancer((internal(), internal("g", subnet="two/subnets/a"))),
        "InvalidRequestFormat",
        "all in one virtual network",
    ),
    # Pools.
    (
        "two pools of one name",
        balancer(pools=({"name": "b"}, {"name": "B"})),
        "InvalidRequestFormat",
        "backendAddressPools: two",
    ),
    (
        "addresses of no network",
        balancer(pools=(ips("10.1.0.9"),)),
        "InvalidRequestFormat",
        "needs their virtual network",
    ),
    ("no address", balancer(pools=(ips("x", virtualNetwork=ONE),)), "InvalidRequestFormat", "'x' is no address"),
    (
        "an address elsewhere",
        balancer(pools=(ips("10.2.0.9", virtualNetwork=ONE),)),
        "InvalidRequestFormat",
        "10.2.0.9 is not in",
    ),
    (
        "an address twice in a pool",
        balancer(pools=(ips("10.1.0.9", "10.1.0.9", virtualNetwork=ONE),)),
        "InvalidRequestFormat",
        "10.1.0.9 is listed twice",
    ),
    (
        "a pool of another network",
        balancer((internal(subnet="two/subnets/a"),), (ips("10.1.0.9", virtualNetwork=ONE),)),
        "NetworkInterfaceAndInternalLoadBalancerMustUseSameVnet",
        "backend pool",
    ),
    (
        "5001 addresses",
        balancer(pools=(ips(*(f"10.1.{n >> 8}.{n & 255}" for n in range(5001)), virtualNetwork=ONE),)),
        "BackendAddressPoolMemberCountLimitReached",
        "at most 5000 members, not 5001",
    ),
    (
        "tunnels",
        balancer(pools=(part("b", tunnelInterfaces=[{"port": 1}]),)),
        "UnsupportedProperty",
        "tunnelInterfaces",
    ),
    # Probes.
    ("probe of no port", balancer(probes=(part("p", protocol="Tcp"),)), "InvalidRequestFormat", "port: is required"),
    ("probe of port 0", balancer(probes=(probe(port=0),)), "InvalidRequestFormat", "between 1 and 65535, not 0"),
    ("probe of UDP", balancer(probes=(probe(protocol="Udp"),)), "InvalidRequestFormat", "one of Tcp, Http, Https"),
    (
        "HTTP without path",
        balancer(probes=(probe(protocol="Http"),)),
        "InvalidRequestFormat",
        "requestPath: is required with Http",
    ),
    ("TCP with path", balancer(probes=(probe(requestPath="/"),)), "InvalidRequestFormat", "cannot be given with Tcp"),
    *(
        (
            f"HTTP of port {port}",
            balancer(probes=(http(port=port),)),
            "InvalidRequestFormat",
            f"{port} may not be probed by Http",
        )
        for port in (19, 21, 25, 70, 110, 119, 143, 220, 993)
    ),
    ("every 4 s", balancer(probes=(probe(intervalInSeconds=4),)), "InvalidRequestFormat", "not 4"),
    (
        "for 120 s",
        balancer(probes=(probe(intervalInSeconds=60, probeThreshold=2),)),
        "InvalidRequestFormat",
        "less than 120, not 120",
    ),
    # Rules.
    (
        "no frontend of a rule",
        balancer(rules=(rule(frontendIPConfiguration={}),)),
        "InvalidRequestFormat",
        "frontendIPConfiguration.id: is required",
    ),
    (
        "unknown frontend of a rule",
        balancer(rules=(rule(frontendIPConfiguration=ref("frontendIPConfigurations", "x")),)),
        "InvalidResourceReference",
        "frontendIPConfigurations/x referenced",
    ),
    (
        "another balancer's frontend",
        balancer(rules=(rule(frontendIPConfiguration=ref("frontendIPConfigurations", "f", "public")),)),
        "InvalidResourceReference",
        "loadBalancers/public/",
    ),
    (
        "unknown pool",
        balancer(rules=(rule(backendAddressPool=ref("backendAddressPools", "x")),)),
        "InvalidResourceReference",
        "backendAddressPools/x referenced",
    ),
    (
        "unknown probe",
        balancer(rules=(rule(probe=ref("probes", "x")),)),
        "InvalidResourceReference",
        "probes/x referenced",
    ),
    (
        "a pool for a probe",
        balancer(rules=(rule(probe=ref("backendAddressPools", "b")),)),
        "InvalidResourceReference",
        "is not a Microsoft.Network/loadBalancers/probes",
    ),
    (
        "two pools of a rule",
        balancer(
            pools=({"name": "b"}, {"name": "c"}),
            rules=(rule(backendAddressPools=[ref("backendAddressPools", "b"), ref("backendAddressPools", "c")]),),
        ),
        "UnsupportedProperty",
        "several pools",
    ),
    (
        "pool not among pools",
        balancer(
            pools=({"name": "b"}, {"name": "c"}), rules=(rule(backendAddressPools=[ref("backendAddressPools", "c")]),)
        ),
        "InvalidRequestFormat",
        "is not among backendAddressPools",
    ),
    (
        "no frontend port",
        balancer(rules=(rule(frontendPort=None),)),
        "InvalidRequestFormat",
        "frontendPort: is required",
    ),
    (
        "port 65535",
        balancer(rules=(rule(frontendPort=65535),)),
        "InvalidRequestFormat",
        "between 0 and 65534, not 65535",
    ),
    ("port 0 of TCP", balancer(rules=(rule(backendPort=0),)), "InvalidRequestFormat", "needs ports other than 0"),
    (
        "All with a port",
        balancer((internal(),), rules=(rule(protocol="All"),)),
        "InvalidRequestFormat",
        "goes with ports 0 and 0",
    ),
    ("HA ports of a public one", balancer(rules=(rule(**HA),)), "InvalidRequestFormat", "HA ports are for internal"),
    (
        "idle 101",
        balancer(rules=(rule(idleTimeoutInMinutes=101),)),
        "InvalidRequestFormat",
        "between 4 and 100, not 101",
    ),
    (
        "round robin",
        balancer(rules=(rule(loadDistribution="RoundRobin"),)),
        "InvalidRequestFormat",
        "one of Default, SourceIP, SourceIPProtocol",
    ),
    (
        "two of one port",
        balancer(
            pools=({"name": "b"}, {"name": "c"}),
            rules=(rule(), rule("s", backendAddressPool=ref("backendAddressPools", "c"))),
        ),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules s and r use the same frontend",
    ),
    (
        "HA ports beside a rule",
        balancer(
            (internal(),),
            ({"name": "b"}, {"name": "c"}),
            rules=(rule(), rule("s", backendAddressPool=ref("backendAddressPools", "c"), **HA)),
        ),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules s and r",
    ),
    (
        "a rule beside HA ports",
        balancer(
            (internal(),),
            ({"name": "b"}, {"name": "c"}),
            rules=(rule("s", **HA), rule(backendAddressPool=ref("backendAddressPools", "c"))),
        ),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules r and s",
    ),
    (
        "one backend port twice",
        balancer(rules=(rule(), rule("s", frontendPort=81))),
        "RulesUseSameBackendPortProtocolAndPool",
        "rules r and s with floating IP disabled use the same protocol Tcp and backend port 80, and must not be used",
    ),
    (
        "one of them floating",
        balancer(rules=(rule(), rule("s", frontendPort=81, enableFloatingIP=True))),
        "RulesUseSameBackendPortProtocolAndPool",
        "rules r and s",
    ),
    # Inbound NAT rules.
    (
        "no port of a NAT rule",
        balancer(nats=(nat(frontendPort=0),)),
        "InvalidRequestFormat",
        "needs frontendPort, or a range",
    ),
    ("no backend port", balancer(nats=(nat(backendPort=None),)), "InvalidRequestFormat", "backendPort: is required"),
    (
        "a range to no pool",
        balancer(nats=(nat(frontendPortRangeStart=1, frontendPortRangeEnd=2),)),
        "InvalidRequestFormat",
        "needs frontendPort, or a range of ports and a pool",
    ),
    ("a range backwards", balancer(nats=(nat_range(5, 4),)), "InvalidRequestFormat", "a rule to a pool needs"),
    (
        "a NAT rule on a rule's port",
        balancer(rules=(rule(),), nats=(nat(frontendPort=80),)),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules n and r",
    ),
    (
        "a rule's port in a range",
        balancer(rules=(rule(),), nats=(nat_range(70, 90),)),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules n and r",
    ),
    (
        "two ranges",
        balancer(nats=(nat_range(70, 90), nat_range(90, 99, "m"))),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules m and n use the same frontend",
    ),
    (
        "a port of both protocols beside one of them",
        balancer(nats=(nat(protocol="Udp"), nat("m", protocol="All"))),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules m and n use the same frontend",
    ),
    (
        "one in a range of both",
        balancer(rules=(rule(),), nats=(nat_range(70, 90, protocol="All"),)),
        "RulesUseSameFrontendPortAndProtocol",
        "Rules n and r",
    ),
    # Outbound rules.
    (
        "no frontend of an outbound rule",
        balancer(outbounds=(outbound(frontendIPConfigurations=[]),)),
        "InvalidRequestFormat",
        "frontendIPConfigurations: at least one",
    ),
    (
        "outbound of an internal one",
        balancer((internal(),), outbounds=(outbound(),)),
        "InvalidRequestFormat",
        "needs public frontends",
    ),
    (
        "ports in eights",
        balancer(outbounds=(outbound(allocatedOutboundPorts=100),)),
        "InvalidRequestFormat",
        "a multiple of 8, not 100",
    ),
    (
        "idle of an outbound rule",
        balancer(outbounds=(outbound(idleTimeoutInMinutes=121),)),
        "InvalidRequestFormat",
        "between 4 and 120",
    ),
    (
        "too many ports",
        balancer(
            pools=(ips("10.1.0.8", "10.1.0.9", virtualNetwork=ONE),),
            outbounds=(outbound(allocatedOutboundPorts=32008),),
        ),
        "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts",
        "32008 for outbound rule o and 2 members exceed the total number of available ports 64000",
    ),
    # Room.
    (
        "601 frontends",
        balancer(tuple(internal(f"f{n}", subnet="wide/subnets/a") for n in range(601))),
        "FrontendIPConfigurationCountLimitReached",
        "at most 600 frontends",
    ),
    (
        "1501 rules",
        balancer(nats=tuple(nat(f"n{n}", frontendPort=n + 1) for n in range(1501))),
        "LoadBalancerRuleCountLimitReached",
        "at most 1500 load balancing and NAT rules, not 1501",
    ),
    (
        "601 outbound rules",
        balancer(outbounds=tuple(outbound(f"o{n}") for n in range(601))),
        "OutboundRuleCountLimitReached",
        "at most 600",
    ),
    # What Azure has and this fabric does not carry out yet.
    ("NAT pools", {"inboundNatPools": [{"name": "x"}]}, "UnsupportedProperty", "inboundNatPools"),
    (
        "gateway load balancers",
        balancer((part("f", gatewayLoadBalancer={"id": "x"}, **public()["properties"]),)),
        "UnsupportedProperty",
        "gatewayLoadBalancer",
    ),
]


@pytest.fixture
def rich(stocked: World, document: Make) -> World:
    """The stocked world with a wide network and a public address of another SKU."""
    wide = {
        "addressSpace": {"addressPrefixes": ["10.8.0.0/16"]},
        "subnets": [part("a", addressPrefix="10.8.0.0/16")],
    }
    stocked.put(settle(document(VIRTUAL_NETWORKS, "wide", wide), stocked))
    second = document("Microsoft.Network/publicIPAddresses", "second", {}, sku={"name": "StandardV2"})
    stocked.put(settle(second, stocked))
    return stocked


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, Document, str, str], rich: World, document: Make, refusal: Refusal) -> None:
    _, properties, code, says = row
    error = refusal(document(LOAD_BALANCERS, "new", properties), rich)
    assert error.code == code
    assert says in error.message
    assert error.status == 400


@pytest.mark.parametrize(
    ("name", "code"),
    [("Basic", "InvalidRequestFormat"), ("Gateway", "UnsupportedProperty"), ("Service", "UnsupportedProperty")],
)
def test_skus(name: str, code: str, rich: World, document: Make, refusal: Refusal) -> None:
    assert refusal(document(LOAD_BALANCERS, "new", {}, sku={"name": name}), rich).code == code


ACCEPTED: list[tuple[str, Document]] = [
    ("nothing", {}),
    ("one port, two protocols", balancer(rules=(rule(), rule("s", protocol="Udp")))),
    (
        "one port, two frontends",
        balancer(
            (internal(), internal("g")),
            ({"name": "b"}, {"name": "c"}),
            rules=(
                rule(),
                rule(
                    "s",
                    frontendIPConfiguration=ref("frontendIPConfigurations", "g"),
                    backendAddressPool=ref("backendAddressPools", "c"),
                ),
            ),
        ),
    ),
    (
        "floating on one backend port",
        balancer(
            (internal(), internal("g")),
            rules=(
                rule(enableFloatingIP=True),
                rule("s", enableFloatingIP=True, frontendIPConfiguration=ref("frontendIPConfigurations", "g")),
            ),
        ),
    ),
    ("HA ports", balancer((internal(),), rules=(rule(**HA),))),
    ("a rule without pool", balancer(rules=(rule(backendAddressPool=None),))),
    ("a range", balancer(rules=(rule(),), nats=(nat_range(81, 90), nat_range(91, 92, "m"), nat("k")))),
    (
        "a NAT rule of both protocols beside others",
        balancer(rules=(rule(),), nats=(nat(protocol="All"), nat_range(81, 90, "m"))),
    ),
    ("addresses", balancer(pools=(ips("10.1.0.9", "10.1.1.9", virtualNetwork=ONE),))),
    (
        "addresses of a subnet",
        balancer(
            pools=(
                part(
                    "b",
                    loadBalancerBackendAddresses=[
                        part("m", ipAddress="10.1.0.9", subnet={"id": "virtualNetworks/one/subnets/a"}, adminState="up")
                    ],
                ),
            )
        ),
    ),
    (
        "half the ports",
        balancer(
            pools=(ips("10.1.0.8", "10.1.0.9", virtualNetwork=ONE),),
            outbounds=(outbound(allocatedOutboundPorts=32000),),
        ),
    ),
    ("probes", balancer(probes=(probe(), http(port=10256, intervalInSeconds=5, probeThreshold=2) | {"name": "h"}))),
    ("static", balancer((internal(address="10.1.0.200"),))),
]


@pytest.mark.parametrize("row", ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_accepted(row: tuple[str, Document], rich: World, document: Make) -> None:
    settled = settle(document(LOAD_BALANCERS, "new", row[1]), rich)
    rich.put(settled)
    assert settle(shown(settled), rich) == settled


def test_what_azure_fills_in(rich: World) -> None:
    found = shown(rich.documents[make(Scope(), LOAD_BALANCERS, "public").key])
    public_id = make(Scope(), LOAD_BALANCERS, "public")
    assert found["sku"] == {"name": "Standard", "tier": "Regional"}
    (frontend,) = found["properties"]["frontendIPConfigurations"]
    assert frontend["properties"] == {
        "provisioningState": "Succeeded",
        "privateIPAllocationMethod": "Dynamic",
        "publicIPAddress": {"id": str(make(Scope(), "Microsoft.Network/publicIPAddresses", "front"))},
    }
    (rule_,) = found["properties"]["loadBalancingRules"]
    assert rule_ == {
        "name": "r",
        "id": f"{public_id}/loadBalancingRules/r",
        "type": "Microsoft.Network/loadBalancers/loadBalancingRules",
        "properties": {
            "provisioningState": "Succeeded",
            "frontendIPConfiguration": {"id": f"{public_id}/frontendIPConfigurations/f"},
            "frontendPort": 80,
            "backendPort": 8080,
            "enableFloatingIP": False,
            "idleTimeoutInMinutes": 4,
            "protocol": "Tcp",
            "enableTcpReset": False,
            "loadDistribution": "Default",
            "disableOutboundSnat": True,
            "enableConnectionTracking": False,
            "backendAddressPools": [{"id": f"{public_id}/backendAddressPools/nics"}],
            "backendAddressPool": {"id": f"{public_id}/backendAddressPools/nics"},
            "probe": {"id": f"{public_id}/probes/p"},
        },
    }
    (probe_,) = found["properties"]["probes"]
    assert probe_["properties"] == {
        "provisioningState": "Succeeded",
        "protocol": "Tcp",
        "port": 80,
        "intervalInSeconds": 15,
        "numberOfProbes": 1,
        "probeThreshold": 1,
        "noHealthyBackendsBehavior": "AllProbedDown",
    }


def test_frontends_hold_their_addresses(rich: World, document: Make) -> None:
    def put(*frontends: Document) -> dict[str, str]:
        rich.put(settle(document(LOAD_BALANCERS, "new", balancer(frontends)), rich))
        found = rich.documents[NEW.key]["properties"]["frontendIPConfigurations"]
        return {each["name"]: each["properties"]["privateIPAddress"] for each in found}

    assert put(internal()) == {"f": "10.1.0.6"}
    assert put(internal("g"), internal()) == {"g": "10.1.0.7", "f": "10.1.0.6"}
    assert put(internal("g", "10.1.0.6")) == {"g": "10.1.0.6"}
    with pytest.raises(ArmError, match=r"InUseSubnetCannotBeDeleted: Subnet a is in use by .*/loadBalancers/"):
        TYPES[VIRTUAL_NETWORKS.lower()].check_removal(make(Scope(), VIRTUAL_NETWORKS, "one"), rich)


def test_a_network_of_a_pool_does_not_go(rich: World, document: Make) -> None:
    two = ips("10.2.0.9", virtualNetwork={"id": "virtualNetworks/two"})
    rich.put(settle(document(LOAD_BALANCERS, "new", balancer(pools=(two,))), rich))
    with pytest.raises(
        ArmError, match=r"InUseVirtualNetworkCannotBeDeleted: .*/loadBalancers/new/backendAddressPools/b"
    ):
        TYPES[VIRTUAL_NETWORKS.lower()].check_removal(make(Scope(), VIRTUAL_NETWORKS, "two"), rich)


# What NICs are behind.


def member(
    document: Make, name: str, *pools: str, nats: tuple[str, ...] = (), subnet: str = "one/subnets/a"
) -> Document:
    def link(kind: str, each: str) -> dict[str, str]:
        there, _, found = each.partition("/")
        return ref(kind, found, there)

    config = part(
        "a",
        subnet={"id": f"virtualNetworks/{subnet}"},
        loadBalancerBackendAddressPools=[link("backendAddressPools", each) for each in pools],
        loadBalancerInboundNatRules=[link("inboundNatRules", each) for each in nats],
    )
    return document(NETWORK_INTERFACES, name, {"ipConfigurations": [config]})


MEMBERS: list[tuple[str, tuple[str, ...], tuple[str, ...], str, str]] = [
    ("a pool of addresses", ("inner/pods",), (), "one/subnets/a", "InvalidRequestFormat"),
    (
        "a public one from another network",
        ("public/nics",),
        (),
        "two/subnets/a",
        "BackendAddressPoolMembersNotInSameVnet",
    ),
    (
        "an empty internal one from elsewhere",
        ("new/b",),
        (),
        "two/subnets/a",
        "NetworkInterfaceAndInternalLoadBalancerMustUseSameVnet",
    ),
    ("two internal ones", ("inner/nics", "new/b"), (), "one/subnets/a", "AnotherInternalLoadBalancerExists"),
    (
        "two public ones",
        ("public/nics", "other/b"),
        (),
        "one/subnets/a",
        "NetworkInterfaceUsesMultipleLoadBalancersOfSameType",
    ),
    (
        "a NAT rule that leads elsewhere",
        (),
        ("public/ssh",),
        "one/subnets/a",
        "InboundNatRuleReferencedByMultipleIpConfigs",
    ),
    ("a NAT rule to a pool", (), ("other/n",), "one/subnets/a", "InvalidRequestFormat"),
    (
        "two pools with one backend port",
        ("other/b", "other/c"),
        (),
        "one/subnets/a",
        "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig",
    ),
    ("301 rules", ("many/b",), (), "one/subnets/a", "LoadBalancerRuleCountLimitReachedForNic"),
]


@pytest.fixture
def varied(rich: World, document: Make) -> World:
    """The rich world with three more load balancers."""
    for name in ("o", "m"):
        rich.put(settle(document("Microsoft.Network/publicIPAddresses", name, {}), rich))
    rich.put(settle(document(LOAD_BALANCERS, "new", balancer((internal(),))), rich))
    other = balancer(
        (public(address="o"),),
        ({"name": "b"}, {"name": "c"}),
        rules=(rule(), rule("s", frontendPort=81, backendAddressPool=ref("backendAddressPools", "c"))),
        nats=(nat_range(100, 200),),
    )
    many = balancer(
        (public(address="m"),), rules=tuple(rule(f"r{n}", frontendPort=n, backendPort=n) for n in range(1, 302))
    )
    for name, properties in (("other", other), ("many", many)):
        text = document(LOAD_BALANCERS, name, _named(properties, name))
        rich.put(settle(text, rich))
    return rich


def _named(value: Any, name: str) -> Any:
    """The same with references to the load balancer ``name``."""
    if isinstance(value, dict):
        return {key: _named(each, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, name) for each in value]
    return value.replace("loadBalancers/new/", f"loadBalancers/{name}/") if isinstance(value, str) else value


@pytest.mark.parametrize("row", MEMBERS, ids=[row[0] for row in MEMBERS])
def test_members_that_are_refused(
    row: tuple[str, tuple[str, ...], tuple[str, ...], str, str], varied: World, document: Make, refusal: Refusal
) -> None:
    _, pools, nats, subnet, code = row
    assert refusal(member(document, "x", *pools, nats=nats, subnet=subnet), varied).code == code


def edited(world: World, name: str, edit: Callable[[Any], object]) -> Document:
    found = copy.deepcopy(shown(world.documents[make(Scope(), LOAD_BALANCERS, name).key]))
    edit(found["properties"])
    return found


def _same_backend(properties: Any) -> None:
    properties["loadBalancingRules"][1]["properties"]["backendPort"] = 80


EDITS: list[tuple[str, tuple[str, ...], str, Callable[[Any], object], str]] = [
    (
        "a pool with NICs goes",
        ("inner/nics",),
        "inner",
        lambda p: p["backendAddressPools"].pop(0),
        "InUseLoadBalancerChildCannotBeDeleted",
    ),
    (
        "a pool with NICs gets addresses",
        ("inner/nics",),
        "inner",
        lambda p: p["backendAddressPools"].__setitem__(0, ips("10.1.0.9", virtualNetwork=ONE) | {"name": "nics"}),
        "InvalidRequestFormat",
    ),
    (
        "two rules come to lead to one",
        ("many/b",),
        "many",
        lambda p: p["loadBalancingRules"].append(_named(rule("z", frontendPort=500, backendPort=500), "many")),
        "",
    ),
    (
        "301 rules",
        ("many/b",),
        "many",
        lambda p: p["loadBalancingRules"].extend(
            _named(rule(f"z{n}", frontendPort=n, backendPort=n), "many") for n in (500, 501)
        ),
        "LoadBalancerRuleCountLimitReachedForNic",
    ),
    (
        "it becomes internal elsewhere",
        ("new/b",),
        "new",
        lambda p: p.update(frontendIPConfigurations=[internal(subnet="two/subnets/a")]),
        "NetworkInterfaceAndInternalLoadBalancerMustUseSameVnet",
    ),
]


@pytest.mark.parametrize("row", EDITS, ids=[row[0] for row in EDITS])
def test_what_nics_are_behind(
    row: tuple[str, tuple[str, ...], str, Callable[[Any], object], str], varied: World, document: Make, refusal: Refusal
) -> None:
    _, pools, name, edit, code = row
    varied.put(settle(edited(varied, "many", lambda p: p["loadBalancingRules"].__delitem__(slice(299, None))), varied))
    varied.put(settle(member(document, "x", *pools), varied))
    wanted = edited(varied, name, edit)
    if code:
        assert refusal(wanted, varied).code == code
    else:
        settle(wanted, varied)


def test_rules_of_two_pools_come_to_use_one_backend_port(varied: World, document: Make, refusal: Refusal) -> None:
    apart = edited(varied, "other", lambda p: p["loadBalancingRules"][1]["properties"].update(backendPort=81))
    varied.put(settle(apart, varied))
    varied.put(settle(member(document, "x", "other/b", "other/c"), varied))
    code = "RulesOfSameLoadBalancerTypeUseSameBackendPortProtocolAndIPConfig"
    assert refusal(edited(varied, "other", _same_backend), varied).code == code


def test_a_member_that_is_sent_back_by_its_bare_name_stays_the_nics(
    varied: World, document: Make, refusal: Refusal
) -> None:
    varied.put(settle(member(document, "x", "inner/nics"), varied))
    sent = references.view(varied.documents[make(Scope(), LOAD_BALANCERS, "inner").key], varied)
    pool = sent["properties"]["backendAddressPools"][0]["properties"]
    shown_members = pool["loadBalancerBackendAddresses"]
    pool["loadBalancerBackendAddresses"] = [{"name": each["name"]} for each in shown_members]
    assert shown_members
    settled = settle(sent, varied)
    assert settled["properties"]["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"] == []
    pool["loadBalancerBackendAddresses"] = [{"name": "rg_nobodya"}]
    assert "ipAddress: is required" in str(refusal(sent, varied))


@pytest.mark.parametrize("name", ["public", "inner"])
def test_removal(name: str, stocked: World) -> None:
    with pytest.raises(
        ArmError, match=r"InUseLoadBalancerCannotBeDeleted: .*/networkInterfaces/nic/ipConfigurations/x"
    ):
        LoadBalancers().check_removal(make(Scope(), LOAD_BALANCERS, name), stocked)
    stocked.remove(make(Scope(), NETWORK_INTERFACES, "nic").key)
    LoadBalancers().check_removal(make(Scope(), LOAD_BALANCERS, name), stocked)
