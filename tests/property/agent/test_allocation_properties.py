"""Whatever pods come and go: nobody shares an address of either IP version, and nobody lacks IPv6 that was free."""

from __future__ import annotations

import tempfile
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import NoFreeAddressError, PoolAddress
from podvnet.model.address import GATEWAY6, Mac
from podvnet.model.attachment import Attachment, AttachmentKey, Mode

REST = 10.0


def pool(version: int, size: int) -> list[PoolAddress]:
    if version == 4:
        return [PoolAddress(ip_interface(f"10.1.1.{n}/24"), ip_address("10.1.1.1")) for n in range(5, 5 + size)]
    return [PoolAddress(ip_interface(f"fd00::{n:x}/64"), GATEWAY6) for n in range(5, 5 + size)]


class Allocation(RuleBasedStateMachine):
    """A ledger, and a plain model of it: who holds what, and when each address was released."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._ledger = Ledger(Path(self._directory.name) / "ledger.db", "boot")
        self._held: dict[int, Attachment] = {}
        self._listed: set[str] = set()
        self._released: dict[str, float] = {}
        self._now = 0.0
        self._names = 0

    def teardown(self) -> None:
        self._ledger.close()
        self._directory.cleanup()

    @initialize(four=st.integers(0, 4), six=st.integers(0, 4))
    def start(self, four: int, six: int) -> None:
        self.list_anew(four, six)

    @rule(four=st.integers(0, 4), six=st.integers(0, 4))
    def list_anew(self, four: int, six: int) -> None:
        listed = [*pool(4, four), *pool(6, six)]
        self._ledger.fill(listed)
        self._listed = {str(each.interface.ip) for each in listed}
        known = self._listed | self._taken()
        self._released = {address: at for address, at in self._released.items() if address in known}

    @rule(seconds=st.floats(0.1, 20.0))
    def wait(self, seconds: float) -> None:
        self._now += seconds

    @rule(optional=st.booleans(), both=st.booleans())
    def attach(self, optional: bool, both: bool) -> None:
        versions = (4, 6) if both else (4,)
        free = {version: self._free(version) for version in versions}
        needed = [version for version in versions if version == 4 or not optional]
        if not all(free[version] for version in needed):
            with pytest.raises(NoFreeAddressError) as refusal:
                self._begin(versions, optional=optional)
            assert not free[refusal.value.version]
            assert refusal.value.version in needed
            return
        made = self._begin(versions, optional=optional)
        assert [each.version for each in made.addresses] == [version for version in versions if free[version]]
        assert all(str(each.ip) in free[each.version] for each in made.addresses)
        self._held[made.number] = made

    def _begin(self, versions: tuple[int, ...], *, optional: bool) -> Attachment:
        self._names += 1
        return self._ledger.begin(
            AttachmentKey("azure", f"pod{self._names}", "eth0"),
            Mode.TRANSPARENT,
            mac=Mac("02:00:00:00:00:01"),
            mtu=1500,
            sandbox="",
            sandbox_id="",
            pod="",
            versions=versions,
            optional=(6,) if optional else (),
            wanted=(),
            within=None,
            now=self._now,
            rest=REST,
        )

    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        if not self._held:
            return
        number = data.draw(st.sampled_from(sorted(self._held)))
        gone = self._held.pop(number)
        self._ledger.release(number, self._now)
        for each in gone.addresses:
            if str(each.ip) in self._listed:
                self._released[str(each.ip)] = self._now

    @invariant()
    def the_ledger_agrees(self) -> None:
        rows = {row.attachment.number: row.attachment for row in self._ledger.rows()}
        assert rows == self._held
        taken = [str(each.ip) for made in self._held.values() for each in made.addresses]
        assert len(taken) == len(set(taken))
        for version in (4, 6):
            count = self._ledger.count(self._now, REST, version)
            assert count.free == len(self._free(version))
            assert count.held == sum(ip_address(each).version == version for each in taken)

    def _taken(self) -> set[str]:
        return {str(each.ip) for made in self._held.values() for each in made.addresses}

    def _free(self, version: int) -> set[str]:
        rested = {address for address in self._listed if self._released.get(address, -REST) <= self._now - REST}
        return {address for address in rested - self._taken() if ip_address(address).version == version}


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
