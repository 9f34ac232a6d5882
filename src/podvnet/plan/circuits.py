"""The circuits of ExpressRoute: who is at which end of them.

Source: Azure document "ExpressRoute routing requirements": of each /30 the first address is the customer's, the second
Microsoft's.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from podvnet.model.gateway import Circuit, GatewayKind, OnPremisesSite, VirtualNetworkGateway
from podvnet.model.intent import Intent


def circuits_of(intent: Intent, gateway: VirtualNetworkGateway) -> tuple[Circuit, ...]:
    """The circuits with a private peering that a gateway has connections to."""
    if gateway.kind is not GatewayKind.EXPRESS_ROUTE:
        return ()
    wanted = [each.circuit for each in intent.connections.values() if each.gateway == gateway.id and each.circuit]
    found = (intent.circuits.get(each.key) for each in dict.fromkeys(wanted))
    return tuple(each for each in found if each and each.peering)


def site_of(intent: Intent, circuit: Circuit) -> OnPremisesSite | None:
    """The site that a circuit's provider connects."""
    return next((each for each in intent.sites.values() if circuit.service_key in each.circuits), None)


def links_of(circuit: Circuit) -> tuple[IPv4Network, ...]:
    """The prefixes of a circuit's two links, the primary first."""
    peering = circuit.peering
    both = (peering.primary, peering.secondary) if peering else ()
    return tuple(each for each in both if isinstance(each, IPv4Network))


def ends_of(prefix: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The addresses of a link: the customer's, then Microsoft's."""
    return prefix[1], prefix[2]


def edge_address(circuit: Circuit) -> IPv4Address:
    """From where the edge of a circuit speaks to gateways: its address on the primary link."""
    return ends_of(links_of(circuit)[0])[1]
