"""What a VM runs once it has booted, and how that ends.

A guest may ask the resource manager for something, so nobody holds the engine's turn while a guest is waited for.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from podvnet.fabric.machine import Machine
from podvnet.model.arm_error import ArmError, ArmErrorsError

AT_BOOT = "/etc/podvnet/at-boot"
"""What a VM runs in the place of the fabric's command when its disk has it: an init's own start, as it were."""
_LOG = "boot.log"


@dataclass(frozen=True, slots=True)
class Guest:
    """The command that runs in a VM which has just booted."""

    machine: Machine
    process: subprocess.Popen[bytes]


def start(machine: Machine, command: tuple[str, ...]) -> Guest:
    """Run :data:`AT_BOOT` in a VM if its disk has it, else the command if there is one."""
    choice = f'[ ! -x {AT_BOOT} ] || exec {AT_BOOT}; [ $# = 0 ] || exec "$@"'
    return Guest(machine, machine.spawn(("/bin/sh", "-c", choice, "sh", *command), _LOG))


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
