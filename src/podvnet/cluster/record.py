"""What a cluster is, written down: so that a second ``up`` goes on, and ``down`` knows what there is."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from podvnet.cluster.settings import ClusterSettings, Images, PodMode, ProxyMode

_FILE = "cluster.json"
PKI = "pki"
"""The directory of its keys, beside the record."""


@dataclass(frozen=True, slots=True)
class Record:
    """A cluster that is up, or has begun to be.

    Attributes:
        settings: of the cluster.
        control: the VM of the control plane.
        nodes: the VMs of nodes.
        max_pods: of a node; 0 for the number of its addresses.
        brought_up: the fabric was brought up for it, and goes with it.
    """

    settings: ClusterSettings
    control: str
    nodes: tuple[str, ...]
    max_pods: int = 0
    brought_up: bool = False

    def save(self, directory: Path) -> None:
        """Write it into a directory."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = directory / f".{_FILE}"
        temporary.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n", encoding="utf-8")
        temporary.rename(directory / _FILE)


def load(directory: Path) -> Record | None:
    """Read it from a directory; None when there is no cluster."""
    try:
        found: dict[str, Any] = json.loads((directory / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    settings = found.pop("settings")
    return Record(
        settings=ClusterSettings(
            **settings
            | {
                "address": IPv4Address(settings["address"]),
                "services": IPv4Network(settings["services"]),
                "services6": IPv6Network(settings["services6"]) if settings.get("services6") else None,
                "proxy": ProxyMode(settings["proxy"]),
                "pods": PodMode(settings["pods"]),
                "images": Images(**settings["images"]),
            }
        ),
        **found | {"nodes": tuple(found["nodes"])},
    )


def forget(directory: Path) -> None:
    """Remove it, and all keys. The record goes last: what is there is known as long as anything is."""
    shutil.rmtree(directory / PKI, ignore_errors=True)
    if directory.exists():
        (directory / _FILE).unlink(missing_ok=True)
        directory.rmdir()
