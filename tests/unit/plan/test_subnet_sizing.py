"""How large a subnet must be: Azure's own examples, the limits, and what is proposed for a network that is there."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from podvnet.model.address import Prefix
from podvnet.plan.pool_target import Shape
from podvnet.plan.subnet_sizing import Need, SizingError, SubnetUse, Surge, check_together, judge, room

NONE = Surge(0)


def networks(*texts: str) -> tuple[Prefix, ...]:
    return tuple(ip_network(text) for text in texts)


def use(prefix: str, used: int = 0, *, delegated: bool = False) -> SubnetUse:
    return SubnetUse("nodes", networks(prefix), used, delegated)


@pytest.mark.parametrize(
    ("need", "addresses", "length"),
    [
        # AKS document "Configure Azure CNI networking", planning addresses: (51) + (51 * 30) = 1,581, /21 or larger.
        (Need(50, 30, Surge(1)), 1581, 21),
        # The same page: minimum subnet (N + 1) + ((N + 1) * maximum pods), 10 nodes of 110.
        (Need(10, 110, Surge(1)), 1221, 21),
        (Need(1, 1, NONE), 2, 29),
        (Need(1, 3, NONE), 4, 28),
        (Need(1, 250, NONE), 251, 24),
        (Need(1, 250, NONE, others=1), 252, 23),
        (Need(64, 250, NONE), 16064, 18),
        (Need(3, 20, Surge(33, percent=True)), 84, 25),
        # A block is whole: 250 pods are sixteen of them. The first and the last sixteen addresses of a subnet are none.
        (Need(1, 250, NONE, Shape.BLOCK), 257, 23),
        (Need(7, 32, NONE, Shape.BLOCK), 231, 24),
        (Need(8, 32, NONE, Shape.BLOCK), 264, 23),
        (Need(12, 16, NONE, Shape.BLOCK), 204, 24),
        (Need(13, 16, NONE, Shape.BLOCK), 221, 24),
        (Need(14, 16, NONE, Shape.BLOCK), 238, 23),
    ],
)
def test_the_smallest_subnet_for_nodes_and_pods(need: Need, addresses: int, length: int) -> None:
    assert (need.addresses, need.length) == (addresses, length)


@pytest.mark.parametrize(
    ("surge", "nodes", "more"),
    [(Surge(1), 100, 1), (Surge(33, percent=True), 10, 4), (Surge(10, percent=True), 1, 1), (NONE, 10, 0)],
)
def test_percent_of_surge_are_rounded_up(surge: Surge, nodes: int, more: int) -> None:
    assert surge.of(nodes) == more


@pytest.mark.parametrize(
    ("nodes", "pods", "ipv6", "shape", "words"),
    [
        (1, 251, False, Shape.BATCH, "a VM has up to 250 pods"),
        (65, 250, False, Shape.BATCH, "16250 pods, and a virtual network has up to 16000"),
        (1, 128, True, Shape.BATCH, "needs 258 private addresses"),
        (1, 240, True, Shape.BLOCK, "needs 257 private addresses"),
        (0, 1, False, Shape.BATCH, "at least one node"),
    ],
)
def test_what_azure_does_not_allow_is_refused(nodes: int, pods: int, ipv6: bool, shape: Shape, words: str) -> None:
    with pytest.raises(SizingError, match=words):
        Need(nodes, pods, NONE, shape, ipv6)


def test_pods_of_several_pools_count_together() -> None:
    half = Need(32, 250, NONE)
    check_together([half, half])
    with pytest.raises(SizingError, match="16250 pods"):
        check_together([half, half, Need(1, 250, NONE)])


def test_ipv6_pods_of_a_node_are_limited_by_its_nic() -> None:
    assert Need(1, 127, NONE, ipv6=True).configurations == 256
    assert Need(1, 239, NONE, Shape.BLOCK, ipv6=True).configurations == 256


@pytest.mark.parametrize(
    ("subnet", "why"),
    [
        (use("10.1.0.0/21"), ""),
        (use("10.1.0.0/21", 822), ""),
        (use("10.1.0.0/21", 823), "1 addresses are lacking"),
        (use("10.1.0.0/24"), "970 addresses are lacking"),
        (use("10.1.0.0/21", delegated=True), "no subnet for VMs"),
        (SubnetUse("both", networks("10.1.0.0/22", "10.2.0.0/24"), 0), ""),
    ],
)
def test_a_subnet_is_judged_by_what_is_free_in_it(subnet: SubnetUse, why: str) -> None:
    verdict = judge(Need(10, 110, Surge(1)), subnet)
    assert (verdict.fits, why in verdict.why) == (why == "", True)


def test_a_subnet_without_ipv6_has_no_room_for_pods_with_both() -> None:
    need = Need(1, 10, NONE, ipv6=True)
    assert judge(need, use("10.1.0.0/24")).why == "it has no IPv6 prefix"
    assert judge(need, SubnetUse("both", networks("10.1.0.0/24", "fd00::/64"), 0)).fits


def test_scattered_addresses_leave_fewer_blocks_than_they_leave_addresses() -> None:
    need = Need(1, 96, NONE, Shape.BLOCK)
    assert judge(need, use("10.1.0.0/25", 0)).fits
    verdict = judge(need, use("10.1.0.0/25", 20))
    assert (verdict.lacking, verdict.why) == (0, "it has not as many whole blocks of sixteen")


@pytest.mark.parametrize(
    ("taken", "length", "found"),
    [
        ((), 24, "10.1.0.0/24"),
        (("10.1.0.0/24",), 24, "10.1.1.0/24"),
        (("10.1.0.0/24", "10.1.2.0/24"), 23, "10.1.4.0/23"),
        (("10.1.0.16/28",), 17, "10.1.128.0/17"),
        (("10.1.0.0/17",), 16, "10.3.0.0/16"),
        (("10.1.0.0/16", "10.3.0.0/16"), 24, None),
        ((), 8, None),
        (("fd00::/64",), 64, "fd00:0:0:1::/64"),
    ],
)
def test_the_first_free_prefix_of_a_network_is_proposed(taken: tuple[str, ...], length: int, found: str | None) -> None:
    spaces = networks("10.3.0.0/16", "10.1.0.0/16", "fd00::/48")
    assert room(spaces, networks(*taken), length) == (None if found is None else ip_network(found))
