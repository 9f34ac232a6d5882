"""The kernel refuses a change half-way: everything is as before, and VMs that were to go are up with their disks."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from podvnet.fabric import resource_file
from podvnet.fabric.dataplane.linux import LinuxDataplane
from podvnet.fabric.engine import Fabric
from podvnet.linux import namespace
from podvnet.linux.error import KernelError
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.kernel import Step
from podvnet.plan import names

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-subnets.yaml"


def test_a_refused_removal_keeps_vms_and_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabric = Fabric(tmp_path / "run", tmp_path / "state", ())
    fabric.recover()
    fabric.apply(resource_file.read(EXAMPLE))
    wait_for_guests(fabric)
    machine = fabric.machines.namespaces(fabric.machines.find("vm1"))
    kept = tmp_path / "state" / "disks" / machine.name / "log" / "kept"
    kept.write_text("still here", encoding="utf-8")

    def refuse(_: LinuxDataplane, __: tuple[Step, ...]) -> None:
        raise KernelError(errno.EBUSY, "delete link nic1")

    with monkeypatch.context() as refusing:
        refusing.setattr(LinuxDataplane, "apply", refuse)
        with pytest.raises(ArmErrorsError, match="the kernel refused: delete link nic1"):
            fabric.apply([])
    wait_for_guests(fabric)
    assert machine.is_up
    assert kept.read_text(encoding="utf-8") == "still here"
    assert len(fabric.documents) == 6
    fabric.down()
    assert not kept.exists()
    assert namespace.names(names.PREFIX) == []
    fabric.close()


def wait_for_guests(fabric: Fabric) -> None:
    """Wait for what VMs run as they boot, as whoever asked for the change does."""
    wait = fabric.unawaited()
    assert wait
    wait()
