"""What the fabric asks of whatever carries its programs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from podvnet.fabric.machine import Machine
from podvnet.model.kernel import Program, Step


class Dataplane(Protocol):
    """Carries programs out and keeps VMs up. VMs and namespaces go by the labels of the program."""

    def machine(self, label: str) -> Machine:
        """The VM whose network namespace has this name."""

    def apply(self, steps: tuple[Step, ...]) -> None:
        """Carry out steps, or none of them.

        Raises:
            KernelError, RulesetError: what was refused.
        """

    def recover(self, program: Program) -> tuple[Step, ...]:
        """Make what is there be ``program``, whatever it is now; return what that took."""

    def compare(self, program: Program) -> tuple[Step, ...]:
        """What :meth:`recover` would do. Nothing is changed."""

    def boot(self, labels: set[str], started: Callable[[Machine], None]) -> None:
        """Boot those of the VMs that are not up; ``started`` is called with each that was booted."""

    def shut_down(self, labels: set[str], *, discard: bool) -> None:
        """Shut VMs down; with ``discard`` their disks go."""

    def counters(self, label: str) -> dict[str, int]:
        """The named counters of a virtual network's rules."""

    def close(self) -> None:
        """Close what is open."""
