"""What runs gateways, and what it says of them: states, counters and routes, which no resource holds.

The questions are Azure's: REST references "Virtual Network Gateways" (Get Bgp Peer Status, Get Learned Routes, Get
Advertised Routes, Reset), "Virtual Network Gateway Connections" (connectionStatus, tunnelConnectionStatus, Reset
Connection) and "Express Route Circuits" (arpTables, routeTables, stats).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from podvnet.model.address import Address, Mac, Prefix
from podvnet.model.gateway import ConnectionStatus
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class TunnelState:
    """One of the tunnels, or links, that a connection consists of.

    Attributes:
        name: who it is between, for a person to read.
        status: whether it carries packets.
        ingress, egress: bytes received and sent by the gateway since it began.
        established: when it last came up, in seconds since 1970; None when it never did.
    """

    name: str
    status: ConnectionStatus
    ingress: int = 0
    egress: int = 0
    established: float | None = None


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """What a connection is found to be.

    Attributes:
        ingress, egress: bytes received and sent by the gateway since the connection began.
        reason: why it does not carry packets, for a person to read (``AUTHENTICATION_FAILED``); never a key.
        tunnels: what it consists of.
    """

    status: ConnectionStatus
    ingress: int = 0
    egress: int = 0
    reason: str = ""
    tunnels: tuple[TunnelState, ...] = ()


class BgpState(StrEnum):
    """What a BGP session is found to be, as Azure names it."""

    UNKNOWN = "Unknown"
    STOPPED = "Stopped"
    IDLE = "Idle"
    CONNECTING = "Connecting"
    CONNECTED = "Connected"


@dataclass(frozen=True, slots=True)
class BgpPeerState:
    """One BGP session of a gateway's instance.

    Attributes:
        local: the address of the instance.
        neighbor: that of its peer.
        connected: seconds since it came up; 0 while it is not.
        routes: how many it has received.
        sent, received: messages.
    """

    local: Address
    neighbor: Address
    asn: int
    state: BgpState
    connected: float = 0
    routes: int = 0
    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """A route that a gateway knows, or tells a peer.

    Attributes:
        local: the instance that says so.
        next_hop: None for what the gateway itself leads to.
        peer: whom it was learned from; None for the gateway's own.
        origin: ``Network`` for what it has by itself, ``EBgp`` or ``IBgp``.
    """

    local: Address
    prefix: Prefix
    next_hop: Address | None = None
    peer: Address | None = None
    origin: str = "Network"
    as_path: tuple[int, ...] = ()
    weight: int = 32768


@dataclass(frozen=True, slots=True)
class CircuitLinkState:
    """One of the two links of a circuit, as Microsoft's edge sees it.

    Attributes:
        name: ``primary`` or ``secondary``.
        local, remote: the edge's address and the customer's.
        up: seconds since the BGP session came up; None while it is not.
        ingress, egress: bytes received and sent by the edge.
        routes: what it knows: the customer's and the virtual networks'.
        sent, received: messages of BGP.
    """

    name: str
    local: Address
    remote: Address
    asn: int
    local_mac: Mac | None = None
    remote_mac: Mac | None = None
    up: float | None = None
    ingress: int = 0
    egress: int = 0
    routes: tuple[GatewayRoute, ...] = ()
    sent: int = 0
    received: int = 0


class GatewayStates(Protocol):
    """What the resource manager asks of whatever runs gateways.

    Asked from any thread, outside the engine's turn; answers within a second. What is not known, or does not run, is
    answered as such and is no error.
    """

    def connection_state(self, connection: ResourceId) -> ConnectionState:
        """What a connection is found to be."""

    def bgp_peers(self, gateway: ResourceId) -> tuple[BgpPeerState, ...]:
        """The BGP sessions of a gateway."""

    def learned(self, gateway: ResourceId) -> tuple[GatewayRoute, ...]:
        """Every route a gateway knows, its own virtual network's among them."""

    def advertised(self, gateway: ResourceId, peer: Address) -> tuple[GatewayRoute, ...]:
        """What a gateway tells a BGP peer."""

    def circuit_links(self, circuit: ResourceId) -> tuple[CircuitLinkState, ...]:
        """The links of a circuit with a private peering."""

    def reset_gateway(self, gateway: ResourceId) -> None:
        """Begin a gateway's programs anew: its tunnels and sessions go down and come back."""

    def reset_connection(self, connection: ResourceId) -> None:
        """Take a connection down and have it come back."""


class Gateways(GatewayStates, Protocol):
    """What the engine asks of whatever runs gateways and sites. For the engine's turn, as :class:`Services` is."""

    def check(self, intent: Intent) -> None:
        """Refuse an intent with gateways that cannot be run.

        Raises:
            ArmErrorsError: what is missing, and the packages that have it.
        """

    def recover(self, intent: Intent) -> None:
        """Run what the intent says, whatever ran before."""

    def follow(self, intent: Intent) -> None:
        """Run what the intent says, and nothing else."""

    def end(self) -> None:
        """End every program."""

    def unawaited(self) -> Callable[[], None] | None:
        """What waits for the programs begun since this was last asked; None when there is none."""


class NoGateways:
    """Runs nothing: for fabrics that carry packets to no gateway. All states are unknown."""

    def check(self, intent: Intent) -> None:
        """Take any intent."""

    def recover(self, intent: Intent) -> None:
        """Do nothing."""

    def follow(self, intent: Intent) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def unawaited(self) -> Callable[[], None] | None:
        """Nothing is waited for."""
        return None

    def connection_state(self, connection: ResourceId) -> ConnectionState:
        """Nothing is known."""
        del connection
        return ConnectionState(ConnectionStatus.UNKNOWN)

    def bgp_peers(self, gateway: ResourceId) -> tuple[BgpPeerState, ...]:
        """Nothing is known."""
        del gateway
        return ()

    def learned(self, gateway: ResourceId) -> tuple[GatewayRoute, ...]:
        """Nothing is known."""
        del gateway
        return ()

    def advertised(self, gateway: ResourceId, peer: Address) -> tuple[GatewayRoute, ...]:
        """Nothing is known."""
        del gateway, peer
        return ()

    def circuit_links(self, circuit: ResourceId) -> tuple[CircuitLinkState, ...]:
        """Nothing is known."""
        del circuit
        return ()

    def reset_gateway(self, gateway: ResourceId) -> None:
        """There is nothing to reset."""

    def reset_connection(self, connection: ResourceId) -> None:
        """There is nothing to reset."""
