"""The ends of IPsec tunnels: which there are at a gateway and at a site, and what each is told.

Tunnels are of the kind that takes any address (Azure calls them route-based), so what goes into which one is a matter
of routes. IPsec in user space picks a tunnel by the addresses of packets alone; so each end has a namespace of its own
in which there is no other, and a link from its router. That link is up exactly as long as the tunnel is.

Source: Azure documents "About VPN devices and IPsec/IKE parameters", "Highly available connectivity" (active-active:
each of the two instances has a tunnel to the device).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from podvnet.model.address import Address, Prefix
from podvnet.model.gateway import (
    Connection,
    GatewayInstance,
    GatewayKind,
    IpsecPolicy,
    OnPremisesSite,
    VirtualNetworkGateway,
)
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names

STATIC_DISTANCE = 200
"""How far what is written is, to routers that speak BGP: farther than what BGP says (20 and 200 of a router's own)."""
SITE_DEAD_TIME = 9
"""Seconds after which a site's device takes a silent gateway for dead: the least that Azure's connections may have."""
_NUMBERS = 1 << 26
RESPONDER_ONLY = "ResponderOnly"


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """One end of a tunnel.

    Attributes:
        router: the namespace of the router whose tunnel it is.
        namespace: its own.
        number: stable, and unique among those of the router.
        local, remote: the public addresses between which it is.
        prefixes: what the router leads into it whatever BGP says.
        speaker: who speaks BGP at its far side; to him lead the router's own speaker's routes.
        rank: of several ends with one prefix that carry packets, the lowest has it.
        initiates: it calls the other end.
        connection: the connection that it belongs to; None at a site.
    """

    router: str
    namespace: str
    number: int
    local: Address
    remote: Address
    shared_key: str = field(repr=False)
    policy: IpsecPolicy | None = None
    dpd_timeout: int = 45
    prefixes: tuple[Prefix, ...] = ()
    speaker: Address | None = None
    rank: int = 0
    initiates: bool = True
    connection: ResourceId | None = None

    @property
    def metric(self) -> int:
        """The metric of the router's routes into it. Source: FRR: the first octet is a distance."""
        return (STATIC_DISTANCE << 24) + self.rank


def tunnel_ends(intent: Intent) -> tuple[TunnelEnd, ...]:
    """Every end, those of gateways first."""
    gateways = [each for each in intent.gateways.values() if each.kind is GatewayKind.VPN]
    found = [end for each in gateways for end in _of_gateway(intent, each)]
    return (*found, *(end for each in intent.sites.values() for end in _of_site(each)))


def public_address(intent: Intent, instance: GatewayInstance) -> IPv4Address | None:
    """The public address of a gateway's instance."""
    found = intent.public_addresses.get(instance.public.key) if instance.public else None
    address = found.prefix.network_address if found else None
    return address if isinstance(address, IPv4Address) else None


def _of_gateway(intent: Intent, gateway: VirtualNetworkGateway) -> Iterator[TunnelEnd]:
    router = names.gateway_namespace(gateway.id)
    connections = [each for each in intent.connections.values() if each.gateway == gateway.id]
    labelled: list[tuple[str, int, Connection, IPv4Address, _FarSide]] = []
    for connection in sorted(connections, key=lambda each: each.id.key):
        for position in range(_tunnels(intent, gateway, connection)):
            public = public_address(intent, gateway.instances[position % len(gateway.instances)])
            far = _far_side(intent, connection, position)
            if public and far:
                label = names.connection_label(connection.id, position)
                labelled.append((label, position, connection, public, far))
    numbers = _numbers(each[0] for each in labelled)
    # The heaviest connection first, and of each weight the first instance's tunnels.
    ranked = sorted(labelled, key=lambda each: (-each[2].routing_weight, each[1], each[0]))
    for rank, (label, _, connection, public, far) in enumerate(ranked):
        yield TunnelEnd(
            router=router,
            namespace=names.tunnel_namespace(router, label),
            number=numbers[label],
            local=public,
            remote=far.address,
            shared_key=connection.shared_key,
            policy=connection.policy,
            dpd_timeout=connection.dpd_timeout,
            prefixes=far.prefixes,
            speaker=far.speaker,
            rank=rank,
            initiates=connection.mode != RESPONDER_ONLY,
            connection=connection.id,
        )


@dataclass(frozen=True, slots=True)
class _FarSide:
    address: Address
    prefixes: tuple[Prefix, ...]
    speaker: Address | None


def _tunnels(intent: Intent, gateway: VirtualNetworkGateway, connection: Connection) -> int:
    """How many tunnels a connection has: every instance has one, at either end."""
    other = intent.gateways.get(connection.remote_gateway.key) if connection.remote_gateway else None
    return max(len(gateway.instances), len(other.instances) if other else 0) if gateway.instances else 0


def _far_side(intent: Intent, connection: Connection, position: int) -> _FarSide | None:
    """What is written of the other end of a connection, for the tunnel at a place among its tunnels."""
    if connection.site:
        speaker = connection.site.bgp_address if connection.bgp else None
        address = connection.site.address
        return _FarSide(address, connection.site.prefixes, speaker) if address else None
    other = intent.gateways.get(connection.remote_gateway.key) if connection.remote_gateway else None
    if other is None or other.kind is not GatewayKind.VPN or not other.instances:
        return None
    public = public_address(intent, other.instances[position % len(other.instances)])
    if public is None:
        return None
    if connection.bgp:
        # Whichever instance the tunnel is to, the gateway speaks from its first.
        return _FarSide(public, (), other.instances[0].address)
    return _FarSide(public, intent.virtual_networks[other.network.key].prefixes, None)


def _of_site(site: OnPremisesSite) -> Iterator[TunnelEnd]:
    if site.public is None:
        return
    router = names.site_namespace(site.id)
    tunnels = {f"to-{each.remote}": each for each in site.tunnels}
    numbers = _numbers(tunnels)
    for rank, (label, tunnel) in enumerate(tunnels.items()):
        yield TunnelEnd(
            router=router,
            namespace=names.tunnel_namespace(router, label),
            number=numbers[label],
            local=site.public,
            remote=tunnel.remote,
            shared_key=tunnel.shared_key,
            policy=tunnel.policy,
            dpd_timeout=SITE_DEAD_TIME,
            prefixes=tunnel.remote_prefixes,
            speaker=tunnel.bgp_peer,
            rank=rank,
        )


def _numbers(labels: Iterable[str]) -> dict[str, int]:
    """A number for each label, the same whatever others there are but for a coincidence of two."""
    found: dict[str, int] = {}
    for label in sorted(labels):
        number = zlib.crc32(label.encode()) % _NUMBERS
        while number in found.values():
            number += 1
        found[label] = number
    return found
