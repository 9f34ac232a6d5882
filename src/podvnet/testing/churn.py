"""Pods that come and go on a cluster without pause, and clients who notice when a Service fails them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import AGNHOST, CONTROL, Cluster, Object

_GRACE = 12
_SECONDS_TO_CLOSE = 6
"""How long a pod that is to end goes on serving: until everybody who leads there has heard of it."""
_SECONDS_TO_ROLL = 600.0
_INTERNAL = {
    "service.beta.kubernetes.io/azure-load-balancer-internal": "true",
}


class Asker:
    """Asks without pause, in the background, and remembers each question that was not answered. A context manager.

    Args:
        ask: one question; returns the answer, empty or beginning with ``error`` when there was none.

    Attributes:
        answered: how many were answered.
        failed: what came of the others, each with the time at which it was asked.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._stop = threading.Event()
        self.answered = 0
        self.failed: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.time()
            said = self._ask()
            if not said or said.startswith("error"):
                self.failed.append((begun, said or "nothing"))
            else:
                self.answered += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def served(name: str, replicas: int) -> list[Object]:
    """A Deployment over both nodes, and a Service with an internal address that leads straight to its pods.

    A pod that is to end serves on for :data:`_SECONDS_TO_CLOSE`, as an application does that is to lose no request.
    """
    container: Object = {
        "name": "web",
        "image": AGNHOST,
        "imagePullPolicy": "Never",
        "args": ["netexec", "--http-port=80"],
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 5},
        "lifecycle": {"preStop": {"sleep": {"seconds": _SECONDS_TO_CLOSE}}},
        "env": [{"name": "ROUND", "value": "0"}],
    }
    spread: Object = {
        "maxSkew": max(1, replicas // 5),
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }
    template: Object = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": _GRACE,
            "topologySpreadConstraints": [spread],
        },
    }
    rolling = {"rollingUpdate": {"maxSurge": "20%", "maxUnavailable": 0}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "strategy": rolling,
                "template": template,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "annotations": _INTERNAL},
            "spec": {
                "type": "LoadBalancer",
                "loadBalancerClass": "podvnet.io/pods",
                "selector": {"app": name},
                "ports": [{"port": 80}],
            },
        },
    ]


@contextmanager
def serving(cluster: Cluster, name: str, replicas: int) -> Iterator[str]:
    """Have a Deployment and its Service for the block, rolled out; the address of its load balancer."""
    objects = served(name, replicas)
    cluster.apply(objects)
    try:
        cluster.rollout(f"deployment/{name}", seconds=_SECONDS_TO_ROLL)
        assert eventually(lambda: frontend(cluster, name) != "", 120.0), cluster.events(name)  # noqa: S101
        address = frontend(cluster, name)
        reached = eventually(lambda: cluster.ask_from(cluster.lab.vm("client"), address, "/hostname") != "", 120.0)
        assert reached, f"nothing answers at {address}"  # noqa: S101 - the test's own
        yield address
    finally:
        cluster.delete(objects)


def frontend(cluster: Cluster, name: str) -> str:
    """The address of a Service's load balancer; empty as long as there is none."""
    found = cluster.get("service", name)["status"].get("loadBalancer", {}).get("ingress") or [{"ip": ""}]
    return str(found[0]["ip"])


def roll(cluster: Cluster, name: str, number: int) -> None:
    """Replace every pod of a Deployment by another, and wait until all are."""
    cluster.kubectl("set", "env", f"deployment/{name}", f"ROUND={number}")
    cluster.rollout(f"deployment/{name}", seconds=_SECONDS_TO_ROLL)


def leaks(cluster: Cluster) -> list[str]:
    """What is attached on nodes without a pod, and pods that nothing is attached for; a line each."""
    found: list[str] = []
    pods = cluster.list("pods")
    for node in cluster.nodes:
        rows = cluster.lab.agent_status(node)["attachments"]
        attached = {row["addresses"][0] for row in rows}
        wanted = {
            pod["status"].get("podIP", "")
            for pod in pods
            if pod["spec"].get("nodeName") == node
            and not pod["spec"].get("hostNetwork")
            and pod["status"].get("phase") not in {"Succeeded", "Failed"}
        }
        found += [f"{node}: {address} is attached, and no pod's" for address in sorted(attached - wanted)]
        found += [f"{node}: {address} is a pod's, and not attached" for address in sorted(wanted - attached)]
        links = json.loads(cluster.lab.inside(node, "ip", "-json", "link").stdout)
        veths = [each["ifname"] for each in links if each["ifname"].startswith("azv")]
        if len(veths) != len(attached):
            found.append(f"{node}: {len(veths)} interfaces of pods and {len(attached)} attachments")
    return found


def victims(cluster: Cluster) -> list[tuple[str, str]]:
    """The programs to kill in turn: the VM, and the unit that it keeps running."""
    first, second = cluster.nodes[:2]
    return [
        (first, "podvnet-agent"),
        (second, "kubelet"),
        (first, "containerd"),
        (CONTROL, "podvnet-controller"),
        (CONTROL, "kube-apiserver"),
        (second, "kube-proxy"),
    ]
