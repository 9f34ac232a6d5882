"""The sizes that the original's pool monitor aims for, by example."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from podvnet.model.nic_pool import NicPool, PoolConfiguration
from podvnet.plan.pool_target import PoolChange, PoolPolicy, Shape, Usage, pool_change, target

DEFAULT = PoolPolicy()
BLOCKS = PoolPolicy(Shape.BLOCK)
FIRST = IPv4Address("10.1.1.16")


def singles(count: int, *, own: bool = True) -> NicPool:
    return NicPool(tuple(PoolConfiguration(f"c{n}", (FIRST + n,), own) for n in range(count)), others=1)


def blocks(count: int) -> NicPool:
    return NicPool(
        tuple(PoolConfiguration(f"b{n}", tuple(FIRST + 16 * n + k for k in range(16)), True) for n in range(count)),
        others=1,
    )


@pytest.mark.parametrize(
    ("used", "size", "aim"),
    [
        (0, 0, 16),
        (8, 16, 16),
        (9, 16, 32),
        (40, 16, 48),
        (100, 16, 112),
        (250, 48, 250),
        (245, 250, 250),
        (249, 255, 255),
        (0, 24, 24),
        (0, 25, 16),
        (40, 64, 64),
        (40, 65, 48),
    ],
)
def test_the_target_is_reached_in_one_step(used: int, size: int, aim: int) -> None:
    assert target(used, size, DEFAULT) == aim


def test_pods_that_wait_count_as_if_they_held_an_address() -> None:
    assert pool_change(singles(16), Usage(frozenset(singles(16).addresses), waiting=24), DEFAULT) == PoolChange(32)


def test_blocks_are_added_whole() -> None:
    assert pool_change(NicPool((), 1), Usage(waiting=40), BLOCKS) == PoolChange(3)
    assert pool_change(singles(10, own=False), Usage(waiting=10), BLOCKS) == PoolChange(2)


def test_a_block_with_one_pod_on_it_stays() -> None:
    pool = blocks(4)
    held = frozenset({pool.configurations[3].addresses[15]})
    assert pool_change(pool, Usage(held), BLOCKS) == PoolChange(remove=frozenset({"b1", "b2", "b0"}))


def test_a_resting_address_stays_and_the_last_of_the_nic_go_first() -> None:
    pool = singles(26)
    resting = frozenset({pool.configurations[25].addresses[0]})
    gone = frozenset(f"c{number}" for number in range(15, 25))
    assert pool_change(pool, Usage(resting=resting), DEFAULT) == PoolChange(remove=gone)


def test_a_nic_without_room_gets_what_fits() -> None:
    pool = NicPool(singles(240).configurations, others=14)
    assert pool_change(pool, Usage(pool.addresses), PoolPolicy(limit=255)) == PoolChange(2)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"batch": 0}, "1 to 250 addresses"),
        ({"shape": Shape.BLOCK, "batch": 20}, "multiple of 16"),
        ({"maximum_free": 149}, "a batch"),
        ({"minimum_free": -1}, "not below 0"),
        ({"limit": 256}, "1 to 255"),
    ],
)
def test_a_policy_that_would_not_settle_is_refused(values: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PoolPolicy(**values)  # type: ignore[arg-type]
