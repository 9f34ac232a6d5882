"""The programs of all gateways and sites, as the intent says, and what these say."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from podvnet.fabric.gateways import link_counters, program
from podvnet.fabric.gateways.keeper import Keeper
from podvnet.fabric.gateways.kept_process import end_strays
from podvnet.fabric.gateways.speaker_keeper import DAEMONS, SpeakerKeeper, SpeakerState
from podvnet.fabric.gateways.states import (
    BgpPeerState,
    BgpState,
    CircuitLinkState,
    ConnectionState,
    GatewayRoute,
    TunnelState,
)
from podvnet.fabric.gateways.tunnel_keeper import TunnelKeeper
from podvnet.fabric.reach_file import Reach
from podvnet.fabric.services.program import MissingProgramError
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.gateway import Connection, ConnectionStatus, GatewayKind, LearnedRoute, VirtualNetworkGateway
from podvnet.model.intent import Intent
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.circuits import circuits_of, edge_address, ends_of, links_of
from podvnet.plan.speakers import speakers
from podvnet.plan.tunnel_ends import TunnelEnd, tunnel_ends

GATEWAYS = "gateways"
"""Below the fabric's directory, the files of tunnels and speakers: a directory for each."""

_TUNNEL, _SPEAKER = "tunnel", "speaker"


