"""Sizes of subnets, held against addresses that are really given out one by one and in blocks."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from podvnet.model.address import Prefix
from podvnet.model.limits import ADDRESSES_PER_BLOCK, PODS_PER_VIRTUAL_NETWORK
from podvnet.model.subnet import capacity, usable
from podvnet.plan.address_pressure import AddressFigures, is_low, low_mark
from podvnet.plan.pool_target import Shape
from podvnet.plan.subnet_sizing import Need, SubnetUse, Surge, judge, room


@st.composite
def needs(draw: st.DrawFn, most: int = 60) -> Need:
    nodes, pods = draw(st.integers(1, most)), draw(st.integers(1, 250))
    surge = Surge(draw(st.integers(0, 100)), percent=draw(st.booleans()))
    assume((nodes + surge.of(nodes)) * pods <= PODS_PER_VIRTUAL_NETWORK)
    return Need(nodes, pods, surge, draw(st.sampled_from(Shape)), others=draw(st.integers(0, 30)))


def given_out(need: Need, prefix: IPv4Network) -> bool:
    """Give out all addresses as Azure does, single ones lowest first, and tell whether all are had."""
    free = {int(each) for each in usable(prefix)}
    for _ in range(need.singles):
        if not free:
            return False
        free.discard(min(free))
    blocks = [
        start
        for start in range(int(prefix.network_address), int(prefix.broadcast_address), ADDRESSES_PER_BLOCK)
        if all(start + offset in free for offset in range(ADDRESSES_PER_BLOCK))
    ]
    return len(blocks) >= need.every_node * need.blocks


@settings(deadline=None)
@given(needs(most=4))
def test_a_subnet_of_the_size_that_is_said_holds_everything_and_half_of_it_does_not(need: Need) -> None:
    assume(need.length >= 21)
    assert given_out(need, IPv4Network((0x0A000000, need.length)))
    if need.length < 29:
        assert not given_out(need, IPv4Network((0x0A000000, need.length + 1)))


@settings(deadline=None)
@given(needs(), st.integers(0, 4000))
def test_what_is_said_to_fit_beside_what_is_there_is_not_more_than_is_free(need: Need, used: int) -> None:
    subnet = SubnetUse("nodes", (ip_network("10.0.0.0/20"),), min(used, capacity(ip_network("10.0.0.0/20"))))
    verdict = judge(need, subnet)
    assert verdict.fits == (not verdict.why)
    assert verdict.lacking == max(0, need.addresses - subnet.free)
    if verdict.fits:
        assert need.addresses <= subnet.free
        assert need.length >= 20


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(22, 28)), max_size=12), st.integers(21, 29))
def test_a_proposed_prefix_is_free_and_there_is_one_whenever_there_can_be(
    drawn: list[tuple[int, int]], length: int
) -> None:
    space = ip_network("10.0.0.0/20")
    taken: list[Prefix] = [IPv4Network((0x0A000000 + (third << 8), prefix), strict=False) for third, prefix in drawn]
    found = room([space], taken, length)
    candidates = [each for each in space.subnets(new_prefix=length) if not any(each.overlaps(one) for one in taken)]
    assert found == (candidates[0] if candidates else None)


@settings(deadline=None)
@given(st.integers(1, 256), st.integers(0, 256), st.booleans())
def test_a_shortage_is_said_in_time_and_held_until_twice_as_many_are_left(limit: int, held: int, before: bool) -> None:
    figures = AddressFigures(limit, held)
    low = is_low(figures, before)
    assert low or figures.left > low_mark(limit)
    assert not low or figures.left <= 2 * low_mark(limit)
    assert is_low(figures, low) is low, "what has been said stays said while nothing changes"
    assert not is_low(AddressFigures(limit, held, pods=limit), before)
