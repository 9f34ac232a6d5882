"""A real cluster on VMs of a fabric. Run inside a bubble by ``scripts/test kubernetes``, which builds its programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import sandbox
from podvnet.testing.kubernetes import Cluster
from podvnet.testing.kubernetes import cluster as made_cluster

FILE = Path(__file__).with_name("cluster.yaml")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    if sandbox.inside():
        return
    if os.environ.get("CI"):
        pytest.exit("these tests must run inside `podvnet sandbox` (scripts/test kubernetes does)", returncode=3)
    for item in items:
        if "kubernetes" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="not inside `podvnet sandbox`; scripts/test kubernetes does"))


def _turn(item: pytest.Item) -> int:
    """When a test has its turn: there is one fabric at a time, and one cluster on it.

    First those that bring up a fabric of their own, then those that take the cluster there is, then those that say how
    its pods are attached.
    """
    if "kubernetes" not in item.path.parts or not isinstance(item, pytest.Function):
        return 0
    if "cluster" not in item.fixturenames:
        return 0
    return 2 if "cluster" in getattr(getattr(item, "callspec", None), "params", {}) else 1


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One cluster for all: two nodes with 150 addresses for pods each; see ``cluster.yaml`` for what is around it.

    A test that is parametrized indirectly, with scope ``session``, says how pods are attached: there is one cluster for
    each way then, one after another.
    """
    with made_cluster(FILE, "--mode", getattr(request, "param", "transparent")) as made:
        yield made
