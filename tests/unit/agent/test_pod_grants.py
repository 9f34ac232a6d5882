"""Whatever is asked, whatever fails, wherever the agent ends: nothing is left of an ask that nobody has any more.

The resource manager is a model in memory at the edge of ``azure/``: one NIC and the public addresses beside it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from podvnet.agent.grant_store import GRANTS, GrantStore
from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import NoFreeAddressError, PoolAddress
from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.nic_writer import CertainlyRefusedError, NicChangedError
from podvnet.agent.pod_grants import PodGrants
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.azure.error import SourceError
from podvnet.model.address import Address, Mac
from podvnet.model.attachment import AttachmentKey, Mode, Node
from podvnet.model.nic_membership import MemberConfiguration, NicMembership, Owner
from podvnet.model.pod_ask import GROUP, NEW, PUBLIC_ADDRESS, Members, PodAsk
from podvnet.model.pod_grant import GrantState
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.plan.grant_change import GrantChange
from podvnet.plugin.error import CniError

MAC = Mac("00:0d:3a:00:00:01")
SCOPE = Scope()
NIC = make(SCOPE, "Microsoft.Network/networkInterfaces", "nic")
VMS = frozenset({make(SCOPE, GROUP, "vms")})
NODE = Node("eth0", 2, MAC, (IPv4Address("10.1.0.4"),), (ip_network("10.1.0.0/24"),), 1500)
BAD = "nobody"


@dataclass
class FakeNic:
    """A NIC with a pool of six addresses; ``failures`` are raised, one a request, None for none."""

    failures: deque[SourceError | None] = field(default_factory=deque)
    configurations: list[MemberConfiguration] = field(default_factory=list)
    publics: set[str] = field(default_factory=set)
    writes: list[GrantChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        own = MemberConfiguration("primary", (IPv4Address("10.1.0.4"),), Owner.PRIMARY, Members(VMS))
        theirs = MemberConfiguration("theirs", (IPv4Address("10.1.0.5"),), Owner.OTHER, Members(VMS))
        pool = [
            MemberConfiguration(f"podvnet-pool-{n}", (IPv4Address("10.1.0.16") + n,), Owner.POOL, Members(VMS))
            for n in range(6)
        ]
        self.configurations = [own, theirs, *pool]

    def membership(self) -> NicMembership:
        return NicMembership(NIC, VMS, tuple(self.configurations))

    def listed(self) -> frozenset[Address]:
        return frozenset(each.addresses[0] for each in self.configurations if each.owner is not Owner.PRIMARY)

    def read(self) -> NicMembership:
        self._fail()
        return self.membership()

    def write(self, change: GrantChange) -> NicMembership:
        self._fail()
        self.writes.append(change)
        for each in change.put:
            if each.public:
                self.publics.add(each.public.name)
        for each in change.put:
            if any(group.name == BAD for group in each.members.groups):
                raise CertainlyRefusedError(f"there is no {BAD}", "ask for another", retryable=False)
            public = each.members.public
            assert public is None or public.name in self.publics, "it is made before it is used"
        staying = {each.addresses[0]: each for each in self.configurations if each.name not in change.remove}
        for each in change.put:
            fresh = MemberConfiguration(f"podvnet-pod-{each.address}", (each.address,), Owner.POD, each.members)
            staying[each.address] = replace(staying.get(each.address, fresh), members=each.members)
        self.configurations = list(staying.values())
        used = [each.members.public for each in self.configurations if each.members.public]
        assert len(used) == len(set(used)), "a public address is one ip-configuration's"
        self._fail()  # the answer is lost
        return self.membership()

    def discard(self, name: str) -> None:
        self._fail()
        assert self.public_id(name) not in {each.members.public for each in self.configurations}, "it is in use"
        self.publics.discard(name)

    @staticmethod
    def public_id(name: str) -> ResourceId:
        return make(SCOPE, PUBLIC_ADDRESS, name)

    def _fail(self) -> None:
        error = self.failures.popleft() if self.failures else None
        if error:
            raise error


class Vm:
    """The agent's thread and the writer's, run by hand, and lives one after another over the same files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nic = FakeNic()
        self.tasks: deque[Callable[[], None]] = deque()
        self.live(boot="first")

    def live(self, boot: str) -> None:
        """A new agent, on a machine that may have been booted anew."""
        self.ledger = Ledger(self.path / "ledger.db", boot)
        self.store = GrantStore(self.path / GRANTS)
        reserved = ReservedAddresses(self.ledger)
        self.grants = PodGrants(self.store, reserved, 0.0, lambda _: self.nic, lambda _: None)
        # No thread: what the writer hands over is done at once, what the agent does later waits in a queue.
        self.grants._submit = self._now
        self.grants._changed = lambda: None
        self.attached = {row.attachment.key for row in self.ledger.rows()}
        self.list()
        self.grants.stand(MAC, self.attached)

    def _now(self, task: Callable[[], None]) -> None:
        task()

    def die(self) -> None:
        self.ledger.close()
        self.store.close()

    def list(self) -> None:
        listed = self.nic.listed()
        self.ledger.fill(PoolAddress(IPv4Interface(f"{each}/24"), IPv4Address("10.1.0.1")) for each in sorted(listed))
        self.grants.listed(listed)

    def work(self) -> None:
        """Let the writer work until it is content or gives up for now, then let the platform list."""
        self.grants._writer.settle(MAC, lambda _: True)
        self.list()

    def settle(self) -> None:
        self.nic.failures.clear()
        self.work()
        self.list()

    def admit(self, name: str, ask: PodAsk | None, pod: str = "") -> Address:
        """An ADD, tried until what it waits for has been worked at twice."""
        key = key_of(name)
        for _ in range(2):
            try:
                found = self.grants.admit(ask, key, pod, NODE)
            except MustWaitError:
                self.work()
        found = self.grants.admit(ask, key, pod, NODE)
        attachment = self.ledger.begin(
            key, Mode.TRANSPARENT, mac=MAC, mtu=1500, sandbox="", sandbox_id="", pod=pod, versions=(4,),
            wanted=(found,) if found else (), within=None, now=0.0, rest=0.0, granted=found,
        )  # fmt: skip
        self.ledger.publish(attachment.number, b"")
        self.grants.confirm(key)
        return attachment.addresses[0].ip

    def add(self, name: str, ask: PodAsk | None, pod: str = "") -> Address | None:
        try:
            return self.admit(name, ask, pod)
        except (CniError, MustWaitError, NoFreeAddressError):
            self.grants.abandon(key_of(name))
            return None

    def delete(self, name: str) -> None:
        row = self.ledger.find(key_of(name))
        if row:
            self.ledger.release(row.attachment.number, 0.0)
        self.grants.release(key_of(name))

    def members(self, address: Address) -> Members:
        found = self.nic.membership().holding(address)
        assert found is not None
        return found.members

    def spotless(self) -> bool:
        """Nothing of any ask is left anywhere."""
        return (
            self.nic.configurations == FakeNic().configurations
            and not self.nic.publics
            and not self.store.grants
            and self.ledger.count(0.0, 0.0).held == len(self.ledger.rows())
        )


