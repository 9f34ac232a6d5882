"""What is known of gateways, as the resource manager shows it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from podvnet.fabric.api.gateway_shapes import (
    arp_table,
    peer_document,
    route_document,
    route_summary,
    route_table,
    statistics,
    with_state,
)
from podvnet.fabric.gateways.states import (
    BgpPeerState,
    BgpState,
    CircuitLinkState,
    ConnectionState,
    GatewayRoute,
    TunnelState,
)
from podvnet.model.address import Mac
from podvnet.model.gateway import ConnectionStatus

AZURE, OFFICE = ip_address("10.0.255.30"), ip_address("192.168.255.1")
OWN = GatewayRoute(AZURE, ip_network("10.0.0.0/16"))
LEARNED = GatewayRoute(AZURE, ip_network("192.168.0.0/16"), OFFICE, OFFICE, "EBgp", (65010, 65020))
LINK = CircuitLinkState(
    "primary",
    ip_address("172.16.1.2"),
    ip_address("172.16.1.1"),
    65010,
    local_mac=Mac("12:34:56:78:9a:bc"),
    up=93784,
    ingress=7,
    egress=9,
    routes=(GatewayRoute(ip_address("172.16.1.2"), ip_network("192.168.0.0/16"), ip_address("172.16.1.1"),
                         ip_address("172.16.1.1"), "EBgp", (65010,)), OWN),
)  # fmt: skip


def test_a_connection_is_shown_with_what_has_become_of_it() -> None:
    view = {"type": "x", "properties": {"connectionStatus": "Unknown", "enableBgp": True}}
    tunnels = (
        TunnelState("one", ConnectionStatus.CONNECTED, 5, 6, 0.0),
        TunnelState("two", ConnectionStatus.NOT_CONNECTED),
    )
    state = ConnectionState(ConnectionStatus.NOT_CONNECTED, 5, 6, "AUTHENTICATION_FAILED", tunnels)
    found = with_state(view, state)["properties"]
    assert (found["connectionStatus"], found["ingressBytesTransferred"], found["egressBytesTransferred"]) == (
        "NotConnected",
        5,
        6,
    )
    assert (found["connectionStatusReason"], found["enableBgp"]) == ("AUTHENTICATION_FAILED", True)
    assert [each["lastConnectionEstablishedUtcTime"] for each in found["tunnelConnectionStatus"]] == [
        "01/01/1970 00:00:00",
        None,
    ]
    assert view["properties"] == {"connectionStatus": "Unknown", "enableBgp": True}, "not changed"
    up = with_state(view, ConnectionState(ConnectionStatus.CONNECTED))
    assert "connectionStatusReason" not in up["properties"]


def test_bgp_peers() -> None:
    found = peer_document(BgpPeerState(AZURE, OFFICE, 65010, BgpState.CONNECTED, 93784.9, 3, 20, 21))
    assert found == {
        "localAddress": "10.0.255.30",
        "neighbor": "192.168.255.1",
        "asn": 65010,
        "state": "Connected",
        "connectedDuration": "1.02:03:04",
        "routesReceived": 3,
        "messagesSent": 20,
        "messagesReceived": 21,
    }
    assert peer_document(BgpPeerState(AZURE, OFFICE, 1, BgpState.IDLE))["connectedDuration"] == "00:00:00"


def test_routes() -> None:
    assert route_document(LEARNED) == {
        "localAddress": "10.0.255.30",
        "network": "192.168.0.0/16",
        "nextHop": "192.168.255.1",
        "sourcePeer": "192.168.255.1",
        "origin": "EBgp",
        "asPath": "65010-65020",
        "weight": 32768,
    }
    own = route_document(OWN)
    assert (own["nextHop"], own["sourcePeer"], own["origin"], own["asPath"]) == (None, "10.0.255.30", "Network", "")


def test_links_of_a_circuit() -> None:
    assert arp_table(LINK) == [
        {"age": 0, "interface": "Microsoft", "ipAddress": "172.16.1.2", "macAddress": "12:34:56:78:9a:bc"}
    ]
    first, second = route_table(LINK)
    assert (first["network"], first["nextHop"], first["path"]) == ("192.168.0.0/16", "172.16.1.1", "65010")
    assert (second["network"], second["nextHop"], second["path"]) == ("10.0.0.0/16", "", "")
    assert route_summary(LINK) == {
        "neighbor": "172.16.1.1",
        "v": 4,
        "as": 65010,
        "upDown": "1.02:03:04",
        "statePfxRcd": "1",
    }
    down = CircuitLinkState("secondary", LINK.local, LINK.remote, 65010)
    assert (route_summary(down)["upDown"], route_summary(down)["statePfxRcd"]) == ("never", "Idle")
    assert statistics((LINK,)) == {
        "primarybytesIn": 7,
        "primarybytesOut": 9,
        "secondarybytesIn": 0,
        "secondarybytesOut": 0,
    }
