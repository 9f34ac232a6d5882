"""Images for tests, made here: busybox as a pod's program, and what :mod:`podvnet.cluster.image` makes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from podvnet.cluster.image import pause, write

__all__ = ["busybox", "pause", "temporary", "write"]

BUSYBOX = Path("/bin/busybox")
"""Of Debian's busybox-static."""


def busybox(name: str, target: Path) -> None:
    """Write an image with busybox under all its names, and a page to serve in ``/www``."""
    files = {
        "bin/busybox": (BUSYBOX.read_bytes(), 0o755),
        "etc/passwd": (b"root:x:0:0:root:/:/bin/sh\n", 0o644),
        "etc/group": (b"root:x:0:\n", 0o644),
        "www/index.html": (b"hello from the container\n", 0o644),
        "www/cgi-bin/whoami": (
            b'#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s\\n%s\\n" "$(hostname)" "$REMOTE_ADDR"\n',
            0o755,
        ),
    }
    links = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    write(name, target, files, links={f"bin/{link}": "busybox" for link in links if link != "busybox"}, command=["sh"])


@contextmanager
def temporary(name: str, write_image: Callable[[str, Path], None]) -> Iterator[Path]:
    """An archive of an image for the block, in a place that every VM sees."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        write_image(name, archive)
        yield archive
