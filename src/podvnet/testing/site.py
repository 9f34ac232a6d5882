"""Two VMs of a fabric with an engine on each, and whether containers have left anything there."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podvnet.testing.cni import ExpectationError, Runtime, eventually
from podvnet.testing.engine import Engine
from podvnet.testing.lab import Lab
from podvnet.testing.stage import Stage

VMS = ("vm1", "vm2")
OPTIONS = ("--plugins-from", "/usr/lib/cni", "--docker")
"""Of ``podvnet install``, as the quick starts have them on Debian."""
_DOCKER = Path("/var/lib/podvnet/docker.db")
_PODMANS_OWN = "/var/lib/containers/storage/overlay"
"""podman mounts its store onto itself, and keeps it so for as long as it likes."""
_CHANGING = frozenset({"handle", "counter", "packets", "bytes", "expires"})
"""What a rule, chain, set or element has besides what it is: numbers that the kernel gives, and what it has counted."""


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
            if not eventually(lambda vm=vm, before=before: state(self.lab, vm) == before):  # type: ignore[misc]
                now = state(self.lab, vm)
                raise ExpectationError(f"{vm} has more: {sorted(now - before)}; and lacks {sorted(before - now)}")


def state(lab: Lab, vm: str) -> frozenset[str]:
    """All that containers leave traces in on a VM, a text a fact.

    Addresses and attachments, namespaces, links, routes, neighbours; every chain, rule and set of every table; mounts
    and control groups; what the agent keeps for Docker, and the sockets it has.
    """
    with closing(Runtime(lab, vm)) as runtime:
        facts = (
            *(f"mount {each}" for each in _mounts(runtime)),
            *(f"control group {each}" for each in runtime.do(lambda: _control_groups("/sys/fs/cgroup"))),
            *(f"Docker's {each}" for each in runtime.do(lambda: _rows(_DOCKER))),
            *(f"firewall {each}" for each in _firewall(runtime)),
            *(f"socket {each}" for each in _sockets(runtime.agent_process())),
        )
        return runtime.state() | _numbered(facts)


def settled(lab: Lab, vm: str, engine: Engine) -> frozenset[str]:
    """What a VM without containers holds, once there was one: some plug-ins leave chains for the next."""
    engine.run("first", ports=[(8080, 80)])
    engine.remove("first")
    with closing(Runtime(lab, vm)) as runtime:
        eventually(lambda: not runtime.pod_links())  # the kernel deletes them in its own time
    return state(lab, vm)


def _numbered(facts: Iterable[str]) -> frozenset[str]:
    """Facts of which several can be equal: the second of them is another fact."""
    return frozenset(
        fact if number == 1 else f"{fact} ({number})"
        for fact, count in Counter(facts).items()
        for number in range(1, count + 1)
    )


def _mounts(runtime: Runtime) -> Iterator[str]:
    """What is mounted where in the VM: file systems, and the namespaces in /run/docker/netns.

    Docker removes the files there only once a minute.
    """
    for line in runtime.run("cat", "/proc/self/mountinfo").splitlines():
        front, _, back = line.partition(" - ")
        target = front.split()[4]
        if target != _PODMANS_OWN:
            yield f"{target} of {back.split()[0]}"


def _control_groups(top: str) -> list[str]:
    """The control groups in the VM's part, by path.

    Those that podman keeps do not count: one for every conmon, and empty ones of pods and of containers whose conmon
    was killed.
    """
    groups = [Path(directory) for directory, _, _ in os.walk(top)]
    return [str(each) for each in groups if each.parent.name != "libpod_parent" or _holds_a_container(each)]


def _holds_a_container(group: Path) -> bool:
    try:
        return group.name != "conmon" and (group / "cgroup.procs").read_text(encoding="ascii") != ""
    except FileNotFoundError:
        return False  # it went meanwhile


def _rows(database: Path) -> list[str]:
    """Every row of every table of a database, if there is one."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [f"{name} {row}" for name in tables for row in opened.execute(f"SELECT * FROM {name}")]  # noqa: S608 - the names are its own


def _firewall(runtime: Runtime) -> Iterator[str]:
    """Chains, rules, sets with their elements, an object of nftables each. A table by itself does nothing."""
    for entry in json.loads(runtime.run("nft", "-j", "list", "ruleset"))["nftables"][1:]:
        ((kind, item),) = entry.items()
        if (kind, item.get("table"), item.get("name")) == ("set", "podvnet", "network4"):
            item.pop("elem", None)  # what the platform says of the network, not what containers do
        if kind != "table":
            yield f"{kind} {json.dumps(_lasting(item), sort_keys=True)}"


def _lasting(value: Any) -> Any:
    """An object of nftables without what changes by itself. Elements of a set have no order."""
    if isinstance(value, dict):
        kept = {name: _lasting(each) for name, each in value.items() if name not in _CHANGING}
        if isinstance(kept.get("elem"), list):
            kept["elem"].sort(key=json.dumps)
        return kept
    return [_lasting(each) for each in value] if isinstance(value, list) else value


def _sockets(process: int) -> Iterator[str]:
    """The sockets of a process: those of Unix that listen, by path, and all others, by protocol."""
    listening = {}
    for line in Path(f"/proc/{process}/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split()
        if int(flags, 16) & 0x10000:
            listening[f"socket:[{inode}]"] = " ".join(path)
    for each in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(each.readlink())
            if target.startswith("socket:"):
                protocol = os.getxattr(each, "system.sockprotoname").decode().strip("\0")
                if not protocol.startswith("UNIX") or target in listening:
                    yield f"{protocol} {listening.get(target, '')}".strip()
        except FileNotFoundError:
            continue  # closed since
