from __future__ import annotations

from collections.abc import Callable

import pytest

from podvnet.fabric.arm import children, references
from podvnet.fabric.arm.world import VIRTUAL_NETWORKS, Document, World, shown
from podvnet.fabric.settlement import complete, settle, settle_all, settle_removal
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

SPACES = {"a": "10.1.0.0/16", "b": "10.2.0.0/16", "c": "10.3.0.0/16", "d": "10.1.128.0/17", "e": "10.2.0.0/15"}


def key(name: str) -> str:
    return make(Scope(), VIRTUAL_NETWORKS, name).key


def peering(remote: str, name: str = "", **properties: object) -> Document:
    inner = {"remoteVirtualNetwork": {"id": f"virtualNetworks/{remote}"}} | properties
    return {"name": name or f"to-{remote}", "properties": inner}


def network(document: Make, name: str, *peerings: Document, space: str = "") -> Document:
    prefixes = [space or SPACES[name]]
    return document(
        VIRTUAL_NETWORKS,
        name,
        {"addressSpace": {"addressPrefixes": prefixes}, "virtualNetworkPeerings": list(peerings)},
    )


def put(world: World, wanted: Document) -> None:
    world.put(settle(wanted, world))
    complete(world)


def states(world: World) -> dict[str, str]:
    return {
        f"{each['name']}>{peer['name']}": peer["properties"]["peeringState"]
        for each in world.of_type(VIRTUAL_NETWORKS)
        for peer in each["properties"]["virtualNetworkPeerings"]
    }


@pytest.fixture
def networks(document: Make) -> World:
    """The networks a to e. d overlaps a, e overlaps b and c."""
    return settle_all([network(document, name) for name in SPACES], World(), set()).world


@pytest.fixture
def peered(networks: World, document: Make) -> World:
    """The same, a and b peered with each other."""
    put(networks, network(document, "a", peering("b")))
    put(networks, network(document, "b", peering("a")))
    return networks


def test_states(networks: World, document: Make) -> None:
    put(networks, network(document, "a", peering("b")))
    assert states(networks) == {"a>to-b": "Initiated"}
    put(networks, network(document, "b", peering("a")))
    assert states(networks) == {"a>to-b": "Connected", "b>to-a": "Connected"}
    put(networks, network(document, "a"))
    assert states(networks) == {"b>to-a": "Disconnected"}
    # What is disconnected stays so, and may be written again.
    put(networks, network(document, "b", peering("a", allowForwardedTraffic=True)))
    assert states(networks) == {"b>to-a": "Disconnected"}
    with pytest.raises(ArmError, match="RemotePeeringIsDisconnected"):
        settle(network(document, "a", peering("b")), networks)
    put(networks, network(document, "b"))
    put(networks, network(document, "b", peering("a")))
    put(networks, network(document, "a", peering("b")))
    assert states(networks) == {"a>to-b": "Connected", "b>to-a": "Connected"}


def test_a_network_that_goes_disconnects_its_peers(peered: World) -> None:
    after = settle_removal({key("a")}, peered).world
    assert states(after) == {"b>to-a": "Disconnected"}
    again = settle_all([shown(each) for each in after.documents.values()], after, set(after.documents))
    assert again.changes == ()


def test_an_initiated_peering_whose_remote_goes(networks: World, document: Make) -> None:
    put(networks, network(document, "a", peering("b")))
    assert states(settle_removal({key("b")}, networks).world) == {"a>to-b": "Disconnected"}


def test_a_file_with_both_sides(document: Make) -> None:
    both = [network(document, "a", peering("b")), network(document, "b", peering("a"))]
    world = settle_all(both, World(), set()).world
    assert states(world) == {"a>to-b": "Connected", "b>to-a": "Connected"}
    assert settle_all(both, world, set(world.documents)).changes == ()


