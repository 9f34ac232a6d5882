"""What a VM of the fabric needs to be part of a cluster, beyond what any VM does: it has no init, its kernel is shared.

``/etc/podvnet/at-boot`` is what it runs when it has booted; it begins the keeper, which is there in systemd's place.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from podvnet.cluster.control_plane import KUBECTL
from podvnet.cluster.file import File
from podvnet.cluster.node import CONTAINERD_CONFIG, KUBELET, SYSCTLS, TUNABLES
from podvnet.cluster.node_network import KUBEADM_SETTINGS
from podvnet.cluster.unit import UNITS, Unit
from podvnet.fabric.guest import AT_BOOT
from podvnet.model.address import Prefix

PODVNET = (sys.executable, "-m", "podvnet")
CONFLIST = "/etc/cni/net.d/10-azure.conflist"
AGENT_OPTIONS = "/etc/podvnet/agent.env"
"""Options of the agent as variables."""
_TUNABLES = "/run/podvnet/tunables"
BEFORE = "/etc/podvnet/before-cluster"
"""Of a VM's disk: what it had before it became part of a cluster."""
_REPLACED = (CONTAINERD_CONFIG, CONFLIST, AGENT_OPTIONS, KUBEADM_SETTINGS)
_FILLED = (KUBELET, "/var/lib/containerd", "/var/lib/etcd")
_MADE = ("/etc/kubernetes", "/var/lib/kube-proxy", "/var/log/pods", "/var/log/containers", "/opt/containerd")


@dataclass(frozen=True, slots=True)
class VmFacts:
    """A VM as the fabric tells of it.

    Attributes:
        name: of the resource.
        address: its own: the primary one of its primary NIC.
        address6: likewise of IPv6; None when the NIC has none.
        pool: how many addresses its NIC has for pods.
        pool6: likewise of IPv6.
        provider_id: how Kubernetes names VMs of Azure.
        labels: of the node that it becomes.
        network: the name of its virtual network.
        subnets: the prefixes of its subnet.
    """

    name: str
    address: IPv4Address
    address6: IPv6Address | None
    pool: int
    pool6: int
    provider_id: str
    labels: tuple[tuple[str, str], ...]
    network: str
    subnets: tuple[Prefix, ...]

    @property
    def speaks_ipv6(self) -> bool:
        """Whether it, and pods on it, can have addresses of IPv6."""
        return self.address6 is not None and self.pool6 > 0


def vms(status: Mapping[str, Any]) -> dict[str, VmFacts]:
    """The VMs that run, by name, from what the fabric's status says."""
    documents = {
        each["name"]: each
        for each in status["resources"]
        if each["type"].lower() == "microsoft.compute/virtualmachines"
    }
    subnets = {
        (network["name"], name): tuple(ip_network(prefix) for prefix in prefixes)
        for network in status["virtualNetworks"]
        for name, prefixes in network["subnets"].items()
    }
    return {
        each["name"]: _facts(each, documents[each["name"]], subnets)
        for each in status["virtualMachines"]
        if each["running"]
    }


def network_prefixes(status: Mapping[str, Any]) -> list[Prefix]:
    """The prefixes of all virtual networks: any can be peered with another."""
    return [ip_network(prefix) for network in status["virtualNetworks"] for prefix in network["prefixes"]]


def _facts(
    shown: Mapping[str, Any], document: Mapping[str, Any], subnets: Mapping[tuple[str, str], tuple[Prefix, ...]]
) -> VmFacts:
    nic = shown["nics"][0]
    secondary = [ip_address(each) for each in nic["secondary"]]
    # Only an address of IPv4 is called primary. Of IPv6 the first one is the VM's own.
    six = [each for each in secondary if each.version == 6]
    size = document.get("properties", {}).get("hardwareProfile", {}).get("vmSize", "")
    zones = document.get("zones") or []
    region = document.get("location", "")
    found = {
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": f"{region}-{zones[0]}" if zones else "",
        "node.kubernetes.io/instance-type": size,
    }
    return VmFacts(
        shown["name"],
        IPv4Address(nic["primary"]),
        six[0] if six else None,
        len(secondary) - len(six),
        max(0, len(six) - 1),
        f"azure://{document['id']}",
        tuple((name, value) for name, value in found.items() if value),
        nic["virtualNetwork"],
        subnets[nic["virtualNetwork"], nic["subnet"]],
    )


def agent_unit() -> Unit:
    """The agent, with the options that ``/etc/podvnet/agent.env`` has."""
    options = f'set -a; [ ! -e {AGENT_OPTIONS} ] || . {AGENT_OPTIONS}; exec "$@"'
    argv = ("/bin/sh", "-c", options, "sh", *PODVNET, "agent", "--conflist", CONFLIST)
    return Unit("podvnet-agent", argv, lock="/run/podvnet/agent.lock")


def _aside(path: str, folder: str) -> str:
    return f"{folder}/{path.replace('/', '_')}"


def keep_aside() -> str:
    """A script that keeps what a VM had in the place of what becoming part of a cluster writes. Done once."""
    part = f"{BEFORE}.part"
    copies = (f"[ ! -e {path} ] || cp -p {path} {_aside(path, part)}" for path in _REPLACED)
    steps = (f"rm -rf {part}", f"mkdir -p {part}", *copies, f"mv {part} {BEFORE}")
    return f"set -eu; [ -e {BEFORE} ] || {{ {'; '.join(steps)}; }}"


def give_back() -> str:
    """A script that gives a VM back what it had. What runs goes on: the VM is to be rebooted then."""
    lines = [f"rm -f {AT_BOOT} {KUBECTL}", f"rm -rf {UNITS}"]
    for path in _REPLACED:
        hidden = str(Path(path).with_name(f".{Path(path).name}.withdrawn"))
        lines += [f"rm -f {path} {hidden}", f"[ ! -e {_aside(path, BEFORE)} ] || cp -p {_aside(path, BEFORE)} {path}"]
    return "set -eu; " + "; ".join(lines)


def clear_disk() -> str:
    """A script that removes what a cluster has left on a VM's disk, once nothing of it runs."""
    inside = " ".join(f"{folder}/*" for folder in _FILLED)
    return f"set -eu; rm -rf {inside} {' '.join(_MADE)} {BEFORE}"


def at_boot(*, node: bool) -> File:
    """What the VM runs when it has booted, and when it becomes part of a cluster.

    kubelet insists on settings of the whole machine. A VM sees them as kubelet wants them, the machine keeps its own.
    """
    lines = ["#!/bin/sh", "# By `podvnet cluster up`.", "set -eu"]
    if node:
        lines += [
            f"mkdir -p {_TUNABLES} {KUBELET}",
            "tunable() {",
            '    if [ -e "/proc/sys/$1" ] && [ "$(cat "/proc/sys/$1")" != "$2" ]; then',
            f'        own="{_TUNABLES}/$(echo "$1" | tr / .)"',
            '        echo "$2" >"$own"',
            '        mount --bind "$own" "/proc/sys/$1"',
            "    fi",
            "}",
            *(f"tunable {path} {value}" for path, value in TUNABLES),
            *(f"[ ! -e /proc/sys/{path} ] || echo {value} >/proc/sys/{path}" for path, value in SYSCTLS),
            f"mountpoint -q {KUBELET} || mount --bind {KUBELET} {KUBELET}",
            f"mount --make-rshared {KUBELET}",
        ]
    lines += [f"exec {shlex.join((*PODVNET, 'cluster', 'keep', '--background'))}", ""]
    return File.text(AT_BOOT, "\n".join(lines), 0o755)
