"""The fabric: the store, the compilers and the data plane, held together.

A change goes the same way whoever asks for it: settle the documents, compile the intent, take the difference of the
programs, and then, inside one transaction of the store, carry the difference out in the kernel. For one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

import structlog

from podvnet.fabric.arm.power_state import PowerState, power_state, with_power
from podvnet.fabric.arm.world import Document, World
from podvnet.fabric.dataplane.interface import Dataplane
from podvnet.fabric.dataplane.linux import LinuxDataplane
from podvnet.fabric.findings import Findings, as_found, reach_of
from podvnet.fabric.flow_endings import end_flows
from podvnet.fabric.gateways.states import Gateways, NoGateways
from podvnet.fabric.hop_counters import HopCounters
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.machines import Machines, running
from podvnet.fabric.reach_file import Reach
from podvnet.fabric.services.processes import NoServices, Services
from podvnet.fabric.settlement import (
    ResourceChange,
    complete,
    settle,
    settle_all,
    settle_removal,
)
from podvnet.fabric.stopwatch import Stopwatch
from podvnet.fabric.store import Store
from podvnet.linux.error import KernelError
from podvnet.linux.ruleset import RulesetError
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.intent import Intent
from podvnet.model.kernel import Step
from podvnet.model.resource_id import ResourceId
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.parts import PartCompiler, Parts, compile_fabric, difference_of_parts, whole

FROM_FILE = "file"
FROM_API = "api"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """What a set of resources changes: as resources, and as steps in the kernel."""

    resources: tuple[ResourceChange, ...]
    steps: tuple[Step, ...]


class Fabric:
    """The local Azure network.

    Args:
        run: directory for what a reboot of the machine ends.
        state: directory for what outlives it.
        guest_command: what every VM runs once it has booted, as cloud-init would; empty for nothing.
        changed: called after every change, with the new intent.
        dataplane: what carries the network out; this machine's kernel unless another is given.
        services: what runs the programs behind Azure's services; nothing does unless it is given.
        gateways: what runs gateways and sites on premises; nothing does unless it is given.
    """

    def __init__(
        self,
        run: Path,
        state: Path,
        guest_command: tuple[str, ...],
        changed: Callable[[Intent], None] | None = None,
        dataplane: Dataplane | None = None,
        *,
        services: Services | None = None,
        gateways: Gateways | None = None,
    ) -> None:
        self._services: Services = services or NoServices()
        self._gateways: Gateways = gateways or NoGateways()
        self._store = Store(state / "fabric.db")
        self._dataplane: Dataplane = dataplane or LinuxDataplane(run, state)
        self._changed = changed or (lambda _: None)
        self._reader = IntentReader()
        self._world, self._origins = self._store.load()
        self._findings = Findings(run)
        self._intent = self._findings.last(self._reader.read(self._world))
        self._evaluator = Evaluator(self._intent)
        self._compiler = PartCompiler()
        self._parts: Parts = {}
        self._machines = Machines(self._dataplane, guest_command, lambda: self._intent, lambda: self._parts)

    @property
    def intent(self) -> Intent:
        """What there should be."""
        return self._intent

    @property
    def evaluator(self) -> Evaluator:
        """Says what becomes of packets. Kept while the intent stays, for what it has looked up."""
        if self._evaluator.intent is not self._intent:
            self._evaluator = Evaluator(self._intent)
        return self._evaluator

    @property
    def hop_counters(self) -> HopCounters:
        """Says how many packets the kernel has counted at each decision."""
        return HopCounters(self.evaluator, self._dataplane.counters, self._dataplane.rule_counters)

    @property
    def gateways(self) -> Gateways:
        """What runs gateways, which says what has become of them."""
        return self._gateways

    @property
    def machines(self) -> Machines:
        """The VMs."""
        return self._machines

    @property
    def documents(self) -> list[Document]:
        """Every resource, in the order of creation."""
        return list(self._world.documents.values())

    def recover(self) -> tuple[Step, ...]:
        """Make the kernel agree with the store and bring up the VMs that are down."""
        self._parts = self._compiler.compile(self._intent)
        steps = self._dataplane.recover(whole(self._parts))
        _log.info("recovered", steps=len(steps), resources=len(self._world.documents))
        end_flows(
            Intent(), self.evaluator, self._dataplane
        )  # a change of rules may have been carried out and its flows not ended
        # The platform must answer before the VMs boot: the first thing they do is ask it.
        self._services.recover(self._intent)
        self._gateways.recover(self._intent)
        self._changed(self._intent)
        self._machines.boot()
        return steps

    def disagreement(self) -> tuple[Step, ...]:
        """The steps that :meth:`recover` would take in the kernel now: none when it agrees with the store.

        The program is compiled anew from what the store has on disk, so that whatever this process keeps is under test
        as well.
        """
        world, _ = self._store.load()
        return self._dataplane.compare(compile_fabric(self._findings.last(IntentReader().read(world))))

    def plan(self, wanted: list[Document]) -> Change:
        """What :meth:`apply` would do.

        Raises:
            ArmErrorsError: what is wrong with the resources.
        """
        change_, _, _ = self._prepare(wanted)
        return change_

    def apply(self, wanted: list[Document]) -> Change:
        """Make ``wanted`` the complete set of resources that files declare.

        Raises:
            ArmErrorsError: what is wrong with the resources, or what the kernel refused; nothing has changed.
        """
        watch = Stopwatch()
        change_, world, parts = self._prepare(wanted)
        watch.lap("compile")
        self._carry_out(change_.steps, world, parts, FROM_FILE, watch)
        return change_

    def put(self, document: Document) -> Document:
        """Create or replace one resource, as the API does.

        Returns:
            Its settled document.

        Raises:
            ArmError: it is refused.
            ArmErrorsError: the kernel refused.
        """
        watch = Stopwatch()
        key, world = self._with(document)
        watch.lap("settle")
        self._change_to(world, watch)
        return self._world.documents[key]

    def check(self, document: Document) -> None:
        """Whether :meth:`put` would take a document now; nothing is changed.

        Raises:
            ArmError: it would not.
        """
        self._with(document)

    def _with(self, document: Document) -> tuple[str, World]:
        """A document's key, and the world with it settled."""
        world = self._world.copy()
        settled = settle(document, world)
        world.put(settled)
        complete(world)
        return settled["id"].lower(), world

    def remove(self, keys: set[str]) -> None:
        """Delete resources, as the API does. Those not there are no error.

        Raises:
            ArmErrorsError: one is in use by another that stays, or the kernel refused.
        """
        watch = Stopwatch()
        world = settle_removal(keys & self._world.documents.keys(), self._world).world
        watch.lap("settle")
        self._change_to(world, watch)

    @property
    def world(self) -> World:
        """Every resource, settled. To be read only."""
        return self._world

    @property
    def store(self) -> Store:
        """The store, for what is no resource of the network."""
        return self._store

    def _change_to(self, world: World, watch: Stopwatch) -> None:
        parts = self._compile(world)
        steps = difference_of_parts(self._parts, parts)
        watch.lap("compile")
        self._carry_out(steps, world, parts, FROM_API, watch)

    def _compile(self, world: World) -> Parts:
        return self._compiler.compile(self._read(world))

    def _read(self, world: World) -> Intent:
        """The intent of a world, with what is found of the present one."""
        return as_found(self._reader.read(world), self._intent)

    def _carry_out(self, steps: tuple[Step, ...], world: World, parts: Parts, origin: str, watch: Stopwatch) -> None:
        stopped = running(self._parts) - running(parts)
        intent = self._read(world)
        gone = {
            names.machine_namespace(self._intent.machines[key].id)
            for key in self._intent.machines.keys() - intent.machines.keys()
        }
        self._services.check(intent)
        self._gateways.check(intent)
        try:
            with self._store.transaction():
                self._store.remove(self._world.documents.keys() - world.documents.keys())
                self._store.write(
                    (doc for key, doc in world.documents.items() if doc is not self._world.documents.get(key)), origin
                )
                watch.lap("store")
                self._dataplane.shut_down(stopped, discard=False)
                self._dataplane.apply(steps)
                watch.lap("kernel")
        except (KernelError, RulesetError) as error:
            self._take_back(error)
        watch.lap("commit")
        # Only now is it certain that these VMs are gone; until then their disks must outlive a refusal.
        self._dataplane.shut_down(gone, discard=True)
        for key in world.documents:
            self._origins.setdefault(key, origin)
        self._origins = {key: kept for key, kept in self._origins.items() if key in world.documents}
        before = self._intent
        self._world, self._parts, self._intent = world, parts, intent
        end_flows(before, self.evaluator, self._dataplane)
        watch.lap("flows")
        self._services.follow(self._intent)
        self._gateways.follow(self._intent)
        self._changed(self._intent)
        watch.lap("publish")
        self._machines.boot()
        watch.lap("boot")
        _log.info("changed", steps=len(steps), milliseconds=watch.laps)

    def _take_back(self, error: KernelError | RulesetError) -> NoReturn:
        """Make the kernel hold what it did before it refused a step, and tell of the refusal."""
        _log.exception("kernel_refused")
        self._dataplane.recover(whole(self._parts))
        self._machines.boot()  # VMs that were to stop were shut down already
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", []))
        what = f"the kernel refused: {error}{notes}"
        refusal = ArmError("InternalServerError", what, status=HTTPStatus.INTERNAL_SERVER_ERROR)
        raise ArmErrorsError((refusal,)) from error

    def set_health(self, healthy: frozenset[tuple[ResourceId, Address]]) -> None:
        """Take in which members of pools answer which probes. Nothing is written to the store.

        Raises:
            ArmErrorsError: the kernel refused; what was known before holds on.
        """
        if healthy != self._intent.healthy:
            self._take_in(replace(self._intent, healthy=healthy), self._findings.write_health, "health")

    def set_reach(self, reach: Reach) -> None:
        """Take in where gateways lead and which of their connections carry packets, as :meth:`set_health` does.

        Raises:
            ArmErrorsError: the kernel refused; what was known before holds on.
        """
        before = self._intent
        if reach != reach_of(before):
            self._take_in(
                replace(before, learned=reach.learned, connected=reach.connected),
                self._findings.write_reach,
                "reach",
            )

    def _take_in(self, intent: Intent, write: Callable[[Intent], None], event: str) -> None:
        """Carry out what is found, which is no resource, and keep it in its file."""
        before = self._intent
        watch = Stopwatch()
        parts = self._compiler.compile(intent)
        steps = difference_of_parts(self._parts, parts)
        watch.lap("compile")
        write(intent)  # before the kernel: a restart in between finds what the kernel is to hold
        try:
            self._dataplane.apply(steps)
        except (KernelError, RulesetError) as error:
            write(before)
            self._take_back(error)
        watch.lap("kernel")
        self._parts, self._intent = parts, intent
        end_flows(before, self.evaluator, self._dataplane)
        watch.lap("flows")
        self._changed(intent)
        _log.info(event, steps=len(steps), milliseconds=watch.laps)

    def down(self) -> Change:
        """Take everything down: VMs with their disks, namespaces, resources."""
        change_ = self.apply([])
        self._services.end()
        self._gateways.end()
        self.set_health(frozenset())
        self.set_reach(Reach())
        self._dataplane.recover({})
        self._parts = {}
        return change_

    def set_power(self, document: Document, state: PowerState) -> None:
        """Start or stop a VM. Its disk, its NICs and their addresses stay as they are.

        Raises:
            ArmErrorsError: the kernel refused.
        """
        if power_state(document) is state:
            return
        watch = Stopwatch()
        world = self._world.copy()
        world.put(with_power(document, state))
        self._change_to(world, watch)

    def counters(self) -> dict[str, dict[str, int]]:
        """By virtual network name, what its rules have dropped."""
        return {
            network.id.name: self._dataplane.counters(names.network_namespace(network.id))
            for network in self._intent.virtual_networks.values()
        }

    def unawaited(self) -> Callable[[], None] | None:
        """What waits for the guest commands and services begun since this was last asked, outside the engine's turn."""
        begun = (self._services.unawaited(), self._gateways.unawaited(), self._machines.unawaited())
        waits = [each for each in begun if each]

        def wait() -> None:
            for each in waits:
                each()

        return wait if waits else None

    def close(self) -> None:
        """Close what is open. The network goes on without this process."""
        self._dataplane.close()
        self._store.close()

    def _prepare(self, wanted: list[Document]) -> tuple[Change, World, Parts]:
        removable = {key for key, origin in self._origins.items() if origin == FROM_FILE}
        settlement = settle_all(wanted, self._world, removable)
        parts = self._compile(settlement.world)
        return Change(settlement.changes, difference_of_parts(self._parts, parts)), settlement.world, parts