ROWS: list[tuple[str, str, tuple[Document, ...], str, str]] = [
    ("nameless", "a", ({"properties": {}},), "InvalidRequestFormat", "virtualNetworkPeerings[0].name: is required"),
    ("bad name", "a", (peering("b", "-"),), "InvalidResourceName", "'-' is invalid"),
    ("misspelt", "a", (peering("b", allowForwarded=True),), "InvalidRequestFormat", "member 'allowForwarded'"),
    ("two of one name", "a", (peering("b", "x"), peering("c", "X")), "InvalidRequestFormat", "are called 'X'"),
    ("no remote", "a", ({"name": "x"},), "InvalidRequestFormat", "remoteVirtualNetwork.id: is required"),
    ("unknown remote", "a", (peering("none"),), "InvalidResourceReference", "virtualNetworks/none referenced by"),
    ("itself", "a", (peering("A"),), "InvalidRequestFormat", "cannot be peered with itself"),
    ("gateways", "c", (peering("a", useRemoteGateways=True),), "RemoteVnetHasNoGateways", "does not have any gateways"),
    ("some subnets", "c", (peering("a", peerCompleteVnets=False),), "UnsupportedProperty", "peerCompleteVnets"),
    ("one remote twice", "c", (peering("a"), peering("a", "x")), "AnotherPeeringAlreadyReferencesRemoteVnet", "/x"),
    ("overlap", "a", (peering("d"),), "VnetAddressSpacesOverlap", "(10.1.0.0/16) and remote virtual network"),
    (
        "with a peer of the remote",
        "d",
        (peering("b"),),
        "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
        "virtualNetworks/a (10.1.0.0/16), which is already peered with",
    ),
    (
        "of two remotes",
        "c",
        (peering("a"), peering("d")),
        "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet",
        "/virtualNetworks/d, which virtual network",
    ),
    ("another remote", "a", (peering("c", "to-b"),), "PropertyChangeNotAllowed", "cannot be changed"),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(
    row: tuple[str, str, tuple[Document, ...], str, str], peered: World, document: Make, refusal: Refusal
) -> None:
    _, name, peerings, code, says = row
    error = refusal(network(document, name, *peerings), peered)
    assert error.code == code
    assert says in error.message
    assert error.status == (409 if code == "PropertyChangeNotAllowed" else 400)


def test_more_than_500(document: Make, refusal: Refusal) -> None:
    world = World()
    for number in range(501):
        space = f"10.{number >> 8}.{number & 255}.0/24"
        world.put(settle(network(document, f"n{number}", space=space), world))
    wanted = network(document, "hub", *(peering(f"n{number}") for number in range(501)), space="172.16.0.0/16")
    assert refusal(wanted, world).code == "VirtualNetworkPeeringCountLimitReached"
    wanted["properties"]["virtualNetworkPeerings"].pop()
    settle(wanted, world)


@pytest.mark.parametrize(
    "row",
    [
        ("a", "10.2.0.0/17", "VnetAddressSpacesOverlap"),
        ("b", "10.1.0.0/17", "VnetAddressSpacesOverlap"),
        ("c", "10.1.0.0/17", "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet"),
    ],
)
def test_an_address_space_that_comes_to_overlap(
    row: tuple[str, str, str], peered: World, document: Make, refusal: Refusal
) -> None:
    name, space, code = row
    put(peered, network(document, "b", peering("a"), peering("c")))
    put(peered, network(document, "c", peering("b")))
    keeps = {"a": [peering("b")], "b": [peering("a"), peering("c")], "c": [peering("b")]}[name]
    assert refusal(network(document, name, *keeps, space=space), peered).code == code


def test_what_azure_fills_in(peered: World) -> None:
    found = references.view(peered.documents[key("a")], peered)["properties"]["virtualNetworkPeerings"][0]
    assert found["id"] == f"{make(Scope(), VIRTUAL_NETWORKS, 'a')}/virtualNetworkPeerings/to-b"
    assert found["type"] == "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
    assert found["properties"].pop("resourceGuid")
    assert found["properties"] == {
        "provisioningState": "Succeeded",
        "peeringState": "Connected",
        "peeringSyncLevel": "FullyInSync",
        "remoteVirtualNetwork": {"id": str(make(Scope(), VIRTUAL_NETWORKS, "b"))},
        "remoteAddressSpace": {"addressPrefixes": ["10.2.0.0/16"]},
        "remoteVirtualNetworkAddressSpace": {"addressPrefixes": ["10.2.0.0/16"]},
        "peerCompleteVnets": True,
        "allowVirtualNetworkAccess": True,
        "allowForwardedTraffic": False,
        "allowGatewayTransit": False,
        "useRemoteGateways": False,
        "doNotVerifyRemoteGateways": False,
    }


def test_synchronising(peered: World, document: Make) -> None:
    def levels() -> list[str]:
        return [
            references.view(peered.documents[key(name)], peered)["properties"]["virtualNetworkPeerings"][0][
                "properties"
            ]["peeringSyncLevel"]
            for name in ("a", "b")
        ]

    assert levels() == ["FullyInSync", "FullyInSync"]
    put(peered, network(document, "a", peering("b"), space="10.9.0.0/16"))
    assert levels() == ["RemoteNotInSync", "LocalNotInSync"]
    view = references.view(peered.documents[key("b")], peered)
    path = (("virtualNetworkPeerings", "to-a"),)
    child = children.read_child(view, path)
    put(peered, children.put_child(view, path, child))
    assert levels() == ["RemoteNotInSync", "LocalNotInSync"]
    put(peered, children.put_child(view, path, child, synchronise=True))
    assert levels() == ["FullyInSync", "FullyInSync"]
