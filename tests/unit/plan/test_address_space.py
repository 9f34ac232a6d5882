"""Prefixes that mean the same addresses as others, in as few as possible."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.address import Prefix
from podvnet.plan.address_space import collapsed


@st.composite
def fours(draw: st.DrawFn) -> IPv4Network:
    """Close to each other, so that they touch and hold each other."""
    length = draw(st.integers(22, 32))
    start = 0x0A000000 + (draw(st.integers(0, 1023)) >> (32 - length) << (32 - length))
    return IPv4Network((start, length))


@st.composite
def sixes(draw: st.DrawFn) -> IPv6Network:
    length = draw(st.integers(120, 128))
    start = (0xFD << 120) + (draw(st.integers(0, 255)) >> (128 - length) << (128 - length))
    return IPv6Network((start, length))


@given(st.lists(fours(), max_size=40), st.lists(sixes(), max_size=40))
def test_it_is_what_the_standard_library_makes_of_them(four: list[IPv4Network], six: list[IPv6Network]) -> None:
    mixed: list[Prefix] = [*six, *four]
    assert collapsed(mixed) == (*collapse_addresses(four), *collapse_addresses(six))


def test_everything_holds_the_rest() -> None:
    prefixes: list[Prefix] = [IPv4Network("10.0.0.0/8"), IPv4Network("0.0.0.0/0"), IPv4Network("10.1.2.3/32")]
    assert collapsed(prefixes) == (IPv4Network("0.0.0.0/0"),)


def test_halves_of_everything_are_everything() -> None:
    prefixes: list[Prefix] = [IPv4Network("128.0.0.0/1"), IPv4Network("0.0.0.0/1"), IPv6Network("::/0")]
    assert collapsed(prefixes) == (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
