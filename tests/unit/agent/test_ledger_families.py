"""One address of each IP version, or what of that can be had."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from podvnet.agent.ledger import Ledger
from podvnet.agent.ledger_record import AddressNotToBeHadError, NoFreeAddressError, PoolAddress
from podvnet.agent.source import pool_addresses
from podvnet.azure.inventory import PlatformAddress, PlatformNic, PlatformSubnet
from podvnet.model.address import GATEWAY6, Address, Mac, Prefix
from podvnet.model.attachment import Attachment, AttachmentKey, Mode

FOUR = [PoolAddress(ip_interface(f"10.1.1.{n}/24"), ip_address("10.1.1.1")) for n in (5, 6, 7)]
SIX = [PoolAddress(ip_interface(f"fd00::{n}/64"), GATEWAY6) for n in (5, 6)]
REST = 10.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger.db", "this-boot")
    made.fill([*FOUR, *SIX])
    yield made
    made.close()


def begin(
    ledger: Ledger,
    name: str,
    *,
    optional: bool = True,
    wanted: tuple[Address, ...] = (),
    within: Prefix | None = None,
    now: float = 0.0,
) -> Attachment:
    return ledger.begin(
        AttachmentKey("azure", name, "eth0"),
        Mode.TRANSPARENT,
        mac=Mac("02:00:00:00:00:01"),
        mtu=1500,
        sandbox="",
        sandbox_id="",
        pod="",
        versions=(4, 6),
        optional=(6,) if optional else (),
        wanted=wanted,
        within=within,
        now=now,
        rest=REST,
    )


def test_one_of_each_with_its_gateway(ledger: Ledger) -> None:
    made = begin(ledger, "a")
    assert [str(each) for each in made.addresses] == ["10.1.1.5/24", "fd00::5/64"]
    assert made.gateways == (ip_address("10.1.1.1"), GATEWAY6)
    found = ledger.find(made.key)
    assert found is not None
    assert found.attachment == made


def test_what_is_optional_is_left_out_when_all_is_held_or_rests(ledger: Ledger) -> None:
    first = begin(ledger, "a")
    begin(ledger, "b")
    assert [each.version for each in begin(ledger, "c").addresses] == [4]
    ledger.release(first.number, 100.0)
    assert [each.version for each in begin(ledger, "d", now=100.0 + REST + 1).addresses] == [4, 6]


def test_what_is_not_optional_is_refused_and_nothing_is_changed(ledger: Ledger) -> None:
    first = begin(ledger, "a")
    begin(ledger, "b")
    with pytest.raises(NoFreeAddressError) as refusal:
        begin(ledger, "c", optional=False)
    assert (refusal.value.version, refusal.value.wait) == (6, None)
    assert ledger.count(0.0, REST).held == 2
    ledger.release(first.number, 100.0)
    with pytest.raises(NoFreeAddressError) as refusal:
        begin(ledger, "c", optional=False, now=104.0)
    assert (refusal.value.version, refusal.value.wait) == (6, 6.0)


def test_a_pod_without_ipv4_is_no_pod(ledger: Ledger) -> None:
    ledger.fill(SIX)
    with pytest.raises(NoFreeAddressError) as refusal:
        begin(ledger, "a")
    assert refusal.value.version == 4
    assert ledger.count(0.0, REST, 6).held == 0


def test_a_subnet_limits_only_its_own_version(ledger: Ledger) -> None:
    assert len(begin(ledger, "a", within=ip_network("10.1.1.0/24")).addresses) == 2
    assert len(begin(ledger, "b", within=ip_network("fd00::/64")).addresses) == 2
    assert [each.version for each in begin(ledger, "c", within=ip_network("fd01::/64")).addresses] == [4]


def test_what_is_asked_for_is_given_or_refused_though_it_is_optional(ledger: Ledger) -> None:
    six = ip_address("fd00::6")
    assert begin(ledger, "a", wanted=(six,)).addresses[1].ip == six
    with pytest.raises(AddressNotToBeHadError):
        begin(ledger, "b", wanted=(six,))


def test_each_version_is_counted_by_itself(ledger: Ledger) -> None:
    made = begin(ledger, "a")
    ledger.withdraw([ip_address("10.1.1.7")])
    four, six = (ledger.count(0.0, REST, version) for version in (4, 6))
    assert (four.total, four.held, four.withdrawn) == (2, 1, 1)
    assert (six.total, six.held, six.withdrawn) == (2, 1, 0)
    ledger.release(made.number, 100.0)
    assert [ledger.count(100.0, REST, version).resting for version in (4, 6)] == [1, 1]
    ledger.fill(FOUR)
    assert ledger.count(100.0, REST, 6).total == 0


def test_the_pool_is_what_is_not_primary_of_either_version() -> None:
    nic = PlatformNic(
        Mac("00:0d:3a:00:00:01"),
        primary=True,
        subnets=tuple(
            PlatformSubnet(
                ip_network(prefix),
                (PlatformAddress(ip_address(own), primary=True), PlatformAddress(ip_address(pods))),
            )
            for prefix, own, pods in (("10.1.1.0/24", "10.1.1.4", "10.1.1.5"), ("fd00::/64", "fd00::4", "fd00::5"))
        ),
    )
    assert pool_addresses(nic) == [FOUR[0], SIX[0]]


def test_every_attachment_is_read_with_its_own_addresses_in_the_order_of_attachment(ledger: Ledger) -> None:
    ledger.release(begin(ledger, "gone").number, None)
    made = [begin(ledger, name) for name in ("one", "two", "three")]
    assert [row.attachment for row in ledger.rows()] == made
    assert [len(each.addresses) for each in made] == [2, 2, 1]
    for each in made:
        assert [row.attachment for row in (ledger.find(each.key),) if row] == [each]
        for interface in each.addresses:
            row = ledger.holder(interface.ip)
            assert row is not None
            assert row.attachment == each
    ledger.fill([])
    ledger.release(made[1].number, None)
    assert [row.attachment for row in ledger.rows()] == [made[0], made[2]]
    assert ledger.holder(made[1].addresses[0].ip) is None
    assert ledger.holder(ip_address("10.9.9.9")) is None
