from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.resource_id import Scope, make
from podvnet.model.subnet import Subnet, capacity, gateway, is_reserved, usable


@pytest.mark.parametrize(
    ("prefix", "reserved", "first", "last"),
    [
        ("10.0.0.0/29", [0, 1, 2, 3, 7], "10.0.0.4", "10.0.0.6"),
        ("10.0.0.0/24", [0, 1, 2, 3, 255], "10.0.0.4", "10.0.0.254"),
        ("10.0.8.0/22", [0, 1, 2, 3, 1023], "10.0.8.4", "10.0.11.254"),
    ],
)
def test_five_addresses_are_azures(prefix: str, reserved: list[int], first: str, last: str) -> None:
    network = ip_network(prefix)
    kept = [number for number in range(network.num_addresses) if is_reserved(network, network[number])]
    assert kept == reserved
    given_out = list(usable(network))
    assert (str(given_out[0]), str(given_out[-1])) == (first, last)
    assert len(given_out) == capacity(network) == network.num_addresses - 5


@pytest.mark.parametrize(
    ("prefix", "places"),
    [("10.0.0.0/29", 3), ("10.0.0.0/28", 11), ("10.0.0.0/27", 27), ("10.0.0.0/24", 251), ("10.0.0.0/16", 65_531)],
)
def test_capacity_as_azure_documents_it(prefix: str, places: int) -> None:
    assert capacity(ip_network(prefix)) == places


@pytest.mark.parametrize("prefix", ["10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32", "fd00::/127"])
def test_too_small_for_anybody(prefix: str) -> None:
    assert capacity(ip_network(prefix)) == 0
    assert list(usable(ip_network(prefix))) == []


def test_ipv6_counts_likewise() -> None:
    network = ip_network("fd00::/64")
    assert [str(address) for address in islice(usable(network), 2)] == ["fd00::4", "fd00::5"]
    assert str(gateway(network)) == "fe80::1234:5678:9abc"  # Azure's, the same for all
    assert is_reserved(network, ip_address("fd00::ffff:ffff:ffff:ffff"))


@given(st.integers(0, 2**32 - 1), st.integers(24, 32))
def test_what_is_usable_is_inside_not_reserved_and_in_order(value: int, length: int) -> None:
    network = ip_network((value, length), strict=False)
    given_out = list(usable(network))
    assert len(given_out) == capacity(network)
    assert given_out == sorted(given_out, key=int)
    assert all(address in network and not is_reserved(network, address) for address in given_out)
    assert not given_out or gateway(network) not in given_out  # a range too small for anybody has no gateway


def test_prefix_of_a_version() -> None:
    network = make(Scope(), "Microsoft.Network/virtualNetworks", "hub")
    subnet = Subnet(network.child("subnets", "front"), (ip_network("10.0.0.0/24"),))
    assert subnet.prefix_of(4) == ip_network("10.0.0.0/24")
    assert subnet.prefix_of(6) is None
