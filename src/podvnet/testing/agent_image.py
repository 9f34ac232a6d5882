"""The image that deploy/Dockerfile makes, made without a registry: of the files that this machine runs podvnet with.

What is in it is where Debian has it, so what is tested is what is shipped: Python with its library, libnftables, the
packages that podvnet depends on (and no other of the checkout's), podvnet itself, the reference plug-ins, a shell.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import podvnet
from podvnet.cluster import image
from podvnet.testing.image import BUSYBOX

NAME = "docker.io/library/podvnet"
"""What the manifests call it, as a runtime completes the name."""
_PACKAGES = Path("usr/local/lib/python3.11/dist-packages")
_LIBRARY = Path("/usr/lib/python3.11")
_PROGRAMS = (Path("/usr/bin/python3.11"), Path("/usr/bin/unshare"), Path("/usr/bin/nsenter"))
_REFERENCE = ("loopback", "portmap", "bandwidth")
_LEFT_OUT = frozenset({"dist-packages", "ensurepip", "idlelib", "lib2to3", "test", "tests", "tkinter", "turtledemo"})
_SHELL = ("sh", "cat", "env", "ls", "sleep", "true")
_SCRIPT = b"#!/usr/bin/python3 -I\nimport sys\nfrom podvnet.cli.main import main\nsys.exit(main())\n"

Files = dict[str, tuple[bytes, int]]


def tag() -> str:
    """The image's tag: podvnet's version."""
    return podvnet.__version__


def write(target: Path, name: str = "") -> None:
    """Write it as an archive; about 170 MB.

    Args:
        target: the archive.
        name: with host and tag; the manifests' own when empty.
    """
    files: Files = {
        "bin/busybox": (BUSYBOX.read_bytes(), 0o755),
        "usr/bin/podvnet": (_SCRIPT, 0o755),
        "etc/passwd": (b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n", 0o644),
        "etc/group": (b"root:x:0:\nnogroup:x:65534:\n", 0o644),
        "etc/nsswitch.conf": (b"hosts: files dns\n", 0o644),
    }
    for path in (*_PROGRAMS, *_below(_LIBRARY), *(Path("/usr/lib/cni") / each for each in _REFERENCE)):
        files[str(path).lstrip("/")] = _content(path)
    for package, path in _packages():
        files[str(_PACKAGES / package)] = _content(path)
    programs = [path for path in _objects(files) if path.name != BUSYBOX.name]
    for path in _libraries([*programs, _nftables()]):
        # One /usr, as Debian has it, whatever way the path was found by.
        files[str(path.parent.resolve() / path.name).lstrip("/")] = _content(path.resolve())
    links = {"lib": "usr/lib", "lib64": "usr/lib64", "usr/bin/python3": "python3.11"}
    links |= {f"bin/{each}": "busybox" for each in _SHELL}
    image.write(name or f"{NAME}:{tag()}", target, files, links=links, command=["podvnet", "agent"])


def _content(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644


def _below(top: Path) -> Iterator[Path]:
    """The files of a tree that a program may load. What is compiled is kept: a container may write nothing there."""
    for path in top.rglob("*"):
        parts = set(path.relative_to(top).parts)
        if path.is_file() and not parts & _LEFT_OUT and not any(each.startswith("config-") for each in parts):
            yield path


def _packages() -> Iterator[tuple[Path, Path]]:
    """The files of podvnet and of what it depends on: where they are to be, below the packages, and where they are."""
    own = Path(podvnet.__file__).parent
    for path in _below(own):
        yield path.relative_to(own.parent), path
    yield from _of_distribution("podvnet", only=re.compile(r"podvnet-[^/]*\.dist-info/METADATA"))
    for name in sorted(_dependencies("podvnet")):
        yield from _of_distribution(name)


def _of_distribution(name: str, only: re.Pattern[str] = re.compile(r"(?!\.\.).*")) -> Iterator[tuple[Path, Path]]:
    for file in metadata.distribution(name).files or ():
        path = Path(str(file.locate()))
        if only.fullmatch(str(file)) and path.is_file() and not set(file.parts) & _LEFT_OUT:
            yield Path(str(file)), path


def _dependencies(name: str) -> set[str]:
    """What a distribution needs, and what that needs, by name; extras are not followed but those asked for."""
    found, queue = set[str](), [(name, "")]
    while queue:
        each, extras = queue.pop()
        for requirement in metadata.requires(each) or ():
            words, _, marker = requirement.partition(";")
            match = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]*)\])?", words)
            if match is None or not _applies(marker, extras):
                continue
            needed = match[1].lower().replace("_", "-").replace(".", "-")
            if needed not in found and _installed(needed):
                found.add(needed)
                queue.append((needed, match[2] or ""))
    return found


def _applies(marker: str, extras: str) -> bool:
    """Whether a marker holds here, as far as the packages of the lock go: what is for an extra is not asked for."""
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
    return extra is None or extra[1] in extras.split(",")


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False  # for another platform or an older Python
    return True


def _objects(files: Files) -> Iterator[Path]:
    """Where the machine has the programs and libraries among the files."""
    packages = {str(_PACKAGES / package): path for package, path in _packages()}
    for path, (content, _) in files.items():
        if content[:4] == b"\x7fELF":
            yield packages.get(path, Path("/") / path)


def _nftables() -> Path:
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"libnftables\.so\.1 .*=> (\S+)", listed)
    if found is None:
        msg = "libnftables is not installed"
        raise image.ImageError(msg)
    return Path(found[1])


def _libraries(programs: Iterable[Path]) -> set[Path]:
    """What programs and libraries are linked with, and the libraries themselves."""
    listed = subprocess.run(["/usr/bin/ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return {_nftables(), *(Path(each) for each in re.findall(r"(/\S+\.so[.0-9]*)(?= \(0x)", listed))}
