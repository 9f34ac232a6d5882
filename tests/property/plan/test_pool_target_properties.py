"""Whatever a VM's pods do, the pool follows in one step, stays where it is then, and no pod loses its address."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.limits import ADDRESSES_PER_NIC
from podvnet.model.nic_pool import NicPool, PoolConfiguration
from podvnet.plan.pool_target import PoolChange, PoolPolicy, Shape, Usage, pool_change, target

BASE = int(IPv4Address("10.0.0.0"))


@st.composite
def policies(draw: st.DrawFn) -> PoolPolicy:
    shape = draw(st.sampled_from(Shape))
    batch = draw(st.sampled_from([16, 32, 48]) if shape is Shape.BLOCK else st.integers(1, 40))
    fewest = draw(st.integers(0, 150))
    return PoolPolicy(shape, batch, fewest, fewest + draw(st.integers(100, 200)), draw(st.integers(1, 255)))


def configuration(number: int, own: bool, block: bool) -> PoolConfiguration:
    first = BASE + number * 16
    addresses = tuple(IPv4Address(first + offset) for offset in range(16 if block else 1))
    return PoolConfiguration(f"{'own' if own else 'theirs'}-{number}", addresses, own)


@st.composite
def pools(draw: st.DrawFn) -> NicPool:
    kinds = draw(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
    return NicPool(tuple(configuration(number, *kind) for number, kind in enumerate(kinds)), draw(st.integers(1, 4)))


@st.composite
def usages(draw: st.DrawFn, pool: NicPool) -> Usage:
    """Any use; what is withdrawn is never held, and was an agent's to remove."""
    fates = {each: draw(st.sampled_from("hrf")) for each in sorted(pool.addresses)}
    held = frozenset(each for each, fate in fates.items() if fate == "h")
    resting = frozenset(each for each, fate in fates.items() if fate == "r")
    free = [each for each in pool.configurations if each.own and held.isdisjoint(each.addresses)]
    begun = draw(st.lists(st.sampled_from(free), unique=True)) if free else []
    withdrawn = frozenset(address for each in begun for address in each.addresses)
    return Usage(held, resting, withdrawn, draw(st.integers(0, 60)))


@st.composite
def situations(draw: st.DrawFn) -> tuple[NicPool, Usage, PoolPolicy]:
    pool = draw(pools())
    return pool, draw(usages(pool)), draw(policies())


def written(pool: NicPool, change: PoolChange, policy: PoolPolicy) -> NicPool:
    staying = [each for each in pool.configurations if each.name not in change.remove]
    fresh = [configuration(1000 + n, own=True, block=policy.shape is Shape.BLOCK) for n in range(change.add)]
    return NicPool((*staying, *fresh), pool.others)


@given(situations())
def test_only_free_and_rested_addresses_of_our_own_are_removed(situation: tuple[NicPool, Usage, PoolPolicy]) -> None:
    pool, usage, policy = situation
    change = pool_change(pool, usage, policy)
    for each in pool.configurations:
        if each.name in change.remove:
            assert each.own
            assert usage.held.isdisjoint(each.addresses)
            assert usage.resting.isdisjoint(each.addresses) or not usage.withdrawn.isdisjoint(each.addresses)


@given(situations())
def test_one_write_is_enough(situation: tuple[NicPool, Usage, PoolPolicy]) -> None:
    """Only a block added beside single addresses may make some of these superfluous: a second write, no more."""
    pool, usage, policy = situation
    after = written(pool, pool_change(pool, usage, policy), policy)
    settled = Usage(usage.held, usage.resting, frozenset(), usage.waiting)
    second = pool_change(after, settled, policy)
    if second:
        sizes = {each.name: len(each.addresses) for each in after.configurations}
        assert set(sizes.values()) == {1, 16}
        assert not second.add
        assert {sizes[name] for name in second.remove} == {1}
        assert not pool_change(written(after, second, policy), settled, policy)


@given(situations())
def test_a_nic_never_gets_more_than_it_can_hold(situation: tuple[NicPool, Usage, PoolPolicy]) -> None:
    pool, usage, policy = situation
    change = pool_change(pool, usage, policy)
    after = written(pool, change, policy)
    assert len(after.configurations) + after.others <= ADDRESSES_PER_NIC
    if change.add:
        staying = len(pool.addresses) - sum(len(e.addresses) for e in pool.configurations if e.name in change.remove)
        assert staying < policy.ceiling
        assert len(after.addresses) < policy.ceiling + policy.step


@given(situations())
def test_a_removal_that_has_begun_is_finished(situation: tuple[NicPool, Usage, PoolPolicy]) -> None:
    pool, usage, policy = situation
    change = pool_change(pool, usage, policy)
    for each in pool.configurations:
        if not usage.withdrawn.isdisjoint(each.addresses):
            assert each.name in change.remove


@given(used=st.integers(0, 300), size=st.integers(0, 300), policy=policies())
def test_after_a_step_the_free_addresses_are_within_the_thresholds_or_the_pool_at_its_limit(
    used: int, size: int, policy: PoolPolicy
) -> None:
    aim = target(used, size, policy)
    free = (aim - used) * 100
    assert target(used, aim, policy) == aim
    assert free <= policy.maximum_free * policy.batch
    assert free >= policy.minimum_free * policy.batch or aim >= policy.ceiling or aim == size >= policy.ceiling
