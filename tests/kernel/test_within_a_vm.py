"""A load balancer that leads from a VM back to a pod of that VM, as docs/network.md says of each mode.

The answer takes the way inside the VM where there is one, past the load balancer, and so comes from the wrong address.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.testing.lab import PODVNET
from podvnet.testing.stage import Stage, stage

MEMBER, CALLER, FRONTEND = ("10.1.1.5", 8080), "10.1.1.6", ("10.1.1.100", 80)
SECONDS = {"yes": 10.0, "no": 1.0}
PAGE = Path(__file__).parents[2] / "docs" / "network.md"
ROWS = re.findall(
    r"^\| `(transparent|bridge|tunnel)` \| (yes|no) \| (yes|no) \|$", PAGE.read_text("utf-8"), re.MULTILINE
)


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file beside this one."""
    with stage(Path(__file__).with_name("within-a-vm.yaml")) as made:
        yield made


def connects(descriptor: int, seconds: float) -> str:
    """Whether a connection to the frontend comes about from a namespace."""
    with namespace.entered(descriptor):
        caller = socket.socket()
    with caller:
        caller.settimeout(seconds)
        try:
            caller.connect(FRONTEND)
        except TimeoutError:
            return "no"
        return "yes"


def test_the_page_has_every_mode() -> None:
    assert [mode for mode, *_ in ROWS] == ["transparent", "bridge", "tunnel"]


@pytest.mark.parametrize(("mode", "by_pod", "by_vm"), ROWS)
def test_a_member_on_the_callers_own_vm(mode: str, by_pod: str, by_vm: str, net: Stage) -> None:
    lab = net.lab
    lab.inside("vm", *PODVNET, "uninstall", "--force")
    lab.install("vm", "--mode", mode)
    names = [f"{mode}-{number}" for number in range(2)]
    pods = {pod.address: pod for pod in (lab.run_pod(name, "vm") for name in names)}
    with namespace.entered(pods[MEMBER[0]].descriptor):
        server = socket.create_server(MEMBER)
    with server:
        assert connects(pods[CALLER].descriptor, SECONDS[by_pod]) == by_pod
        assert connects(lab.vm("vm"), SECONDS[by_vm]) == by_vm
    for name in names:
        lab.delete_pod(name)
