"""A bubble: namespaces of one's own, in which everything made is gone when its first process ends.

Inside, ``/run`` and ``/proc`` are one's own and there is no way to the machine's network. As root it needs mount,
network and process namespaces; as anybody else a user namespace around them, where the same code finds itself root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from podvnet.linux import control_group, mount, rtnetlink
from podvnet.linux.error import KernelError
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.model.kernel import LOOPBACK

MARK = "PODVNET_SANDBOX"
_STATE = "/run/podvnet-state"
_CONTROL_GROUPS = "/sys/fs/cgroup"


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
    _show_devices()
    with NetlinkSocket(ROUTE) as netlink:
        netlink.transact(rtnetlink.up(LOOPBACK))
    os.environ[MARK] = "1"
    os.environ["PODVNET_STATE"] = _STATE


def _show_devices() -> None:
    """Mount /sys anew, for the bubble's own interfaces; control groups stay in view, containers need them.

    The old /sys goes where it can: runc looks at the mounts it covers as well.
    """
    kept = Path("/run/podvnet-control-groups")
    containers = bool(control_group.hierarchies())
    if containers:
        kept.mkdir()
        mount.bind(_CONTROL_GROUPS, str(kept), recursive=True)
        mount.unmount("/sys")
    try:
        mount.sysfs()
    except KernelError:
        # A container's runtime may have covered parts of /sys; only some tools miss the right view.
        os.environ["PODVNET_SYSFS"] = "outer"
    if containers:
        mount.bind(str(kept), _CONTROL_GROUPS, recursive=True)
        mount.unmount(str(kept))
        kept.rmdir()


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
            _end_the_rest()
            return code if code >= 0 else 128 - code


def _end_the_rest() -> None:
    """End what is left in the bubble. Its control groups are the machine's, the only thing that would outlive it."""
    if os.getpid() != 1 or not control_group.hierarchies():
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    control_group.remove_all()


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
