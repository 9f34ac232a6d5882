"""What goes down on purpose: processes without a chance to say goodbye, and the fabric's among them."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

from podvnet.testing.lab import podvnet

FABRIC_LOCK = Path("/run/podvnet/fabric/fabric.lock")
_SECONDS_TO_END = 60


def kill(process: int) -> None:
    """Kill a process and wait until it is gone."""
    descriptor = os.pidfd_open(process)
    try:
        os.kill(process, signal.SIGKILL)
        if not select.select([descriptor], [], [], _SECONDS_TO_END)[0]:
            msg = f"process {process} does not end"
            raise AssertionError(msg)
    finally:
        os.close(descriptor)


def holder_of(lock: Path) -> int:
    """The process that has a lock file open."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(each.samefile(lock) for each in (entry / "fd").iterdir() if each.exists()):
                    return int(entry.name)
            except OSError:
                continue
    msg = f"nobody holds {lock}"
    raise AssertionError(msg)


def kill_fabric() -> None:
    """Kill the fabric's process."""
    kill(holder_of(FABRIC_LOCK))


def start_fabric() -> None:
    """Start the fabric's process; return once it serves."""
    podvnet("fabric", "--background")
