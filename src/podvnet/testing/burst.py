"""Many pods at once on one VM: bare namespaces, attached by executing the plug-in, without a runtime around them."""

from __future__ import annotations

import json
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from podvnet.linux import namespace
from podvnet.runtime import probe
from podvnet.testing.lab import Lab

_PROGRAM = "/opt/cni/bin/azure-vnet"
_AT_ONCE = 8


@dataclass
class Member:
    """One pod: its container id, its open namespace, its address once it is attached."""

    container: str
    descriptor: int
    address: str = ""


@dataclass
class Burst:
    """Pods of one VM. A context manager: the namespaces end with the block.

    The namespaces are made here, outside the VM, and handed to the executable as open files: the plug-in takes a
    descriptor, wherever the path to it leads.
    """

    lab: Lab
    vm: str
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            os.close(member.descriptor)
        self.members.clear()

    def add(self, count: int) -> int:
        """Attach pods, several at once; return how many were."""
        fresh = [Member(secrets.token_hex(32), _anonymous_namespace()) for _ in range(count)]
        self.members += fresh
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for member, (code, document) in zip(fresh, pool.map(self._add, fresh), strict=True):
                if code == 0:
                    member.address = document["ips"][0]["address"].split("/")[0]
        return sum(1 for member in fresh if member.address)

    def refused(self) -> dict[str, Any]:
        """Try to attach one more; return the error object."""
        extra = Member(secrets.token_hex(32), _anonymous_namespace())
        try:
            return self._add(extra)[1]
        finally:
            os.close(extra.descriptor)

    def reached_from(self, descriptor: int) -> int:
        """How many pods answer a ping from a namespace."""
        attached = [member for member in self.members if member.address]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return sum(pool.map(lambda member: probe.echo(descriptor, member.address), attached))

    def delete_all(self) -> None:
        """Detach every pod.

        Raises:
            AssertionError: a DEL failed.
        """
        self.delete_members(self.members)

    def delete_members(self, members: list[Member]) -> None:
        """Detach some of the pods, attached or not.

        Raises:
            AssertionError: a DEL failed.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for code, document in pool.map(lambda member: self._call("DEL", member), members):
                if code:
                    msg = f"DEL failed: {document}"
                    raise AssertionError(msg)
        for member in members:
            member.address = ""

    def held(self) -> int:
        """How many addresses the VM's agent says are held."""
        return int(self.lab.agent_status(self.vm)["pool"]["held"])

    def _add(self, member: Member) -> tuple[int, dict[str, Any]]:
        return self._call("ADD", member)

    def _call(self, command: str, member: Member) -> tuple[int, dict[str, Any]]:
        config = {"cniVersion": "1.0.0", "name": "azure", "type": "azure-vnet", "mode": "transparent"}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": member.container,
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": f"/proc/{os.getpid()}/fd/{member.descriptor}",
            "CNI_PATH": "/opt/cni/bin",
        }
        done = self.lab.execute_inside(self.vm, [_PROGRAM], environment, json.dumps(config).encode())
        return done.returncode, json.loads(done.stdout) if done.stdout else {}


def _anonymous_namespace() -> int:
    """A network namespace known by its descriptor alone."""
    made: list[int] = []

    def make() -> None:
        namespace.unshare(namespace.CLONE_NEWNET)
        made.append(os.open(Path("/proc/thread-self/ns/net"), os.O_RDONLY | os.O_CLOEXEC))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(make).result()
    return made[0]
