"""Where containerd looks for CNI plug-ins: Debian's settings name another folder than everybody else's."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podvnet.cli.in_host import write

CONFIG = Path("/etc/containerd/config.toml")
_BIN_DIR = re.compile(r'^(\s*bin_dir\s*=\s*)"[^"]*"', re.MULTILINE)
_PARTS = ("cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime")
"""The CRI's part of the settings, in versions 1, 2 and 3 of them."""


class NotPointedError(Exception):
    """containerd's settings cannot be changed."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def bin_dirs(document: dict[str, Any]) -> Iterator[str]:
    """The folders of plug-ins that settings name, whatever their version."""
    for part in _PARTS:
        cni = document.get("plugins", {}).get(part, {}).get("cni", {})
        yield from filter(None, [cni.get("bin_dir"), *cni.get("bin_dirs", [])])


def point_to(folder: Path, config: Path = CONFIG) -> list[str]:
    """Have containerd look in a folder, unless it does; return what was changed.

    Raises:
        NotPointedError: the settings cannot be read, or not be changed.
    """
    remedy = f'set bin_dir = "{folder}" in the part "cni" of {config}, and restart containerd'
    if not config.exists():
        return []  # containerd's own settings are these
    try:
        text = config.read_text(encoding="utf-8")
        found = list(bin_dirs(tomllib.loads(text)))
        if not found or str(folder) in found:
            return []
        changed = _BIN_DIR.sub(rf'\g<1>"{folder}"', text)
        if str(folder) not in bin_dirs(tomllib.loads(changed)):
            raise NotPointedError(f"containerd looks for plug-ins in {', '.join(found)} alone", remedy)
        write(config, changed)
    except (OSError, ValueError) as error:
        raise NotPointedError(f"{config} cannot be changed: {error}", remedy) from None
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "try-restart", "containerd"], check=False, capture_output=True)
    return [f"containerd's way to {folder}, by {config}"]
