"""Container images without a registry: one archive that containerd, podman and Docker all import.

It is an OCI image layout and ``docker save``'s archive in one. Sources: OCI image specification 1.0 "Image Layout";
Docker image specification 1.2 "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

_PAUSE = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) { } }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
"""
_COMPILERS = ("musl-gcc", "gcc", "cc")
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageError(Exception):
    """An image cannot be made here; the message says what to do."""


def pause(name: str, target: Path) -> None:
    """Write the image of a pod's sandbox: a program that reaps its orphans and does nothing until it is told to end.

    Raises:
        ImageError: there is no C compiler.
    """
    compiler = next((found for each in _COMPILERS if (found := shutil.which(each))), None)
    if compiler is None:
        raise ImageError("the pause image is compiled here: install gcc, or name an image with --pause-image")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "pause"
        made = subprocess.run(
            [compiler, "-static", "-Os", "-s", "-x", "c", "-o", str(program), "-"],
            input=_PAUSE.encode(),
            check=False,
            capture_output=True,
        )
        if made.returncode != 0:
            raise ImageError(f"the pause image: {compiler}: {made.stderr.decode(errors='replace').strip()}")
        write(name, target, {"pause": (program.read_bytes(), 0o755)}, links={}, command=["/pause"])


def program(name: str, target: Path, executable: Path, path: str) -> None:
    """Write an image of one static program.

    Args:
        name: with host and tag.
        target: the archive.
        executable: the program.
        path: where it is in the image, without a leading slash.
    """
    entry = ["/" + path]
    write(name, target, {path: (executable.read_bytes(), 0o755)}, links={}, command=[], entrypoint=entry)


def write(
    name: str,
    target: Path,
    files: dict[str, tuple[bytes, int]],
    *,
    links: dict[str, str],
    command: list[str],
    entrypoint: list[str] | None = None,
) -> None:
    """Write an image of one layer.

    Args:
        name: with host and tag: ``localhost/web:1``.
        target: the archive.
        files: contents and mode, by path.
        links: what symbolic links point to, by path.
        command: what a container runs when it is told nothing else.
        entrypoint: what it runs in any case, its command behind it.
    """
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    layer = _layer(files, links)
    settings: dict[str, Any] = {"Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"], "Cmd": command}
    if entrypoint:
        settings["Entrypoint"] = entrypoint
    config = _document(
        {
            "architecture": architecture,
            "os": "linux",
            "config": settings,
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
        "platform": {"architecture": architecture, "os": "linux"},
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
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
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
