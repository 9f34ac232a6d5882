"""What a cluster is like just now: which programs run on its VMs, and what its API says of nodes and DNS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podvnet.cluster.cluster_dns import NAME as DNS_NAME
from podvnet.cluster.cluster_dns import NAMESPACE as DNS_NAMESPACE
from podvnet.cluster.control_plane import KUBECTL
from podvnet.cluster.keeper import STATE
from podvnet.cluster.vm import Vm, VmError


@dataclass(frozen=True, slots=True)
class KeptUnit:
    """A unit of a VM. ``process`` is 0 when it does not run."""

    name: str
    process: int
    starts: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as the API has it. ``reason`` says why it is not ready."""

    name: str
    ready: bool
    reason: str
    version: str
    pods: int
    capacity: int


@dataclass(frozen=True, slots=True)
class ClusterState:
    """A cluster.

    Attributes:
        api: what keeps the API from answering; empty when it answers.
        nodes: those that the API knows.
        dns: how many pods of the cluster's DNS are ready.
        units: by VM; none of one that does not run or keeps nothing.
    """

    api: str
    nodes: tuple[NodeState, ...]
    dns: int
    units: Mapping[str, tuple[KeptUnit, ...]]

    def faults(self, wanted: Iterable[str]) -> list[str]:
        """What is wrong with a cluster of these nodes, a line each."""
        every = ((vm, unit) for vm, units in self.units.items() for unit in units)
        found = [f"{vm}: {unit.name} does not run" for vm, unit in every if not unit.process]
        found += [f"{vm}: nothing is kept running" for vm, units in self.units.items() if not units]
        if self.api:
            return [*found, f"the API server does not answer: {self.api}"]
        known = {node.name: node for node in self.nodes}
        found += [f"{name}: not a node of the cluster yet" for name in wanted if name not in known]
        found += [f"{node.name}: not ready: {node.reason}" for node in self.nodes if not node.ready]
        return found if self.dns else [*found, "no pod of the cluster's DNS is ready"]


def observe(control: Vm | None, vms: Mapping[str, Vm | None]) -> ClusterState:
    """Look at a cluster.

    Args:
        control: the VM of the control plane; None when it does not run.
        vms: all its VMs by name, likewise.
    """
    units = {name: units_of(vm) if vm else () for name, vm in vms.items()}
    if control is None:
        return ClusterState("its VM does not run", (), 0, units)
    try:
        nodes = json.loads(control.run(KUBECTL, "get", "nodes", "-o", "json", "--request-timeout=5s"))["items"]
        pods = json.loads(control.run(KUBECTL, "get", "pods", "-A", "-o", "json", "--request-timeout=5s"))["items"]
        dns = json.loads(
            control.run(KUBECTL, "-n", DNS_NAMESPACE, "get", "deployments", "-o", "json", "--request-timeout=5s")
        )["items"]
    except VmError as error:
        return ClusterState(str(error), (), 0, units)
    held = [
        pod["spec"].get("nodeName", "") for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}
    ]
    ready = [each["status"].get("readyReplicas", 0) for each in dns if each["metadata"]["name"] == DNS_NAME]
    return ClusterState("", tuple(_node(each, held) for each in nodes), sum(ready), units)


def _node(document: Mapping[str, Any], held: list[str]) -> NodeState:
    name, status = document["metadata"]["name"], document["status"]
    condition: Mapping[str, str] = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
    return NodeState(
        name,
        condition.get("status") == "True",
        condition.get("message", "it has said nothing"),
        status.get("nodeInfo", {}).get("kubeletVersion", ""),
        held.count(name),
        int(status.get("capacity", {}).get("pods", 0)),
    )


def units_of(vm: Vm) -> tuple[KeptUnit, ...]:
    """The units that a VM's keeper keeps; none when it has no keeper."""
    said = vm.run("cat", str(STATE), check=False)
    try:
        found = json.loads(said)
    except ValueError:
        return ()
    return tuple(
        # VMs of the fabric share the machine's processes. One whose keeper is gone is gone with it.
        KeptUnit(name, each["process"] if Path(f"/proc/{each['process']}").exists() else 0, each["starts"])
        for name, each in found.items()
    )
