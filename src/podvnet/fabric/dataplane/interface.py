"""What the fabric asks of whatever carries its programs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from podvnet.fabric.machine import Machine
from podvnet.model.flow import Flow
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

    def boot(self, labels: set[str], resolvers: Callable[[str], str], started: Callable[[Machine], None]) -> None:
        """Boot those of the VMs that are not up; ``started`` is called with each that was booted.

        ``resolvers`` gives the text of the ``resolv.conf`` that a VM finds, by its label.
        """

    def shut_down(self, labels: set[str], *, discard: bool) -> None:
        """Shut VMs down; with ``discard`` their disks go."""

    def counters(self, label: str) -> dict[str, int]:
        """The named counters of a virtual network's rules."""

    def rule_counters(self, label: str, chain: str) -> dict[str, int]:
        """By name of the rule, the packets that a chain of security rules has decided about."""

    def end_flows(self, label: str, refused: Callable[[list[Flow]], set[Flow]]) -> int:
        """End those connections of a virtual network that ``refused`` picks, let all others go on; return how many."""

    def forget_flows(self, label: str, unwanted: Callable[[Flow, Flow], bool]) -> int:
        """Forget those connections of a virtual network that ``unwanted`` says, whose next packet begins a new flow.

        It is asked with the first packet of each connection, and with an answer as it comes in, before translation.
        Returns how many are forgotten.
        """

    def close(self) -> None:
        """Close what is open."""
