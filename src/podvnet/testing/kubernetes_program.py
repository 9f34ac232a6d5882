"""A program that tests of Kubernetes run, of those that scripts/kubernetes-programs builds."""

from __future__ import annotations

import os
from pathlib import Path

from podvnet.cluster.programs import VARIABLE


def program(name: str) -> Path:
    """Where it is.

    Raises:
        FileNotFoundError: it was not built.
    """
    folder = os.environ.get(VARIABLE, "")
    path = Path(folder) / name
    if not folder or not path.is_file():
        msg = f"{name} is not in {VARIABLE} ({folder or 'not set'}): scripts/kubernetes-programs conformance builds it"
        raise FileNotFoundError(msg)
    return path
