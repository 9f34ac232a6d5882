"""Gateways of virtual networks, what they connect to, and the sites on the far side.

Sources: Azure documents "About gateway settings", "About BGP with VPN Gateway", "ExpressRoute routing requirements".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from podvnet.model.address import Address, Prefix
from podvnet.model.resource_id import ResourceId

AZURE_ASN = 65515
"""The autonomous system of VPN gateways that are told no other, and of all ExpressRoute gateways."""
EXPRESS_ROUTE_ASN = 12076
"""The autonomous system of Microsoft's edge."""


class GatewayKind(StrEnum):
    """What a gateway carries. A virtual network has at most one of each."""

    VPN = "Vpn"
    EXPRESS_ROUTE = "ExpressRoute"


class ConnectionKind(StrEnum):
    """What a connection is made of."""

    IPSEC = "IPsec"
    VNET_TO_VNET = "Vnet2Vnet"
    EXPRESS_ROUTE = "ExpressRoute"


class ConnectionStatus(StrEnum):
    """Whether a connection carries packets."""

    UNKNOWN = "Unknown"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    NOT_CONNECTED = "NotConnected"


@dataclass(frozen=True, slots=True)
class GatewayInstance:
    """One of the VMs that a gateway consists of: one, or two when it is active-active.

    Attributes:
        name: of its ip-configuration.
        address: in the gateway's subnet; BGP speaks from it.
        public: its public address; ExpressRoute gateways show none.
    """

    name: str
    address: Address
    public: ResourceId | None = None


@dataclass(frozen=True, slots=True)
class VirtualNetworkGateway:
    """A gateway. ``number`` is small, stable and unique in the fabric; namespaces and links are numbered by it."""

    id: ResourceId
    number: int
    kind: GatewayKind
    network: ResourceId
    instances: tuple[GatewayInstance, ...]
    asn: int = AZURE_ASN
    bgp: bool = False


@dataclass(frozen=True, slots=True)
class IpsecPolicy:
    """What a connection offers in place of the defaults, in Azure's words (``AES256``, ``DHGroup14``, ``PFS14``)."""

    ipsec_encryption: str
    ipsec_integrity: str
    ike_encryption: str
    ike_integrity: str
    dh_group: str
    pfs_group: str
    lifetime: int
    """Seconds."""
    data_size: int
    """Kilobytes."""


@dataclass(frozen=True, slots=True)
class LocalNetworkGateway:
    """What the user has written of a device on premises.

    Attributes:
        address: its public address; None when only ``name`` is known.
        name: a domain name that leads to it.
        prefixes: what is behind it, as far as BGP does not say so.
        asn: its autonomous system; None without BGP.
        bgp_address: where its BGP answers, inside the tunnel.
    """

    id: ResourceId
    address: Address | None
    prefixes: tuple[Prefix, ...]
    name: str = ""
    asn: int | None = None
    bgp_address: Address | None = None


@dataclass(frozen=True, slots=True)
class CircuitPeering:
    """The private peering of a circuit: two links of a /30 each; the provider's side has the first address of each."""

    primary: Prefix
    secondary: Prefix
    vlan: int
    peer_asn: int
    shared_key: str = field(default="", repr=False)
    """MD5 of the BGP sessions; empty for none."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """An ExpressRoute circuit. ``peering`` is None until it is provisioned and has one; ``premium`` is its tier."""

    id: ResourceId
    number: int
    service_key: str
    peering: CircuitPeering | None = None
    premium: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a gateway.

    Attributes:
        gateway: the gateway whose connection it is.
        site: the device, of an IPsec connection.
        remote_gateway: the other gateway, of a connection between virtual networks.
        circuit: the circuit, of an ExpressRoute connection.
        bgp: routes are exchanged by BGP.
        policy: None for the defaults.
        dpd_timeout: seconds until a silent peer is taken for dead.
        mode: ``Default``, ``InitiatorOnly`` or ``ResponderOnly``.
        routing_weight: of connections of a gateway to the same prefix the heaviest wins.
    """

    id: ResourceId
    kind: ConnectionKind
    gateway: ResourceId
    site: LocalNetworkGateway | None = None
    remote_gateway: ResourceId | None = None
    circuit: ResourceId | None = None
    shared_key: str = field(default="", repr=False)
    bgp: bool = False
    policy: IpsecPolicy | None = None
    dpd_timeout: int = 45
    mode: str = "Default"
    routing_weight: int = 0


@dataclass(frozen=True, slots=True)
class OnPremisesHost:
    """A host on premises: a namespace behind the site's router."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class SiteTunnel:
    """What a site's device is told of a tunnel.

    Attributes:
        remote: the gateway's public address.
        remote_prefixes: what is behind it, without BGP.
        bgp_peer: the gateway's address inside; None without BGP.
        bgp_asn: the gateway's autonomous system.
    """

    remote: Address
    shared_key: str = field(repr=False)
    remote_prefixes: tuple[Prefix, ...] = ()
    bgp_peer: Address | None = None
    bgp_asn: int = AZURE_ASN
    policy: IpsecPolicy | None = None


@dataclass(frozen=True, slots=True)
class OnPremisesSite:
    """A site of the user's: a router, the networks behind it, hosts in them. Azure has no such type; the world does.

    Attributes:
        public: the router's public address; None for a site that only ExpressRoute reaches.
        prefixes: its networks, which BGP announces.
        asn: its autonomous system.
        bgp_address: where its BGP answers inside tunnels.
        tunnels: what its device does IPsec with.
        circuits: service keys of the circuits that its provider connects.
        circuit_key: MD5 of its BGP sessions over circuits; empty for none.
    """

    id: ResourceId
    number: int
    public: Address | None
    prefixes: tuple[Prefix, ...]
    hosts: tuple[OnPremisesHost, ...] = ()
    asn: int = 65010
    bgp_address: Address | None = None
    tunnels: tuple[SiteTunnel, ...] = ()
    circuits: tuple[str, ...] = ()
    circuit_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LearnedRoute:
    """A route that a gateway's BGP has learned and holds for the best: what is found, which is no resource."""

    gateway: ResourceId
    prefix: Prefix
    peer: Address
    as_path: tuple[int, ...] = ()
