"""Mounts: the few calls of mount(2) that virtual machines and namespaces are made with."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from podvnet.linux.error import KernelError

_BIND = 0x1000
_RECURSIVE = 0x4000
_PRIVATE = 0x40000
_SLAVE = 0x80000
_SHARED = 0x100000
_NOSUID = 0x2
_NODEV = 0x4
_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    packed = (
        os.fsencode(source),
        os.fsencode(target),
        kind and kind.encode(),
        ctypes.c_ulong(flags),
        data and data.encode(),
    )
    if _libc.mount(*packed):
        raise KernelError(ctypes.get_errno(), f"mount {kind or source} on {target}")


def bind(source: str, target: str, *, recursive: bool = False) -> None:
    """Show ``source`` at ``target`` as well; with ``recursive`` what is mounted below it, too."""
    _mount(source, target, None, _BIND | (_RECURSIVE if recursive else 0), None)


def tmpfs(target: str, options: str = "mode=0755") -> None:
    """Mount an empty memory file system on ``target``."""
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, options)


def proc(target: str = "/proc") -> None:
    """Mount the process file system of the present process namespace."""
    _mount("proc", target, "proc", _NOSUID | _NODEV, None)


def sysfs(target: str = "/sys") -> None:
    """Mount the device file system of the present network namespace."""
    _mount("sysfs", target, "sysfs", _NOSUID | _NODEV, None)


def overlay(lower: str, upper: str, work: str, target: str) -> None:
    """Mount a writable layer over ``lower`` at ``target``. ``userxattr`` lets it work without root as well."""
    _mount("overlay", target, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work},userxattr")


def make_private(target: str, *, recursive: bool = False) -> None:
    """Stop mounts below ``target`` from spreading to or from other mount namespaces."""
    _mount("none", target, None, _PRIVATE | (_RECURSIVE if recursive else 0), None)


def make_slave(target: str, *, recursive: bool = False) -> None:
    """Receive mounts below ``target`` from outside, give none back."""
    _mount("none", target, None, _SLAVE | (_RECURSIVE if recursive else 0), None)


def make_shared(target: str) -> None:
    """Let mounts below ``target`` spread to other mount namespaces."""
    _mount("none", target, None, _SHARED, None)


def unmount(target: str) -> None:
    """Detach what is mounted on ``target``; raise with EINVAL when nothing is."""
    if _libc.umount2(os.fsencode(target), _DETACH):
        raise KernelError(ctypes.get_errno(), f"unmount {target}")


def is_mount_point(target: str) -> bool:
    """Tell whether something is mounted on ``target``: a directory bound to itself counts, which stat cannot see."""
    with Path("/proc/self/mountinfo").open(encoding="utf-8") as lines:
        return any(line.split(" ", 5)[4] == target for line in lines)