def key_of(name: str) -> AttachmentKey:
    return AttachmentKey("azure", name, "eth0")


@pytest.fixture
def vm(tmp_path: Path) -> Vm:
    return Vm(tmp_path)


def test_a_pod_without_an_ask_takes_no_part_in_any_of_this(vm: Vm) -> None:
    assert vm.grants.admit(None, key_of("plain"), "default/plain", NODE) is None
    assert vm.nic.writes == []


def test_asks_that_come_together_are_one_write(vm: Vm) -> None:
    vm.work()
    for number in range(4):
        with pytest.raises(MustWaitError):
            vm.grants.admit(PodAsk(groups=(f"g{number}",)), key_of(str(number)), "", NODE)
    vm.work()
    assert [len(each.put) for each in vm.nic.writes] == [4]


def test_one_that_is_refused_is_refused_alone(vm: Vm) -> None:
    vm.work()
    for name in ("a", BAD, "c"):
        with pytest.raises(MustWaitError):
            vm.grants.admit(PodAsk(groups=(name,)), key_of(name), "", NODE)
    vm.work()
    assert vm.admit("a", PodAsk(groups=("a",))) != vm.admit("c", PodAsk(groups=("c",)))
    with pytest.raises(CniError, match="there is no nobody"):
        vm.admit(BAD, PodAsk(groups=(BAD,)))
    vm.delete("a")
    vm.delete("c")
    vm.settle()
    assert vm.spotless()


