"""Two VMs of a fabric with an engine on each, and whether containers have left anything there."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from podvnet.testing.cni import ExpectationError, Runtime, eventually
from podvnet.testing.engine import Engine
from podvnet.testing.lab import Lab
from podvnet.testing.stage import Stage

VMS = ("vm1", "vm2")
OPTIONS = ("--plugins-from", "/usr/lib/cni", "--docker")
"""Of ``podvnet install``, as the quick starts have them on Debian."""


@dataclass(frozen=True)
class Site:
    """An engine on each VM, and what each VM's kernel and agent held before there were containers."""

    fabric: Stage
    engines: dict[str, Engine]
    before: dict[str, frozenset[str]]

    @property
    def lab(self) -> Lab:
        """The lab."""
        return self.fabric.lab

    def install(self, vm: str) -> None:
        """Install the plug-in on a VM, as at the beginning: a new agent."""
        self.lab.install(vm, *OPTIONS)

    def reached(self, address: str) -> bool:
        """Whether a server of ours at an address answers the other VM."""
        caller = "vm1" if address.startswith("10.1.2.") else "vm2"
        ask = ("sh", "-c", f"printf 'GET /cgi-bin/whoami HTTP/1.0\r\n\r\n' | busybox nc -w 2 {address} 80")
        return "200 OK" in self.lab.inside(caller, *ask).stdout

    def assert_clean(self) -> None:
        """Wait until everything is as it was: links are deleted in the kernel's own time.

        Raises:
            ExpectationError: something is left, or missing.
        """
        for vm, before in self.before.items():
            eventually(lambda vm=vm, before=before: state(self.lab, vm) == before)  # type: ignore[misc]
            now = state(self.lab, vm)
            if now != before:
                raise ExpectationError(f"{vm} has more: {sorted(now - before)}; and lacks {sorted(before - now)}")


def state(lab: Lab, vm: str) -> frozenset[str]:
    """All that containers leave traces in on a VM: addresses, namespaces, links, routes, neighbours, rules."""
    with closing(Runtime(lab, vm)) as runtime:
        rules = [
            entry["rule"]
            for entry in json.loads(runtime.run("nft", "-j", "list", "ruleset"))["nftables"][1:]
            if "rule" in entry and entry["rule"]["table"] != "podvnet"
        ]
        texts = [f"{each['family']} {each['table']} {each['chain']} {counterless(each['expr'])}" for each in rules]
        groups = runtime.run("find", "/sys/fs/cgroup", "-type", "d", "-path", "*kube*/*").split()
        return runtime.state() | {f"rule {each}" for each in texts} | {f"control group {each}" for each in groups}


def settled(lab: Lab, vm: str, engine: Engine) -> frozenset[str]:
    """What a VM without containers holds, once there was one: some plug-ins leave chains for the next."""
    engine.run("first", ports=[(8080, 80)])
    engine.remove("first")
    with closing(Runtime(lab, vm)) as runtime:
        eventually(lambda: not runtime.pod_links())  # the kernel deletes them in its own time
    return state(lab, vm)


def counterless(expressions: list[dict[str, Any]]) -> str:
    """A rule without what it has counted."""
    return json.dumps([each for each in expressions if "counter" not in each])
