"""The VMs of the fabric: which there are, and those that run kept up."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import structlog

from podvnet.fabric.dataplane.interface import Dataplane
from podvnet.fabric.dns.delivery import resolver_file
from podvnet.fabric.guest import Guest, start, wait_for
from podvnet.fabric.machine import Machine
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.intent import Intent, VirtualMachine
from podvnet.model.kernel import NetworkNamespace, Step
from podvnet.plan import names
from podvnet.plan.parts import Parts, whole

_log = structlog.get_logger()


class Machines:
    """For the engine's thread.

    Args:
        dataplane: what carries them out.
        guest_command: what every VM runs once it has booted; empty for nothing.
        intent: what there should be.
        parts: what the data plane has been told to hold.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        guest_command: tuple[str, ...],
        intent: Callable[[], Intent],
        parts: Callable[[], Parts],
    ) -> None:
        self._dataplane = dataplane
        self._guest_command = guest_command
        self._intent = intent
        self._parts = parts
        self._guests: list[Guest] = []

    def find(self, name: str) -> VirtualMachine:
        """A VM by name.

        Raises:
            ArmErrorsError: there is no such VM; the known ones are named.
        """
        machines = self._intent().machines
        for machine in machines.values():
            if machine.id.name.lower() == name.lower():
                return machine
        known = ", ".join(sorted(machine.id.name for machine in machines.values())) or "none"
        error = ArmError(
            "ResourceNotFound", f"there is no VM {name!r} (there are: {known})", status=HTTPStatus.NOT_FOUND
        )
        raise ArmErrorsError((error,))

    def command(self, machine: VirtualMachine) -> list[str]:
        """What a command line starts with that is to run in a VM.

        Raises:
            ArmErrorsError: ``OperationNotAllowed``, for one that does not run.
        """
        _refuse_stopped(machine, "run command")
        return self.namespaces(machine).command()

    def namespaces(self, machine: VirtualMachine) -> Machine:
        """The namespaces of a VM."""
        return self._dataplane.machine(names.machine_namespace(machine.id))

    def reboot(self, machine: VirtualMachine) -> None:
        """Stop a VM as if its power had gone, and start it again.

        Raises:
            ArmErrorsError: ``OperationNotAllowed``, for one that does not run.
        """
        _refuse_stopped(machine, "restart")
        label = names.machine_namespace(machine.id)
        self._dataplane.shut_down({label}, discard=False)
        self._dataplane.apply((Step(False, label, NetworkNamespace()),))
        # The ports' far ends went with the namespace, so recovery finds the ports missing as well.
        self._dataplane.recover(whole(self._parts()))
        self.boot()

    def boot(self) -> None:
        """Boot the VMs that are down; their guest commands are left running, see :meth:`unawaited`."""

        def started(machine: Machine) -> None:
            _log.info("booted", machine=machine.name)
            self._guests.append(start(machine, self._guest_command))

        def resolver(label: str) -> str:
            intent = self._intent()
            machines = intent.machines.values()
            return resolver_file(intent, next(m for m in machines if names.machine_namespace(m.id) == label))

        self._dataplane.boot(running(self._parts()), resolver, started)

    def unawaited(self) -> Callable[[], None] | None:
        """What waits for the guest commands begun since this was last asked, and tells of those that failed."""
        guests, self._guests = self._guests, []
        return (lambda: wait_for(guests)) if guests else None


def running(parts: Parts) -> set[str]:
    """The labels of the VMs that a program has up."""
    return {label for part in parts.values() for label in part.program if label.startswith(names.MACHINE_PREFIX)}


def _refuse_stopped(machine: VirtualMachine, operation: str) -> None:
    if not machine.running:
        error = ArmError(
            "OperationNotAllowed",
            f"Operation '{operation}' is not allowed on VM '{machine.id.name}' since the VM does not run."
            " Start it first.",
            status=HTTPStatus.CONFLICT,
            target=str(machine.id),
        )
        raise ArmErrorsError((error,))
