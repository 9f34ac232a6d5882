"""What Services of Kubernetes need of a node's kernel: set now, and again at every boot.

The agent sets most of it by itself whenever it starts; the files are for who sets the parameters anew meanwhile
(``sysctl --system``), and for the module that is to be there before anything can be set.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from podvnet.cli.in_host import write

SYSCTL_FILE = Path("/etc/sysctl.d/90-podvnet.conf")
MODULE_FILE = Path("/etc/modules-load.d/podvnet.conf")
MODULE = "br_netfilter"
_PROC = Path("/proc/sys")
_BRIDGE = "net/bridge/"


class NotSetError(Exception):
    """The kernel does not take a setting."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def wanted(*, bridged: bool) -> tuple[tuple[str, str], ...]:
    """The settings, by path below /proc/sys.

    Args:
        bridged: pods are ports of a bridge.
    """
    from podvnet.cluster.node import SYSCTLS

    return tuple(each for each in SYSCTLS if bridged or not each[0].startswith(_BRIDGE))


def ensure(*, bridged: bool, now: bool = True, persist: bool = True) -> list[str]:
    """Set the kernel; return what was done.

    Args:
        bridged: pods are ports of a bridge.
        now: also for this boot; the agent does it where this is a container.
        persist: also for boots to come.

    Raises:
        NotSetError: the module that bridges need cannot be loaded, or a setting is refused.
    """
    done = []
    if bridged and not (_PROC / _BRIDGE).is_dir():
        _load()
        done.append(f"module {MODULE}")
    settings = wanted(bridged=bridged)
    if persist:
        SYSCTL_FILE.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{_dotted(path)} = {value}" for path, value in settings]
        write(SYSCTL_FILE, "\n".join(["# What pods and Services need; by podvnet.", *lines, ""]))
        done.append(str(SYSCTL_FILE))
        if bridged and now:
            MODULE_FILE.parent.mkdir(parents=True, exist_ok=True)
            write(MODULE_FILE, f"{MODULE}\n")
            done.append(str(MODULE_FILE))
    for path, value in settings if now else ():
        _set(path, value)
    return done


def forget() -> list[str]:
    """Remove the files; what is set stays set, for others may need it."""
    removed = [str(each) for each in (SYSCTL_FILE, MODULE_FILE) if each.exists()]
    for each in (SYSCTL_FILE, MODULE_FILE):
        each.unlink(missing_ok=True)
    return removed


def _set(path: str, value: str) -> None:
    target = _PROC / path
    try:
        if target.read_text(encoding="ascii").strip() != value:
            target.write_text(value, encoding="ascii")
    except FileNotFoundError:
        return  # a kernel without IPv6 on bridges has nothing to set
    except OSError as error:
        raise NotSetError(f"{_dotted(path)} cannot be set to {value}: {error}", "run it as root on the node") from None


def _load() -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | dict(os.environ)
    remedy = f"install the kernel's modules (Debian: linux-modules-extra), then modprobe {MODULE}"
    try:
        loaded = subprocess.run(
            ["modprobe", MODULE], capture_output=True, text=True, check=False, timeout=60, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotSetError(f"the module {MODULE} cannot be loaded: {error}", remedy) from None
    if loaded.returncode != 0:
        raise NotSetError(f"the module {MODULE} cannot be loaded: {loaded.stderr.strip()}", remedy)


def _dotted(path: str) -> str:
    return path.replace("/", ".")
