"""The agent's half of growth: what it withdraws before a write, and when it asks for one."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import NoFreeAddressError, PoolAddress
from podvnet.agent.nic_writer import CertainlyRefusedError
from podvnet.agent.pool_growth import PoolGrowth
from podvnet.azure.nic_document import OWN
from podvnet.model.address import Address, Mac
from podvnet.model.attachment import Attachment, AttachmentKey, Mode
from podvnet.model.nic_pool import NicPool, PoolConfiguration
from podvnet.plan.pool_target import PoolChange, PoolPolicy

MAC = Mac("00:0d:3a:00:00:01")
GATEWAY = IPv4Address("10.1.0.1")


@dataclass
class FakeNic:
    """A NIC that does as it is told, at once; ``before`` runs ahead of a write."""

    configurations: tuple[PoolConfiguration, ...] = ()
    before: Callable[[PoolChange], None] = lambda _: None
    next: int = 16
    writes: list[PoolChange] = field(default_factory=list)

    def read(self) -> NicPool:
        return NicPool(self.configurations, 1)

    def write(self, change: PoolChange) -> NicPool:
        self.before(change)
        self.writes.append(change)
        staying = [each for each in self.configurations if each.name not in change.remove]
        for _ in range(change.add):
            address = IPv4Address("10.1.0.0") + self.next
            staying.append(PoolConfiguration(f"{OWN}{self.next}", (address,), own=True))
            self.next += 1
        self.configurations = tuple(staying)
        return self.read()


class Vm:
    """The agent's thread of a VM, run by hand: tasks wait until :meth:`work`."""

    def __init__(self, path: Path) -> None:
        self.nic = FakeNic()
        self.ledger = Ledger(path / "ledger.db", "boot")
        self.tasks: queue.Queue[Callable[[], None]] = queue.Queue()
        self.looks = 0
        self.retries = 0
        self.growth = PoolGrowth(self.ledger, PoolPolicy(), 0.0, lambda _: self.nic, self._look)
        self.growth.start(self.tasks.put, self._retry)

    def _look(self, _: float) -> None:
        self.looks += 1

    def _retry(self) -> None:
        self.retries += 1

    def work(self, tasks: int) -> None:
        """Do what the writer's thread hands over."""
        for _ in range(tasks):
            self.tasks.get(timeout=10)()

    def list(self) -> bool:
        """The platform lists what the NIC has."""
        listed = self.nic.read().addresses
        self.ledger.fill(PoolAddress(IPv4Interface(f"{each}/24"), GATEWAY) for each in sorted(listed))
        return self.growth.listed(MAC, listed)

    def add(self, name: str) -> Attachment:
        attachment = self.ledger.begin(
            AttachmentKey("azure", name, "eth0"), Mode.TRANSPARENT, mac=MAC, mtu=1500, sandbox="", sandbox_id="",
            pod="", versions=(4,), wanted=(), within=None, now=time.monotonic(), rest=0.0,
        )  # fmt: skip
        self.ledger.publish(attachment.number, b"")
        return attachment

    def settle(self, waiting: int = 0) -> None:
        self.growth.consider(waiting)
        self.work(2)  # the decision, and what came of it


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    made = Vm(tmp_path)
    made.list()
    yield made
    made.growth.stop()
    made.ledger.close()


def test_a_nic_without_addresses_gets_the_first_batch_before_any_pod_asks(vm: Vm) -> None:
    vm.settle()
    assert vm.nic.writes == [PoolChange(16)]
    assert vm.looks == 1, "the platform is asked at once"
    assert vm.growth.prospect().growing
    assert vm.list()
    vm.growth.consider(0)
    assert vm.tasks.empty()


def test_new_addresses_are_given_out_when_the_platform_lists_them(vm: Vm) -> None:
    vm.settle()
    with pytest.raises(NoFreeAddressError):
        vm.add("early")
    vm.list()
    assert vm.add("late").addresses


def test_an_address_on_its_way_out_is_given_to_nobody(vm: Vm) -> None:
    vm.settle(waiting=40)
    vm.list()
    given: list[set[Address]] = []

    def attach(change: PoolChange) -> None:
        leaving = {a for each in vm.nic.configurations if each.name in change.remove for a in each.addresses}
        assert len(leaving) == 32
        taken = {vm.add(f"pod-{number}").addresses[0].ip for number in range(16)}
        with pytest.raises(NoFreeAddressError):
            vm.add("one-more")
        given.append(leaving & taken)

    vm.nic.before = attach
    vm.settle()
    assert given == [set()]
    assert vm.ledger.count(0.0, 0.0).withdrawn == 32
    vm.list()
    assert vm.ledger.count(0.0, 0.0).withdrawn == 0


def test_a_removal_that_was_refused_gives_the_addresses_back_to_the_pool(vm: Vm) -> None:
    vm.settle(waiting=40)
    vm.list()

    def refuse(_: PoolChange) -> None:
        raise CertainlyRefusedError("no", "ask", retryable=False)

    vm.nic.before = refuse
    vm.settle()
    assert vm.ledger.count(0.0, 0.0).withdrawn == 0
    assert vm.retries == 1, "those who wait are told"
    prospect = vm.growth.prospect()
    assert not prospect.growing
    assert prospect.obstacle
    assert vm.growth.report()["obstacle"] == "no"


def test_a_removal_that_a_crash_interrupted_is_finished_at_the_next_start(vm: Vm, tmp_path: Path) -> None:
    vm.settle()
    vm.list()
    vm.ledger.withdraw([vm.nic.configurations[3].addresses[0]])
    vm.growth.stop()
    vm.ledger.close()
    again = Vm(tmp_path)
    again.nic = vm.nic
    again.list()
    again.settle()
    assert again.nic.writes[-1] == PoolChange(remove=frozenset({f"{OWN}19"}))
    again.growth.stop()
    again.ledger.close()


def test_an_address_that_comes_back_after_it_was_given_back_is_used_again(vm: Vm) -> None:
    vm.settle()
    vm.list()
    address = vm.nic.configurations[0].addresses[0]
    vm.ledger.withdraw([address])
    vm.settle(waiting=20)
    assert vm.ledger.count(0.0, 0.0).withdrawn == 1, "the platform has not listed the pool without it yet"
    vm.nic.configurations = (PoolConfiguration(f"{OWN}again", (address,), own=True), *vm.nic.configurations)
    vm.ledger.keep(vm.nic.read().addresses)
    assert vm.ledger.count(0.0, 0.0).withdrawn == 0


def test_a_change_by_others_is_read_before_the_next_decision(vm: Vm) -> None:
    vm.settle()
    vm.list()
    vm.nic.configurations = vm.nic.configurations[:4]
    vm.list()
    vm.settle()
    assert vm.nic.writes == [PoolChange(16), PoolChange(12)]
