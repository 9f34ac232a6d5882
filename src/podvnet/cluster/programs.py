"""Where the programs of Kubernetes are. They are the user's: on PATH, or in a directory that is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

VARIABLE = "PODVNET_KUBERNETES_BIN"
"""The environment variable that names the directory, where no option does."""
CONTROL = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE = ("kubelet", "kube-proxy")
DNS = "coredns"
SYSTEM = ("containerd", "ctr", "runc", "iptables", "nft", "mount")
_FROM = {
    "etcd": "etcd (https://etcd.io, or the Debian package etcd-server)",
    "coredns": "CoreDNS (https://coredns.io), or name an image with --dns-image",
    "containerd": "the Debian package containerd",
    "ctr": "the Debian package containerd",
    "runc": "the Debian package runc",
    "iptables": "the Debian package iptables",
    "nft": "the Debian package nftables",
    "mount": "the Debian package mount",
}
_SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATH = _SBIN
"""What programs on a VM are found by."""


class MissingProgramsError(Exception):
    """Programs are not installed; the message names each, with where it comes from."""


class Programs:
    """Programs that are there, by name.

    Args:
        found: absolute paths by name.
    """

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> str:
        return self._found[name]

    def __contains__(self, name: str) -> bool:
        return name in self._found


def find(directory: Path | None, *, wanted: Iterable[str] = (*CONTROL, *NODE, DNS, *SYSTEM)) -> Programs:
    """Find programs in a directory, else on PATH, else where administrators' programs are.

    A link is not followed: one program can be several, by the name it is called by.

    Raises:
        MissingProgramsError: some are not there.
    """
    folders = ([str(directory.absolute())] if directory else []) + [os.environ.get("PATH", ""), _SBIN]
    found, missing = dict[str, str](), list[str]()
    for name in wanted:
        path = shutil.which(name, path=os.pathsep.join(folders))
        if path is None:
            missing.append(name)
        else:
            found[name] = path
    if missing:
        lines = [f"{name}: {_FROM.get(name, 'Kubernetes (https://kubernetes.io/releases)')}" for name in missing]
        where = f"in {directory} or on PATH" if directory else "on PATH"
        raise MissingProgramsError(f"not {where}: {', '.join(missing)}. " + "; ".join(lines))
    return Programs(found)


def version(path: str) -> str:
    """The version that a program of Kubernetes says it has, e.g. ``v1.34.4``; empty when it says none."""
    asked = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=30)
    found = re.search(r"v?\d+\.\d+\.\d+\S*", asked.stdout)
    return found.group() if found else ""
