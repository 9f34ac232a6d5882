"""What is known of gateways, as the resource manager shows it.

Pure. Sources: Azure REST references "Virtual Network Gateways", "Virtual Network Gateway Connections" and "Express
Route Circuits", and their examples.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from podvnet.fabric.arm.world import Document
from podvnet.fabric.gateways.states import BgpPeerState, CircuitLinkState, ConnectionState, GatewayRoute

_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def with_state(connection: Document, state: ConnectionState) -> Document:
    """A connection's view with what has become of it.

    ``connectionStatusReason`` is not Azure's: why it does not carry packets.
    """
    tunnels = [
        {
            "tunnel": each.name,
            "connectionStatus": str(each.status),
            "ingressBytesTransferred": each.ingress,
            "egressBytesTransferred": each.egress,
            "lastConnectionEstablishedUtcTime": _moment(each.established),
        }
        for each in state.tunnels
    ]
    live: Document = {
        "connectionStatus": str(state.status),
        "ingressBytesTransferred": state.ingress,
        "egressBytesTransferred": state.egress,
        "tunnelConnectionStatus": tunnels,
    }
    if state.reason:
        live["connectionStatusReason"] = state.reason
    return connection | {"properties": connection["properties"] | live}


def peer_document(peer: BgpPeerState) -> Document:
    """A BGP session, as ``getBgpPeerStatus`` shows it."""
    return {
        "localAddress": str(peer.local),
        "neighbor": str(peer.neighbor),
        "asn": peer.asn,
        "state": str(peer.state),
        "connectedDuration": _span(peer.connected),
        "routesReceived": peer.routes,
        "messagesSent": peer.sent,
        "messagesReceived": peer.received,
    }


def route_document(route: GatewayRoute) -> Document:
    """A route, as ``getLearnedRoutes`` and ``getAdvertisedRoutes`` show it."""
    return {
        "localAddress": str(route.local),
        "network": str(route.prefix),
        "nextHop": str(route.next_hop) if route.next_hop else None,
        "sourcePeer": str(route.peer or route.local),
        "origin": route.origin,
        "asPath": "-".join(map(str, route.as_path)),
        "weight": route.weight,
    }


def arp_table(link: CircuitLinkState) -> list[Document]:
    """What ``arpTables`` shows of a link: the customer's side and Microsoft's, each when its MAC is known."""
    ends = (("On-Prem", link.remote, link.remote_mac), ("Microsoft", link.local, link.local_mac))
    return [
        {"age": 0, "interface": name, "ipAddress": str(address), "macAddress": mac}
        for name, address, mac in ends
        if mac
    ]


def route_table(link: CircuitLinkState) -> list[Document]:
    """What ``routeTables`` shows of a link."""
    return [
        {
            "network": str(each.prefix),
            "nextHop": str(each.next_hop) if each.next_hop else "",
            "locPrf": "100",
            "weight": 0,
            "path": " ".join(map(str, each.as_path)),
        }
        for each in link.routes
    ]


def route_summary(link: CircuitLinkState) -> Document:
    """What ``routeTablesSummary`` shows of a link: the number of prefixes while it is up, as a router shows it."""
    received = sum(1 for each in link.routes if each.peer == link.remote)
    return {
        "neighbor": str(link.remote),
        "v": 4,
        "as": link.asn,
        "upDown": _span(link.up) if link.up is not None else "never",
        "statePfxRcd": str(received) if link.up is not None else "Idle",
    }


def statistics(links: Iterable[CircuitLinkState]) -> Document:
    """The bytes of a circuit's links."""
    found: Document = {f"{name}bytes{way}": 0 for name in ("primary", "secondary") for way in ("In", "Out")}
    for each in links:
        found |= {f"{each.name}bytesIn": each.ingress, f"{each.name}bytesOut": each.egress}
    return found


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%m/%d/%Y %H:%M:%S")


def _span(seconds: float) -> str:
    """A span of time as .NET writes it: ``1.02:03:04``."""
    whole = int(seconds)
    days, rest = divmod(whole, _DAY)
    clock = f"{rest // _HOUR:02}:{rest % _HOUR // _MINUTE:02}:{rest % _MINUTE:02}"
    return f"{days}.{clock}" if days else clock
