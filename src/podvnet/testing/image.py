"""Container images without a registry: one archive that containerd, podman and Docker all import.

It is an OCI image layout and ``docker save``'s archive in one. Sources: OCI image specification 1.0 "Image Layout";
Docker image specification 1.2 "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
"""Of Debian's busybox-static."""

_PAUSE = """
#include <signal.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) pause();
}
"""
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


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


def pause(name: str, target: Path) -> None:
    """Write the image of a pod's sandbox: a program that does nothing until it is told to end."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pause"
        subprocess.run(
            ["musl-gcc", "-static", "-Os", "-s", "-x", "c", "-o", str(program), "-"],
            input=_PAUSE.encode(),
            check=True,
            capture_output=True,
        )
        write(name, target, {"pause": (program.read_bytes(), 0o755)}, links={}, command=["/pause"])


@contextmanager
def temporary(name: str, write_image: Callable[[str, Path], None]) -> Iterator[Path]:
    """An archive of an image for the block, in a place that every VM sees."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        write_image(name, archive)
        yield archive


def write(
    name: str, target: Path, files: dict[str, tuple[bytes, int]], *, links: dict[str, str], command: list[str]
) -> None:
    """Write an image of one layer.

    Args:
        name: with host and tag: ``localhost/web:1``.
        target: the archive.
        files: contents and mode, by path.
        links: what symbolic links point to, by path.
        command: what a container runs when it is told nothing else.
    """
    layer = _layer(files, links)
    config = _document(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _document(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer)],
        }
    )
    listed = _descriptor(_MANIFEST, manifest) | {
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    docker = [{"Config": _path(config), "RepoTags": [name], "Layers": [_path(layer)]}]
    parts = {
        "oci-layout": _document({"imageLayoutVersion": "1.0.0"}),
        "index.json": _document({"schemaVersion": 2, "manifests": [listed]}),
        "manifest.json": _document(docker),
    } | {_path(blob): blob for blob in (layer, config, manifest)}
    with tarfile.open(target, "w") as archive:
        for path, content in parts.items():
            _add(archive, path, content, 0o644)


def _layer(files: dict[str, tuple[bytes, int]], links: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        parents = {str(parent) for path in (*files, *links) for parent in Path(path).parents}
        for directory in sorted((parents - {"."}) | {"dev", "etc", "proc", "root", "run", "sys", "tmp", "var"}):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            layer.addfile(entry)
        for path, (content, mode) in files.items():
            _add(layer, path, content, mode)
        for path, pointed in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, pointed
            layer.addfile(entry)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def _document(value: Any) -> bytes:
    return json.dumps(value).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _path(blob: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}"


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}
