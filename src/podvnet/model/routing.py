"""Routes of a subnet: what users write, what peerings add, and what holds in the end.

Source: Azure document "Virtual network traffic routing".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address, Prefix
from podvnet.model.resource_id import ResourceId


class NextHop(StrEnum):
    """Where a route leads, as the effective routes of a NIC name it."""

    VNET_LOCAL = "VnetLocal"
    INTERNET = "Internet"
    APPLIANCE = "VirtualAppliance"
    GATEWAY = "VirtualNetworkGateway"
    PEERING = "VNetPeering"
    SERVICE_ENDPOINT = "VirtualNetworkServiceEndpoint"
    INTERFACE_ENDPOINT = "InterfaceEndpoint"
    """A private endpoint."""
    NONE = "None"


class RouteSource(StrEnum):
    """Who made a route."""

    DEFAULT = "Default"
    GATEWAY = "VirtualNetworkGateway"
    USER = "User"


@dataclass(frozen=True, slots=True)
class UserRoute:
    """A route of a route table: to ``prefix``, or to every prefix of the service tag ``tag``."""

    name: str
    next_hop: NextHop
    prefix: Prefix | None = None
    tag: str = ""
    appliance: Address | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table that subnets can have. ``number`` is small, stable and unique in the fabric."""

    id: ResourceId
    number: int
    routes: tuple[UserRoute, ...]
    propagates_gateway_routes: bool = True


@dataclass(frozen=True, slots=True)
class EffectiveRoute:
    """One route of a subnet.

    Attributes:
        source: who made it.
        prefix: where it leads to.
        next_hop: what it leads over.
        active: of the routes to the same prefix this is the one that is used.
        appliance: the address of the appliance.
        network: the peered virtual network.
        name: the user's route.
        gateway: the gateway of a virtual network, its own or a peer's; None for a user's route where there is none.
    """

    source: RouteSource
    prefix: Prefix
    next_hop: NextHop
    active: bool = True
    appliance: Address | None = None
    network: ResourceId | None = None
    name: str = ""
    gateway: ResourceId | None = None


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """A private endpoint, as the subnets of a virtual network know it.

    Attributes:
        address: its address.
        network: the peered virtual network that it is in; None for the own one.
        overridable: its subnet lets wider routes of users go before it (``privateEndpointNetworkPolicies``).
    """

    address: Address
    network: ResourceId | None = None
    overridable: bool = False


@dataclass(frozen=True, slots=True)
class GatewayPrefix:
    """A prefix that a gateway leads to. ``preferred``: by ExpressRoute, which is preferred to a VPN."""

    prefix: Prefix
    gateway: ResourceId
    preferred: bool = False


@dataclass(frozen=True, slots=True)
class GatewayReach:
    """What the gateways that a virtual network uses, its own or a peer's, mean for its subnets.

    Attributes:
        prefixes: where they lead to, each gateway's prefixes once.
        vpn: where routes of users lead that name a gateway: to the VPN gateway, never to one of ExpressRoute.
    """

    prefixes: tuple[GatewayPrefix, ...] = ()
    vpn: ResourceId | None = None


NO_GATEWAYS = GatewayReach()


@dataclass(frozen=True, slots=True)
class Peering:
    """A connected peering, seen from one side.

    Attributes:
        id: of the peering resource.
        remote: the other virtual network.
        prefixes: the other's address space as this side knows it.
        access: packets to and from the other network are carried.
        allows_transit: the other network may use this one's gateways.
        uses_remote_gateways: this network uses the other's gateways.
        forwarded: packets that come from the other network may have sources that are not of it.
    """

    id: ResourceId
    remote: ResourceId
    prefixes: tuple[Prefix, ...]
    access: bool = True
    forwarded: bool = False
    allows_transit: bool = False
    uses_remote_gateways: bool = False
