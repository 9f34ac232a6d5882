"""Where the programs are that gateways are made of, and what to install where they are not."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from podvnet.fabric.services.program import MissingProgramError

CHARON = "PODVNET_CHARON"
FRR = "PODVNET_FRR"
STRONGSWAN_PACKAGES = (
    "strongswan-charon",
    "libcharon-extra-plugins",
    "strongswan-swanctl",
    "libstrongswan-standard-plugins",
    "libstrongswan-extra-plugins",
)
FRR_PACKAGES = ("frr",)
_CHARON = Path("/usr/lib/ipsec/charon")
_FRR = Path("/usr/lib/frr")
"""Where Debian has them; they are on nobody's PATH."""
_PLUGINS = ("kernel-libipsec", "vici", "updown", "counters")
"""Of charon's plug-ins those that are packaged apart or may be left out of a build."""
_FRR_USER = "frr"
_TUN = Path("/dev/net/tun")


def charon() -> Path:
    """The executable of strongSwan's IKE daemon.

    Raises:
        MissingProgramError: it, or a plug-in without which it makes no tunnel or is not told of any, is not installed.
    """
    found = Path(os.environ.get(CHARON, _CHARON))
    files = {name: found.parent / "plugins" / f"libstrongswan-{name}.so" for name in _PLUGINS}
    missing = [name for name, file in files.items() if not file.exists()]
    if missing or not os.access(found, os.X_OK):
        lacking = f" with its plug-in{'s' * (len(missing) > 1)} {', '.join(missing)}" if missing else ""
        msg = (
            f"strongSwan's charon is not at {found}{lacking}."
            f" Install the Debian packages {', '.join(STRONGSWAN_PACKAGES)}, or set {CHARON} to its executable."
        )
        raise MissingProgramError(msg)
    if not _TUN.exists():
        msg = f"{_TUN} is missing, which a tunnel's end needs. Make it: `mknod {_TUN} c 10 200`."
        raise MissingProgramError(msg)
    return found


def frr(name: str) -> Path:
    """The executable of one of FRR's daemons, e.g. ``bgpd``.

    Raises:
        MissingProgramError: it is not installed.
    """
    found = Path(os.environ.get(FRR, _FRR)) / name
    if not os.access(found, os.X_OK):
        msg = (
            f"FRR's {name} is not at {found}. Install the Debian package {FRR_PACKAGES[0]}, or set {FRR}"
            " to the directory of its daemons."
        )
        raise MissingProgramError(msg)
    return found


def frr_user() -> tuple[int, int]:
    """The user and the group that FRR's daemons run as.

    Raises:
        MissingProgramError: there is no such user.
    """
    try:
        found = pwd.getpwnam(_FRR_USER)
    except KeyError:
        msg = f"there is no user {_FRR_USER}, as whom FRR runs. Install the Debian package {FRR_PACKAGES[0]}."
        raise MissingProgramError(msg) from None
    return found.pw_uid, found.pw_gid
