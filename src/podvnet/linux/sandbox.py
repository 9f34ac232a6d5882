"""A bubble: namespaces of one's own, in which everything made is gone when its first process ends.

Inside, ``/run`` and ``/proc`` are one's own and there is no way to the machine's network. As root it needs mount,
network and process namespaces; as anybody else a user namespace around them, where the same code finds itself root.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from podvnet.linux import mount, rtnetlink
from podvnet.linux.error import KernelError
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.model.kernel import LOOPBACK

MARK = "PODVNET_SANDBOX"
_STATE = "/run/podvnet-state"


def inside() -> bool:
    """Tell whether this process runs in a bubble."""
    return MARK in os.environ


def wrapped(argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` in a new bubble, which ends with it.

    ``argv`` must call :func:`furnish` before anything else.
    """
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    if os.geteuid() != 0:
        flags = ["--user", "--map-root-user", *flags]
    return ["unshare", *flags, "--", *argv]


def furnish() -> None:
    """Make the bubble habitable: its own /run, /proc and /sys.

    Raises:
        KernelError: a mount was refused.
    """
    mount.make_private("/", recursive=True)
    mount.proc()
    mount.tmpfs("/run")
    for directory in ("/run/netns", "/run/lock", _STATE):
        Path(directory).mkdir()
    try:
        mount.sysfs()
    except KernelError:
        # A container's runtime may have covered parts of /sys; only some tools miss the right view.
        os.environ["PODVNET_SYSFS"] = "outer"
    with NetlinkSocket(ROUTE) as netlink:
        netlink.transact(rtnetlink.up(LOOPBACK))
    os.environ[MARK] = "1"
    os.environ["PODVNET_STATE"] = _STATE


def run_as_init(argv: list[str]) -> int:
    """Run a program as the bubble's first process should: pass signals on, and reap whatever is left to it.

    Returns:
        The program's exit code, 128 and the signal's number when a signal ended it.
    """
    child = os.posix_spawnp(argv[0], argv, os.environ, setsigdef=[signal.SIGINT, signal.SIGTERM])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the program as well
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def obstacle() -> str:
    """Why no bubble can be made here, or an empty text when one can."""
    argv = wrapped(["true"])
    try:
        tried = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return "there is no program `unshare` (Debian package util-linux)"
    if tried.returncode == 0:
        return ""
    reason = tried.stderr.strip()
    if os.geteuid() == 0:
        return f"this machine does not let root make namespaces ({reason}); is this a container without CAP_SYS_ADMIN?"
    return (
        f"this machine does not let ordinary users make namespaces ({reason}); run as root, or allow user namespaces"
        " (sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces>0;"
        " with AppArmor kernel.apparmor_restrict_unprivileged_userns=0)"
    )
