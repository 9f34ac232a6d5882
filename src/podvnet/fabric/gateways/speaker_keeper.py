"""Keeps one BGP speaker: its FRR daemons, what they are told, and what they have learned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from podvnet.fabric.gateways import frr_settings, program
from podvnet.fabric.gateways.keeper import Keeper, written
from podvnet.fabric.gateways.kept_process import KeptProcess, Place
from podvnet.fabric.gateways.states import BgpPeerState, BgpState, GatewayRoute
from podvnet.fabric.gateways.vty import Vty, VtyError
from podvnet.fabric.services.program import MissingProgramError
from podvnet.model.address import Address
from podvnet.plan.speakers import Speaker

DAEMONS = ("zebra", "staticd", "bgpd", "bfdd")
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_STARTS = 1.0
_SECONDS_BETWEEN_TRIES = 0.05
_SECONDS_FOR_ZEBRA = 10.0
_SECONDS_OF_OLD_ROUTES = 60
"""For how long routes hold whose daemon has died and not said so again."""
_STATES = {
    "Established": BgpState.CONNECTED,
    "Idle": BgpState.IDLE,
    "Connect": BgpState.CONNECTING,
    "Active": BgpState.CONNECTING,
    "OpenSent": BgpState.CONNECTING,
    "OpenConfirm": BgpState.CONNECTING,
}


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """What a speaker is found to be. ``best``: of its routes those that it uses."""

    peers: tuple[BgpPeerState, ...] = ()
    routes: tuple[GatewayRoute, ...] = ()
    best: tuple[GatewayRoute, ...] = ()


class SpeakerKeeper(Keeper):
    """Keeps a speaker, in a thread of its own.

    Args:
        speaker: the speaker.
        run: for its files; closed to others.
        changed: called from that thread whenever what it uses has changed.
    """

    def __init__(self, speaker: Speaker, run: Path, changed: Callable[[], None]) -> None:
        super().__init__(f"speaker-{speaker.namespace}", run, changed)
        self._speaker = speaker
        self.state: SpeakerState | None = None
        """None until it has been asked."""
        self._told: Speaker | None = None
        self._thread.start()

    @property
    def speaker(self) -> Speaker:
        """What is kept."""
        return self._speaker

    def tell(self, speaker: Speaker) -> None:
        """Keep the same speaker with other settings."""
        with self._lock:
            self._speaker = speaker
        self._ring()

    def advertised(self, peer: Address) -> tuple[GatewayRoute, ...]:
        """What it tells a peer; nothing when it does not run."""
        local = self._local(peer)
        try:
            with Vty(self._socket("bgpd")) as vty:
                said = vty.ask(f"show bgp ipv4 unicast neighbors {peer} advertised-routes json")
        except VtyError:
            return ()
        routes = said.get("advertisedRoutes", {})
        return tuple(_told_route(local, prefix, one) for prefix, one in routes.items())

    def _lose(self) -> None:
        self.state = None
        self._changed()

    def _socket(self, daemon: str) -> Path:
        return self._run / "frr" / f"{daemon}.vty"

    def _keep(self) -> None:
        daemons: list[KeptProcess] = []
        taken_over = False
        while not self._is_over():
            try:
                daemons = daemons or [self._daemon(name) for name in DAEMONS]
                if not taken_over:
                    self._take_over(daemons)
                    taken_over = True
                self._revive(daemons)
                self._follow(daemons)
            except (MissingProgramError, OSError, VtyError) as error:
                self.failure = str(error)
            if not any(each.runs() for each in daemons if each.name == "bgpd"):
                self.state = SpeakerState()  # the routes of its sessions go with it
                self._changed()
            self._settled.set()
            if not self._is_over():
                self._complain()
                self._rest(_SECONDS_BETWEEN_STARTS)
        for each in daemons:
            if self._discard:
                each.end()
            else:
                each.forsake()

    def _daemon(self, name: str) -> KeptProcess:
        options = ["--log", "stdout", "--log-level", "notifications", "-P", "0", "-i", f"/run/frr/{name}.pid"]
        if name == "zebra":
            options += ["-K", str(_SECONDS_OF_OLD_ROUTES), "-f", "/run/zebra.conf"]
        elif name == "bgpd":
            options += ["-f", "/run/frr.conf"]
        elif name == "staticd":
            options += ["-f", "/run/staticd.conf"]
        argv = (str(program.frr(name)), *options)
        return KeptProcess(Place(self._speaker.namespace, self._run), argv)

    def _take_over(self, daemons: list[KeptProcess]) -> None:
        """Find what an earlier life has begun; what was told otherwise than it should be begins anew."""
        sockets = self._run / "frr"
        sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chown(sockets, *program.frr_user())
        self._run.chmod(0o711)  # FRR gives up being root before it looks for its files
        file = self._run / "frr.conf"
        text = frr_settings.settings(self._speaker)
        written(self._run / "zebra.conf", frr_settings.ZEBRA, 0o644)
        statics = self._run / "staticd.conf"
        as_told = {
            "bgpd": file.exists() and file.read_text(encoding="utf-8") == text,
            "staticd": statics.exists() and statics.read_text(encoding="utf-8") == _lines(self._speaker),
        }
        self._told = self._speaker
        for each in daemons:
            if (each.runs() or each.adopt()) and not as_told.get(each.name, True):
                each.end()

    def _revive(self, daemons: list[KeptProcess]) -> None:
        """Begin those that do not run, zebra first: bgpd would look for it again only after ten seconds.

        When what leads to neighbors was lost, all begin anew: what zebra then finds in the kernel it takes for good.
        """
        ended = {each.name for each in daemons if not each.runs()}
        if ended & {"zebra", "staticd"}:
            for each in daemons:
                each.end()
        for each in daemons:
            if each.runs():
                continue
            if each.name in {"bgpd", "staticd"}:
                self._told = self._told or self._speaker
                self._write(self._told)
            socket = self._socket(each.name)
            socket.unlink(missing_ok=True)
            each.begin()
            deadline = time.monotonic() + _SECONDS_FOR_ZEBRA
            while not _answers(socket) and not self._is_over():
                if not each.runs() or time.monotonic() > deadline:
                    msg = f"{each.name} does not run: {each.last_words()}"
                    raise OSError(msg)
                self._rest(_SECONDS_BETWEEN_TRIES, each.descriptor)

    def _write(self, speaker: Speaker) -> None:
        file = self._run / "frr.conf"
        written(file, frr_settings.settings(speaker), 0o600)
        os.chown(file, *program.frr_user())
        written(self._run / "staticd.conf", _lines(speaker), 0o644)

    def _follow(self, daemons: list[KeptProcess]) -> None:
        """Follow the daemons until one ends, or all are to be left."""
        with Vty(self._socket("bgpd")) as vty:
            self._answers_now()
            while all(each.runs() for each in daemons) and not self._is_over():
                self._settle(vty, daemons)
                self._look(vty)
                for each in daemons:
                    each.trim()
                self._rest(_SECONDS_BETWEEN_LOOKS, *(each.descriptor for each in daemons))
        ended = [each for each in daemons if not each.runs()]
        self.failure = "; ".join(f"{each.name} has ended: {each.last_words()}" for each in ended)

    def _settle(self, vty: Vty, daemons: list[KeptProcess]) -> None:
        """Tell bgpd what has changed."""
        with self._lock:
            speaker = self._speaker
        if self._told and self._told != speaker:
            commands = frr_settings.changes(self._told, speaker)
            if commands is None:
                self._told = speaker
                next(each for each in daemons if each.name == "bgpd").end()
                return
            try:
                self._tell(vty, commands, self._told, speaker)
            except VtyError:
                # What of it was carried out nobody knows, and the same commands again might be refused for it.
                self._told = speaker
                for each in daemons:
                    each.end()
                raise
            self._told = speaker
            self._write(speaker)
        if self._to_reset.is_set():
            self._to_reset.clear()
            vty.run("clear bgp *")

    def _tell(self, vty: Vty, commands: tuple[str, ...], before: Speaker, after: Speaker) -> None:
        vty.configure(commands)
        old, new = frr_settings.ways(before), frr_settings.ways(after)
        if old != new:
            gone = tuple(f"no {each}" for each in old if each not in new)
            with Vty(self._socket("staticd")) as statics:
                statics.configure((*gone, *(each for each in new if each not in old)))
        if frr_settings.filters(before) != frr_settings.filters(after):
            vty.run("clear bgp ipv4 unicast * soft")

    def _look(self, vty: Vty) -> None:
        table = vty.ask("show bgp ipv4 unicast json").get("routes", {})
        summary = vty.ask("show bgp ipv4 unicast summary json").get("peers", {})
        routes: list[GatewayRoute] = []
        best: list[GatewayRoute] = []
        for prefix, paths in table.items():
            for path in paths:
                route = self._route(prefix, path)
                routes.append(route)
                if path.get("bestpath") and path.get("valid"):
                    best.append(route)
        peers = tuple(self._peer(ip_address(address), said) for address, said in summary.items())
        before, self.state = self.state, SpeakerState(peers, tuple(routes), tuple(best))
        if before is None or set(before.best) != set(best):
            self._changed()

    def _peer(self, neighbor: Address, said: dict[str, Any]) -> BgpPeerState:
        # With why in brackets: "Idle (PfxCt)" is one that has said too many prefixes.
        state = _STATES.get(said.get("state", "").partition(" ")[0], BgpState.UNKNOWN)
        return BgpPeerState(
            local=self._local(neighbor),
            neighbor=neighbor,
            asn=int(said.get("remoteAs", 0)),
            state=state,
            connected=said.get("peerUptimeMsec", 0) / 1000 if state is BgpState.CONNECTED else 0,
            routes=int(said.get("pfxRcd", 0)),
            sent=int(said.get("msgSent", 0)),
            received=int(said.get("msgRcvd", 0)),
        )

    def _route(self, prefix: str, path: dict[str, Any]) -> GatewayRoute:
        text = path.get("peerId", "")
        peer = ip_address(text) if text and text != "(unspec)" else None
        return GatewayRoute(
            local=self._local(peer),
            prefix=ip_network(prefix),
            next_hop=peer,
            peer=peer,
            origin="Network" if peer is None else "EBgp" if path.get("pathFrom") == "external" else "IBgp",
            as_path=tuple(int(each) for each in path.get("path", "").split() if each.isdigit()),
            weight=int(path.get("weight", 0)),
        )

    def _local(self, peer: Address | None) -> Address:
        known = {each.address: each.source for each in self._speaker.neighbors}
        return (known.get(peer) if peer else None) or self._speaker.identifier


def _lines(speaker: Speaker) -> str:
    return "".join(f"{each}\n" for each in frr_settings.ways(speaker))


def _told_route(local: Address, prefix: str, said: dict[str, Any]) -> GatewayRoute:
    path = tuple(int(each) for each in said.get("path", "").split() if each.isdigit())
    return GatewayRoute(
        local=local, prefix=ip_network(prefix), next_hop=local, origin="EBgp" if path else "Network", as_path=path
    )


def _answers(socket: Path) -> bool:
    try:
        Vty(socket).close()
    except VtyError:
        return False
    return True
