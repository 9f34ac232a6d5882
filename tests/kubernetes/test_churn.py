"""Pods come and go while clients ask, and what makes their way is killed in turn: no request is lost, nothing leaks.

By default few pods and a minute; ``PODVNET_KUBERNETES_ALL`` asks for 200 pods over two nodes, for ten minutes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from podvnet.testing.churn import Asker, leaks, roll, serving, victims
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import CONTROL, Cluster
from podvnet.testing.outage import kill, kill_fabric, start_fabric
from podvnet.testing.service_controller import service_controller

_PODS, _SECONDS = (200, 600.0) if os.environ.get("PODVNET_KUBERNETES_ALL") else (12, 20.0)
_TO_CONVERGE = 120.0
_LATE = 30.0
"""Seconds by which an answer may be late when no packet was lost."""


@pytest.fixture(scope="module")
def controlled(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, its Services served."""
    with service_controller(cluster):
        yield cluster


def nodes_ready(cluster: Cluster) -> bool:
    said = cluster.kubectl("get", "nodes", "--no-headers", check=False).splitlines()
    return len(said) == len(cluster.nodes) and all(" Ready " in line for line in said)


def process_of(cluster: Cluster, vm: str, unit: str) -> int:
    return cluster.processes(vm).get(unit, 0)


def runs(cluster: Cluster, vm: str, unit: str) -> bool:
    return process_of(cluster, vm, unit) != 0


def is_back(cluster: Cluster, vm: str, unit: str, before: int) -> bool:
    return process_of(cluster, vm, unit) not in {0, before}


def test_rolling_updates_lose_no_request_by_either_kind_of_service_and_leak_no_address(controlled: Cluster) -> None:
    cluster = controlled
    cluster.run("caller", node="node1")
    client = cluster.lab.vm("client")
    rounds, until = 0, time.monotonic() + _SECONDS
    with serving(cluster, "churned", _PODS) as address:
        inner = cluster.get("service", "churned")["spec"]["clusterIP"]
        with (
            Asker(lambda: cluster.ask_from(client, address, "/hostname", late=_LATE)) as outer,
            Asker(lambda: cluster.dial("caller", inner, request="hostname")) as within,
        ):
            while rounds == 0 or time.monotonic() < until:
                rounds += 1
                roll(cluster, "churned", rounds)
    cluster.kubectl("delete", "pod", "caller", "--grace-period=1")
    sys.stdout.write(
        f"\n{_PODS} pods replaced {rounds} times: {outer.answered} + {within.answered} requests answered\n"
    )
    assert outer.failed == []
    assert within.failed == []
    assert min(outer.answered, within.answered) > 10 * rounds
    assert eventually(lambda: leaks(cluster) == [], _TO_CONVERGE), leaks(cluster)


def test_each_program_killed_in_turn_while_pods_come_and_go_loses_no_request_of_those_that_stay(
    controlled: Cluster,
) -> None:
    cluster = controlled
    client = cluster.lab.vm("client")
    told = 0
    with serving(cluster, "steady", 4) as address, serving(cluster, "moving", min(_PODS, 40)) as other:
        with Asker(lambda: cluster.ask_from(client, address, "/hostname", late=_LATE)) as asker:
            for vm, unit in victims(cluster):
                # One that a test before has given other options may be starting yet.
                assert eventually(partial(runs, cluster, vm, unit), _TO_CONVERGE), f"{unit} of {vm}"
                before = process_of(cluster, vm, unit)
                told += 1
                cluster.kubectl("set", "env", "deployment/moving", f"ROUND={told}")
                kill(before)
                assert eventually(partial(is_back, cluster, vm, unit, before), _TO_CONVERGE)
                assert eventually(lambda: nodes_ready(cluster), _TO_CONVERGE), f"after {unit} of {vm}"
                cluster.rollout("deployment/moving", seconds=_TO_CONVERGE)
            told += 1
            cluster.kubectl("set", "env", "deployment/moving", f"ROUND={told}")
            kill_fabric()
            start_fabric()
            cluster.rollout("deployment/moving", seconds=_TO_CONVERGE)
            assert eventually(lambda: cluster.ask_from(client, other, "/hostname") != "", _TO_CONVERGE)
        sys.stdout.write(f"\n{told} killed in turn: {asker.answered} requests answered\n")
        assert asker.failed == []
        assert asker.answered > told
    assert eventually(lambda: leaks(cluster) == [], _TO_CONVERGE), leaks(cluster)
    assert eventually(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok", _TO_CONVERGE), CONTROL
