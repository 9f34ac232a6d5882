"""Where the programs are that stand in for services, and what to install where they are not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from podvnet.model.service import Service, ServiceKind

AZURITE = "PODVNET_AZURITE"
POSTGRES = "PODVNET_POSTGRES"
_DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian has PostgreSQL's own programs, a directory for each version; they are on nobody's PATH."""


class MissingProgramError(Exception):
    """A program is not installed; the message says how it can be."""


def azurite() -> str:
    """The executable of Azurite.

    Raises:
        MissingProgramError: it is not installed.
    """
    found = _set_or_found(AZURITE, "azurite")
    if found is None:
        msg = f"azurite is not on PATH. Install it with `npm install -g azurite`, or set {AZURITE} to its executable."
        raise MissingProgramError(msg)
    return found


def postgres() -> Path:
    """The directory with the executables of PostgreSQL.

    Raises:
        MissingProgramError: it is not installed.
    """
    found = _set_or_found(POSTGRES, "postgres")
    if found is not None:
        return Path(found).resolve().parent
    versions = [each.parent.parent for each in _DEBIAN.glob("*/bin/postgres")]
    if not versions:
        msg = f"postgres is not installed. Install the Debian package postgresql, or set {POSTGRES} to its executable."
        raise MissingProgramError(msg)
    return max(versions, key=lambda version: float(version.name)) / "bin"


def check(service: Service) -> None:
    """Refuse a service whose program is missing.

    Raises:
        MissingProgramError: it is.
    """
    if service.kind is ServiceKind.STORAGE:
        azurite()
    else:
        postgres()


def _set_or_found(setting: str, name: str) -> str | None:
    wanted = os.environ.get(setting)
    found = shutil.which(wanted or name)
    if wanted and found is None:
        msg = f"{setting} is {wanted}, which is no executable."
        raise MissingProgramError(msg)
    return found
