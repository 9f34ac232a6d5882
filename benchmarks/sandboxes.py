"""How soon a pod's sandbox is ready in a real cluster: with podvnet, and beside it with the reference bridge plug-in.

    podvnet sandbox -- env PODVNET_KUBERNETES_BIN=… python benchmarks/sandboxes.py [--quick]

Two nodes of one cluster: podvnet attaches the pods of one, the reference plug-ins bridge and host-local those of the
other. Batches of pods run on the nodes in turn. The time is containerd's own, from its log: from kubelet's call
RunPodSandbox to its answer, so with the sandbox's container, which is most of it. Nothing is asserted of times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
from datetime import datetime
from pathlib import Path
from typing import Any

from report import percentile
from rich import box
from rich.console import Console
from rich.table import Table

from podvnet import __version__
from podvnet.linux import sandbox
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import BUSYBOX, Cluster, cluster, pod

_OURS, _PEER = "node1", "node2"
_FILE = Path(__file__).parents[1] / "tests" / "kubernetes" / "cluster.yaml"
_LOG = "/var/log/containerd.log"
_CONFLIST = "/etc/cni/net.d/00-reference.conflist"
_REFERENCE = {
    "cniVersion": "0.4.0",
    "name": "reference",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "reference0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/23"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
_LINE = re.compile(
    r'time="([^"]+)".*RunPodSandbox for &PodSandboxMetadata\{Name:([^,]+),.*?(returns sandbox id|"$|\}"$)'
)


def _use_reference(made: Cluster) -> None:
    """Have the reference plug-ins attach the pods of one node from now on."""
    for name in ("bridge", "host-local", "portmap", "loopback"):
        made.lab.inside(_PEER, "ln", "-sf", f"/usr/lib/cni/{name}", f"/opt/cni/bin/{name}")
    made.lab.inside(_PEER, "tee", _CONFLIST, stdin=json.dumps(_REFERENCE))


def _batch(made: Cluster, node: str, number: int, size: int) -> None:
    """Run pods on a node, all at once, and end them."""
    pods = [
        pod(f"bench-{number}-{each}", node=node, image=BUSYBOX, args=("sleep", "3600"), port=0, hostname="bench")
        for each in range(size)
    ]
    made.apply(pods)
    chosen = [f"pod/bench-{number}-{each}" for each in range(size)]
    made.kubectl("wait", "--for=condition=Ready", *chosen, "--timeout=300s")
    made.delete(pods)
    if not eventually(lambda: "bench-" not in made.kubectl("get", "pods", "--no-headers"), 120.0):
        raise SystemExit("pods do not end")


def _times(made: Cluster, node: str) -> list[float]:
    """Milliseconds from RunPodSandbox to its answer, of every pod of the bench on a node."""
    begun: dict[str, datetime] = {}
    found: list[float] = []
    for line in made.lab.inside(node, "cat", _LOG).stdout.splitlines():
        told = _LINE.search(line.replace('\\"', "'"))
        if not told or not told[2].startswith("bench-"):
            continue
        # Nine digits of a second are more than Python reads.
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", told[1]))
        if told[3] == "returns sandbox id":
            if told[2] in begun:
                found.append((at - begun.pop(told[2])).total_seconds() * 1000)
        else:
            begun.setdefault(told[2], at)
    return found


def _figures(times: list[float]) -> dict[str, float]:
    walls = sorted(times)
    return {
        "count": len(walls),
        "p50": round(statistics.median(walls), 1),
        "p95": round(percentile(walls, 95), 1),
        "p99": round(percentile(walls, 99), 1),
    }


def _show(document: dict[str, Any], console: Console) -> None:
    about, ours, peer = document["about"], document["podvnet"], document["reference"]
    console.print(
        f"\nRunPodSandbox, batches of {about['batch']} pods, podvnet {about['podvnet']} beside bridge and host-local;"
        f" Linux {about['kernel']}, {about['processors']} processors, load {about['loadBefore']:.1f} before and"
        f" {about['loadAfter']:.1f} after",
        highlight=False,
    )
    table = Table(box=box.SIMPLE)
    for title in ("attached by", "pods", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(title, justify="right")
    for name, found in (("podvnet", ours), ("reference", peer)):
        table.add_row(name, str(found["count"]), *(f"{found[key]:.1f}" for key in ("p50", "p95", "p99")))
    table.add_row("ratio", "", *(f"{ours[key] / peer[key]:.2f}" for key in ("p50", "p95", "p99")))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10, help="batches on each node")
    parser.add_argument("--batch", type=int, default=10, help="pods in a batch, which start at once")
    parser.add_argument("--quick", action="store_true", help="2 batches of 5")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench-sandboxes.json"), metavar="FILE")
    arguments = parser.parse_args()
    console = Console(width=160)
    if not sandbox.inside():
        raise SystemExit("run it in a bubble: scripts/bench sandboxes")
    batches, size = (2, 5) if arguments.quick else (arguments.batches, arguments.batch)
    load_before = os.getloadavg()[0]
    with cluster(_FILE) as made:
        _use_reference(made)
        for number in range(batches):
            for node in (_OURS, _PEER) if number % 2 == 0 else (_PEER, _OURS):
                console.print(f"batch {number + 1} of {batches} on {node}", highlight=False)
                _batch(made, node, number, size)
        ours, peer = (_figures(_times(made, node)) for node in (_OURS, _PEER))
    about = {
        "batch": size,
        "podvnet": __version__,
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "loadBefore": load_before,
        "loadAfter": os.getloadavg()[0],
    }
    document = {"about": about, "podvnet": ours, "reference": peer}
    _show(document, console)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console.print(f"figures: {arguments.json}")


if __name__ == "__main__":
    main()
