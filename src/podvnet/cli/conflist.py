"""The conflist that ``podvnet install`` writes, and the reference plug-ins that are chained behind ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from podvnet.plugin.runtime_config import POD_ANNOTATIONS
from podvnet.plugin.version import NEWEST

NAME = "10-azure.conflist"
REFERENCE = ("loopback", "portmap", "bandwidth")
"""Of the reference plug-ins: what containerd itself executes for every pod, and what host ports and shaping need."""

_CHAINED: tuple[dict[str, Any], ...] = (
    {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    {"type": "bandwidth", "capabilities": {"bandwidth": True}},
)
_UNDERSTOOD = "1.0.0"
"""The newest that containerd 1.6 and podman 4 understand."""


def conflist(
    mode: str,
    name: str,
    prefixes: tuple[str, ...],
    exceptions: tuple[str, ...],
    bin_dir: Path,
    *,
    annotations: bool = False,
) -> dict[str, Any]:
    """The document: our plug-in, and behind it those of the reference ones that are in ``bin_dir``.

    With ``annotations`` the runtime hands a pod's over, so that of one without any nobody needs to be asked.
    """
    plugin: dict[str, Any] = {"type": "azure-vnet", "mode": mode, "ipam": {"type": "azure-vnet-ipam"}}
    if annotations:
        plugin["capabilities"] = {POD_ANNOTATIONS: True}
    if prefixes:
        plugin["vnetCidrs"] = list(prefixes)
    if exceptions:
        plugin["nonMasquerade"] = list(exceptions)
    chained = [each for each in _CHAINED if (bin_dir / each["type"]).exists()]
    document: dict[str, Any] = {"cniVersion": _UNDERSTOOD}
    if all(NEWEST in _versions(bin_dir / each["type"]) for each in chained):
        # Runtimes that know 1.1.0 take the newest of the list, and then ask STATUS: containerd from 2.0 on.
        document["cniVersions"] = [_UNDERSTOOD, NEWEST]
    return document | {"name": name, "plugins": [plugin, *chained]}


def link_reference(source: Path, bin_dir: Path) -> list[str]:
    """Link the reference plug-ins that runtimes need into ``bin_dir``; one that is there stays. Return what was made.

    Raises:
        FileNotFoundError: ``source`` lacks one.
    """
    made = []
    for program in REFERENCE:
        (source / program).stat()
        target = bin_dir / program
        if not target.exists():
            target.unlink(missing_ok=True)
            target.symlink_to(source / program)
            made.append(f"{program} in {bin_dir}, from {source}")
    return made


def unlink_reference(bin_dir: Path) -> None:
    """Remove the links that :func:`link_reference` makes."""
    for program in REFERENCE:
        if (bin_dir / program).is_symlink():
            (bin_dir / program).unlink()


def _versions(program: Path) -> list[str]:
    """The versions of CNI that a plug-in says it knows; none when it does not say."""
    try:
        asked = subprocess.run(
            [program],
            input=json.dumps({"cniVersion": _UNDERSTOOD}),
            env={"CNI_COMMAND": "VERSION"},
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        versions: list[str] = json.loads(asked.stdout)["supportedVersions"]
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return []
    return versions
