"""Images of programs that this machine has: each with the libraries it is linked with, a shell and busybox beside them.

The shell is Debian's: that of busybox takes its own programs for those of the image.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from podvnet.cluster import image
from podvnet.testing.image import BUSYBOX

Files = dict[str, tuple[bytes, int]]
"""Contents and mode, by path in the image."""

_FILES: Files = {
    "etc/passwd": (b"root:x:0:0:root:/:/bin/sh\n", 0o644),
    "etc/group": (b"root:x:0:\n", 0o644),
    "etc/nsswitch.conf": (b"hosts: files dns\n", 0o644),
}
_SHELL = Path("/bin/dash")
_LINKS = {"bin/sh": "dash", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "bin", "usr/bin": "../bin"}


def write(
    name: str,
    target: Path,
    programs: Iterable[str | Path],
    *,
    files: Mapping[str, tuple[bytes, int]] | None = None,
    links: Mapping[str, str] | None = None,
    entrypoint: list[str] | None = None,
    command: list[str] | None = None,
) -> None:
    """Write an image of programs.

    Args:
        name: with host and tag.
        target: the archive.
        programs: by name, as the machine's PATH finds them, or by path. They go to ``/bin``, in busybox' place where it
            has one of the same name.
        files: further ones.
        links: further symbolic links.
        entrypoint: what a container runs in any case.
        command: what it runs when it is told nothing else, or the entrypoint's arguments.

    Raises:
        ImageError: a program is not there.
    """
    found = [_SHELL, *(_path(program) for program in programs)]
    held: Files = {"bin/busybox": _content(BUSYBOX), **_FILES, **dict(files or {})}
    held |= {f"bin/{path.name}": _content(path) for path in found}
    held |= {str(place).lstrip("/"): _content(path.resolve()) for place, path in _libraries(found)}
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    made = {f"bin/{each}": "busybox" for each in names if f"bin/{each}" not in held}
    image.write(
        name, target, held, links=made | _LINKS | dict(links or {}), entrypoint=entrypoint, command=command or ["sh"]
    )


def _path(program: str | Path) -> Path:
    found = shutil.which(str(program), path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise image.ImageError(f"{program} is not installed; scripts/setup installs what tests need")
    return Path(found)


def _content(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644


def _libraries(programs: Iterable[Path]) -> set[tuple[Path, Path]]:
    """What programs are linked with: where it is to be, and where it is. What is static has none."""
    listed = subprocess.run(["/usr/bin/ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    found = {Path(each) for each in re.findall(r"(/\S+\.so[.0-9]*)(?= \(0x)", listed)}
    return {(path.parent.resolve() / path.name, path) for path in found}
