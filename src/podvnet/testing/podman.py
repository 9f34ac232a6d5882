"""podman in a VM of a lab, with its CNI back end, as root."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from podvnet.linux import mount_namespace
from podvnet.testing import image
from podvnet.testing.engine import IMAGE, SERVER, Container, EngineError
from podvnet.testing.lab import Lab

SETTINGS = "/etc/containers/containers.conf.d"
NETWORK = """[network]
network_backend = "cni"
default_network = "azure"
"""
"""What docs/podman.md writes."""
_MACHINE = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]  # where the tests run root may not raise them
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


class Podman:
    """podman on a VM. It has no daemon: a conmon watches over each container."""

    def __init__(self, lab: Lab, vm: str) -> None:
        self.lab = lab
        self.vm = vm

    def start(self) -> None:
        """Let it use our network, and load the image, if it has none yet."""
        self.start_daemon()
        self._set("10-azure.conf", NETWORK)
        if self.podman("image", "exists", IMAGE, check=False).returncode:
            self.load()

    def start_daemon(self) -> None:
        """There is none; have it as its package installs it, and the machine lets it run."""
        self._set("20-machine.conf", _MACHINE)

    def _set(self, name: str, text: str) -> None:
        self.lab.inside(self.vm, "sh", "-c", f"mkdir -p {SETTINGS}; cat >{SETTINGS}/{name}", stdin=text)

    def load(self) -> None:
        """Load the image."""
        with image.temporary(IMAGE, image.busybox) as archive:
            self.podman("load", "-i", str(archive))

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End every podman that is at work, and what watches over its containers."""
        for process in mount_namespace.processes(self.lab.pin(self.vm)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{process}/comm").read_text(encoding="ascii").strip() in {"podman", "conmon"}:
                    os.kill(process, how)

    def podman(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call podman."""
        return self.lab.inside(self.vm, "podman", *words, check=check)

    def run(self, name: str, *command: str, ports: Sequence[tuple[int, int]] = ()) -> Container:
        """Run a container on podman's default network."""
        return self.run_with(name, *(f"--publish={host}:{inner}" for host, inner in ports), command=command or SERVER)

    def run_with(self, name: str, *options: str, command: Sequence[str] = SERVER) -> Container:
        """Run a container with options of ``podman run``."""
        self.podman("run", "--detach", f"--name={name}", *options, IMAGE, *command)
        return self.inspect(name)

    def inspect(self, name: str) -> Container:
        """What ``podman inspect`` shows of a container on one network."""
        found = self.document(name)
        networks = found["NetworkSettings"]["Networks"]
        if len(networks) != 1:
            raise EngineError(f"{name} is on {len(networks)} networks")
        network = next(iter(networks.values()))
        addresses = tuple(filter(None, (network["IPAddress"], network["GlobalIPv6Address"])))
        return Container(name, found["Id"], addresses, network["Gateway"], network["MacAddress"])

    def document(self, name: str) -> Any:
        """All of ``podman inspect``."""
        return json.loads(self.podman("container", "inspect", name).stdout)[0]

    def execute(self, name: str, *command: str) -> str:
        """Run a program in a container; its output."""
        return self.podman("exec", name, *command).stdout

    def remove(self, name: str) -> None:
        """End a container and remove it."""
        self.podman("rm", "--force", "--time=0", name)

    def remove_all(self) -> None:
        """End and remove every container."""
        self.podman("rm", "--all", "--force", "--time=0")
