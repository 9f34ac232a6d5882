"""Keeps one end of a tunnel: its charon, what that is told, and what becomes of the tunnel."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from podvnet.fabric.gateways import charon_settings, program
from podvnet.fabric.gateways.charon_settings import CHILD, CONNECTION
from podvnet.fabric.gateways.keeper import Keeper, written
from podvnet.fabric.gateways.kept_process import KeptProcess, Place
from podvnet.fabric.gateways.states import TunnelState
from podvnet.fabric.gateways.vici import Message, Vici, ViciError
from podvnet.fabric.services.program import MissingProgramError
from podvnet.linux.executor import Executor
from podvnet.model.gateway import ConnectionStatus
from podvnet.model.kernel import LinkUp, Step
from podvnet.plan.router_program import INNER_INDEX
from podvnet.plan.tunnel_ends import TunnelEnd

_log = structlog.get_logger()

_SETTINGS = "strongswan.conf"
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_STARTS = 1.0
_SECONDS_BETWEEN_TRIES = 0.05
_SECONDS_TO_ANSWER = 30.0
"""After which a charon that runs without answering is told of, while it goes on being asked."""
_SECONDS_BETWEEN_CALLS = {True: 1.0, False: 4.0}
"""A gateway calls soon and a site only when the gateway does not: both at once make two tunnels for a moment."""
_REASONS = (
    (re.compile(r"AUTHENTICATION_FAILED"), "AUTHENTICATION_FAILED: the shared keys differ"),
    (re.compile(r"MAC mismatched"), "AUTHENTICATION_FAILED: the shared keys differ"),
    (re.compile(r"no shared key found"), "AUTHENTICATION_FAILED: there is no shared key for the other end"),
    (
        re.compile(r"NO_PROPOSAL_CHOSEN|no acceptable|no matching proposal|INVALID_KE"),
        "NO_PROPOSAL_CHOSEN: the IPsec policies have nothing in common",
    ),
    (re.compile(r"no IKE config found|no matching peer config"), "NO_PROPOSAL_CHOSEN: the other end is not known"),
    (re.compile(r"TS_UNACCEPTABLE"), "TS_UNACCEPTABLE: the traffic selectors have nothing in common"),
    (re.compile(r"giving up after|peer not responding"), "TIMEOUT: the other end does not answer"),
)


class TunnelKeeper(Keeper):
    """Keeps an end, in a thread of its own.

    Args:
        end: the end.
        run: for its files; closed to others.
        changed: called from that thread whenever the tunnel has come or gone.
    """

    def __init__(self, end: TunnelEnd, run: Path, changed: Callable[[], None] = lambda: None) -> None:
        super().__init__(f"tunnel-{end.namespace}", run, changed)
        self._end = end
        self.reason = ""
        """Why there is no tunnel; empty while there is."""
        self.state = TunnelState(_name(end), ConnectionStatus.UNKNOWN)
        self._told: TunnelEnd | None = None
        self._counted: dict[str, tuple[int, int]] = {}
        self._before = (0, 0)
        self._called = 0.0
        self._was_wrong = False
        self._log_place = 0
        self._thread.start()

    @property
    def end_of_tunnel(self) -> TunnelEnd:
        """What is kept."""
        return self._end

    def tell(self, end: TunnelEnd) -> None:
        """Keep the same end with other settings."""
        with self._lock:
            self._end = end
        self._ring()

    def _keep(self) -> None:
        process: KeptProcess | None = None
        while not self._is_over():
            try:
                end = self._end
                self._prepare()
                process = process or self._charon()
                if (process.runs() or process.adopt()) and not self._is_told(end):
                    process.end()
                if not process.runs():
                    self._begin(process, end)
                self._log_place = process.log.stat().st_size if process.log.exists() else 0
                self._follow(process)
                self.failure = "" if self._is_over() else process.last_words()
            except (MissingProgramError, OSError, subprocess.SubprocessError) as error:
                self.failure = str(error)
            self._settled.set()
            if not self._is_over():
                self._complain()
                self.state = replace(self.state, status=ConnectionStatus.NOT_CONNECTED)
                self._changed()
                self._told = None
                if process and not process.runs():
                    self._count([])
                self._rest(_SECONDS_BETWEEN_STARTS)
        if process:
            if self._discard:
                process.end()
            else:
                process.forsake()

    def _lose(self) -> None:
        self.state = replace(self.state, status=ConnectionStatus.UNKNOWN)
        self._changed()

    def _charon(self) -> KeptProcess:
        place = Place(self._end.namespace, self._run)
        return KeptProcess(place, (str(program.charon()),), {"STRONGSWAN_CONF": f"/run/{_SETTINGS}"})

    def _prepare(self) -> None:
        self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        written(self._run / "updown", charon_settings.updown(), 0o700)

    def _is_told(self, end: TunnelEnd) -> bool:
        """Whether charon, should it run, was begun with the settings of an end, by whichever life."""
        file = self._run / _SETTINGS
        return file.exists() and file.read_text(encoding="utf-8") == charon_settings.settings(end)

    def _begin(self, process: KeptProcess, end: TunnelEnd) -> None:
        """Begin charon without a tunnel: whatever the last one has left is undone."""
        written(self._run / _SETTINGS, charon_settings.settings(end), 0o600)
        for name in ("up", "vici", "charon.pid"):
            (self._run / name).unlink(missing_ok=True)
        executor = Executor()
        try:
            executor.apply([Step(False, self._end.namespace, LinkUp(INNER_INDEX))])
        finally:
            executor.close()
        process.begin()

    def _follow(self, process: KeptProcess) -> None:
        """Follow charon until it ends or is to be left."""
        deadline = time.monotonic() + _SECONDS_TO_ANSWER
        while process.runs() and not self._is_over():
            try:
                with Vici(self._run / "vici") as vici:
                    self._settle(vici)
                    self._answers_now()
                    while process.runs() and not self._is_over():
                        self._settle(vici)
                        self._look(vici)
                        self._hear(process.log)
                        process.trim()
                        self._rest(_SECONDS_BETWEEN_LOOKS, process.descriptor)
                        if not self._is_told(self._end):
                            process.end()  # how long it waits it is told when it begins
                            return
            except ViciError as error:
                door = self._run / "vici"
                self.failure = f"charon does not answer at {door}: {error}; {process.last_words()}"
                is_late = time.monotonic() > deadline
                if is_late:
                    self._settled.set()
                self._rest(_SECONDS_BETWEEN_STARTS if is_late else _SECONDS_BETWEEN_TRIES, process.descriptor)

    def _settle(self, vici: Vici) -> None:
        """Tell charon what has changed."""
        with self._lock:
            end = self._end
        if self._told != end:
            known = vici.request("get-shared").get("keys", [])
            others = [str(each) for each in known if each != charon_settings.key_id(end)]
            vici.request("load-shared", charon_settings.key(end))
            vici.request("load-conn", charon_settings.connection(end))
            if others:
                # Before the old key goes, so that a life that ends here leaves it for the next one to see; and after,
                # so that no tunnel is left that came about by it meanwhile.
                self._terminate(vici)
                for each in others:
                    vici.request("unload-shared", {"id": each})
                self._terminate(vici)
            self._told, self._called = end, 0.0
        if self._to_reset.is_set():
            self._to_reset.clear()
            self._terminate(vici)
            self._called = 0.0

    @staticmethod
    def _terminate(vici: Vici) -> None:
        with contextlib.suppress(ViciError):  # there is none
            vici.request("terminate", {"ike": CONNECTION, "force": "yes", "timeout": "-1"})

    def _look(self, vici: Vici) -> None:
        """See what tunnels there are, and call the other end when there is none."""
        connections = [each[CONNECTION] for each in vici.streamed("list-sas", "list-sa") if CONNECTION in each]
        sections = [each for each in connections if isinstance(each, dict)]
        tunnels = [child for each in sections for child in _children(each) if child.get("state") == "INSTALLED"]
        self._count(tunnels)
        self._correct(len(tunnels))
        if tunnels:
            self.reason = ""
            ages = [int(str(each.get("install-time", "0"))) for each in tunnels]
            status, since = ConnectionStatus.CONNECTED, time.time() - max(ages)
        else:
            calling = any(each.get("state") == "CONNECTING" for each in sections)
            status = ConnectionStatus.CONNECTING if calling and not self.reason else ConnectionStatus.NOT_CONNECTED
            since = self.state.established or 0.0
            if not calling:
                self._call(vici)
        received, sent = (sum(each) for each in zip(self._before, *self._counted.values(), strict=True))
        before = self.state.status
        self.state = TunnelState(_name(self._end), status, received, sent, since or None)
        if status is not before:
            self._changed()

    def _correct(self, count: int) -> None:
        """Tell the script how many tunnels there are, where it has had it wrong twice: it may be counting just now."""
        file = self._run / "up"
        counted = int((file.read_text(encoding="ascii") if file.exists() else "").strip() or 0)
        wrong = counted != count
        if wrong and self._was_wrong:
            _log.warning("tunnels_miscounted", tunnel=self._end.namespace, counted=counted, there=count)
            command = [*Place(self._end.namespace, self._run).command, "/run/updown", str(count)]
            subprocess.run(command, env=os.environ | {"PLUTO_VERB": "set"}, check=True)
            wrong = False
        self._was_wrong = wrong

    def _call(self, vici: Vici) -> None:
        pause = _SECONDS_BETWEEN_CALLS[self._end.connection is not None]
        if self._end.initiates and time.monotonic() - self._called > pause:
            first, self._called = self._called == 0, time.monotonic()
            if first and self._end.connection is None:
                return  # a site gives the gateway time to call
            with contextlib.suppress(ViciError):
                vici.request("initiate", {"child": CHILD, "ike": CONNECTION, "timeout": "-1"})

    def _count(self, tunnels: list[Message]) -> None:
        now = {
            str(each["uniqueid"]): (int(str(each.get("bytes-in", "0"))), int(str(each.get("bytes-out", "0"))))
            for each in tunnels
        }
        for key, (received, sent) in self._counted.items():
            if key not in now:
                self._before = self._before[0] + received, self._before[1] + sent
        self._counted = now

    def _hear(self, log: Path) -> None:
        """Find in what charon has written since why there is no tunnel."""
        size = log.stat().st_size
        if self.state.status is ConnectionStatus.CONNECTED:
            self._log_place = size
            return
        if size < self._log_place:
            self._log_place = 0  # it was emptied
        with log.open("rb") as lines:
            lines.seek(self._log_place)
            text = lines.read().decode(errors="replace")
            self._log_place = lines.tell()
        for line in text.splitlines():
            self.reason = next((reason for pattern, reason in _REASONS if pattern.search(line)), self.reason)


def _children(connection: Message) -> list[Message]:
    children = connection.get("child-sas")
    return [each for each in children.values() if isinstance(each, dict)] if isinstance(children, dict) else []


def _name(end: TunnelEnd) -> str:
    return f"{end.local} - {end.remote}"
