"""What the engine makes of health: compiled, kept for the next process, and without a word in the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.fabric.arm.world import Document
from podvnet.fabric.engine import Fabric
from podvnet.linux.error import KernelError
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.intent import Intent
from podvnet.model.kernel import Step
from podvnet.model.resource_id import Scope, make
from podvnet.testing.offline import Follower

PROBE = make(Scope(), "Microsoft.Network/loadBalancers", "public").child("probes", "p")
HEALTHY = frozenset({(PROBE, ip_address("10.1.0.5"))})


class Plane(Follower):
    """A data plane that may refuse."""

    refuses = False

    def apply(self, steps: tuple[Step, ...]) -> None:
        if self.refuses:
            raise KernelError(28, "add a rule")
        super().apply(steps)


@contextlib.contextmanager
def running(place: Path, changed: Callable[[Intent], None] = lambda _: None) -> Iterator[tuple[Fabric, Plane]]:
    plane = Plane()
    fabric = Fabric(place / "run", place / "state", (), changed, dataplane=plane)
    try:
        fabric.recover()
        yield fabric, plane
    finally:
        fabric.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def test_health_is_in_the_intent_and_survives_the_process(place: Path, stock: list[Document]) -> None:
    told: list[Intent] = []
    with running(place, told.append) as (fabric, _):
        fabric.apply(stock)
        assert fabric.intent.healthy == frozenset()
        told.clear()
        fabric.set_health(HEALTHY)
        assert [each.healthy for each in told] == [HEALTHY]
        fabric.set_health(HEALTHY)
        assert len(told) == 1, "nothing has changed"
        fabric.put(stock[-1])
        assert fabric.intent.healthy == HEALTHY, "a write leaves it as it is"
    with running(place) as (fabric, _):
        assert fabric.intent.healthy == HEALTHY
        fabric.down()
        assert fabric.intent.healthy == frozenset()
    with running(place) as (fabric, _):
        assert fabric.intent.healthy == frozenset()


def test_what_the_kernel_refuses_is_not_so(place: Path, stock: list[Document]) -> None:
    with running(place) as (fabric, plane):
        fabric.apply(stock)
        plane.refuses = True
        with pytest.raises(ArmErrorsError, match="the kernel refused"):
            fabric.set_health(HEALTHY)
        assert fabric.intent.healthy == frozenset()
    with running(place) as (fabric, _):
        assert fabric.intent.healthy == frozenset()