class GatewayProcesses:
    """Runs strongSwan at each end of a tunnel and FRR for each BGP speaker. They go on when this process ends.

    Args:
        run: the directory for what a reboot of the machine ends.
        changed: called, from any thread, when there may be something new to find.
    """

    def __init__(self, run: Path, changed: Callable[[], None] = lambda: None) -> None:
        self._directory = run / GATEWAYS
        self._changed = changed
        self._intent = Intent()
        self._tunnels: dict[str, TunnelKeeper] = {}
        self._speakers: dict[str, SpeakerKeeper] = {}
        self._begun: list[tuple[ResourceId, Keeper]] = []

    # -- for the engine's turn

    def check(self, intent: Intent) -> None:
        """Refuse new gateways, sites and connections whose programs are not installed.

        Raises:
            ArmErrorsError: each, with what to install.
        """
        before = set(_needs(self._intent))
        errors = []
        for resource, kind in dict.fromkeys(_needs(intent)):
            if (resource, kind) not in before:
                try:
                    _find_programs(kind)
                except MissingProgramError as error:
                    errors.append(_refusal(resource, str(error)))
        if errors:
            raise ArmErrorsError(tuple(errors))

    def recover(self, intent: Intent) -> None:
        """Take over what an earlier life has begun, end what nobody wants, begin the rest."""
        wanted = {self._place(_TUNNEL, each.namespace) for each in tunnel_ends(intent)}
        wanted |= {self._place(_SPEAKER, each.namespace) for each in speakers(intent)}
        end_strays(self._directory, wanted)
        for entry in self._directory.iterdir() if self._directory.exists() else ():
            if entry not in wanted:
                shutil.rmtree(entry)
        self.follow(intent)

    def follow(self, intent: Intent) -> None:
        """Begin what is new, tell what has changed to what goes on, end what is gone."""
        self._intent = intent
        ends = {each.namespace: each for each in tunnel_ends(intent)}
        speaking = {each.namespace: each for each in speakers(intent)}
        for namespace in self._tunnels.keys() - ends.keys():
            _remove(self._tunnels.pop(namespace), self._place(_TUNNEL, namespace))
        for namespace in self._speakers.keys() - speaking.keys():
            _remove(self._speakers.pop(namespace), self._place(_SPEAKER, namespace))
        for namespace, end in ends.items():
            tunnel = self._tunnels.get(namespace)
            if tunnel is None or tunnel.lost:
                _leave(tunnel)
                tunnel = TunnelKeeper(end, self._place(_TUNNEL, namespace), self._changed)
                self._tunnels[namespace] = tunnel
                self._begun.append((end.connection or _owner(intent, end), tunnel))
            elif tunnel.end_of_tunnel != end:
                tunnel.tell(end)
        for namespace, speaker in speaking.items():
            known = self._speakers.get(namespace)
            if known is None or known.lost:
                _leave(known)
                known = SpeakerKeeper(speaker, self._place(_SPEAKER, namespace), self._changed)
                self._speakers[namespace] = known
                self._begun.append((speaker.owner, known))
            elif known.speaker != speaker:
                known.tell(speaker)
        self._changed()

    def end(self) -> None:
        """End every program; their files go with them."""
        keepers: list[Keeper] = [*self._tunnels.values(), *self._speakers.values()]
        self._tunnels, self._speakers, self._begun = {}, {}, []
        for keeper in keepers:
            keeper.finish(discard=True)
        end_strays(self._directory, set())
        shutil.rmtree(self._directory, ignore_errors=True)

    def unawaited(self) -> Callable[[], None] | None:
        """What waits until the programs begun answer."""
        begun, self._begun = self._begun, []
        return (lambda: _wait_for(begun)) if begun else None

    def _place(self, kind: str, namespace: str) -> Path:
        return self._directory / f"{kind}-{namespace.removeprefix(names.PREFIX)}"

    # -- what is found; from any thread

    def reach(self, before: Intent) -> Reach:
        """What gateways have learned, and which of their connections carry packets.

        Of what has not been asked yet, as after a restart, what was found ``before`` holds.
        """
        intent = self._intent
        learned: set[LearnedRoute] = set()
        for gateway in intent.gateways.values():
            state = self._speaker_state(gateway)
            if state is None:
                learned |= {each for each in before.learned if each.gateway == gateway.id}
            else:
                learned |= {
                    LearnedRoute(gateway.id, each.prefix, each.peer, each.as_path) for each in state.best if each.peer
                }
        states = {each.id: self.connection_state(each.id).status for each in intent.connections.values()}
        connected = {key for key, status in states.items() if status is ConnectionStatus.CONNECTED}
        connected |= {each for each in before.connected if states.get(each) is ConnectionStatus.UNKNOWN}
        return Reach(frozenset(learned), frozenset(connected))

    def connection_state(self, connection: ResourceId) -> ConnectionState:
        """What a connection is found to be."""
        found = self._intent.connections.get(connection.key)
        if found is None:
            return ConnectionState(ConnectionStatus.UNKNOWN)
        tunnels, reasons = self._circuit_state(found) if found.circuit else self._tunnel_states(found)
        if not tunnels:
            return ConnectionState(ConnectionStatus.NOT_CONNECTED, reason="; ".join(reasons) or "nothing to connect to")
        order = (
            ConnectionStatus.CONNECTED,
            ConnectionStatus.CONNECTING,
            ConnectionStatus.UNKNOWN,
            ConnectionStatus.NOT_CONNECTED,
        )
        status = min((each.status for each in tunnels), key=order.index)
        return ConnectionState(
            status,
            ingress=sum(each.ingress for each in tunnels),
            egress=sum(each.egress for each in tunnels),
            reason="" if status is ConnectionStatus.CONNECTED else "; ".join(dict.fromkeys(filter(None, reasons))),
            tunnels=tunnels,
        )

    def bgp_peers(self, gateway: ResourceId) -> tuple[BgpPeerState, ...]:
        """The BGP sessions of a gateway."""
        found = self._intent.gateways.get(gateway.key)
        state = self._speaker_state(found) if found else None
        return state.peers if state else ()

    def learned(self, gateway: ResourceId) -> tuple[GatewayRoute, ...]:
        """Every route a gateway knows, its own virtual network's among them."""
        found = self._intent.gateways.get(gateway.key)
        state = self._speaker_state(found) if found else None
        return state.routes if state else ()

    def advertised(self, gateway: ResourceId, peer: Address) -> tuple[GatewayRoute, ...]:
        """What a gateway tells a BGP peer."""
        found = self._intent.gateways.get(gateway.key)
        keeper = self._speakers.get(names.gateway_namespace(found.id)) if found else None
        return keeper.advertised(peer) if keeper else ()

    def circuit_links(self, circuit: ResourceId) -> tuple[CircuitLinkState, ...]:
        """The links of a circuit with a private peering."""
        found = self._intent.circuits.get(circuit.key)
        if found is None or found.peering is None:
            return ()
        label = names.edge_namespace(found.id)
        keeper = self._speakers.get(label)
        state = (keeper.state if keeper else None) or SpeakerState()
        peers = {each.neighbor: each for each in state.peers}
        counters = link_counters.read(label)
        links = []
        for name, prefix in zip(("primary", "secondary"), links_of(found), strict=False):
            remote, local = ends_of(prefix)
            peer = peers.get(remote)
            ingress, egress = counters.get(name, (0, 0))
            others = {other for each in links_of(found) for other in ends_of(each)} - {remote}
            links.append(
                CircuitLinkState(
                    name=name,
                    local=local,
                    remote=remote,
                    asn=found.peering.peer_asn,
                    local_mac=names.NEAR_MAC,
                    remote_mac=names.FAR_MAC if name in counters else None,
                    up=peer.connected if peer and peer.state is BgpState.CONNECTED else None,
                    ingress=ingress,
                    egress=egress,
                    routes=tuple(each for each in state.routes if each.peer not in others),
                    sent=peer.sent if peer else 0,
                    received=peer.received if peer else 0,
                )
            )
        return tuple(links)

    def reset_gateway(self, gateway: ResourceId) -> None:
        """Begin a gateway's tunnels and sessions anew."""
        label = names.gateway_namespace(gateway)
        for tunnel in self._tunnels_there():
            if tunnel.end_of_tunnel.router == label:
                tunnel.reset()
        speaker = self._speakers.get(label)
        if speaker:
            speaker.reset()

    def reset_connection(self, connection: ResourceId) -> None:
        """Take a connection down and have it come back."""
        found = self._intent.connections.get(connection.key)
        for tunnel in self._tunnels_there():
            if tunnel.end_of_tunnel.connection == connection:
                tunnel.reset()
        if found and found.circuit:
            keeper = self._speakers.get(names.gateway_namespace(found.gateway))
            if keeper:
                keeper.reset()

    def _speaker_state(self, gateway: VirtualNetworkGateway) -> SpeakerState | None:
        """What a gateway's speaker is found to be; nothing is known of one that has not been asked."""
        keeper = self._speakers.get(names.gateway_namespace(gateway.id))
        return keeper.state if keeper else SpeakerState()

    def _tunnels_there(self) -> tuple[TunnelKeeper, ...]:
        """The tunnels of this moment: the engine may be adding some while others ask."""
        return tuple(self._tunnels.values())

    def _tunnel_states(self, connection: Connection) -> tuple[tuple[TunnelState, ...], list[str]]:
        keepers = [each for each in self._tunnels_there() if each.end_of_tunnel.connection == connection.id]
        failures = [each.failure or each.reason for each in keepers]
        return tuple(each.state for each in keepers), failures

    def _circuit_state(self, connection: Connection) -> tuple[tuple[TunnelState, ...], list[str]]:
        """The link to the circuit's edge, which counts what passes and carries packets while a site is behind it."""
        gateway = self._intent.gateways.get(connection.gateway.key)
        circuit = self._intent.circuits.get(connection.circuit.key) if connection.circuit else None
        if gateway is None or circuit is None or circuit not in circuits_of(self._intent, gateway):
            return (), ["the circuit has no private peering"]
        state = self._speaker_state(gateway)
        edge = next((each for each in state.peers if each.neighbor == edge_address(circuit)), None) if state else None
        counters = link_counters.read(names.gateway_namespace(gateway.id))
        ingress, egress = counters.get(names.edge_link_name(circuit.number), (0, 0))
        links = self.circuit_links(circuit.id)
        up = [each for each in links if each.up is not None]
        name = f"{gateway.instances[0].address} - {edge_address(circuit)}"
        link = TunnelState(name, ConnectionStatus.NOT_CONNECTED, ingress, egress)
        if state is None:
            return (replace(link, status=ConnectionStatus.UNKNOWN),), []
        if edge is None or edge.state is not BgpState.CONNECTED:
            return (replace(link, status=ConnectionStatus.CONNECTING),), ["BGP with the edge of the circuit is not up"]
        if not up:
            return (link,), ["BGP is up on neither link of the circuit"]
        since = time.time() - max(each.up or 0 for each in up)
        return (replace(link, status=ConnectionStatus.CONNECTED, established=since),), []


