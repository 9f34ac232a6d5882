"""What is compared: our plug-in and the reference ones, each with the configuration it is measured with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from execution import Call

CNI_VERSION = "1.0.0"
OURS = "/opt/cni/bin/azure-vnet"
REFERENCE = "/usr/lib/cni"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Case:
    """A plug-in and its configuration.

    Attributes:
        title: what people know it by.
        program: absolute path, as seen on the node.
        masquerade: whether pods' traffic to elsewhere is translated.
        plugin: the object of the network configuration list.
        machine: the VM it runs on; empty for a node of its own.
    """

    title: str
    program: str
    masquerade: bool
    plugin: dict[str, Any]
    machine: str = ""

    @property
    def network(self) -> str:
        """The network's name, and a word for files."""
        return self.title.replace(" ", "-").replace("+", "-").replace("=", "-").replace(",", "").lower()

    def call(self, verb: str, container: str, sandbox: str, previous: bytes = b"") -> Call:
        """The call of a runtime; DEL hands the result of ADD back."""
        config = {"cniVersion": CNI_VERSION, "name": self.network, **self.plugin}
        if previous:
            config["prevResult"] = json.loads(previous)
        environment = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container,
            "CNI_NETNS": sandbox,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=bench",
            "CNI_PATH": str(Path(self.program).parent),
            "PATH": _PATH,
        }
        return Call(self.program, environment, json.dumps(config).encode())


def _ours(mode: str, machine: str) -> Case:
    plugin = {"type": "azure-vnet", "mode": mode, "ipam": {"type": "azure-vnet-ipam"}}
    return Case(f"podvnet {mode}", OURS, True, plugin, machine)


def _reference(kind: str, number: int, *, masquerade: bool) -> Case:
    title = f"{kind}+host-local{', ipMasq' if masquerade else ''}"
    ipam = {
        "type": "host-local",
        "subnet": f"10.{200 + number}.0.0/16",
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"/run/bench-host-local-{number}",
    }
    plugin: dict[str, Any] = {"type": kind, "ipMasq": masquerade, "ipam": ipam}
    if kind == "bridge":
        plugin |= {"bridge": "cni0", "isGateway": True}
    return Case(title, f"{REFERENCE}/{kind}", masquerade, plugin)


CASES = (
    _ours("transparent", "routed"),
    _ours("bridge", "bridged"),
    _reference("bridge", 0, masquerade=True),
    _reference("ptp", 1, masquerade=True),
    _reference("ptp", 2, masquerade=False),
)

FLOORS = {
    "azure-vnet VERSION": Call(OURS, {"CNI_COMMAND": "VERSION"}, b'{"cniVersion":"1.0.0"}'),
    "/bin/true": Call("/bin/true", {}),
}
