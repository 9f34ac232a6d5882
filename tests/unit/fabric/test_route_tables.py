from __future__ import annotations

from collections.abc import Callable

import pytest

from podvnet.fabric.arm.route_tables import RouteTables
from podvnet.fabric.arm.world import ROUTE_TABLES, Document, World, shown
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]


def route(name: str = "r", prefix: str = "10.0.0.0/8", kind: str = "VnetLocal", hop: str = "") -> Document:
    inner = {"addressPrefix": prefix, "nextHopType": kind} | ({"nextHopIpAddress": hop} if hop else {})
    return {"name": name, "properties": inner}


def many(count: int) -> list[Document]:
    return [route(f"r{n}", f"10.{n >> 8}.{n & 255}.0/24") for n in range(count)]


TAGS = [
    f"{tag}.{region}"
    for tag in ("Storage", "Sql")
    for region in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m")
]

ROWS: list[tuple[str, Document, str, str]] = [
    ("nameless", {"routes": [{"properties": {}}]}, "InvalidRequestFormat", "routes[0].name: is required"),
    ("bad name", {"routes": [route("a/b")]}, "InvalidResourceName", "'a/b' is invalid"),
    ("misspelt", {"routes": [route() | {"route": 1}]}, "InvalidRequestFormat", "could not find member 'route'"),
    ("no prefix", {"routes": [route(prefix="")]}, "InvalidRequestFormat", "addressPrefix: is required"),
    (
        "an address",
        {"routes": [route(prefix="10.0.0.1")]},
        "NetcfgInvalidIPAddressPrefix",
        "'10.0.0.1' is not a prefix",
    ),
    ("host bits", {"routes": [route(prefix="10.0.0.1/8")]}, "InvalidCIDRNotation", "10.0.0.0/8 is meant?"),
    ("unknown tag", {"routes": [route(prefix="Nothing")]}, "NetcfgInvalidIPAddressPrefix", "'Nothing' is not a prefix"),
    ("no next hop", {"routes": [route(kind="")]}, "InvalidRequestFormat", "nextHopType: must be one of"),
    ("a next hop of Azure's", {"routes": [route(kind="VNetPeering")]}, "InvalidRequestFormat", "nextHopType: must be"),
    (
        "an appliance without address",
        {"routes": [route(kind="VirtualAppliance")]},
        "InvalidRequestFormat",
        "nextHopIpAddress: is required with VirtualAppliance",
    ),
    *(
        (
            f"an address with {kind}",
            {"routes": [route(kind=kind, hop="10.0.0.4")]},
            "InvalidRequestFormat",
            f"nextHopIpAddress: cannot be given with {kind}",
        )
        for kind in ("VirtualNetworkGateway", "VnetLocal", "Internet", "None")
    ),
    (
        "no address",
        {"routes": [route(kind="VirtualAppliance", hop="here")]},
        "InvalidRequestFormat",
        "'here' is no address",
    ),
    (
        "of another IP version",
        {"routes": [route(kind="VirtualAppliance", hop="fd00::4")]},
        "InvalidRequestFormat",
        "fd00::4 is not of the IP version of 10.0.0.0/8",
    ),
    ("two of one name", {"routes": [route(), route("R", "11.0.0.0/8")]}, "InvalidRequestFormat", "are called 'R'"),
    (
        "two of one prefix",
        {"routes": [route(), route("s")]},
        "RouteConflict",
        "Route s conflicts with route r. Routes cannot have the same AddressPrefix",
    ),
    (
        "two of one tag",
        {"routes": [route("r", "storage"), route("s", "STORAGE")]},
        "RouteConflict",
        "Route s conflicts with route r",
    ),
    ("401 routes", {"routes": many(401)}, "RouteCountLimitReached", "at most 400 routes, not 401"),
    (
        "26 tags",
        {"routes": [route(f"r{n}", tag) for n, tag in enumerate(f"{each}xx" for each in TAGS)]},
        "RouteCountLimitReached",
        "at most 25 routes to service tags, not 26",
    ),
    ("peering routes", {"disablePeeringRoute": "All"}, "UnsupportedProperty", "disablePeeringRoute"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(row: tuple[str, Document, str, str], document: Make, refusal: Refusal) -> None:
    _, properties, code, says = row
    error = refusal(document(ROUTE_TABLES, "new", properties), World())
    assert error.code == code
    assert says in error.message
    assert error.status == 400


def test_what_azure_fills_in(document: Make) -> None:
    routes = [route(), route("nva", "0.0.0.0/0", "virtualappliance", "10.0.0.4"), route("tag", "storage", "internet")]
    settled = settle(document(ROUTE_TABLES, "new", {"routes": routes, "disableBgpRoutePropagation": True}), World())
    properties = shown(settled)["properties"]
    assert properties["disableBgpRoutePropagation"] is True
    assert [each["properties"] for each in properties["routes"]] == [
        {
            "provisioningState": "Succeeded",
            "addressPrefix": "10.0.0.0/8",
            "nextHopType": "VnetLocal",
            "hasBgpOverride": False,
        },
        {
            "provisioningState": "Succeeded",
            "addressPrefix": "0.0.0.0/0",
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.0.0.4",
            "hasBgpOverride": False,
        },
        {
            "provisioningState": "Succeeded",
            "addressPrefix": "Storage",
            "nextHopType": "Internet",
            "hasBgpOverride": False,
        },
    ]
    assert properties["routes"][1]["id"] == f"{make(Scope(), ROUTE_TABLES, 'new')}/routes/nva"
    assert properties["routes"][1]["type"] == "Microsoft.Network/routeTables/routes"
    assert settle(shown(settled), World()) == settled


def test_400_routes(document: Make) -> None:
    assert len(settle(document(ROUTE_TABLES, "new", {"routes": many(400)}), World())["properties"]["routes"]) == 400


def test_removal(stocked: World) -> None:
    with pytest.raises(ArmError, match=r"InUseRouteTableCannotBeDeleted: .*/virtualNetworks/one/subnets/a\."):
        RouteTables().check_removal(make(Scope(), ROUTE_TABLES, "ways"), stocked)
