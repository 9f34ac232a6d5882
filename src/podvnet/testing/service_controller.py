"""The controller of Services beside a cluster: a program that the VM of its control plane keeps running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from podvnet.cluster.control_plane import ADMIN_CONFIG
from podvnet.cluster.unit import UNITS, Unit
from podvnet.testing.kubernetes import CONTROL, Cluster
from podvnet.testing.lab import PODVNET

NAME = "podvnet-controller"


@contextmanager
def service_controller(cluster: Cluster, subnet: str = "balancers", *options: str) -> Iterator[None]:
    """Have Services served for the block, quickly. It is for the block to delete those it makes.

    Args:
        cluster: the cluster.
        subnet: of its virtual network, where internal addresses come from.
        *options: of ``podvnet controller``.
    """
    network = next(
        each
        for each in cluster.lab.status()["resources"]
        if each["type"].endswith("/virtualNetworks") and each["name"] == "cluster"
    )
    place = f"{network['id']}/subnets/{subnet}"
    quickly = ("--interval", "0.5", "--tidy-after", "1")
    argv = (*PODVNET, "controller", "--kubeconfig", ADMIN_CONFIG, "--subnet", place, *quickly, *options)
    path = f"{UNITS}/{NAME}.json"
    cluster.lab.inside(CONTROL, "tee", path, stdin=json.dumps(Unit(NAME, argv).document()))
    try:
        cluster.lab.inside(CONTROL, *PODVNET, "cluster", "keep", "--background")
        yield
    finally:
        cluster.lab.inside(CONTROL, "rm", path)
        cluster.lab.inside(CONTROL, *PODVNET, "cluster", "keep", "--background")
