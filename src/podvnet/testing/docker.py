"""Docker in a VM of a lab: the daemon, and the client as a person uses it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from podvnet.testing import image
from podvnet.testing.engine import IMAGE, SERVER, Container, Daemon, EngineError
from podvnet.testing.lab import Lab

NETWORK = "vnet"
_DAEMON = (
    "dockerd",
    # Where the tests run there is no systemd, and root may not raise limits.
    "--exec-opt=native.cgroupdriver=cgroupfs",
    "--default-ulimit=nofile=1024:1024",
)
_SOCKET = "/run/docker.sock"
_PROCESSES = ("/run/docker.pid", "/run/docker/containerd/containerd.pid")
_SECONDS = 30.0


class Docker:
    """Docker on a VM, with one network of the VM's subnets.

    Args:
        lab: the fabric.
        vm: where.
        options: further ones of the daemon.
    """

    def __init__(self, lab: Lab, vm: str, *options: str) -> None:
        self.lab = lab
        self.vm = vm
        self._daemon = Daemon(lab, vm, *_DAEMON, *options)

    def start(self) -> None:
        """Start the daemon; make image and network if it has none yet."""
        self.start_daemon()
        if self.docker("image", "inspect", IMAGE, check=False).returncode:
            self.load()
        if self.docker("network", "inspect", NETWORK, check=False).returncode:
            self.create_network(NETWORK, *self.subnets())

    def start_daemon(self) -> None:
        """Start the daemon; return when it answers."""
        self._daemon.start()
        self._daemon.wait_for(_SOCKET)
        self.docker("version")

    def load(self) -> None:
        """Load the image."""
        with image.temporary(IMAGE, image.busybox) as archive:
            self.docker("load", "--input", str(archive))

    def subnets(self) -> list[str]:
        """The options of ``docker network create`` for the subnets of the VM's NIC."""
        found = self.lab.agent_status(self.vm)["nic"]["subnets"]
        return [f"--subnet={each}" for each in found] + (["--ipv6"] if any(":" in each for each in found) else [])

    def create_network(self, name: str, *options: str) -> None:
        """Make a network of the virtual network's subnets."""
        self.docker("network", "create", "-d", "azure-vnet", "--ipam-driver", "azure-vnet", *options, name)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal the daemon and wait for its end. Killed, it leaves its containers, and its containerd, which ends too.

        Its containers end with a daemon that is told to end.
        """
        left = [self._number(path) for path in _PROCESSES[1:]]
        self._daemon.end(how)
        for process in filter(None, left):
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(process)
                with os.fdopen(descriptor, "rb", closefd=True):
                    signal.pidfd_send_signal(descriptor, how)
                    if not select.select([descriptor], [], [], _SECONDS)[0]:
                        raise EngineError(f"containerd of Docker on {self.vm} does not end")
        self.lab.inside(self.vm, "rm", "-f", *_PROCESSES)

    def _number(self, path: str) -> int | None:
        text = self.lab.inside(self.vm, "cat", path, check=False).stdout.strip()
        return int(text) if text.isdigit() else None

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call Docker's client."""
        return self.lab.inside(self.vm, "/usr/bin/docker", *words, check=check)

    def run(self, name: str, *command: str, ports: Sequence[tuple[int, int]] = ()) -> Container:
        """Run a container on the virtual network."""
        published = [f"--publish={host}:{inner}" for host, inner in ports]
        return self.run_with(name, f"--network={NETWORK}", *published, command=command or SERVER)

    def run_with(self, name: str, *options: str, command: Sequence[str] = SERVER) -> Container:
        """Run a container with options of ``docker run``."""
        self.docker("run", "--detach", f"--name={name}", *options, IMAGE, *command)
        return self.inspect(name)

    def inspect(self, name: str) -> Container:
        """What ``docker inspect`` shows of a container on its one network, or of several on the usual one."""
        networks = self.document(name)["NetworkSettings"]["Networks"]
        found = next(iter(networks.values())) if len(networks) == 1 else networks[NETWORK]
        addresses = tuple(filter(None, (found["IPAddress"], found["GlobalIPv6Address"])))
        return Container(name, found["EndpointID"], addresses, found["Gateway"], found["MacAddress"])

    def document(self, name: str) -> Any:
        """All of ``docker inspect``."""
        return json.loads(self.docker("inspect", name).stdout)[0]

    def execute(self, name: str, *command: str) -> str:
        """Run a program in a container; its output."""
        return self.docker("exec", name, *command).stdout

    def remove(self, name: str) -> None:
        """End a container and remove it."""
        self.docker("rm", "--force", name)

    def remove_all(self) -> None:
        """End and remove every container."""
        names = self.docker("ps", "--all", "--quiet").stdout.split()
        if names:
            self.docker("rm", "--force", *names)
