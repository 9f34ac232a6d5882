"""How many watchers of files (inotify) the machine lets a user have: every program of Kubernetes needs several.

The limit (``fs.inotify.max_user_instances``, often 128) holds for all VMs together, for they share the machine. A
program that gets none ends, or goes on without what it wanted to watch, and says only "too many open files".
"""

from __future__ import annotations

import ctypes
import os

LIMIT = "fs.inotify.max_user_instances"
_CONTROL_PLANE, _NODE = 16, 10
"""What they were seen to have: 14 and 7 or 8."""
_libc = ctypes.CDLL(None, use_errno=True)


def lacking(nodes: int) -> int:
    """How many watchers are lacking for a cluster; 0 when there are enough. It is tried, for not all users are seen."""
    wanted = _CONTROL_PLANE + _NODE * nodes
    opened = list[int]()
    try:
        while len(opened) < wanted:
            descriptor = _libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                break
            opened.append(descriptor)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return wanted - len(opened)
