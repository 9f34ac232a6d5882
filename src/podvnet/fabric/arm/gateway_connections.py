"""The connections that a gateway has, and what a change of either end must leave to them.

Sources: Azure documents "VPN Gateway FAQ" (BGP: the two sides are two autonomous systems), "About gateway SKUs"
(tunnels), "Azure subscription and service limits" (circuits linked to one virtual network).
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import CONNECTIONS, Document, World

_MOST = {
    "VpnGw4": 100, "VpnGw5": 100, "Standard": 4, "ErGw1": 4, "HighPerformance": 8, "ErGw2": 8,
    "UltraPerformance": 16, "ErGw3": 16,
}  # fmt: skip
"""Connections by SKU, less its zones."""
_MOST_DEFAULT = 30
_MOST_AT_ONE_PLACE = 4
_FAR = ("localNetworkGateway2", "virtualNetworkGateway2")


def connections_of(gateway: str, world: World) -> list[Document]:
    """The connections of a gateway: not those of other gateways that lead to it, which are theirs."""
    return [
        each
        for each in world.of_type(CONNECTIONS)
        if each["properties"]["virtualNetworkGateway1"]["id"].lower() == gateway.lower()
    ]


def connections_at_most(sku: str) -> int:
    """How many connections a gateway of a SKU may have."""
    return _MOST.get(sku.removesuffix("AZ"), _MOST_DEFAULT)


def refuse_more(fields: Fields, connection: str, gateway: Document, end: Document, world: World) -> None:
    """Refuse a connection that is one too many for its gateway.

    Args:
        fields: where the error points.
        connection: its id, which is new or changes.
        gateway: whose it is.
        end: what it leads to.
        world: where the other connections are.

    Raises:
        ArmError: how many there may be.
    """
    others = [each for each in connections_of(gateway["id"], world) if each["id"].lower() != connection.lower()]
    most = connections_at_most(gateway["properties"]["sku"]["name"])
    if len(others) >= most:
        what = f"{gateway['id']} has at most {most} connections by its SKU"
        raise fields.error("InvalidRequestFormat", what, "virtualNetworkGateway1")
    place = _place(end)
    peers = (each["properties"].get("peer", {}).get("id", "").lower() for each in others)
    beside = [each for each in peers if place and each in world.documents and _place(world.documents[each]) == place]
    if len(beside) >= _MOST_AT_ONE_PLACE:
        what = f"{gateway['id']} has at most {_MOST_AT_ONE_PLACE} circuits of one peering location, such as {place}"
        raise fields.error("InvalidRequestFormat", what, "peer")


def _place(end: Document) -> str:
    """Where a circuit meets its provider; nothing of what is no circuit."""
    return str(end["properties"].get("serviceProviderProperties", {}).get("peeringLocation", "")).lower()


def asn_of(end: Document) -> int:
    """The autonomous system of a gateway, or of a device that speaks BGP."""
    return int(end["properties"]["bgpSettings"]["asn"])


def check_change(fields: Fields, gateway: Document, world: World) -> None:
    """Refuse a change of a gateway that the connections of it, or to it, do not take.

    Raises:
        ArmError: which connection is in the way.
    """
    key, properties = gateway["id"].lower(), gateway["properties"]
    most = connections_at_most(properties["sku"]["name"])
    own = connections_of(gateway["id"], world)
    if len(own) > most:
        what = f"{properties['sku']['name']} has at most {most} connections, and {gateway['id']} has {len(own)}"
        raise fields.error("InvalidRequestFormat", what, "sku")
    for user in world.users(key, "connections"):
        connection = world.documents[user.lower()]["properties"]
        if connection["enableBgp"] and properties["enableBgp"]:
            refuse_one_system(fields, user, gateway, world)


def refuse_one_system(fields: Fields, connection: str, changed: Document, world: World) -> None:
    """Refuse that the two ends of a connection with BGP become one autonomous system.

    Args:
        fields: where the error points.
        connection: its id.
        changed: one of its ends, as it is to be.
        world: where the other end is.

    Raises:
        ArmError: which connection that is.
    """
    properties = world.documents[connection.lower()]["properties"]
    ids = [properties[name]["id"] for name in ("virtualNetworkGateway1", *_FAR) if name in properties]
    for each in ids:
        other = world.documents.get(each.lower())
        if other and each.lower() != changed["id"].lower() and asn_of(other) == asn_of(changed):
            what = f"{connection} is between two autonomous systems, and {other['id']} is {asn_of(other)} already"
            raise fields.error("InvalidRequestFormat", what, "bgpSettings.asn")