def test_an_address_is_given_to_nobody_until_it_is_clean(vm: Vm) -> None:
    address = vm.admit("asks", PodAsk(groups=("web",)))
    vm.delete("asks")
    others = {vm.admit(str(number), None) for number in range(6)}
    assert address not in others
    with pytest.raises(NoFreeAddressError):
        vm.admit("late", None)
    vm.work()
    assert vm.members(address) == Members(VMS)
    assert vm.admit("late", None) == address


def test_a_public_address_that_cannot_be_deleted_holds_up_nothing_else(vm: Vm) -> None:
    vm.admit("asks", PodAsk(public=NEW))
    vm.delete("asks")
    forbidden = CertainlyRefusedError("you may not", "ask for the right", retryable=False)
    vm.nic.failures.extend([None, None, None, forbidden])
    vm.work()
    assert len(vm.nic.publics) == 1
    assert [each.state for each in vm.store.grants.values()] == [GrantState.LEAVING]
    assert vm.grants.report()[0]["obstacle"] == "you may not"
    assert vm.grants._writer._again == pytest.approx(60, rel=0.5)
    vm.settle()
    assert vm.spotless()


def test_a_pod_has_a_public_address_from_when_it_is_granted_until_the_pod_goes(vm: Vm) -> None:
    quiet, ahead = vm.admit("quiet", PodAsk(groups=("web",))), PodAsk(public=NEW)
    with pytest.raises(MustWaitError):
        vm.grants.admit(ahead, key_of("asks"), "", NODE)
    assert vm.grants.publics == frozenset()
    address = vm.admit("asks", ahead)
    assert address != quiet
    assert vm.grants.publics == {address}
    vm.die()
    vm.live("first")
    assert vm.grants.publics == {address}
    vm.delete("asks")
    assert vm.grants.publics == frozenset()


def test_members_are_not_asked_for_an_address_that_is_others(vm: Vm) -> None:
    assert vm.add("plain", PodAsk(address=IPv4Address("10.1.0.5"))) == IPv4Address("10.1.0.5")
    vm.delete("plain")
    vm.settle()
    with pytest.raises(CniError, match="podvnet did not make"):
        vm.admit("groups", PodAsk(address=IPv4Address("10.1.0.5"), groups=("web",)))


def test_an_address_that_was_put_on_the_nic_stays_reserved_until_the_platform_lists_it_no_more(vm: Vm) -> None:
    address = IPv4Address("10.1.0.77")
    assert vm.admit("asks", PodAsk(address=address)) == address
    listed = vm.nic.listed()
    vm.delete("asks")
    vm.grants._writer.settle(MAC, lambda _: True)
    assert address not in vm.nic.listed()
    vm.grants.listed(listed)
    assert vm.ledger.usage(0.0, 0.0)[0] == {address}
    vm.list()
    assert vm.ledger.usage(0.0, 0.0)[0] == frozenset()


def test_what_a_sticky_pod_of_before_had_is_off_before_the_next_has_the_address(vm: Vm) -> None:
    address = vm.admit("first", PodAsk(sticky=True, groups=("web",), public=NEW), "default/db")
    vm.delete("first")
    vm.nic.failures.extend([SourceError("silence", "wait", retryable=True)] * 2)
    with pytest.raises(MustWaitError, match=r"off 10\.1\.0\.16 yet"):
        vm.admit("second", None, "default/db")
    vm.settle()
    assert vm.admit("second", None, "default/db") == address
    assert vm.members(address) == Members(VMS)
    assert vm.nic.publics == set()


def test_a_disk_that_is_full_refuses_the_ask_and_keeps_no_address(vm: Vm) -> None:
    vm.work()
    vm.store._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(CniError, match="cannot be written") as refusal:
        vm.admit("asks", PodAsk(groups=("web",)))
    assert int(refusal.value.code) == 5
    assert vm.spotless()


