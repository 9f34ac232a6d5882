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
    "libstrongswan-standard-plugins",
    "libstrongswan-extra-plugins",
)
FRR_PACKAGES = ("frr",)
_CHARON = Path("/usr/lib/ipsec/charon")
_FRR = Path("/usr/lib/frr")
"""Where Debian has them; they are on nobody's PATH."""
_FRR_USER = "frr"
_TUN = Path("/dev/net/tun")


def charon() -> Path:
    """The executable of strongSwan's IKE daemon.

    Raises:
        MissingProgramError: it, or the plug-in that encrypts in user space, is not installed.
    """
    found = Path(os.environ.get(CHARON, _CHARON))
    plugin = found.parent / "plugins" / "libstrongswan-kernel-libipsec.so"
    if not (os.access(found, os.X_OK) and plugin.exists()):
        msg = (
            f"strongSwan's charon is not at {found} with its plug-in kernel-libipsec."
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
