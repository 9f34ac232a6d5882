"""Control groups: a part of the machine's own for each virtual machine, so that what its containers leave is known.

Engines make a group for every container, at a path of their own choice below what they take for the root. A virtual
machine sees its own part in the root's place; all processes and groups that are there are its containers'.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from podvnet.linux import mount

_TYPES = frozenset({"cgroup", "cgroup2"})
_INHERITED = ("cpuset.cpus", "cpuset.mems")
"""What a new group of version 1 has to be told before it can hold a process."""
_PROCESSES = "cgroup.procs"


def hierarchies() -> list[Path]:
    """Where the hierarchies are mounted: one, or one for each controller (version 1). Only those we may change."""
    found = []
    with Path("/proc/thread-self/mountinfo").open(encoding="utf-8") as lines:
        for line in lines:
            front, _, back = line.partition(" - ")
            place = Path(front.split(" ", 5)[4])
            if back.split(" ", 1)[0] in _TYPES and place not in found and os.access(place, os.W_OK):
                found.append(place)
    return found


def part_of(name: str, mounts: Path) -> str:
    """The name of the part for the mount namespace of something that has a name; no two that live share one."""
    return f"{name}{_tag()}{mounts.stat().st_ino}"


def confine(part: str) -> None:
    """Show only the part of this name, made now, in the place of each hierarchy, in the present mount namespace."""
    for place in hierarchies():
        own = place / part
        own.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (place / setting).exists():
                (own / setting).write_bytes((place / setting).read_bytes())
        _exchange(place, own)


def _exchange(place: Path, own: Path) -> None:
    """Mount a group where the whole is. The whole must go: runc takes the first mount of a hierarchy that it finds."""
    with tempfile.TemporaryDirectory() as aside:
        mount.bind(str(own), aside)
        mount.unmount(str(place))
        mount.bind(aside, str(place))
        mount.unmount(aside)


def processes(part: str) -> set[int]:
    """The ids of the processes in a part, in all its groups."""
    return {
        int(line)
        for place in hierarchies()
        for group in _groups(place / part)
        for line in (group / _PROCESSES).read_text(encoding="ascii").split()
    }


def remove(part: str) -> None:
    """Remove a part that has no process any more.

    Raises:
        OSError: one has.
    """
    for place in hierarchies():
        for group in _groups(place / part):
            group.rmdir()


def remove_all() -> None:
    """Remove every part that was made in the present process namespace.

    Raises:
        OSError: one has a process.
    """
    for place in hierarchies():
        for own in place.glob(f"*{_tag()}*"):
            for group in _groups(own):
                group.rmdir()


def _tag() -> str:
    return f"-{Path('/proc/self/ns/pid').stat().st_ino}-"


def _groups(top: Path) -> Iterator[Path]:
    """A group and all below it, those below first."""
    for directory, _, _ in os.walk(top, topdown=False):
        yield Path(directory)