def _leave(keeper: Keeper | None) -> None:
    """What a keeper kept that was lost goes on: another one finds it."""
    if keeper:
        keeper.finish(discard=False)


def _remove(keeper: Keeper, place: Path) -> None:
    """End what is kept, and take its files away."""
    keeper.finish(discard=True)
    if keeper.lost:
        end_strays(place, set())
    shutil.rmtree(place, ignore_errors=True)


def _needs(intent: Intent) -> Iterator[tuple[ResourceId, str]]:
    """Which resources need which programs."""
    for gateway in intent.gateways.values():
        if gateway.kind is GatewayKind.VPN:
            yield gateway.id, _TUNNEL
        if gateway.bgp or gateway.kind is GatewayKind.EXPRESS_ROUTE:
            yield gateway.id, _SPEAKER
    for site in intent.sites.values():
        if site.tunnels:
            yield site.id, _TUNNEL
        if site.circuits or any(each.bgp_peer for each in site.tunnels):
            yield site.id, _SPEAKER


def _find_programs(kind: str) -> None:
    if kind == _TUNNEL:
        program.charon()
        return
    for name in DAEMONS:
        program.frr(name)
    program.frr_user()


def _owner(intent: Intent, end: TunnelEnd) -> ResourceId:
    return next(each.id for each in intent.sites.values() if names.site_namespace(each.id) == end.router)


def _wait_for(begun: list[tuple[ResourceId, Keeper]]) -> None:
    """Wait until programs answer.

    Raises:
        ArmErrorsError: each that does not.
    """
    for _, keeper in begun:
        keeper.wait()
    failed = tuple(_refusal(resource, keeper.failure) for resource, keeper in begun if keeper.failure)
    if failed:
        raise ArmErrorsError(failed)


def _refusal(resource: ResourceId, what: str) -> ArmError:
    message = f"The program that stands in for {resource.type} does not run: {what}"
    return ArmError("StandInUnavailable", message, status=HTTPStatus.CONFLICT, target=str(resource))
