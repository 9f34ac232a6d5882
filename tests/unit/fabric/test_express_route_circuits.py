"""ExpressRoute circuits: who provisions them, their peering and authorizations, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import references
from podvnet.fabric.arm.express_route_circuits import intent_of, service_key
from podvnet.fabric.arm.world import CIRCUITS, CONNECTIONS, ON_PREMISES_SITES, Document, World
from podvnet.fabric.settlement import complete, settle, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import Scope, make
from podvnet.testing.gateway_file import CIRCUIT_KEY

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

PROVIDER = {"serviceProviderName": "Equinix", "peeringLocation": "Seattle", "bandwidthInMbps": 200}
LINE, OFFICE, TO_LINE = (
    make(Scope(), full_type, name).key
    for full_type, name in ((CIRCUITS, "line"), (ON_PREMISES_SITES, "office"), (CONNECTIONS, "to-line"))
)


def peering(_name: str = "AzurePrivatePeering", **more: Any) -> Document:
    inner = {
        "peerASN": 65010,
        "primaryPeerAddressPrefix": "172.16.1.0/30",
        "secondaryPeerAddressPrefix": "172.16.1.4/30",
        "vlanId": 100,
    }
    return {"name": _name, "properties": inner | more}


def circuit(**more: Any) -> Document:
    return {"serviceProviderProperties": PROVIDER} | more


def put(world: World, wanted: Document) -> Document:
    settled = settle(wanted, world)
    world.put(settled)
    complete(world)
    return world.documents[settled["id"].lower()]


def test_a_circuit_is_as_it_is_shown(gated: World, document: Make, altered: Make) -> None:
    found = references.view(gated.documents[LINE], gated)
    assert found["sku"] == {"name": "Standard_MeteredData", "tier": "Standard", "family": "MeteredData"}
    properties = found["properties"]
    assert properties["serviceKey"] == service_key(make(Scope(), CIRCUITS, "line"))
    assert (properties["circuitProvisioningState"], properties["serviceProviderProvisioningState"]) == (
        "Enabled",
        "Provisioned",
    )
    (inner,) = (each["properties"] for each in properties["peerings"])
    assert (inner["azureASN"], inner["peerASN"], inner["vlanId"], inner["state"]) == (12076, 65010, 100, "Enabled")
    assert CIRCUIT_KEY not in json.dumps(found)
    assert settle(altered(gated, CIRCUITS, "line"), gated) == gated.documents[LINE]
    bare = settle(document(CIRCUITS, "new", circuit(), sku={"tier": "Premium", "family": "UnlimitedData"}), gated)
    assert (bare["sku"]["name"], bare["properties"]["stag"]) == ("Premium_UnlimitedData", 2)
    assert (intent_of(bare).premium, intent_of(gated.documents[LINE]).premium) == (True, False)


def test_it_is_provisioned_as_long_as_a_site_has_its_service_key(gated: World, altered: Make) -> None:
    assert intent_of(gated.documents[LINE]).peering is not None
    alone = settle_removal({OFFICE}, gated).world
    line = alone.documents[LINE]
    assert line["properties"]["serviceProviderProvisioningState"] == "NotProvisioned"
    assert line["properties"]["peerings"], "the peering stays, and carries nothing"
    assert intent_of(line).peering is None
    office = altered(gated, ON_PREMISES_SITES, "office")
    office["properties"]["tunnels"] = []
    put(alone, office)
    assert alone.documents[LINE]["properties"]["serviceProviderProvisioningState"] == "Provisioned"


def test_circuits_that_meet_have_links_of_their_own(gated: World, document: Make, altered: Make) -> None:
    second = put(gated, document(CIRCUITS, "second", circuit()))
    keys = [{"id": "expressRouteCircuits/line"}, {"id": "expressRouteCircuits/second"}]
    put(gated, altered(gated, ON_PREMISES_SITES, "office", circuits=keys))
    with pytest.raises(
        ArmError, match=r"expressRouteCircuits/second both lead to \S+/office by links of 172\.16\.1\.4"
    ):
        put(
            gated.copy(),
            altered(gated, CIRCUITS, "second", peerings=[peering(primaryPeerAddressPrefix="172.17.1.0/30")]),
        )
    # At two sites they do not meet, until a gateway has connections to both.
    put(gated, altered(gated, ON_PREMISES_SITES, "office", circuits=keys[:1]))
    put(gated, document(ON_PREMISES_SITES, "branch", {"addressPrefixes": ["192.168.64.0/24"], "circuits": keys[1:]}))
    put(gated, altered(gated, CIRCUITS, "second", peerings=[peering()]))
    ends = {"virtualNetworkGateway1": {"id": "virtualNetworkGateways/er"}, "peer": {"id": second["id"]}}
    with pytest.raises(ArmError, match=r"both lead to \S+virtualNetworkGateways/er by links of 172\.16\.1\.0/30"):
        put(gated, document(CONNECTIONS, "to-second", {"connectionType": "ExpressRoute"} | ends))


def test_a_disabled_peering_carries_nothing(gated: World, altered: Make) -> None:
    assert intent_of(put(gated, altered(gated, CIRCUITS, "line", peerings=[peering(state="Disabled")]))).peering is None


def test_the_key_of_its_sessions_is_kept_changed_and_taken_out(gated: World, altered: Make) -> None:
    def key(**more: Any) -> str:
        found = intent_of(put(gated, altered(gated, CIRCUITS, "line", peerings=[peering(**more)]))).peering
        assert found
        return found.shared_key

    assert key() == CIRCUIT_KEY
    assert key(sharedKey="another") == "another"
    assert key(sharedKey="") == ""


def test_authorizations_keep_their_keys(gated: World, altered: Make) -> None:
    def keys(*names: str) -> dict[str, str]:
        wanted = altered(gated, CIRCUITS, "line", authorizations=[{"name": each} for each in names])
        found = put(gated, wanted)["properties"]["authorizations"]
        return {each["name"]: each["properties"]["authorizationKey"] for each in found}

    one = keys("given")
    both = keys("given", "second")
    assert both["given"] == one["given"]
    assert both["second"] != one["given"]


ROWS: list[tuple[str, Document, str, str]] = [
    ("no provider", {}, "InvalidRequestFormat", "serviceProviderName: is required"),
    ("no bandwidth", circuit(serviceProviderProperties=PROVIDER | {"bandwidthInMbps": None}), "InvalidRequestFormat",
     "bandwidthInMbps: is required"),
    ("a bandwidth", circuit(serviceProviderProperties=PROVIDER | {"bandwidthInMbps": 300}), "InvalidRequestFormat",
     "must be one of 50, 100, 200"),
    ("a port", circuit(expressRoutePort={"id": "x"}), "UnsupportedProperty", "expressRoutePort"),
    ("classic", circuit(allowClassicOperations=True), "UnsupportedProperty", "allowClassicOperations"),
    ("global reach", circuit(globalReachEnabled=True), "UnsupportedProperty", "globalReachEnabled"),
    ("Microsoft's peering", circuit(peerings=[peering("MicrosoftPeering", peeringType="MicrosoftPeering")]),
     "UnsupportedProperty", "has AzurePrivatePeering only"),
    ("another name", circuit(peerings=[peering("private")]), "UnsupportedProperty", "which is its name as well"),
    ("no link", circuit(peerings=[peering(secondaryPeerAddressPrefix=None)]), "InvalidRequestFormat",
     "secondaryPeerAddressPrefix: is required"),
    ("a wide link", circuit(peerings=[peering(primaryPeerAddressPrefix="172.16.1.0/29")]), "InvalidRequestFormat",
     "must be a /30 of IPv4 addresses, not 172.16.1.0/29"),
    ("one link twice", circuit(peerings=[peering(primaryPeerAddressPrefix="172.16.1.4/30")]), "InvalidRequestFormat",
     "the two links are one"),
    ("IPv6", circuit(peerings=[peering(ipv6PeeringConfig={"state": "Enabled"})]), "UnsupportedProperty", "ipv6Peering"),
    ("no VLAN", circuit(peerings=[peering(vlanId=None)]), "InvalidRequestFormat", "vlanId: is required"),
    ("a VLAN", circuit(peerings=[peering(vlanId=4095)]), "InvalidRequestFormat", "between 1 and 4094"),
    ("no ASN", circuit(peerings=[peering(peerASN=None)]), "InvalidRequestFormat", "peerASN: is required"),
    ("Azure's ASN", circuit(peerings=[peering(peerASN=12076)]), "InvalidRequestFormat", "12076 is an ASN"),
    ("one of Azure's own", circuit(peerings=[peering(peerASN=65516)]), "InvalidRequestFormat", "65515 to 65520 are"),
    ("another Microsoft", circuit(peerings=[peering(azureASN=1)]), "InvalidRequestFormat", "it is 12076"),
    ("a long key", circuit(peerings=[peering(sharedKey="k" * 26)]), "InvalidRequestFormat", "1 to 25 letters"),
    ("two peerings", circuit(peerings=[peering(), peering()]), "InvalidRequestFormat", "two have one name"),
    ("eleven", circuit(authorizations=[{"name": f"a{n}"} for n in range(11)]), "InvalidRequestFormat", "at most 10"),
    ("misspelt", circuit(bandwidth=5), "InvalidRequestFormat", "could not find member 'bandwidth'"),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "properties", "code", "what"), ROWS, ids=[row[0] for row in ROWS])
def test_circuits_that_are_refused(
    _case: str, properties: Document, code: str, what: str, *, gated: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(CIRCUITS, "line", properties), gated)
    assert error.code == code
    assert what in error.message


def test_skus_that_are_refused(gated: World, document: Make, refusal: Refusal) -> None:
    for sku in ({"tier": "Basic"}, {"family": "Free"}, {"tier": "Standard", "name": "Premium_MeteredData"}):
        assert refusal(document(CIRCUITS, "new", circuit(), sku=sku), gated).code == "InvalidRequestFormat"


def test_a_circuit_is_peered_and_connected_when_it_is_provisioned(
    gated: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(CIRCUITS, "new", circuit(peerings=[peering()])), gated)
    assert (error.code, "must be provisioned by its provider" in error.message) == ("InvalidRequestFormat", True)
    put(gated, document(CIRCUITS, "new", circuit()))
    link = {
        "connectionType": "ExpressRoute",
        "virtualNetworkGateway1": {"id": "virtualNetworkGateways/er"},
        "peer": {"id": "expressRouteCircuits/new"},
    }
    assert "it is NotProvisioned" in refusal(document(CONNECTIONS, "new", link), gated).message
    put(
        gated,
        document(
            ON_PREMISES_SITES,
            "branch",
            {"addressPrefixes": ["192.168.128.0/17"], "circuits": [{"id": "expressRouteCircuits/new"}]},
        ),
    )
    assert "has no AzurePrivatePeering" in refusal(document(CONNECTIONS, "new", link), gated).message


def test_what_is_in_use_stays(gated: World, altered: Make, refusal: Refusal) -> None:
    error = refusal(altered(gated, CIRCUITS, "line", peerings=[]), gated)
    assert (error.code, error.status) == ("ExpressRouteCircuitPeeringCannotBeDeleted", 409)
    for gone, what in (({LINE}, "is used by the connections"), ({LINE, TO_LINE}, "ProvisioningState is Provisioned")):
        with pytest.raises(ArmErrorsError) as caught:
            settle_removal(gone, gated)
        assert caught.value.errors[0].code == "ExpressRouteCircuitCannotBeDeleted"
        assert what in caught.value.errors[0].message
    assert LINE not in settle_removal({LINE, TO_LINE, OFFICE}, gated).world.documents


@pytest.mark.parametrize(
    "change", [{"bandwidthInMbps": 100}, {"serviceProviderName": "Other"}, {"peeringLocation": "Dallas"}]
)
def test_what_does_not_change(change: dict[str, Any], gated: World, altered: Make, refusal: Refusal) -> None:
    wanted = altered(gated, CIRCUITS, "line", serviceProviderProperties=PROVIDER | change)
    assert refusal(wanted, gated).code == "PropertyChangeNotAllowed"


def test_its_bandwidth_grows(gated: World, altered: Make) -> None:
    wider = PROVIDER | {"bandwidthInMbps": 1000}
    found = put(gated, altered(gated, CIRCUITS, "line", serviceProviderProperties=wider))
    assert found["properties"]["serviceProviderProperties"] == wider
