"""Sites on premises: what is theirs, what their devices are told, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import references
from podvnet.fabric.arm.on_premises_sites import intent_of
from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NETWORK_GATEWAYS,
    ON_PREMISES_SITES,
    PUBLIC_ADDRESSES,
    Document,
    World,
)
from podvnet.fabric.settlement import complete, settle, settle_removal
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make
from podvnet.testing.gateway_file import CIRCUIT_KEY, KEY

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

OFFICE = make(Scope(), ON_PREMISES_SITES, "office").key
GUID = "11111111-2222-3333-4444-555555555555"


def site(*prefixes: str, **more: Any) -> Document:
    return {"publicAddress": "198.51.100.50", "addressPrefixes": list(prefixes or ("172.20.0.0/16",))} | more


def tunnel(name: str = "t", **more: Any) -> Document:
    told = {"name": name, "remoteAddress": "192.0.2.1", "sharedKey": "k", "remotePrefixes": ["10.0.0.0/16"]} | more
    return {member: value for member, value in told.items() if value is not None}


def put(world: World, wanted: Document) -> Document:
    settled = settle(wanted, world)
    world.put(settled)
    complete(world)
    return settled


def test_a_site_is_as_it_is_shown_and_written_again(gated: World, altered: Make) -> None:
    found = references.view(gated.documents[OFFICE], gated)
    text = json.dumps(found)
    assert not any(secret in text for secret in (KEY, CIRCUIT_KEY))
    assert found["properties"]["hosts"] == [{"name": "files", "address": "192.168.0.10"}]
    assert found["properties"]["asn"] == 65010
    assert settle(altered(gated, ON_PREMISES_SITES, "office"), gated) == gated.documents[OFFICE]


def test_its_tunnels_find_the_gateway_behind_a_public_address(gated: World) -> None:
    made = intent_of(gated.documents[OFFICE], gated)
    (found,) = made.tunnels
    assert (str(found.remote), found.shared_key, made.circuit_key) == ("192.0.2.1", KEY, CIRCUIT_KEY)
    assert (str(found.bgp_peer), found.bgp_asn, found.remote_prefixes) == ("10.0.255.30", 65515, ())
    assert made.circuits == (
        gated.documents[make(Scope(), "Microsoft.Network/expressRouteCircuits", "line").key]["properties"][
            "serviceKey"
        ],
    )
    assert not any(secret in repr(made) for secret in (KEY, CIRCUIT_KEY))


def test_what_its_device_is_told_may_be_wrong_and_changes_by_itself(gated: World, document: Make) -> None:
    told = tunnel(bgp=True, bgpPeer="10.0.255.31", bgpAsn=65001, remotePrefixes=None)
    put(gated, document(ON_PREMISES_SITES, "other", site(tunnels=[told], bgpAddress="172.20.255.1", asn=65020)))
    made = intent_of(gated.documents[make(Scope(), ON_PREMISES_SITES, "other").key], gated)
    (found,) = made.tunnels
    assert (str(found.bgp_peer), found.bgp_asn, made.asn) == ("10.0.255.31", 65001, 65020)
    silent = put(gated, document(ON_PREMISES_SITES, "other", site(tunnels=[tunnel(sharedKey=None)])))
    (found,) = intent_of(silent, gated).tunnels
    assert (found.shared_key, found.bgp_peer, [str(each) for each in found.remote_prefixes]) == (
        "k",
        None,
        ["10.0.0.0/16"],
    )


def test_a_public_address_that_a_tunnel_names_may_go(gated: World, document: Make) -> None:
    told = tunnel(remoteAddress=None, publicIPAddress={"id": "publicIPAddresses/spare"})
    made = put(gated, document(ON_PREMISES_SITES, "other", site(tunnels=[told])))
    assert len(intent_of(made, gated).tunnels) == 1
    spare = make(Scope(), PUBLIC_ADDRESSES, "spare").key
    assert intent_of(made, settle_removal({spare}, gated).world).tunnels == ()


def test_a_gateway_without_bgp_has_no_speaker(gated: World, altered: Make) -> None:
    world = gated.copy()
    vpn = altered(world, NETWORK_GATEWAYS, "vpn", enableBgp=False)
    world.put(settle(vpn, world))
    (found,) = intent_of(world.documents[OFFICE], world).tunnels
    assert found.bgp_peer is None


ROWS: list[tuple[str, Document, str, str]] = [
    ("no networks", {"publicAddress": "198.51.100.50"}, "InvalidRequestFormat", "at least one prefix"),
    ("everything", site("0.0.0.0/0"), "InvalidRequestFormat", "and not 0.0.0.0/0"),
    ("IPv6", site("fd00::/8"), "UnsupportedProperty", "carry IPv4"),
    ("a private router", site(publicAddress="10.0.0.1"), "InvalidRequestFormat", "10.0.0.1 is no public address"),
    ("no address", site(publicAddress="x"), "InvalidRequestFormat", "'x' is no IPv4 address"),
    ("Azure's address", site(publicAddress="192.0.2.1"), "InvalidRequestFormat", "a public address of the fabric's"),
    ("the office's", site(publicAddress="198.51.100.20"), "InvalidRequestFormat", "is already office's"),
    (
        "a host elsewhere",
        site(hosts=[{"name": "a", "address": "10.0.0.9"}]),
        "InvalidRequestFormat",
        "in none of the site",
    ),
    (
        "the router's address",
        site(hosts=[{"name": "a", "address": "172.20.0.1"}]),
        "InvalidRequestFormat",
        "the router's",
    ),
    (
        "the speaker's address",
        site(bgpAddress="172.20.0.9", hosts=[{"name": "a", "address": "172.20.0.9"}]),
        "InvalidRequestFormat",
        "172.20.0.9 is the router's",
    ),
    (
        "two hosts of one name",
        site(hosts=[{"name": "a", "address": "172.20.0.9"}, {"name": "A", "address": "172.20.0.8"}]),
        "InvalidRequestFormat",
        "two have one name or address",
    ),
    ("a nameless host", site(hosts=[{"address": "172.20.0.9"}]), "InvalidRequestFormat", "name: is required"),
    ("Azure's ASN", site(asn=65515), "InvalidRequestFormat", "65515 is an ASN"),
    ("APIPA", site(bgpAddress="169.254.21.1"), "UnsupportedProperty", "APIPA"),
    (
        "no router",
        site(publicAddress="", tunnels=[tunnel()]),
        "InvalidRequestFormat",
        "publicAddress: is required with",
    ),
    ("no key", site(tunnels=[tunnel(sharedKey=None)]), "InvalidRequestFormat", "sharedKey: is required"),
    ("no end", site(tunnels=[tunnel(remoteAddress=None)]), "InvalidRequestFormat", "one of remoteAddress and public"),
    (
        "two ends",
        site(tunnels=[tunnel(publicIPAddress={"id": "publicIPAddresses/gw"})]),
        "InvalidRequestFormat",
        "and only one",
    ),
    (
        "an unknown end",
        site(tunnels=[tunnel(remoteAddress=None, publicIPAddress={"id": "publicIPAddresses/x"})]),
        "InvalidResourceReference",
        "publicIPAddresses/x",
    ),
    (
        "nothing behind",
        site(tunnels=[tunnel(remotePrefixes=None)]),
        "InvalidRequestFormat",
        "without BGP the device must",
    ),
    ("no speaker", site(tunnels=[tunnel(bgp=True)]), "InvalidRequestFormat", "bgpAddress: is required with tunnels"),
    (
        "BGP it has not",
        site(tunnels=[tunnel(bgp=False, bgpPeer="10.0.0.1")]),
        "InvalidRequestFormat",
        "are for a tunnel with BGP",
    ),
    ("two of a name", site(tunnels=[tunnel(), tunnel()]), "InvalidRequestFormat", "two are called 't'"),
    (
        "half a policy",
        site(tunnels=[tunnel(ipsecPolicies=[{"dhGroup": "ECP256"}])]),
        "InvalidRequestFormat",
        "a policy has",
    ),
    ("a circuit twice", site(circuits=[{"serviceKey": GUID}] * 2), "InvalidRequestFormat", "a circuit is there twice"),
    ("no circuit", site(circuits=[{}]), "InvalidRequestFormat", "id: is required"),
    (
        "two names of one",
        site(circuits=[{"serviceKey": GUID, "id": "expressRouteCircuits/x"}]),
        "InvalidRequestFormat",
        "serviceKey or id, not both",
    ),
    (
        "the office's circuit",
        site(circuits=[{"id": "expressRouteCircuits/line"}]),
        "InvalidRequestFormat",
        "onPremisesSites/office has the circuit already",
    ),
    ("misspelt", site(host=[]), "InvalidRequestFormat", "could not find member 'host'"),
]


@pytest.mark.parametrize(("_case", "properties", "code", "what"), ROWS, ids=[row[0] for row in ROWS])
def test_sites_that_are_refused(
    _case: str, properties: Document, code: str, what: str, *, gated: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(ON_PREMISES_SITES, "new", properties), gated)
    assert error.code == code
    assert what in error.message


def test_a_routers_address_is_nobody_elses(gated: World, document: Make, refusal: Refusal) -> None:
    host = document(INTERNET_HOSTS, "host", {"address": "198.51.100.20"})
    assert "is already office's" in refusal(host, gated).message
    put(gated, document(ON_PREMISES_SITES, "new", site(publicAddress="192.0.2.3")))
    taken = [put(gated, document(PUBLIC_ADDRESSES, f"p{n}", {}))["properties"]["ipAddress"] for n in range(2)]
    assert taken == ["192.0.2.4", "192.0.2.5"]
