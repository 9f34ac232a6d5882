from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.address import (
    Mac,
    Prefix,
    arm_mac,
    derived_mac,
    disjoint,
    mac_bytes,
    parse_mac,
    parse_prefix,
    platform_mac,
)

OCTETS = st.binary(min_size=6, max_size=6)
PREFIXES = st.one_of(
    st.builds(
        lambda value, length: ip_network((value, length), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
    ),
    # Few bits that differ, so that prefixes meet.
    st.builds(
        lambda value, length: ip_network((value << 24, length), strict=False), st.integers(0, 31), st.integers(3, 10)
    ),
    st.builds(
        lambda value, length: ip_network((value << 120, length), strict=False), st.integers(0, 31), st.integers(3, 10)
    ),
)


@pytest.mark.parametrize(
    "text",
    ["000D3A1BC721", "000d3a1bc721", "00:0d:3a:1b:c7:21", "00:0D:3A:1B:C7:21", "00-0D-3A-1B-C7-21"],
)
def test_spellings_of_a_mac(text: str) -> None:
    assert parse_mac(text) == "00:0d:3a:1b:c7:21"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("000D3A1BC7", id="five octets"),
        pytest.param("000D3A1BC72100", id="seven octets"),
        pytest.param("00:0d:3a:1b:c7-21", id="mixed separators"),
        pytest.param("000d:3a1b:c721", id="dotted triple with colons"),
        pytest.param("00:0d:3a:1b:c7:2g", id="not hexadecimal"),
        pytest.param("00:0d:3a:1b:c7:21\n", id="newline at the end"),
        pytest.param(" 00:0d:3a:1b:c7:21", id="blank before"),
        pytest.param("00:0d:3a:1b:c7:٢١", id="digits of another script"),
    ],
)
def test_not_a_mac(text: str) -> None:
    with pytest.raises(ValueError, match="is not a MAC address"):
        parse_mac(text)


@given(OCTETS)
def test_every_spelling_reads_back(octets: bytes) -> None:
    mac = Mac(octets.hex(":"))
    assert mac_bytes(mac) == octets
    for spelt in (mac, arm_mac(mac), platform_mac(mac), arm_mac(mac).lower()):
        assert parse_mac(spelt) == mac


def test_azure_spells_macs_in_two_ways() -> None:
    mac = Mac("00:0d:3a:1b:c7:21")
    assert arm_mac(mac) == "00-0D-3A-1B-C7-21"
    assert platform_mac(mac) == "000D3A1BC721"


@given(st.lists(st.text(max_size=5), max_size=4))
def test_a_derived_mac_is_stable_and_keeps_its_first_octets(parts: list[str]) -> None:
    oui = bytes.fromhex("000d3a")
    assert derived_mac(oui, *parts) == derived_mac(oui, *parts)
    assert mac_bytes(derived_mac(oui, *parts))[:3] == oui


def test_derived_macs_tell_the_parts_apart() -> None:
    made = [derived_mac(b"\x0a", *parts) for parts in (("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""))]
    assert len(set(made)) == 4


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "fd00::/64", "fd00::1/128"])
def test_prefixes(text: str) -> None:
    assert str(parse_prefix(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.10.1.0/16", r"10.10.1.0/16 has host bits set; 10.10.0.0/16 is meant\?"),
        ("fd00::1/64", r"fd00::/64 is meant\?"),
        ("10.0.0.0/33", "10.0.0.0/33"),
        ("10.0.0/8", "10.0.0/8"),
        ("hub", "hub"),
        ("", "''"),
    ],
)
def test_not_a_prefix(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_prefix(text)


def prefixes(*texts: str) -> list[Prefix]:
    return [ip_network(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "pair"),
    [
        ([], None),
        (["10.0.0.0/8"], None),
        (["10.0.0.0/24", "10.0.1.0/24"], None),
        (["10.0.0.0/24", "10.0.0.0/24"], ["10.0.0.0/24", "10.0.0.0/24"]),
        (["10.0.5.0/24", "10.0.0.0/16"], ["10.0.0.0/16", "10.0.5.0/24"]),
        (["10.0.9.0/24", "fd00::/64", "10.0.0.0/16", "9.0.0.0/8"], ["10.0.0.0/16", "10.0.9.0/24"]),
        (["0.0.0.0/0", "::/0"], None),
        (["fd00::/56", "10.0.0.0/8", "fd00:0:0:1::/64"], ["fd00::/56", "fd00:0:0:1::/64"]),
    ],
)
def test_overlap(texts: list[str], pair: list[str] | None) -> None:
    found = disjoint(prefixes(*texts))
    assert (found and [str(prefix) for prefix in found]) == pair


@given(st.lists(PREFIXES, max_size=6))
def test_overlap_is_found_exactly_when_there_is_one(listed: list[Prefix]) -> None:
    def overlap(one: Prefix, other: Prefix) -> bool:
        return one.version == other.version and one.overlaps(other)

    expected = any(overlap(one, other) for i, one in enumerate(listed) for other in listed[:i])
    found = disjoint(listed)
    assert (found is not None) == expected
    if found:
        assert overlap(*found)
