"""What a VM runs once it has booted, and how that ends.

A guest may ask the resource manager for something, so nobody holds the engine's turn while a guest is waited for.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from podvnet.fabric.machine import Machine
from podvnet.model.arm_error import ArmError, ArmErrorsError

_LOG = "boot.log"


@dataclass(frozen=True, slots=True)
class Guest:
    """The command that runs in a VM which has just booted."""

    machine: Machine
    process: subprocess.Popen[bytes]


def start(machine: Machine, command: tuple[str, ...]) -> Guest:
    """Run the command in a VM."""
    return Guest(machine, machine.spawn(command, _LOG))


def wait_for(guests: Sequence[Guest]) -> None:
    """Wait until all guests have ended.

    Raises:
        ArmErrorsError: ``VMExtensionProvisioningError`` for each that failed, with its last words.
    """
    failed = [each for each in guests if each.process.wait() != 0]
    if failed:
        raise ArmErrorsError(
            tuple(
                ArmError("VMExtensionProvisioningError", f"{each.machine.name}: {each.machine.last_words(_LOG)}")
                for each in failed
            )
        )
