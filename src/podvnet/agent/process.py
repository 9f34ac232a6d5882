"""The agent process: puts the parts together, follows the platform, serves until told to stop."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from podvnet.agent.address_watch import AddressWatch
from podvnet.agent.conflist_gate import ConflistGate
from podvnet.agent.egress import Egress
from podvnet.agent.enforcement import Enforcement
from podvnet.agent.ledger import Ledger
from podvnet.agent.lost_addresses import LostAddresses
from podvnet.agent.node import NicNotFoundError, bridge_present, ensure_bridge, ensure_forwarding, find_node
from podvnet.agent.observer import Observer
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.pool_growth import GrowthSettings, PoolGrowth, Prospect
from podvnet.agent.queries import Queries
from podvnet.agent.reconcile import reconcile
from podvnet.agent.server import Server
from podvnet.agent.source import Refresher, Source, SourceKind, pool_addresses
from podvnet.agent.standing import Standing
from podvnet.agent.verbs import Verbs
from podvnet.agent.wiring import Wiring
from podvnet.azure.error import SourceError
from podvnet.azure.inventory import Inventory, PlatformNic
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Executor
from podvnet.linux.reaper import Reaper
from podvnet.linux.ruleset import RulesetError
from podvnet.model.attachment import Node
from podvnet.plan.attachment_program import HOST
from podvnet.plugin.network_config import Environment

if TYPE_CHECKING:
    from podvnet.agent.docker.plugin import Plugin
    from podvnet.agent.kubernetes import Kubernetes
    from podvnet.agent.metrics_server import MetricsServer

RUN = Path("/run/podvnet")
STATE = Path("/var/lib/podvnet")
SOCKET = "agent.sock"
LEDGER = "ledger.db"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = "/proc/self/ns/net"

_log = structlog.get_logger()


# "azure" is also what a configuration that says nothing means, so it goes with every source.
_ENVIRONMENTS = {
    SourceKind.AUTO: frozenset({Environment.AZURE, Environment.IMDS}),
    SourceKind.WIRESERVER: frozenset({Environment.AZURE}),
    SourceKind.IMDS: frozenset({Environment.AZURE, Environment.IMDS}),
    SourceKind.ARM: frozenset({Environment.AZURE, Environment.IMDS}),
    SourceKind.FILE: frozenset({Environment.AZURE, Environment.MAS, Environment.FILE}),
}


class AlreadyRunningError(Exception):
    """Another agent serves this VM."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an agent is run.

    Attributes:
        run: directory on tmpfs for the socket and the ledger.
        source: where the pool comes from.
        growth: how the pool grows, when the source is the kind ``arm``.
        interval: seconds between questions to the source.
        rest: seconds that a released address is left alone.
        bridge: the name of the software bridge.
        pods_may_ask_platform: let pods reach IMDS and the wireserver's HTTP.
        enforce_groups: filter between pods of this VM by the security groups of its NIC.
        groups_interval: seconds between questions for their rules.
        conflist: what is in its place only while pods can be attached, or are.
        docker: the socket to serve Docker at; None: it is not served.
        state: directory on disk for what outlives a reboot: Docker's networks, what is asked for pods.
        kubeconfig: the node's credentials for the Kubernetes API, or ``in-cluster``; None: there is no cluster.
        node_name: the Node's name; empty: the host's.
        metrics: where to serve them over HTTP; None: only on the agent's socket.
    """

    run: Path = RUN
    source: Source = field(default_factory=Source)
    growth: GrowthSettings = field(default_factory=GrowthSettings)
    interval: float = 10.0
    rest: float = 10.0
    bridge: str = "azure0"
    pods_may_ask_platform: bool = False
    enforce_groups: bool = False
    groups_interval: float = 30.0
    conflist: Path | None = None
    docker: Path | None = None
    state: Path = STATE
    kubeconfig: Path | None = None
    node_name: str = ""
    metrics: tuple[str, int] | None = None


class Agent:
    """One VM's agent. Everything below runs in the thread that calls :meth:`serve`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._executor = Executor()
        descriptor = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        self._executor.lend(HOST, descriptor)
        os.close(descriptor)
        self._reaper = Reaper(self._executor.door(HOST).descriptor)
        self._ledger = Ledger(settings.run / LEDGER, _BOOT_ID.read_text(encoding="ascii").strip())
        self._wiring = Wiring(self._executor, self._reaper)
        self._egress = Egress(
            self._executor,
            self._ledger,
            pods_may_ask_platform=settings.pods_may_ask_platform,
            enforce_groups=settings.enforce_groups,
        )
        self._enforcement = self._enforcer(settings) if settings.enforce_groups else None
        self._standing = Standing()
        self._refresher = Refresher(settings.source, self._delivered, settings.interval)
        by_arm = settings.source.kind is SourceKind.ARM
        self._growth = self._grower(settings) if by_arm else None
        self._grants = self._granter(settings) if by_arm else None
        self._addresses = AddressWatch()
        self._kubernetes = self._cluster(settings.kubeconfig) if settings.kubeconfig else None
        self._verbs = Verbs(
            self._executor,
            self._ledger,
            self._wiring,
            self._egress,
            self._standing,
            rest=settings.rest,
            bridge=settings.bridge,
            environments=_ENVIRONMENTS[settings.source.kind],
            refresh=self._refresher.ask_now,
            prospect=self._growth.prospect if self._growth else Prospect,
            enforcement=self._enforcement,
            grants=self._grants,
            kubernetes=self._kubernetes,
        )
        self._observer = Observer(
            self._standing,
            self._ledger,
            self._egress,
            self._addresses,
            settings.rest,
            growth=self._growth,
            grants=self._grants,
            enforcement=self._enforcement,
            kubernetes=self._kubernetes,
        )
        queries = Queries(self._observer.status, self._metrics, self._grants)
        self._server = Server(settings.run / SOCKET, self._verbs, queries.answer, self._settled)
        self._docker = self._docker_plugin(settings.docker) if settings.docker else None
        self._metrics_server = self._measurer(settings.metrics) if settings.metrics else None
        self._gate = ConflistGate(settings.conflist)
        self._inventory: Inventory | None = None
        self._lost = LostAddresses(self._ledger)

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT. SIGHUP asks the platform and reconciles."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._server.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._server.submit(self._look_again))
        self._reaper.start()
        remembered = self._ledger.vm.node()
        if remembered is not None:
            # The platform may be silent just now; pods that run must be served all the same.
            self._stand(remembered)
        self._follow()
        self._start_threads()
        # What lives now lives long: the collector need not look at it again, and never in the middle of an ADD.
        gc.collect()
        gc.freeze()
        gc.disable()
        _log.info("serving", socket=str(self._settings.run / SOCKET))
        try:
            self._server.run()
        finally:
            self._stop_threads()
            self._reaper.stop()
            self._ledger.close()
            self._executor.close()

    def _start_threads(self) -> None:
        self._refresher.start()
        if self._growth:
            self._growth.start(self._server.submit, self._server.pool_changed)
        if self._grants:
            self._grants.start(self._server.submit, self._grants_changed)
        if self._kubernetes:
            self._kubernetes.start(self._server.submit, self._server.something_learned)
        if self._metrics_server:
            self._metrics_server.start()
        if self._enforcement:
            self._enforcement.start(self._server.submit)
        if self._docker:
            self._docker.front.start()

    def _stop_threads(self) -> None:
        self._refresher.stop()
        if self._docker:
            self._docker.front.stop()
        self._gate.follow("the agent was told to stop", len(self._ledger.rows()))
        for each in (self._growth, self._grants, self._enforcement, self._kubernetes, self._metrics_server):
            if each:
                each.stop()

    def _grants_changed(self) -> None:
        self._server.pool_changed()
        if self._kubernetes:
            self._kubernetes.tell()

    def _delivered(self, answer: Inventory | SourceError) -> None:
        """Hand an answer of the platform to the agent's thread. Called in the refresher's thread."""
        self._server.submit(lambda: self._take_in(answer))

    def _take_in(self, answer: Inventory | SourceError) -> None:
        gc.collect(1)
        if isinstance(answer, SourceError):
            _log.warning("platform_silent", reason=answer.message)
            if self._standing.node is None:
                self._standing.reason, self._standing.remedy = answer.message, answer.remedy
        elif answer != self._inventory or self._standing.node is None:
            nic = answer.primary_nic()
            added, dropped = self._ledger.fill(pool_addresses(nic))
            _log.info("pool", added=added, dropped=dropped)
            self._lost.tell()
            self._inventory = answer
            self._find(nic)
        if self._growth and self._inventory and not isinstance(answer, SourceError):
            nic = answer.primary_nic()
            # The pool grows in IPv4 only.
            listed = frozenset(each for each in nic.secondary_addresses() if each.version == 4)
            grown = self._growth.listed(nic.mac, listed)
            if (self._grants is None or self._grants.listed(listed)) and grown:
                self._refresher.calm()
        self._follow()
        self._server.pool_changed()

    def _follow(self) -> None:
        """Let the conflist say what STATUS does, and the Node how the addresses stand."""
        obstacle = self._verbs.obstacle()
        self._gate.follow(obstacle.msg if obstacle else "", len(self._ledger.rows()))
        self._observer.look()

    def _metrics(self) -> str:
        return self._observer.metrics(self._verbs.obstacle, self._server.tally)

    def _find(self, nic: PlatformNic) -> None:
        try:
            node = find_node(self._executor, nic)
        except NicNotFoundError as error:
            self._standing.reason = str(error)
            self._standing.remedy = "is the NIC up, and is the agent in the VM's own network namespace?"
            _log.error("nic_not_found", reason=str(error))
            return
        if node != self._standing.node:
            self._stand(node)

    def _stand(self, node: Node) -> None:
        """Know the VM from now on: write its tables, mend what a crash left."""
        try:
            ensure_forwarding(self._executor, node)
            emptied = self._egress.ensure(node, self._settings.bridge)
            if bridge_present(self._executor) or any(bridged for *_, bridged in self._ledger.vm.networks()):
                ensure_bridge(self._executor, node, self._settings.bridge)
            reconcile(self._ledger, self._wiring, node)
            if self._grants:
                self._grants.stand(node.nic_mac, {row.attachment.key for row in self._ledger.rows()})
            self._egress.expose(self._grants.publics if self._grants else frozenset())
            if self._docker:
                self._docker.driver.stand(node)
            if self._enforcement:
                self._enforcement.stand(node.nic_mac, emptied=emptied)
        except (KernelError, RulesetError) as error:
            self._standing.reason = f"the VM could not be prepared: {error}"
            self._standing.remedy = "`podvnet doctor` checks what the kernel offers"
            _log.exception("not_prepared")
            return
        self._ledger.vm.remember_node(node)
        if self._standing.node is None:
            _notify_ready()
        self._standing.node = node

    def _grower(self, settings: Settings) -> PoolGrowth:
        from podvnet.agent.arm_parts import pool_growth  # noqa: PLC0415 - see there

        return pool_growth(settings.growth, self._ledger, settings.rest, self._refresher.ask_often)

    def _granter(self, settings: Settings) -> PodGrants:
        from podvnet.agent.arm_parts import pod_grants  # noqa: PLC0415 - as above

        return pod_grants(settings.growth, self._ledger, settings.state, settings.rest, self._refresher.ask_often)

    def _enforcer(self, settings: Settings) -> Enforcement:
        from podvnet.agent.arm_parts import enforcement  # noqa: PLC0415 - as above

        return enforcement(settings.growth, self._executor, self._ledger, settings.groups_interval)

    def _cluster(self, kubeconfig: Path) -> Kubernetes:
        from podvnet.agent.kubernetes import Kubernetes  # noqa: PLC0415 - who is in no cluster need not pay for it

        name = self._settings.node_name or socket.gethostname().lower()
        return Kubernetes(kubeconfig, name, self._grants, self._addresses.heard)

    def _measurer(self, address: tuple[str, int]) -> MetricsServer | None:
        """Make what serves metrics; when it cannot listen, pods are served all the same."""
        from podvnet.agent.metrics_server import MetricsServer  # noqa: PLC0415 - as above

        try:
            return MetricsServer(address, self._metrics, self._server.submit)
        except OSError as error:
            _log.error("metrics_not_served", address=f"{address[0]}:{address[1]}", reason=str(error))
            return None

    def _docker_plugin(self, socket_path: Path) -> Plugin | None:
        from podvnet.agent.docker.plugin import plugin  # noqa: PLC0415 - who does not serve Docker need not pay for it

        return plugin(
            socket_path,
            self._settings.state,
            self._ledger,
            self._wiring,
            self._standing,
            rest=self._settings.rest,
            prospect=self._growth.prospect if self._growth else Prospect,
            submit=self._server.submit,
            ask_platform=self._refresher.ask_now,
        )

    def _settled(self, waiting: int) -> None:
        """Let the pool follow its use; ``waiting`` ADDs of CNI want an address."""
        if self._growth:
            self._growth.consider(waiting + (self._docker.front.waiting if self._docker else 0))
        if self._kubernetes:
            self._observer.look()

    def _look_again(self) -> None:
        self._refresher.ask_now()
        if self._standing.node is not None:
            self._stand(self._standing.node)


def _notify_ready() -> None:
    """Tell who started us that we can serve. Source: sd_notify(3)."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.sendto(b"READY=1", "\0" + name[1:] if name.startswith("@") else name)
        except OSError as error:
            _log.warning("nobody_to_notify", reason=str(error))


def run(settings: Settings) -> None:
    """Run an agent until it is told to stop.

    Raises:
        AlreadyRunningError: another one serves from the same directory.
    """
    settings.run.mkdir(parents=True, exist_ok=True, mode=0o750)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    with (settings.run / "agent.lock").open("a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another agent holds {lock.name}"
            raise AlreadyRunningError(msg) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        Agent(settings).serve()
