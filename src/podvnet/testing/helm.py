"""Helm, and the plain manifests that are made with it from the chart."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from podvnet.cluster.programs import VARIABLE

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "podvnet"
NAMESPACE = "kube-system"
MANIFESTS = {
    "podvnet.yaml": ("--no-hooks",),
    "podvnet-removal.yaml": ("--show-only", "templates/removal.yaml"),
}
"""By file below deploy/, what besides the chart's own values they are made with."""
_COMMAND = "helm template podvnet deploy/helm/podvnet --namespace kube-system"
_VERSION = "1.34.4"
"""Of Kubernetes. A helm that was built by ``go build`` alone takes itself for one of an old version."""


class HelmError(AssertionError):
    """Helm is not there, or refuses; the message holds what it said."""


def program() -> str:
    """Where Helm is: beside the programs of Kubernetes, or on PATH."""
    found = shutil.which("helm", path=os.pathsep.join((os.environ.get(VARIABLE, ""), os.environ.get("PATH", ""))))
    if found is None:
        raise HelmError(f"helm is neither in the directory that {VARIABLE} names nor on PATH")
    return found


def template(*options: str) -> str:
    """What the chart comes to, as text.

    Raises:
        HelmError: Helm refuses.
    """
    argv = (program(), "template", "podvnet", str(CHART), "--namespace", NAMESPACE, "--kube-version", _VERSION)
    done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise HelmError(done.stderr)
    return done.stdout


def manifest(name: str) -> str:
    """A plain manifest, as it is to be."""
    options = MANIFESTS[name]
    return f"# Made by `{' '.join((_COMMAND, *options))}`; change the chart.\n{template(*options)}"


def main() -> None:
    """``python -m podvnet.testing.helm``: write the plain manifests."""
    for name in MANIFESTS:
        (DEPLOY / name).write_text(manifest(name), encoding="utf-8")


if __name__ == "__main__":
    main()
