"""Kernel tests run inside a bubble (`podvnet sandbox`): whatever they leave is gone with it, even when they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import sandbox
from podvnet.testing.cni import POOL, Runtime
from podvnet.testing.lab import Lab, laboratory

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-subnets.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sandbox.inside():
        return
    if os.environ.get("CI"):
        pytest.exit("kernel tests must run inside `podvnet sandbox` (scripts/test does)", returncode=3)
    for item in items:
        if "kernel" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="not inside `podvnet sandbox`; scripts/test runs this tier"))


@pytest.fixture
def fresh_lab() -> Iterator[Lab]:
    """A lab of its own, for tests that break things."""
    with laboratory(EXAMPLE) as lab:
        yield lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One lab for the tests of a module."""
    with laboratory(EXAMPLE) as lab:
        yield lab


@pytest.fixture
def scratch(lab: Lab) -> Iterator[Lab]:
    """The module's lab; the pods a test makes end with it."""
    before = set(lab.pods)
    yield lab
    for name in set(lab.pods) - before:
        lab.delete_pod(name)


@pytest.fixture(scope="module")
def runtimes(lab: Lab) -> Iterator[dict[str, Runtime]]:
    """What calls the plug-in on each VM."""
    for vm in ("vm1", "vm2"):
        lab.install(vm)
    with Runtime(lab, "vm1") as first, Runtime(lab, "vm2") as second:
        yield {"vm1": first, "vm2": second}


@pytest.fixture
def cni(runtimes: dict[str, Runtime]) -> Iterator[Runtime]:
    """What calls the plug-in on the larger VM; what a test attaches ends with it."""
    runtime = runtimes["vm1"]
    yield runtime
    runtime.clear()


@pytest.fixture
def small(runtimes: dict[str, Runtime]) -> Iterator[Runtime]:
    """The smaller VM, with a pool of three addresses from a file; one that is released rests for a minute."""
    runtime = runtimes["vm2"]
    runtime.end_agent()
    runtime.lose_ledger()
    runtime.write_pool((5, 6, 7))
    runtime.start_agent("--pool-source", "file", "--pool-file", str(POOL), "--rest", "60")
    yield runtime
    runtime.clear()
    runtime.end_agent()
    runtime.lose_ledger()
    runtime.lab.install("vm2")
