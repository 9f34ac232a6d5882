"""What is written of devices on premises, and what of it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.local_network_gateways import intent_of
from podvnet.fabric.arm.world import CONNECTIONS, LOCAL_GATEWAYS, ON_PREMISES_SITES, Document, World, shown
from podvnet.fabric.settlement import settle, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

BGP = {"asn": 65010, "bgpPeeringAddress": "192.168.255.1"}


def device(*prefixes: str, **more: Any) -> Document:
    space = {"addressPrefixes": list(prefixes)}
    return {"gatewayIpAddress": "198.51.100.77", "localNetworkAddressSpace": space} | more


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


def test_a_device_is_as_it_is_shown(gated: World, document: Make, altered: Make) -> None:
    settled = settle(document(LOCAL_GATEWAYS, "new", device("192.168.0.0/16", bgpSettings=BGP)), gated)
    found = shown(settled)["properties"]
    assert found["gatewayIpAddress"] == "198.51.100.77"
    assert found["localNetworkAddressSpace"] == {"addressPrefixes": ["192.168.0.0/16"]}
    assert found["bgpSettings"] == BGP | {"peerWeight": 0}
    gated.put(settled)
    assert settle(altered(gated, LOCAL_GATEWAYS, "new"), gated) == settled


def test_the_default_route_may_be_among_its_prefixes(gated: World, document: Make) -> None:
    made = settle(document(LOCAL_GATEWAYS, "new", device("0.0.0.0/0", "192.168.0.0/16")), gated)
    assert [str(each) for each in intent_of(made, gated).prefixes] == ["0.0.0.0/0", "192.168.0.0/16"]


def test_a_name_leads_to_the_site_that_has_it(gated: World, document: Make) -> None:
    found = intent_of(gated.documents[key(LOCAL_GATEWAYS, "office")], gated)
    assert (found.name, str(found.address)) == ("office.example", "198.51.100.20")
    nowhere = settle(document(LOCAL_GATEWAYS, "x", {"fqdn": "no.example", "bgpSettings": BGP}), gated)
    assert intent_of(nowhere, gated).address is None
    after = settle_removal({key(ON_PREMISES_SITES, "office")}, gated).world
    assert intent_of(after.documents[key(LOCAL_GATEWAYS, "office")], after).address is None


ROWS: list[tuple[str, Document, str, str]] = [
    (
        "nowhere",
        device("192.168.0.0/16", gatewayIpAddress=""),
        "InvalidRequestFormat",
        "one of gatewayIpAddress and fqdn",
    ),
    ("two places", device("192.168.0.0/16", fqdn="x.example"), "InvalidRequestFormat", "and only one"),
    ("no address", device("192.168.0.0/16", gatewayIpAddress="x"), "InvalidRequestFormat", "'x' is no IPv4 address"),
    ("IPv6", device("192.168.0.0/16", gatewayIpAddress="2001:db8::1"), "InvalidRequestFormat", "is no IPv4 address"),
    ("multicast", device("192.168.0.0/16", gatewayIpAddress="224.0.0.1"), "InvalidRequestFormat", "no host's address"),
    ("no prefix", device(), "InvalidRequestFormat", "at least one prefix is required without bgpSettings"),
    ("a bad prefix", device("192.168.0.0"), "NetcfgInvalidIPAddressPrefix", "addressPrefixes[0]"),
    ("host bits", device("192.168.0.1/16"), "InvalidCIDRNotation", "host bits"),
    ("IPv6 behind", device("fd00::/8"), "UnsupportedProperty", "carry IPv4; fd00::/8 is IPv6"),
    ("overlap", device("192.168.0.0/16", "192.168.1.0/24"), "InvalidRequestFormat", "overlap"),
    ("twice", device("0.0.0.0/0", "0.0.0.0/0"), "InvalidRequestFormat", "one is there twice"),
    ("no ASN", device(bgpSettings={"bgpPeeringAddress": "192.168.0.1"}), "InvalidRequestFormat", "asn: is required"),
    ("no speaker", device(bgpSettings={"asn": 65010}), "InvalidRequestFormat", "bgpPeeringAddress: is required"),
    ("Azure's ASN", device(bgpSettings=BGP | {"asn": 65515}), "InvalidRequestFormat", "65515 is an ASN that Azure"),
    ("IANA's ASN", device(bgpSettings=BGP | {"asn": 23456}), "InvalidRequestFormat", "23456 is an ASN"),
    ("APIPA", device(bgpSettings=BGP | {"bgpPeeringAddress": "169.254.21.5"}), "UnsupportedProperty", "APIPA"),
    (
        "its own speaker",
        device(bgpSettings=BGP | {"bgpPeeringAddress": "198.51.100.77"}),
        "InvalidRequestFormat",
        "cannot be the device's public address",
    ),
    ("a weight", device(bgpSettings=BGP | {"peerWeight": 1}), "UnsupportedProperty", "does not weigh"),
    ("misspelt", device("192.168.0.0/16", bgp=BGP), "InvalidRequestFormat", "could not find member 'bgp'"),
]


@pytest.mark.parametrize(("_case", "properties", "code", "what"), ROWS, ids=[row[0] for row in ROWS])
def test_devices_that_are_refused(
    _case: str, properties: Document, code: str, what: str, *, gated: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(LOCAL_GATEWAYS, "new", properties), gated)
    assert error.code == code
    assert what in error.message


def test_it_stays_as_long_as_a_connection_leads_to_it(gated: World) -> None:
    with pytest.raises(ArmErrorsError, match="LocalNetworkGatewayCannotBeDeleted"):
        settle_removal({key(LOCAL_GATEWAYS, "office")}, gated)
    both = {key(LOCAL_GATEWAYS, "office"), key(CONNECTIONS, "to-office")}
    assert not both & settle_removal(both, gated).world.documents.keys()


def test_a_connection_keeps_its_bgp(gated: World, altered: Make, refusal: Refusal) -> None:
    space = {"addressPrefixes": ["192.168.0.0/16"]}
    silent = altered(gated, LOCAL_GATEWAYS, "office", bgpSettings=None, localNetworkAddressSpace=space)
    error = refusal(silent, gated)
    assert "connections/to-office speaks BGP with it" in error.message


def test_two_connections_of_a_gateway_do_not_lead_to_one_device(
    gated: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    gated.put(settle(document(LOCAL_GATEWAYS, "twin", device("192.168.0.0/16")), gated))
    link = {
        "connectionType": "IPsec",
        "virtualNetworkGateway1": {"id": "virtualNetworkGateways/vpn"},
        "localNetworkGateway2": {"id": "localNetworkGateways/twin"},
    }
    gated.put(settle(document(CONNECTIONS, "to-twin", link), gated))
    same = altered(gated, LOCAL_GATEWAYS, "twin", gatewayIpAddress=None, fqdn="OFFICE.example")
    assert "to the device office.example already" in refusal(same, gated).message


def test_two_devices_do_not_speak_bgp_from_one_address(
    gated: World, document: Make, altered: Make, refusal: Refusal
) -> None:
    office = gated.documents[key(LOCAL_GATEWAYS, "office")]["properties"]["bgpSettings"]
    other = device(bgpSettings=BGP | {"bgpPeeringAddress": "192.168.255.77"})
    gated.put(settle(document(LOCAL_GATEWAYS, "twin", other), gated))
    link = {
        "connectionType": "IPsec",
        "virtualNetworkGateway1": {"id": "virtualNetworkGateways/vpn"},
        "localNetworkGateway2": {"id": "localNetworkGateways/twin"},
        "enableBgp": True,
    }
    gated.put(settle(document(CONNECTIONS, "to-twin", link), gated))
    same = altered(gated, LOCAL_GATEWAYS, "twin", bgpSettings=office)
    assert "to-office speaks BGP with 192.168.255.1 already" in refusal(same, gated).message
    # Of a device that does not speak by its connection the address means nothing.
    gated.put(settle(document(CONNECTIONS, "to-twin", link | {"enableBgp": False}), gated))
    gated.put(settle(same, gated))
    assert "to-office speaks BGP with 192.168.255.1" in refusal(document(CONNECTIONS, "to-twin", link), gated).message
