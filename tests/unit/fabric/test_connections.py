"""Connections: their ends, their keys, which nobody is shown, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import references
from podvnet.fabric.arm.connections import key_of, with_key
from podvnet.fabric.arm.ipsec_policy import ALGORITHMS
from podvnet.fabric.arm.world import (
    CIRCUITS,
    CONNECTIONS,
    LOCAL_GATEWAYS,
    NETWORK_GATEWAYS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.fabric.settlement import complete, settle, settle_removal
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make
from podvnet.testing.gateway_file import CIRCUIT_KEY, KEY

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

POLICY = {
    "saLifeTimeSeconds": 3600,
    "saDataSizeKilobytes": 1024000,
    "ipsecEncryption": "GCMAES256",
    "ipsecIntegrity": "GCMAES256",
    "ikeEncryption": "AES256",
    "ikeIntegrity": "SHA384",
    "dhGroup": "ECP384",
    "pfsGroup": "PFS24",
}


def ref(path: str) -> dict[str, str]:
    return {"id": path}


def tunnel(**more: Any) -> Document:
    ends = {
        "virtualNetworkGateway1": ref("virtualNetworkGateways/vpn"),
        "localNetworkGateway2": ref("localNetworkGateways/branch"),
    }
    return {"connectionType": "IPsec", "sharedKey": "s3cret"} | ends | more


def circuit(**more: Any) -> Document:
    ends = {"virtualNetworkGateway1": ref("virtualNetworkGateways/er"), "peer": ref("expressRouteCircuits/line")}
    return {"connectionType": "ExpressRoute"} | ends | more


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


def put(world: World, wanted: Document) -> Document:
    settled = settle(wanted, world)
    world.put(settled)
    complete(world)
    return settled


def far(world: World, document: Make, kind: str, sku: str, public: Document | None) -> None:
    """Another network, with a gateway."""
    subnet = {"name": "GatewaySubnet", "properties": {"addressPrefix": "10.9.0.0/27"}}
    put(
        world,
        document(VIRTUAL_NETWORKS, "far", {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": [subnet]}),
    )
    inner = {"subnet": ref("virtualNetworks/far/subnets/GatewaySubnet"), "publicIPAddress": public}
    configurations = [{"name": "a", "properties": inner}]
    gateway = {"gatewayType": kind, "sku": {"name": sku}, "ipConfigurations": configurations}
    put(world, document(NETWORK_GATEWAYS, "far", gateway))


@pytest.fixture
def site(gated: World, document: Make) -> World:
    """The same, and a second device, branch, without BGP."""
    space = {"addressPrefixes": ["192.168.128.0/17"]}
    branch = {"gatewayIpAddress": "198.51.100.99", "localNetworkAddressSpace": space}
    put(gated, document(LOCAL_GATEWAYS, "branch", branch))
    return gated


def test_a_connection_is_as_it_is_shown(site: World, document: Make, altered: Make) -> None:
    settled = put(site, document(CONNECTIONS, "new", tunnel(ipsecPolicies=[POLICY], dpdTimeoutSeconds=10)))
    found = references.view(settled, site)["properties"]
    assert (found["connectionType"], found["connectionProtocol"], found["connectionMode"]) == (
        "IPsec",
        "IKEv2",
        "Default",
    )
    assert (found["connectionStatus"], found["ingressBytesTransferred"]) == ("Unknown", 0)
    assert (found["ipsecPolicies"], found["dpdTimeoutSeconds"]) == ([POLICY], 10)
    assert found["virtualNetworkGateway1"]["id"].endswith("/virtualNetworkGateways/vpn")
    for name in ("to-office", "to-line", "new"):
        before = site.documents[key(CONNECTIONS, name)]
        assert settle(altered(site, CONNECTIONS, name), site) == before


def test_keys_are_shown_to_nobody_and_kept(site: World, document: Make, altered: Make) -> None:
    # One that is given none gets one.
    made = key_of(settle(document(CONNECTIONS, "keyless", tunnel(sharedKey=None)), site))
    assert (len(made), made.isalnum()) == (32, True)
    settled = put(site, document(CONNECTIONS, "new", tunnel()))
    assert key_of(settled) == "s3cret"
    for each in site.documents.values():
        text = json.dumps(references.view(each, site))
        assert not any(secret in text for secret in ("s3cret", KEY, CIRCUIT_KEY))
    # A write without a word of it leaves it; one that names another replaces it.
    assert key_of(put(site, altered(site, CONNECTIONS, "new", routingWeight=7))) == "s3cret"
    assert key_of(settle(with_key(settled, "other"), site)) == "other"


def test_a_key_that_is_refused_is_not_in_the_error(site: World, document: Make, refusal: Refusal) -> None:
    for bad in ("schlüssel", "k" * 129, "line\nend"):
        error = refusal(document(CONNECTIONS, "new", tunnel(sharedKey=bad)), site)
        assert (error.code, bad in error.message) == ("InvalidRequestFormat", False)
        assert "1 to 128 printable ASCII characters" in error.message
    error = refusal(document(CONNECTIONS, "to-line", circuit(authorizationKey="nobodys")), site)
    assert ("is not the key of an authorization" in error.message, "nobodys" in error.message) == (True, False)


ROWS: list[tuple[str, Document, str, str]] = [
    ("no type", tunnel(connectionType=None), "InvalidRequestFormat", "must be one of IPsec, Vnet2Vnet, ExpressRoute"),
    ("point-to-site", tunnel(connectionType="VPNClient"), "UnsupportedProperty", "no point-to-site connections"),
    ("one end", tunnel(localNetworkGateway2=None), "GatewayConnectionMustHaveExactlyTwoEndpoints", "two endpoints"),
    ("no gateway", tunnel(virtualNetworkGateway1=None), "GatewayConnectionMustHaveExactlyTwoEndpoints", "second"),
    (
        "three ends",
        tunnel(peer=ref("expressRouteCircuits/line")),
        "GatewayConnectionMustHaveExactlyTwoEndpoints",
        "of a connection of type IPsec is localNetworkGateway2",
    ),
    (
        "an unknown device",
        tunnel(localNetworkGateway2=ref("localNetworkGateways/x")),
        "InvalidResourceReference",
        "localNetworkGateways/x referenced by",
    ),
    (
        "an unknown gateway",
        tunnel(virtualNetworkGateway1=ref("virtualNetworkGateways/x")),
        "InvalidResourceReference",
        "virtualNetworkGateways/x referenced by",
    ),
    (
        "the wrong kind of gateway",
        tunnel(virtualNetworkGateway1=ref("virtualNetworkGateways/er")),
        "InvalidRequestFormat",
        "must be a gateway of type Vpn;",
    ),
    ("IKEv1", tunnel(connectionProtocol="IKEv1"), "UnsupportedProperty", "speaks IKEv2 only"),
    ("BGP with nobody", tunnel(enableBgp=True), "InvalidRequestFormat", "localNetworkGateways/branch has no BGP"),
    (
        "a device twice",
        tunnel(localNetworkGateway2=ref("localNetworkGateways/office")),
        "InvalidRequestFormat",
        "to the device office.example already",
    ),
    ("an authorization", tunnel(authorizationKey="x"), "InvalidRequestFormat", "is for ExpressRoute connections"),
    ("selectors", tunnel(usePolicyBasedTrafficSelectors=True), "UnsupportedProperty", "usePolicyBased"),
    (
        "selected traffic",
        tunnel(trafficSelectorPolicies=[{"localAddressRanges": []}]),
        "UnsupportedProperty",
        "trafficSelectorPolicies",
    ),
    ("NAT", tunnel(ingressNatRules=[ref("x")]), "UnsupportedProperty", "ingressNatRules"),
    ("APIPA", tunnel(gatewayCustomBgpIpAddresses=[{}]), "UnsupportedProperty", "gatewayCustomBgpIpAddresses"),
    ("certificates", tunnel(authenticationType="Certificate"), "UnsupportedProperty", "authenticationType"),
    ("private", tunnel(useLocalAzureIpAddress=True), "UnsupportedProperty", "useLocalAzureIpAddress"),
    ("impatient", tunnel(dpdTimeoutSeconds=8), "InvalidRequestFormat", "between 9 and 3600, not 8"),
    ("a mode", tunnel(connectionMode="Both"), "InvalidRequestFormat", "Default, InitiatorOnly, ResponderOnly"),
    ("a weight", tunnel(routingWeight=40000), "InvalidRequestFormat", "between 0 and 32000"),
    ("two policies", tunnel(ipsecPolicies=[POLICY, POLICY]), "InvalidRequestFormat", "one policy at most, not 2"),
    ("misspelt", tunnel(sharedkey="x"), "InvalidRequestFormat", "'sharedKey' is meant?"),
    ("a circuit's gateway", circuit(virtualNetworkGateway1=ref("virtualNetworkGateways/vpn")), "InvalidRequestFormat",
     "must be a gateway of type ExpressRoute;"),
    ("a circuit that is not there", circuit(peer=ref("expressRouteCircuits/x")), "InvalidResourceReference",
     "expressRouteCircuits/x referenced by"),
    ("a key of a circuit", circuit(sharedKey="x"), "InvalidRequestFormat", "cannot be used with an ExpressRoute"),
    ("a policy of a circuit", circuit(ipsecPolicies=[POLICY]), "InvalidRequestFormat", "cannot be used with an"),
    ("a circuit twice", circuit(), "InvalidRequestFormat", "connections/to-line connects the two already"),
    ("fast path", circuit(expressRouteGatewayBypass=True), "UnsupportedProperty", "expressRouteGatewayBypass"),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "properties", "code", "what"), ROWS, ids=[row[0] for row in ROWS])
def test_connections_that_are_refused(
    _case: str, properties: Document, code: str, what: str, *, site: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(CONNECTIONS, "new", properties), site)
    assert error.code == code
    assert what in error.message


POLICIES: list[tuple[str, dict[str, Any], str, str]] = [
    *(
        (f"without {each}", {each: None}, "InvalidRequestFormat", f"{each}: is required: a policy has all")
        for each in POLICY
    ),
    *((f"an unknown {each}", {each: "ROT13"}, "InvalidRequestFormat", "must be one of") for each in ALGORITHMS),
    ("too short", {"saLifeTimeSeconds": 299}, "InvalidRequestFormat", "between 300 and 172799"),
    ("too little", {"saDataSizeKilobytes": 1023}, "InvalidRequestFormat", "between 1024 and"),
    ("half GCM", {"ipsecIntegrity": "SHA256"}, "InvalidRequestFormat", "must be GCMAES256 as ipsecEncryption is"),
    ("two GCM", {"ipsecIntegrity": "GCMAES128"}, "InvalidRequestFormat", "must be GCMAES256"),
    ("GCM of AES", {"ipsecEncryption": "AES256"}, "InvalidRequestFormat", "goes with ipsecEncryption GCMAES256 only"),
    ("GCM of IKE", {"ikeIntegrity": "GCMAES128"}, "InvalidRequestFormat", "goes with ikeEncryption GCMAES128 only"),
    ("no group", {"dhGroup": "None"}, "UnsupportedProperty", "no key exchange without a group"),
    ("misspelt", {"saLifetime": 1}, "InvalidRequestFormat", "could not find member"),
]


@pytest.mark.parametrize(("_case", "change", "code", "what"), POLICIES, ids=[row[0] for row in POLICIES])
def test_policies_that_are_refused(
    _case: str, change: dict[str, Any], code: str, what: str, *, site: World, document: Make, refusal: Refusal
) -> None:
    policy = {member: value for member, value in (POLICY | change).items() if value is not None}
    error = refusal(document(CONNECTIONS, "new", tunnel(ipsecPolicies=[policy])), site)
    assert error.code == code
    assert what in error.message


def test_its_ends_and_type_do_not_change(site: World, document: Make, refusal: Refusal) -> None:
    for properties in (
        tunnel(enableBgp=False),
        circuit(),
    ):
        error = refusal(document(CONNECTIONS, "to-office", properties), site)
        assert error.code == "PropertyChangeNotAllowed"


def test_bgp_is_between_two_autonomous_systems(site: World, document: Make, altered: Make, refusal: Refusal) -> None:
    bgp = {"asn": 65001, "bgpPeeringAddress": "192.168.255.9"}
    put(site, altered(site, LOCAL_GATEWAYS, "branch", bgpSettings=bgp))
    put(site, altered(site, NETWORK_GATEWAYS, "vpn", bgpSettings={"asn": 65001}))
    error = refusal(document(CONNECTIONS, "new", tunnel(enableBgp=True)), site)
    assert "are one autonomous system, 65001" in error.message
    # Nor do they become one later.
    same = altered(site, NETWORK_GATEWAYS, "vpn", bgpSettings={"asn": 65010})
    assert "to-office is between two autonomous systems" in refusal(same, site).message
    device = altered(site, LOCAL_GATEWAYS, "office")
    device["properties"]["bgpSettings"]["asn"] = 65001
    assert "virtualNetworkGateways/vpn is 65001 already" in refusal(device, site).message
    put(site, altered(site, NETWORK_GATEWAYS, "vpn", enableBgp=False))
    error = refusal(document(CONNECTIONS, "new", tunnel(enableBgp=True)), site)
    assert "virtualNetworkGateways/vpn has no BGP" in error.message


def test_a_gateway_has_as_many_connections_as_its_sku_says(
    site: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    def connect(number: int) -> Document:
        space = {"addressPrefixes": [f"172.20.{number}.0/24"]}
        device = {"gatewayIpAddress": f"198.51.100.{100 + number}", "localNetworkAddressSpace": space}
        site.put(settle(document(LOCAL_GATEWAYS, f"d{number}", device), site))
        end = ref(f"localNetworkGateways/d{number}")
        return document(CONNECTIONS, f"c{number}", tunnel(localNetworkGateway2=end))

    for number in range(29):
        site.put(settle(connect(number), site))
    assert "has at most 30 connections by its SKU" in refusal(connect(29), site).message
    put(site, altered(site, NETWORK_GATEWAYS, "vpn", sku={"name": "VpnGw4"}, vpnGatewayGeneration="Generation2"))
    site.put(settle(connect(29), site))
    smaller = altered(site, NETWORK_GATEWAYS, "vpn", sku={"name": "VpnGw3"}, vpnGatewayGeneration="Generation2")
    assert "VpnGw3 has at most 30 connections, and" in refusal(smaller, site).message


def test_a_gateway_has_as_many_circuits_as_its_sku_says_and_four_of_one_place(
    site: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    lines = [{"id": "expressRouteCircuits/line"}]

    def connect(number: int, place: str) -> Document:
        provider = {"serviceProviderName": "Equinix", "peeringLocation": place, "bandwidthInMbps": 50}
        put(site, document(CIRCUITS, f"c{number}", {"serviceProviderProperties": provider}))
        lines.append({"id": f"expressRouteCircuits/c{number}"})
        put(site, altered(site, ON_PREMISES_SITES, "office", circuits=lines))
        inner = {
            "peerASN": 65010,
            "primaryPeerAddressPrefix": f"172.17.{number}.0/30",
            "secondaryPeerAddressPrefix": f"172.17.{number}.4/30",
            "vlanId": 100,
        }
        put(
            site, altered(site, CIRCUITS, f"c{number}", peerings=[{"name": "AzurePrivatePeering", "properties": inner}])
        )
        return document(CONNECTIONS, f"c{number}", circuit(peer=ref(f"expressRouteCircuits/c{number}")))

    where = site.documents[key(CIRCUITS, "line")]["properties"]["serviceProviderProperties"]["peeringLocation"]
    for number in range(3):
        put(site, connect(number, where))
    fifth = connect(3, "elsewhere")
    assert "virtualNetworkGateways/er has at most 4 connections by its SKU" in refusal(fifth, site).message
    put(site, altered(site, NETWORK_GATEWAYS, "er", sku={"name": "ErGw2AZ"}))
    put(site, fifth)
    assert "at most 4 circuits of one peering location" in refusal(connect(4, where.upper()), site).message
    smaller = altered(site, NETWORK_GATEWAYS, "er", sku={"name": "ErGw1AZ"})
    assert "ErGw1AZ has at most 4 connections, and" in refusal(smaller, site).message


def between(one: str, two: str, **more: Any) -> Document:
    ends = {
        f"virtualNetworkGateway{place}": ref(f"virtualNetworkGateways/{name}") for place, name in ((1, one), (2, two))
    }
    return {"connectionType": "Vnet2Vnet", "sharedKey": "both"} | ends | more


def test_connections_of_other_gateways_are_not_counted(site: World, document: Make, refusal: Refusal) -> None:
    far(site, document, "Vpn", "VpnGw1", ref("publicIPAddresses/spare"))
    for number in range(30):
        site.put(settle(document(CONNECTIONS, f"c{number}", between("far", "vpn")), site))
    assert settle(document(CONNECTIONS, "back", between("vpn", "far")), site)
    assert "has at most 30 connections" in refusal(document(CONNECTIONS, "more", between("far", "vpn")), site).message


def test_gateways_of_two_networks_are_connected_each_way(site: World, document: Make, refusal: Refusal) -> None:
    far(site, document, "Vpn", "VpnGw1", ref("publicIPAddresses/spare"))

    put(site, document(CONNECTIONS, "there", between("vpn", "far")))
    put(site, document(CONNECTIONS, "back", between("far", "vpn")))
    for properties, what in (
        (between("vpn", "vpn"), "are of two virtual networks"),
        (between("vpn", "er"), "virtualNetworkGateway2: must be a gateway of type Vpn;"),
        (between("far", "vpn", enableBgp=True), "virtualNetworkGateways/far has no BGP"),
    ):
        assert what in refusal(document(CONNECTIONS, "new", properties), site).message
    with pytest.raises(Exception, match="VirtualNetworkGatewayCannotBeDeleted"):
        settle_removal({key(NETWORK_GATEWAYS, "far"), key(CONNECTIONS, "back")}, site)
    gone = {key(NETWORK_GATEWAYS, "far"), key(CONNECTIONS, "back"), key(CONNECTIONS, "there")}
    assert key(PUBLIC_ADDRESSES, "spare") in settle_removal(gone, site).world.documents


def test_an_authorization_is_for_one_connection(site: World, document: Make, altered: Make, refusal: Refusal) -> None:
    line = site.documents[key(CIRCUITS, "line")]
    given = line["properties"]["authorizations"][0]["properties"]["authorizationKey"]
    assert references.view(line, site)["properties"]["authorizations"][0]["properties"]["authorizationUseStatus"] == (
        "Available"
    )
    settled = put(site, document(CONNECTIONS, "to-line", circuit(authorizationKey=given)))
    assert given not in json.dumps(references.view(settled, site))
    shown = references.view(line, site)["properties"]["authorizations"][0]["properties"]
    assert (shown["authorizationUseStatus"], shown["connectionResourceUri"]) == ("InUse", settled["id"])
    # Written without a word of it, it is still the one.
    assert put(site, altered(site, CONNECTIONS, "to-line"))["_fabric"] == {"authorization": "given"}
    far(site, document, "ExpressRoute", "ErGw1AZ", public=None)
    second = circuit(virtualNetworkGateway1=ref("virtualNetworkGateways/far"), authorizationKey=given)
    error = refusal(document(CONNECTIONS, "second", second), site)
    assert f"which {settled['id']} uses" in error.message
    assert given not in error.message
    with pytest.raises(ArmError, match="ExpressRouteCircuitAuthorizationCannotBeDeleted"):
        settle(altered(site, CIRCUITS, "line", authorizations=[]), site)
