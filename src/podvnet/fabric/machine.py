"""Virtual machines: a network namespace and a mount namespace, booted, entered, shut down.

A VM shares the machine's programs but has its own ``/run`` (empty at every boot), its own boot id, its own
``/var/log``, and its own layer over ``/etc``, ``/opt``, ``/usr/local`` and ``/var/lib`` (its disk, which outlives a
reboot). What runs inside sees neither other VMs nor the machine's own daemons' sockets. Container engines work inside:
their images lie on the disk itself, for a layer cannot be the upper one of another, as do CNI's folders, so that what
the machine has there has no say; their control groups are in a part of the VM's own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

from podvnet.linux import control_group, mount, mount_namespace, namespace
from podvnet.linux.readable import is_readable
from podvnet.model.address import MANAGEMENT_ADDRESS, MANAGEMENT_NAME

CERTIFICATE = Path("/etc/podvnet/ca.pem")
"""Where a VM finds the certificate of the authority that signed the resource manager's."""

_LAYERS = {"/etc": "etc", "/opt": "opt", "/usr/local": "usr-local", "/var/lib": "var-lib"}
_OWN = {
    "/etc/cni": "etc-cni",
    "/opt/cni": "opt-cni",
    "/var/lib/containerd": "containerd",
    "/var/lib/containers": "containers",
    "/var/lib/docker": "docker",
    "/var/lib/etcd": "etcd",
    "/var/lib/kubelet": "kubelet",
}
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_WHOLE_PROC = Path("/run/uncovered/proc")
"""Where root alone sees all of /proc: the usual one has our boot id over the machine's. The kernel lets a user
namespace, so a rootless container, mount its own only where one is seen whole."""
_SECONDS_TO_END = 5.0
_OURS = "# by the fabric"


class Machine:
    """One VM, by the name of its namespace.

    Args:
        name: the name of the network namespace.
        run: where pins are kept: gone after a reboot of the machine.
        state: where disks are kept, and the certificate that the VM is to trust.
    """

    def __init__(self, name: str, run: Path, state: Path) -> None:
        self.name = name
        self._pin = run / "mounts" / name
        self._disk = state / "disks" / name
        self._authority = state / "identity" / "ca.pem"

    @property
    def is_up(self) -> bool:
        """Booted: both namespaces are there."""
        return mount_namespace.exists(self._pin) and namespace.exists(self.name)

    def boot(self, resolver: str) -> None:
        """Make the mount namespace. One left by an earlier life is ended first.

        Args:
            resolver: the text of the ``resolv.conf`` that DHCP gives it.
        """
        self.shut_down()
        for layer in _LAYERS.values():
            for part in ("upper", "work"):
                (self._disk / layer / part).mkdir(parents=True, exist_ok=True)
        for directory in ("log", *_OWN.values()):
            (self._disk / directory).mkdir(exist_ok=True)
        # Read before mounts cover it. A fabric without a resource manager has none.
        authority = self._authority.read_text(encoding="ascii") if self._authority.exists() else ""
        mount_namespace.create(self._pin, lambda: self._furnish(authority, resolver))

    def _furnish(self, authority: str, resolver: str) -> None:
        disk = str(self._disk)
        # /run is covered last: the disk may lie below it.
        for target, layer in _LAYERS.items():
            Path(target).mkdir(exist_ok=True)
            mount.overlay(target, f"{disk}/{layer}/upper", f"{disk}/{layer}/work", target)
        for target, directory in _OWN.items():
            Path(target).mkdir(exist_ok=True)
            mount.bind(f"{disk}/{directory}", target)
        mount.bind(f"{disk}/log", "/var/log")
        control_group.confine(self._control_group(Path("/proc/thread-self/ns/mnt")))
        mount.tmpfs("/run")
        boot_id = Path("/run/boot_id")
        boot_id.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        mount.bind(str(boot_id), _BOOT_ID)
        for directory in ("/run/netns", "/run/lock"):
            Path(directory).mkdir()
        _WHOLE_PROC.parent.mkdir(mode=0o700)
        _WHOLE_PROC.mkdir()
        mount.proc(str(_WHOLE_PROC))
        _replace(Path("/etc/resolv.conf"), resolver)
        _introduce_management(authority)

    def command(self, *argv: str) -> list[str]:
        """The command line that runs ``argv`` inside."""
        return ["nsenter", f"--net={namespace.path(self.name)}", f"--mount={self._pin}", "--", *argv]

    def spawn(self, argv: tuple[str, ...], log: str) -> subprocess.Popen[bytes]:
        """Start a program inside, its output to the file ``log`` in the VM's ``/var/log``."""
        with (self._disk / "log" / log).open("ab") as output:
            return subprocess.Popen(
                self.command(*argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
            )

    def last_words(self, log: str) -> str:
        """The last lines a program wrote to its log."""
        lines = (self._disk / "log" / log).read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"

    def shut_down(self) -> None:
        """End every process inside and let the mount namespace go."""
        if not mount_namespace.exists(self._pin):
            self._pin.unlink(missing_ok=True)
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _SECONDS_TO_END
            contained, running = self._contained(), self._processes()
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    # The first process of a container is one that nothing but this ends.
                    os.kill(process, signal.SIGKILL if process in contained else how)
            while running and time.monotonic() < deadline:
                _wait_for_end(running[0], deadline)
                running = self._processes()
            if not running:
                break
        control_group.remove(self._control_group(self._pin))
        mount_namespace.delete(self._pin)

    def _processes(self) -> list[int]:
        """The ids of the processes inside, its containers' included, which have mount namespaces of their own."""
        return [*mount_namespace.processes(self._pin), *self._contained()]

    def _contained(self) -> set[int]:
        return control_group.processes(self._control_group(self._pin))

    def _control_group(self, mounts: Path) -> str:
        """The name of the VM's part of the control groups: of this life, and not another fabric's."""
        return control_group.part_of(self.name, mounts)

    def discard(self) -> None:
        """Shut down and throw the disk away."""
        self.shut_down()
        shutil.rmtree(self._disk, ignore_errors=True)


def _introduce_management(authority: str) -> None:
    """Let the VM know where the resource manager is, and whose certificates it has: what public DNS and CAs do."""
    hosts = Path("/etc/hosts")
    lines = hosts.read_text(encoding="utf-8").splitlines() if hosts.exists() else []
    kept = [line for line in lines if not line.endswith(_OURS)]
    _replace(hosts, "\n".join([*kept, f"{MANAGEMENT_ADDRESS} {MANAGEMENT_NAME} {_OURS}", ""]))
    if authority:
        CERTIFICATE.parent.mkdir(exist_ok=True)
        CERTIFICATE.write_text(authority, encoding="ascii")


def _replace(path: Path, text: str) -> None:
    """Put a file in the place of the machine's own, which a fabric without root may not write to, nor in its layer."""
    written = path.with_name(f".{path.name}.podvnet")
    written.write_text(text, encoding="utf-8")
    written.rename(path)


def _wait_for_end(process: int, deadline: float) -> None:
    """Wait until a process ends, which need not be a child of ours."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        is_readable(max(0.0, deadline - time.monotonic()), descriptor)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)  # a child of ours leaves a zombie otherwise
    finally:
        os.close(descriptor)
