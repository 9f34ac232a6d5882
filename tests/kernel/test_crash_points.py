"""The power of the agent's process goes between any two steps of an ADD or a DEL; the next start mends it.

The verbs run in a child process that ends without a word before or after its n-th touch of the ledger or the kernel,
for every n until the verb gets through. Then a new life looks at what is left.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from podvnet.agent.egress import Egress
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import PoolAddress
from podvnet.agent.reconcile import Mended, reconcile
from podvnet.agent.standing import Standing
from podvnet.agent.verbs import Verbs
from podvnet.agent.wiring import Wiring
from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.executor import Executor
from podvnet.linux.netlink import NetlinkSocket
from podvnet.linux.nfnetlink import SetSocket
from podvnet.linux.reaper import Reaper
from podvnet.model.address import GATEWAY6, Mac
from podvnet.model.attachment import Node
from podvnet.model.kernel import InterfaceAddress, LinkUp, Step, VethPair
from podvnet.plan.attachment_program import HOST
from podvnet.plugin.network_config import Environment
from podvnet.plugin.request import parse_request

VM, POD, FABRIC = "crash-vm", "crash-pod", "crash-fabric"
MAC = Mac("00:0d:3a:00:00:01")
NODE = Node(
    nic_name="eth0",
    nic_index=2,
    nic_mac=MAC,
    primary=(ip_address("10.1.1.4"), ip_address("fd00::4")),
    subnets=(ip_network("10.1.1.0/24"), ip_network("fd00::/64")),
    mtu=1500,
)
POOL = [
    PoolAddress(ip_interface(f"{address}{n}/{length}"), gateway)
    for address, length, gateway in (("10.1.1.", 24, ip_address("10.1.1.1")), ("fd00::", 64, GATEWAY6))
    for n in (5, 6, 7)
]
CRASHED = 77

# Whatever changes the ledger or the kernel.
TOUCHES: tuple[tuple[type, str], ...] = (
    (Ledger, "begin"),
    (Ledger, "publish"),
    (Ledger, "leave"),
    (Ledger, "release"),
    (NetlinkSocket, "transact"),
    (SetSocket, "add"),
    (SetSocket, "remove"),
)


@dataclass
class Life:
    """The parts of an agent, from start to end."""

    ledger: Ledger
    executor: Executor
    wiring: Wiring
    verbs: Verbs
    reaper: Reaper

    def close(self) -> None:
        self.reaper.stop()
        self.ledger.close()
        self.executor.close()


@pytest.fixture(params=["transparent", "bridge", "tunnel"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def vm() -> Iterator[None]:
    """A VM's namespace with a NIC, and a pod's."""
    for name in (VM, POD, FABRIC):
        namespace.create(name)
    executor = Executor()
    executor.apply(
        (
            Step(True, FABRIC, VethPair("port", 10, Mac("12:34:56:78:9a:bc"), VM, "eth0", 2, MAC)),
            Step(True, VM, LinkUp(2)),
            Step(True, VM, InterfaceAddress(2, ip_interface("10.1.1.4/24"))),
            Step(True, VM, InterfaceAddress(2, ip_interface("fd00::4/128"))),
        )
    )
    executor.close()
    yield
    for name in (VM, POD, FABRIC):
        namespace.delete(name)


def live(ledger_path: Path) -> Life:
    """Start an agent's parts in the VM. The calling thread stays in the VM's namespace."""
    executor = Executor()
    with namespace.opened(VM) as descriptor:
        namespace.set_namespace(descriptor)
        executor.lend(HOST, descriptor)
    reaper = Reaper(executor.door(HOST).descriptor)
    ledger = Ledger(ledger_path, "this-boot")
    ledger.fill(POOL)
    egress = Egress(executor, ledger, pods_may_ask_platform=False)
    egress.ensure(NODE, "azure0")
    wiring = Wiring(executor, reaper)
    verbs = Verbs(
        executor,
        ledger,
        wiring,
        egress,
        Standing(node=NODE),
        rest=0.0,
        bridge="azure0",
        environments=frozenset(Environment),
        refresh=lambda: None,
    )
    reaper.start()
    return Life(ledger, executor, wiring, verbs, reaper)


def serve(life: Life, command: str, container: str, mode: str) -> dict[str, Any]:
    config = {"cniVersion": "1.0.0", "name": "azure", "type": "azure-vnet", "mode": mode}
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": str(namespace.path(POD)),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
        "PODVNET_PROGRAM": "azure-vnet",
    }
    with namespace.opened(POD) as sandbox:
        answer = life.verbs.serve(parse_request(environment, json.dumps(config).encode()), sandbox)
    result: dict[str, Any] = json.loads(answer or b"{}")
    return result


def in_child(action: Callable[[], None]) -> int:
    """Run an action in a child process; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent sees an exit code only
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def crash_at(point: int) -> None:
    """End this process at the n-th touch: even numbers before it, odd ones after."""
    count = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def touch(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if count == point:
                os._exit(CRASHED)
            count += 1
            outcome = original(*args, **kwargs)
            if count == point:
                os._exit(CRASHED)
            count += 1
            return outcome

        return touch

    for owner, name in TOUCHES:
        setattr(owner, name, wrapped(getattr(owner, name)))


def crashing(ledger_path: Path, command: str, container: str, mode: str, point: int) -> int:
    """Serve one request in a life that ends at a point; CRASHED, or 0 when it got through."""

    def action() -> None:
        life = live(ledger_path)
        crash_at(point)
        serve(life, command, container, mode)
        os._exit(0)  # the reaper's deletion is no part of the verb

    return in_child(action)


def look(ledger_path: Path, container: str, mode: str, *, attached: bool | None) -> None:
    """In a new life: mend, compare ledger and kernel, then attach and detach once more."""

    def action() -> None:
        life = live(ledger_path)
        reconcile(life.ledger, life.wiring, NODE)
        assert reconcile(life.ledger, life.wiring, NODE) == Mended(), "the first look left something to mend"
        rows = life.ledger.rows()
        if attached is not None:
            assert bool(rows) == attached
        assert {row.attachment.link_index for row in rows} == set(life.wiring.links())
        for row in rows:
            with namespace.opened(POD) as sandbox:
                assert life.wiring.faults(row.attachment, sandbox) == []
        assert all([each.version for each in row.attachment.addresses] == [4, 6] for row in rows)
        for version in (4, 6):
            assert life.ledger.count(0.0, 0.0, version).held == len(rows)
        assert life.wiring.stray_elements([row.attachment for row in rows]) == []
        result = serve(life, "ADD", container, mode)
        assert serve(life, "ADD", container, mode) == result
        serve(life, "DEL", container, mode)
        assert life.ledger.rows() == []
        assert life.wiring.links() == {}
        assert life.wiring.stray_elements([]) == []
        netlink = life.executor.door(HOST).route
        pods = {each.interface.ip for each in POOL}
        assert not pods & {each.address for each in rtnetlink_dump.neighbours(netlink)}
        assert not pods & {each.destination.network_address for each in rtnetlink_dump.routes(netlink)}
        life.close()

    assert in_child(action) == 0


def test_an_add_that_crashes_anywhere(vm: None, mode: str, tmp_path: Path) -> None:
    for point in range(100):
        container, ledger = secrets.token_hex(32), tmp_path / f"{point}.db"
        code = crashing(ledger, "ADD", container, mode, point)
        # Once through: answered attachments stay. Before that either is right, as nobody was told.
        look(ledger, container, mode, attached=True if code == 0 else None)
        if code == 0:
            assert point >= 8, "an ADD touches ledger and kernel more often than that"
            return
        assert code == CRASHED
    pytest.fail("an ADD that never gets through")


def test_a_del_that_crashes_anywhere(vm: None, mode: str, tmp_path: Path) -> None:
    for point in range(100):
        container, ledger = secrets.token_hex(32), tmp_path / f"{point}.db"
        assert crashing(ledger, "ADD", container, mode, 1000) == 0
        code = crashing(ledger, "DEL", container, mode, point)
        look(ledger, container, mode, attached=False if code == 0 else None)
        if code == 0:
            assert point >= 6
            return
        assert code == CRASHED
    pytest.fail("a DEL that never gets through")


def test_a_ledger_that_is_lost_is_written_anew_from_the_kernel(vm: None, mode: str, tmp_path: Path) -> None:
    container = secrets.token_hex(32)
    assert crashing(tmp_path / "first.db", "ADD", container, mode, 1000) == 0
    (tmp_path / "second.db").write_bytes(b"this is not a database" * 100)
    look(tmp_path / "second.db", container, mode, attached=True)


def test_a_ledger_of_an_earlier_boot_is_harmless(vm: None, mode: str, tmp_path: Path) -> None:
    container, path = secrets.token_hex(32), tmp_path / "ledger.db"
    old = Ledger(path, "an-earlier-boot")
    old.fill(POOL)
    old.close()
    assert crashing(path, "ADD", container, mode, 1000) == 0
    look(path, container, mode, attached=True)
