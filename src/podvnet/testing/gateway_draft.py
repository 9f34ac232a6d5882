"""Gateways, their connections and sites on premises, drafted in few words.

draft = GatewayDraft()
draft.network("hub", "10.0.0.0/16", front="10.0.1.0/24", GatewaySubnet="10.0.255.0/27")
draft.gateway("vpn", "hub", "10.0.255.30")
draft.site("office", "198.51.100.1", "192.168.0.0/16", printer="192.168.0.9")
draft.connect("to-office", "vpn", "198.51.100.1", "192.168.0.0/16")
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from podvnet.model.gateway import (
    Circuit,
    CircuitPeering,
    Connection,
    ConnectionKind,
    GatewayInstance,
    GatewayKind,
    LearnedRoute,
    LocalNetworkGateway,
    OnPremisesHost,
    OnPremisesSite,
    VirtualNetworkGateway,
)
from podvnet.model.resource_id import Scope, make
from podvnet.testing.draft import Draft, network_id


class GatewayDraft(Draft):
    """A draft with gateways."""

    def deafen(self, table: str) -> None:
        """Let no routes of gateways hold beside those of a route table."""
        key = network_id("routeTables", table).key
        found = self.intent.route_tables[key]
        self.intent.route_tables[key] = replace(found, propagates_gateway_routes=False)

    def gateway(self, name: str, network: str, address: str, kind: GatewayKind = GatewayKind.VPN) -> None:
        """A gateway with one instance."""
        resource = network_id("virtualNetworkGateways", name)
        number = len(self.intent.gateways) + 1
        instance = GatewayInstance("default", ip_address(address))
        self.intent.gateways[resource.key] = VirtualNetworkGateway(
            resource, number, kind, network_id("virtualNetworks", network), (instance,), bgp=True
        )

    def site(self, name: str, public: str, *prefixes: str, circuits: tuple[str, ...] = (), **hosts: str) -> None:
        """A site on premises; ``public`` is its device's address, or empty."""
        resource = make(Scope(), "Podvnet.Fabric/onPremisesSites", name)
        self.intent.sites[resource.key] = OnPremisesSite(
            id=resource,
            number=len(self.intent.sites) + 1,
            public=ip_address(public) if public else None,
            prefixes=tuple(map(ip_network, prefixes)),
            hosts=tuple(OnPremisesHost(each, ip_address(text)) for each, text in hosts.items()),
            circuits=circuits,
        )

    def connect(self, name: str, gateway: str, device: str, *prefixes: str, peer: str = "", up: bool = True) -> None:
        """A connection by IPsec to a device; ``peer``: its BGP; ``up``: it carries packets."""
        site = LocalNetworkGateway(
            network_id("localNetworkGateways", name),
            ip_address(device),
            tuple(map(ip_network, prefixes)),
            bgp_address=ip_address(peer) if peer else None,
        )
        self._connect(name, gateway, ConnectionKind.IPSEC, up=up, site=site, bgp=bool(peer))

    def connect_networks(self, name: str, gateway: str, remote: str, *, up: bool = True) -> None:
        """A connection by IPsec to another gateway, without BGP."""
        other = network_id("virtualNetworkGateways", remote)
        self._connect(name, gateway, ConnectionKind.VNET_TO_VNET, up=up, remote_gateway=other)

    def connect_circuit(self, name: str, gateway: str, key: str, *links: str, up: bool = True, weight: int = 0) -> None:
        """A connection to a circuit of this service key; ``links``: its two prefixes."""
        circuit = network_id("expressRouteCircuits", key)
        first, second = map(ip_network, links)
        peering = CircuitPeering(first, second, 100, 65010)
        self.intent.circuits[circuit.key] = Circuit(circuit, len(self.intent.circuits) + 1, key, peering)
        self._connect(name, gateway, ConnectionKind.EXPRESS_ROUTE, up=up, circuit=circuit, routing_weight=weight)

    def _connect(self, name: str, gateway: str, kind: ConnectionKind, *, up: bool, **more: Any) -> None:
        made = Connection(network_id("connections", name), kind, network_id("virtualNetworkGateways", gateway), **more)
        self.intent.connections[made.id.key] = made
        if up:
            self.intent = replace(self.intent, connected=self.intent.connected | {made.id})

    def learn(self, gateway: str, peer: str, *prefixes: str, path: tuple[int, ...] = (65010,)) -> None:
        """What a gateway's BGP has from a peer."""
        found = {
            LearnedRoute(network_id("virtualNetworkGateways", gateway), ip_network(each), ip_address(peer), path)
            for each in prefixes
        }
        self.intent = replace(self.intent, learned=self.intent.learned | found)
