"""Mount namespaces that outlive their maker: pinned by a bind mount, so that no process must be kept for them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from podvnet.linux import mount
from podvnet.linux.error import KernelError
from podvnet.linux.namespace import CLONE_NEWNS, kind, unshare


def create(pin: Path, furnish: Callable[[], None]) -> None:
    """Make a mount namespace, let ``furnish`` mount things in it, and pin it at ``pin``.

    Mounts made outside later still reach it, and its own stay inside.

    Raises:
        OSError: nothing is pinned.
    """
    _private_directory(pin.parent)
    processors = sorted(os.sched_getaffinity(0))
    for processor in processors:
        try:
            _create(pin, furnish, processor)
        except KernelError as error:
            # The kernel lets a namespace be pinned only in an older one, and tells age by an id. Linux 6.18 hands ids
            # out in batches a processor, so a younger namespace can have the lower id; on the processor where the
            # present one was made it has not.
            if error.errno != errno.EINVAL or processor == processors[-1]:
                raise
        else:
            return


def _create(pin: Path, furnish: Callable[[], None], processor: int) -> None:
    ready, pinned = threading.Event(), threading.Event()
    failure: list[BaseException] = []
    thread_id: list[int] = []

    def build() -> None:
        # A thread may leave the others' mount namespace; it ends with this function, the namespace lives on by its pin.
        try:
            os.sched_setaffinity(0, {processor})
            unshare(CLONE_NEWNS)
            mount.make_slave("/", recursive=True)
            thread_id.append(threading.get_native_id())
            ready.set()
            pinned.wait()
            if not failure:
                furnish()
        except BaseException as error:  # noqa: BLE001 - carried to the caller, who raises it
            failure.append(error)
        ready.set()

    builder = threading.Thread(target=build, name="mount-namespace")
    builder.start()
    ready.wait()
    try:
        if not failure:
            pin.touch(mode=0o600)
            mount.bind(f"/proc/self/task/{thread_id[0]}/ns/mnt", str(pin))
    except OSError as error:
        failure.append(error)
    pinned.set()
    builder.join()
    if failure:
        if exists(pin):
            mount.unmount(str(pin))
        pin.unlink(missing_ok=True)
        raise failure[0]


def exists(pin: Path) -> bool:
    """Tell whether a namespace is pinned there. Looks at the pin alone: a table of mounts has hundreds a VM."""
    try:
        descriptor = os.open(pin, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return kind(descriptor) == CLONE_NEWNS
    finally:
        os.close(descriptor)


def delete(pin: Path) -> None:
    """Take the pin away; the namespace ends with its last process."""
    if exists(pin):
        mount.unmount(str(pin))
    pin.unlink(missing_ok=True)


def processes(pin: Path) -> list[int]:
    """The ids of the processes inside."""
    inside = f"mnt:[{pin.stat().st_ino}]"
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "ns/mnt").readlink()) == inside:
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended, or is a kernel thread
    return found


def _private_directory(directory: Path) -> None:
    """A mount namespace can only be pinned where mounts do not spread."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not mount.is_mount_point(str(directory)):
        mount.bind(str(directory), str(directory))
        mount.make_private(str(directory))
