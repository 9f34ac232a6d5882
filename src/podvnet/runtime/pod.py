"""Pods: named namespaces with an interface each, remembered in files until they are deleted."""

from __future__ import annotations

import json
import os
import secrets
import signal
from dataclasses import asdict, dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from podvnet.linux import namespace
from podvnet.runtime.chain import Call, Chain, ChainError

DIRECTORY = Path("/run/podvnet/pods")
_PREFIX = "pod-"


class NoSuchPodError(Exception):
    """There is no pod of that name."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this VM. ``result`` is what ADD answered.

    ``conflist`` is kept because DEL must run what ADD ran, whatever the configuration has become since.
    """

    name: str
    container: str
    conflist: dict[str, Any]
    result: dict[str, Any]

    @property
    def network(self) -> str:
        """The name of its network."""
        return str(self.conflist["name"])

    @property
    def namespace(self) -> str:
        """The name of its network namespace."""
        return _PREFIX + self.name

    @property
    def sandbox(self) -> str:
        """The path that ``CNI_NETNS`` names."""
        return str(namespace.path(self.namespace))

    @property
    def addresses(self) -> list[str]:
        """Its addresses, without prefix length."""
        return [str(ip_interface(each["address"]).ip) for each in self.result.get("ips", [])]

    def call(self, capabilities: dict[str, Any] | None = None) -> Call:
        """The call a runtime makes for it."""
        args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={self.name}"
        return Call(self.container, self.sandbox, args=args, capabilities=capabilities or {})


def run(name: str, chain: Chain, capabilities: dict[str, Any] | None = None) -> Pod:
    """Make a pod: a namespace, then ADD.

    Raises:
        FileExistsError: the name is taken.
        ChainError: the plug-in refused; nothing is left.
    """
    if (DIRECTORY / f"{name}.json").exists():
        msg = f"there is a pod {name!r} already"
        raise FileExistsError(msg)
    pod = Pod(name, secrets.token_hex(32), chain.conflist, {})
    namespace.create(pod.namespace)
    try:
        result = chain.add(pod.call(capabilities))
    except ChainError:
        namespace.delete(pod.namespace)
        raise
    made = Pod(name, pod.container, pod.conflist, result)
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = DIRECTORY / f".{name}"
    temporary.write_text(json.dumps(asdict(made)), encoding="utf-8")
    temporary.rename(DIRECTORY / f"{name}.json")
    return made


def find(name: str) -> Pod:
    """A pod by name.

    Raises:
        NoSuchPodError: the known ones are named.
    """
    path = DIRECTORY / f"{name}.json"
    if not path.exists():
        known = ", ".join(pod.name for pod in every()) or "none"
        msg = f"there is no pod {name!r} (there are: {known})"
        raise NoSuchPodError(msg)
    return _read(path)


def every() -> list[Pod]:
    """All pods, by name."""
    return [_read(path) for path in sorted(DIRECTORY.glob("*.json"))] if DIRECTORY.is_dir() else []


def delete(pod: Pod, bin_dirs: tuple[Path, ...]) -> None:
    """End a pod: its processes, then DEL, then the namespace.

    Raises:
        ChainError: a plug-in refused; the pod stays in the list.
    """
    for process in processes(pod):
        os.kill(process, signal.SIGKILL)
    Chain(pod.conflist, bin_dirs).delete(pod.call(), pod.result or None)
    namespace.delete(pod.namespace)
    (DIRECTORY / f"{pod.name}.json").unlink(missing_ok=True)


def processes(pod: Pod) -> list[int]:
    """The ids of the processes in a pod."""
    try:
        with namespace.opened(pod.namespace) as descriptor:
            inside = f"net:[{namespace.identity(descriptor)[1]}]"
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "ns/net").readlink()) == inside:
                    found.append(int(entry.name))
            except OSError:
                continue  # it ended meanwhile
    return found


def command(pod: Pod, argv: list[str]) -> list[str]:
    """The command line that runs ``argv`` in a pod."""
    return ["nsenter", f"--net={pod.sandbox}", "--", *argv]


def _read(path: Path) -> Pod:
    return Pod(**json.loads(path.read_text(encoding="utf-8")))
