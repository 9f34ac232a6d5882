"""Network namespaces: made under a name, opened, entered by one thread, removed.

Named namespaces are bind mounts below ``/run/netns``, where ``ip netns`` looks for them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from podvnet.linux.error import KernelError
from podvnet.linux.mount import bind, is_mount_point, make_private, make_shared, unmount

DIRECTORY = Path("/run/netns")

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
CLONE_FS = 0x00000200
_NS_GET_NSTYPE = 0xB703
_SELF = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def path(name: str) -> Path:
    """Where the namespace ``name`` is mounted."""
    return DIRECTORY / name


def exists(name: str) -> bool:
    """Tell whether ``name`` is a mounted network namespace (a bare file left by a crash is not)."""
    try:
        with opened(name) as descriptor:
            return is_network_namespace(descriptor)
    except OSError:
        return False


def is_network_namespace(descriptor: int) -> bool:
    """Tell whether an open file is a network namespace."""
    return kind(descriptor) == CLONE_NEWNET


def kind(descriptor: int) -> int:
    """Which kind of namespace an open file is, as clone(2) names it, e.g. ``CLONE_NEWNET``; 0 when it is none."""
    try:
        return fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
    except OSError:
        return 0


@contextlib.contextmanager
def opened(name: str) -> Iterator[int]:
    """Open a named namespace for the block."""
    descriptor = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def identity(descriptor: int | str | Path) -> tuple[int, int]:
    """Device and inode: what tells two namespaces apart, whatever path they are opened by."""
    status = os.stat(descriptor)  # noqa: PTH116 - it may be an open file
    return status.st_dev, status.st_ino


def own_identity() -> tuple[int, int]:
    """The identity of the calling thread's namespace."""
    return identity(_SELF)


def set_namespace(descriptor: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into a namespace."""
    if _libc.setns(descriptor, kind):
        raise KernelError(ctypes.get_errno(), "enter a namespace")


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    if _libc.unshare(flags):
        raise KernelError(ctypes.get_errno(), "make a namespace")


@contextlib.contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """Run the block with the calling thread inside the network namespace."""
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        set_namespace(descriptor)
        try:
            yield
        finally:
            set_namespace(home)
    finally:
        os.close(home)


def run_inside(descriptor: int, action: Callable[[], T]) -> T:
    """Call ``action`` inside the namespace: for sockets, which stay where they were made."""
    with entered(descriptor):
        return action()


def create(name: str) -> None:
    """Make a named namespace. One that is there already stays as it is."""
    if exists(name):
        return
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    _share_directory()
    target = path(name)
    target.touch(mode=0o444)
    failure: list[OSError] = []

    def make() -> None:
        # A thread of its own, so that the caller's namespace is never left even when the mount fails.
        try:
            unshare(CLONE_NEWNET)
            bind(_SELF, str(target))
        except OSError as error:
            failure.append(error)

    worker = threading.Thread(target=make, name=f"netns-{name}")
    worker.start()
    worker.join()
    if failure:
        target.unlink(missing_ok=True)
        raise failure[0]


def delete(name: str) -> None:
    """Unmount and unlink a named namespace; it ends when its last user does. One not there is no error."""
    target = path(name)
    if not target.exists():
        return
    try:
        unmount(str(target))
    except KernelError as error:
        if error.errno != errno.EINVAL:  # not mounted: the file alone was left
            raise
    target.unlink(missing_ok=True)


def names(prefix: str = "") -> list[str]:
    """The named namespaces whose names start with ``prefix``."""
    if not DIRECTORY.is_dir():
        return []
    return sorted(entry.name for entry in DIRECTORY.iterdir() if entry.name.startswith(prefix))


def _share_directory() -> None:
    """Make the directory a mount of its own whose mounts reach other mount namespaces, as ``ip netns`` does."""
    if is_mount_point(str(DIRECTORY)):
        return
    bind(str(DIRECTORY), str(DIRECTORY))
    try:
        make_shared(str(DIRECTORY))
    except KernelError:
        make_private(str(DIRECTORY))
        raise
