"""What attaching a pod costs: our plug-in beside the reference ones, in one run, by turns.

    podvnet sandbox -- python benchmarks/attach.py [--quick] [--where]

Every plug-in has a node of its own and is given the same number of pods. They take turns, a tenth of the pods at a
time, so whatever else the machine does hits all alike. Compare by ratio. Nothing is asserted of times; a call that
fails ends the run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import report
import where
from case import CASES, OURS, REFERENCE, Case
from node import Node
from rich.console import Console

from podvnet import __version__
from podvnet.linux import namespace, sandbox
from podvnet.plugin.shim import best_shim, compiled_path
from podvnet.runtime import probe
from podvnet.testing.lab import Lab, podvnet

_WIDTH = 8
_WARM_UP = 5
_PARTS = 10
_FLOOR_RUNS = 20


def _resources(addresses: int) -> dict[str, Any]:
    """A virtual network with one VM for each of our cases; every secondary address is for a pod."""
    subnet = {"subnet": {"id": "virtualNetworks/bench/subnets/pods"}}
    found: list[dict[str, Any]] = [
        {
            "type": "Microsoft.Network/virtualNetworks",
            "name": "bench",
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
                "subnets": [{"name": "pods", "properties": {"addressPrefix": "10.1.0.0/20"}}],
            },
        }
    ]
    for machine in (case.machine for case in CASES if case.machine):
        configurations = [
            {"name": "primary", "properties": {"primary": True, **subnet}},
            {"name": "pod", "copy": addresses, "properties": subnet},
        ]
        nic = {"properties": {"ipConfigurations": configurations}, "name": f"{machine}-nic"}
        profile = {"networkProfile": {"networkInterfaces": [{"id": f"networkInterfaces/{machine}-nic"}]}}
        found.append({"type": "Microsoft.Network/networkInterfaces", **nic})
        found.append({"type": "Microsoft.Compute/virtualMachines", "name": machine, "properties": profile})
    return {"resources": found}


def _nodes(cases: list[Case], pods: int) -> list[Node]:
    """Bring up a fabric and a node for every case."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(_resources(255), file)
        file.flush()
        podvnet("up", "--no-agents", file.name)
    lab = Lab(probe.WhoAmI())
    nodes = []
    for case in cases:
        if case.machine:
            lab.inside(case.machine, "install", "-D", "-m", "755", str(best_shim()), OURS)
            nodes.append(Node(case, lab.vm(case.machine), lab.pin(case.machine)))
        else:
            name = f"node-{case.network}"
            namespace.create(name)
            nodes.append(Node(case, lab.namespace(name), None))
    for node in nodes:
        node.prepare(pods)
    return nodes


def _measure(nodes: list[Node], pods: int, rounds: int, console: Console) -> dict[str, Any]:
    figures = {node.case.title: report.Figures(node.case) for node in nodes}
    floors: dict[str, list[float]] = {}
    for node in nodes:
        node.add(0, _WARM_UP)
        node.delete(0, _WARM_UP)
    size = max(1, pods // _PARTS)
    parts = [(first, min(size, pods - first)) for first in range(0, pods, size)]
    for number in range(1, rounds + 1):
        console.print(f"round {number}: one after another …")
        for found in figures.values():
            found.add.append([])
            found.delete.append([])
        for part in parts:
            for node in nodes:
                figures[node.case.title].add[-1].append(node.add(*part))
            for name, walls in nodes[0].floors(_FLOOR_RUNS).items():
                floors.setdefault(name, []).extend(walls)
        for node in nodes:
            if node.case.machine:
                figures[node.case.title].memory = node.memory()
        for part, node in ((part, node) for part in parts for node in nodes):
            figures[node.case.title].delete[-1].append(node.delete(*part))
        console.print(f"round {number}: {_WIDTH} at once …")
        halves = [(0, pods // 2), (pods // 2, pods - pods // 2)]
        for part, node in ((part, node) for part in halves for node in nodes):
            figures[node.case.title].add_at_once.append(node.add(*part, _WIDTH))
        for part, node in ((part, node) for part in halves for node in nodes):
            figures[node.case.title].delete_at_once.append(node.delete(*part, _WIDTH))
    cases = {title: found.document() for title, found in figures.items()}
    return {"cases": cases, "ratios": report.ratios(cases), "floors": report.floor_document(floors)}


def _peer_version() -> str:
    asked = subprocess.run([f"{REFERENCE}/bridge"], capture_output=True, text=True, check=False, env={})
    package = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "containernetworking-plugins"],
        capture_output=True,
        text=True,
        check=False,
    )
    return package.stdout or (asked.stderr.splitlines() or ["unknown"])[0]


def _about(pods: int, rounds: int, load_before: float) -> dict[str, Any]:
    return {
        "pods": pods,
        "rounds": rounds,
        "width": _WIDTH,
        "podvnet": __version__,
        "shim": "compiled" if compiled_path().exists() else "Python",
        "peers": _peer_version(),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "loadBefore": load_before,
        "loadAfter": os.getloadavg()[0],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=250, help="pods a node (10 to 250)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="50 pods, one round")
    parser.add_argument("--where", action="store_true", help="only where the time of our ADD and DEL goes")
    parser.add_argument("--ours", action="store_true", help="without the peers")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench-attach.json"), metavar="FILE")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    console = Console(width=160)
    if not sandbox.inside():
        raise SystemExit("run it in a bubble: podvnet sandbox -- python benchmarks/attach.py")
    pods, rounds = (50, 1) if arguments.quick else (arguments.pods, arguments.rounds)
    if arguments.where:
        where.show(where.measure(pods), console)
        return
    load_before = os.getloadavg()[0]
    console.print("bringing the nodes up …")
    cases = [case for case in CASES if case.machine or not arguments.ours]
    document = _measure(_nodes(cases, pods), pods, rounds, console)
    document = {"about": _about(pods, rounds, load_before), **document}
    report.show(document, console)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
