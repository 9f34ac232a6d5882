"""What the engine makes of where gateways lead: compiled, kept for the next process, without a word in the store."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podvnet.fabric.engine import Fabric
from podvnet.fabric.reach_file import Reach, ReachFile
from podvnet.linux.error import KernelError
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.gateway import LearnedRoute
from podvnet.model.intent import Intent
from podvnet.model.kernel import Step
from podvnet.model.resource_id import Scope, make
from podvnet.testing.gateway_file import gateway_resources
from podvnet.testing.offline import Follower

GATEWAY = make(Scope(), "Microsoft.Network/virtualNetworkGateways", "vpn")
CONNECTION = make(Scope(), "Microsoft.Network/connections", "to-office")
ROUTE = LearnedRoute(GATEWAY, ip_network("192.168.0.0/16"), ip_address("192.168.255.1"), (65010, 65020))
REACH = Reach(frozenset({ROUTE}), frozenset({CONNECTION}))


class Plane(Follower):
    """A data plane that may refuse."""

    refuses = False

    def apply(self, steps: tuple[Step, ...]) -> None:
        if self.refuses:
            raise KernelError(28, "add a route")
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


def found(fabric: Fabric) -> Reach:
    return Reach(fabric.intent.learned, fabric.intent.connected)


def test_the_file_comes_back_as_it_was_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "reach.json"
    assert ReachFile(path).read() == Reach()
    ReachFile(path).write(REACH)
    assert ReachFile(path).read() == REACH
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_in_the_intent_and_survives_the_process(place: Path) -> None:
    told: list[Intent] = []
    with running(place, told.append) as (fabric, _):
        fabric.apply(gateway_resources())
        assert found(fabric) == Reach()
        told.clear()
        fabric.set_reach(REACH)
        fabric.set_reach(REACH)
        assert [Reach(each.learned, each.connected) for each in told] == [REACH], "told once"
        fabric.put(gateway_resources()[0])
        assert found(fabric) == REACH, "a write leaves it as it is"
    with running(place) as (fabric, _):
        assert found(fabric) == REACH
        fabric.down()
        assert found(fabric) == Reach()
    with running(place) as (fabric, _):
        assert found(fabric) == Reach()


def test_what_the_kernel_refuses_is_not_so(place: Path) -> None:
    with running(place) as (fabric, plane):
        fabric.apply(gateway_resources())
        plane.refuses = True
        with pytest.raises(ArmErrorsError, match="the kernel refused"):
            fabric.set_reach(REACH)
        assert found(fabric) == Reach()
    with running(place) as (fabric, _):
        assert found(fabric) == Reach()