def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / GRANTS).write_bytes(b"no database" * 1000)
    store = GrantStore(tmp_path / GRANTS)
    assert store.grants == {}
    assert (tmp_path / f"{GRANTS}.bad").read_bytes().startswith(b"no database")
    store.close()


PASSING = SourceError("throttled", "wait", retryable=True, retry_after=1.0)
FAILURES = st.sampled_from([None, None, PASSING, NicChangedError("changed", "", retryable=True)])
PARTS = st.builds(
    PodAsk,
    groups=st.none() | st.sampled_from([("web",), (), ("web", "db"), (BAD,)]),
    public=st.none() | st.just(NEW),
    address=st.none() | st.sampled_from([IPv4Address(f"10.1.0.{n}") for n in (4, 5, 16, 17, 77, 78)]),
    sticky=st.none() | st.just(True),
)


class Asks(RuleBasedStateMachine):
    """Pods that come and go with and without asks, on an agent that ends at any time, at a platform that fails."""

    @initialize()
    def begin(self) -> None:
        self.directory = TemporaryDirectory()
        self.vm = Vm(Path(self.directory.name))
        self.numbers = itertools.count()
        self.pods: dict[str, tuple[str, PodAsk | None, Address]] = {}

    @rule(ask=st.none() | PARTS, pod=st.sampled_from(["", "default/a", "default/b"]))
    def add(self, ask: PodAsk | None, pod: str) -> None:
        name = str(next(self.numbers))
        address = self.vm.add(name, ask, pod)
        if address is not None:
            self.pods[name] = pod, ask, address

    @rule(ask=PARTS)
    def begin_to_add(self, ask: PodAsk) -> None:
        """An ADD of which nobody hears again: the agent ends while it waits, or the caller leaves."""
        name = str(next(self.numbers))
        with suppress(CniError, MustWaitError, NoFreeAddressError):
            self.vm.grants.admit(ask, key_of(name), "", NODE)
        self.vm.work()

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pods)))
        del self.pods[name]
        self.vm.delete(name)

    @rule(failures=st.lists(FAILURES, max_size=5))
    def work(self, failures: list[SourceError | None]) -> None:
        self.vm.nic.failures.extend(failures)
        self.vm.work()

    @rule(reboot=st.booleans())
    def die(self, *, reboot: bool) -> None:
        self.vm.die()
        if reboot:
            self.pods.clear()
        self.vm.live(boot=f"boot {next(self.numbers)}" if reboot else "first")
        if not reboot and self.vm.attached != {key_of(name) for name in self.pods}:
            self.vm.die()  # an earlier reboot emptied the ledger: pods of that boot are gone
            self.pods.clear()
            self.vm.live(boot="first")

    @rule(pod=st.sampled_from(["default/a", "default/b"]))
    def give_up(self, pod: str) -> None:
        self.vm.grants.reservations.give_up(pod, "eth0")

    @rule(pod=st.sampled_from(["default/a", "default/b"]), ask=PARTS)
    def ask_ahead(self, pod: str, ask: PodAsk) -> None:
        with suppress(CniError):
            self.vm.grants.reservations.reserve(pod, "eth0", ask)

    @invariant()
    def every_pod_has_an_address_of_its_own_and_what_it_asked_for(self) -> None:
        if not hasattr(self, "vm"):
            return
        held = [address for _, _, address in self.pods.values()]
        assert len(held) == len(set(held))
        for _, ask, address in self.pods.values():
            if ask and ask.groups is not None:
                assert {each.name for each in self.vm.members(address).groups} == set(ask.groups)
            if ask and ask.public:
                public = self.vm.members(address).public
                assert public is not None
                assert public.name in self.vm.nic.publics
            if ask and ask.address:
                assert address == ask.address

    def teardown(self) -> None:
        if not hasattr(self, "vm"):
            return
        for name in list(self.pods):
            self.vm.delete(name)
        self.vm.die()
        self.vm.live(boot="the last")
        self.vm.settle()
        for pod in ("default/a", "default/b"):
            self.vm.grants.reservations.give_up(pod, "eth0")
        self.vm.settle()
        assert self.vm.spotless(), (self.vm.store.grants, self.vm.nic.publics, self.vm.nic.configurations)
        self.vm.die()
        self.directory.cleanup()


TestAsks = Asks.TestCase
TestAsks.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
