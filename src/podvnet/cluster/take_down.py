"""Takes a cluster down that lives on VMs which are not its own. Every step converges, whatever an earlier one left.

The VMs get back what they had, and are rebooted: with the power everything ends that was begun on them, containers
included, and the kernel's rules with it. Then what the cluster wrote is removed from their disks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from podvnet.cluster.fabric_vm import clear_disk, give_back
from podvnet.cluster.vm import Vm


def take_down(vms: Iterable[Vm], reboot: Callable[[str], None], progress: Callable[[str], None]) -> None:
    """Take a cluster off its VMs.

    Args:
        vms: those that run.
        reboot: takes a VM's power away and boots it again, by name.
        progress: is told what is done.

    Raises:
        VmError: a VM refuses.
    """
    for vm in vms:
        progress(f"taking {vm.name} out of the cluster, and rebooting it")
        vm.script(give_back())
        reboot(vm.name)
        vm.script(clear_disk())
