"""A lab: a fabric that is up, driven by the command line as a person drives it, observed with packets.

Meant to be used inside ``podvnet sandbox``, where whatever a failing test leaves behind is gone with the bubble.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podvnet.linux import namespace
from podvnet.plan import names
from podvnet.runtime import probe

PODVNET = (sys.executable, "-m", "podvnet")
_MOUNTS = Path("/run/podvnet/fabric/mounts")
_TIMEOUT = 180


class CommandError(AssertionError):
    """A program failed; the message holds all it said."""


def execute(
    *argv: str, check: bool = True, stdin: str = "", seconds: float = _TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a program.

    Raises:
        CommandError: it failed, and ``check`` is set.
    """
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        msg = f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        raise CommandError(msg)
    return done


def podvnet(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run ``podvnet`` with arguments."""
    return execute(*PODVNET, *argv, check=check)


@dataclass(frozen=True)
class LabPod:
    """A pod of a VM. ``descriptor`` is its open network namespace, ``result`` what ADD answered."""

    name: str
    vm: str
    address: str
    descriptor: int
    container: str
    sandbox: str
    result: dict[str, Any]


@dataclass
class Lab:
    """A fabric that is up. ``servers`` answer callers with the address they come from."""

    servers: probe.WhoAmI
    pods: dict[str, LabPod] = field(default_factory=dict)
    _open: dict[str, int] = field(default_factory=dict)

    # -- places

    def pin(self, vm: str) -> Path:
        """The pinned mount namespace of a VM."""
        return _MOUNTS / f"{names.MACHINE_PREFIX}{vm}"

    def namespace(self, name: str) -> int:
        """A named network namespace, open until the lab closes or :meth:`reopen` is called."""
        if name not in self._open:
            self._open[name] = os.open(namespace.path(name), os.O_RDONLY | os.O_CLOEXEC)
        return self._open[name]

    def reopen(self) -> None:
        """Forget the open namespaces: after a reboot they are others."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def vm(self, name: str) -> int:
        """The namespace of a VM."""
        return self.namespace(names.MACHINE_PREFIX + name)

    def network(self, name: str = "hub") -> int:
        """The namespace of a virtual network."""
        return self.namespace(f"{names.PREFIX}vnet-{name}")

    def internet(self) -> int:
        """The namespace of the internet."""
        return self.namespace(names.INTERNET)

    # -- actions

    def command(self, vm: str, *argv: str) -> list[str]:
        """The command line that runs ``argv`` in a VM."""
        where = namespace.path(names.MACHINE_PREFIX + vm)
        return ["/usr/bin/nsenter", f"--net={where}", f"--mount={self.pin(vm)}", "--", *argv]

    def inside(
        self, vm: str, *argv: str, check: bool = True, stdin: str = "", seconds: float = _TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a VM."""
        return execute(*self.command(vm, *argv), check=check, stdin=stdin, seconds=seconds)

    def execute_inside(
        self, vm: str, argv: list[str], environment: dict[str, str], stdin: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in a VM with just this environment, its input and output as bytes."""
        return subprocess.run(
            self.command(vm, *argv), env=environment, input=stdin, capture_output=True, timeout=_TIMEOUT, check=False
        )

    def install(self, vm: str, *options: str) -> None:
        """Install the plug-in on a VM anew, with options."""
        self.inside(vm, *PODVNET, "install", *options)

    def run_pod(self, name: str, vm: str) -> LabPod:
        """Make a pod; it answers callers."""
        answer = json.loads(self.inside(vm, *PODVNET, "pod", "run", name, "--json").stdout)
        descriptor = probe.open_inside(self.pin(vm), answer["sandbox"])
        address = answer["result"]["ips"][0]["address"].split("/")[0]
        pod = LabPod(name, vm, address, descriptor, answer["container"], answer["sandbox"], answer["result"])
        self.pods[name] = pod
        self.servers.listen(descriptor, address)
        return pod

    def delete_pod(self, name: str) -> None:
        """End a pod."""
        pod = self.forget_pod(name)
        self.inside(pod.vm, *PODVNET, "pod", "delete", name)

    def forget_pod(self, name: str) -> LabPod:
        """Close what is open of a pod, without ending it."""
        pod = self.pods.pop(name)
        self.servers.forget(pod.address)
        os.close(pod.descriptor)
        return pod

    # -- observations

    def status(self) -> dict[str, Any]:
        """What ``podvnet status --json`` says."""
        found: dict[str, Any] = json.loads(podvnet("status", "--json").stdout)
        return found

    def findings(self) -> list[dict[str, Any]]:
        """What ``podvnet doctor --json`` finds on this machine."""
        found: list[dict[str, Any]] = json.loads(podvnet("doctor", "--json", check=False).stdout)
        return found

    def agent_status(self, vm: str) -> dict[str, Any]:
        """What a VM's agent says of itself."""
        found: dict[str, Any] = json.loads(self.inside(vm, *PODVNET, "status", "--json").stdout)
        return found

    def dropped(self, counter: str, network: str = "hub") -> int:
        """How many packets a virtual network has dropped for a reason."""
        networks = {each["name"]: each for each in self.status()["virtualNetworks"]}
        return int(networks[network]["dropped"].get(counter, 0))

    def close(self) -> None:
        """Close what is open."""
        for name in list(self.pods):
            self.forget_pod(name)
        self.reopen()


@contextmanager
def laboratory(file: Path, *options: str) -> Iterator[Lab]:
    """Bring a file up for the block and take it down after; nothing may be left then.

    Args:
        file: the resources.
        *options: of ``podvnet up``; ``--no-agents`` for VMs without pods, which are there sooner.
    """
    podvnet("up", str(file), *options)
    with probe.WhoAmI() as servers:
        lab = Lab(servers)
        try:
            yield lab
        finally:
            lab.close()
            podvnet("down")
    left = namespace.names(names.PREFIX)
    if left:
        msg = f"`podvnet down` left namespaces behind: {', '.join(left)}"
        raise AssertionError(msg)
