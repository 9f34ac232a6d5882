from __future__ import annotations

import sys
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.kernel import (
    MARKER,
    Element,
    LinkUp,
    Route,
    Ruleset,
    Scope,
    Step,
    field_bytes,
    host_prefix,
    index_bytes,
)


@pytest.mark.parametrize(
    ("parts", "packed"),
    [
        ([], ""),
        ([b"\x01"], "01000000"),
        ([b"\x0a\x01\x00\x04"], "0a010004"),
        ([b"\x00\x0d\x3a\x1b\xc7\x21"], "000d3a1bc7210000"),
        # The key of owned4: interface, MAC, address.
        ([b"\xe9\x03\0\0", b"\x00\x0d\x3a\x1b\xc7\x21", b"\x0a\x01\x00\x04"], "e9030000000d3a1bc72100000a010004"),
    ],
)
def test_each_field_is_padded_to_four_bytes(parts: list[bytes], packed: str) -> None:
    assert field_bytes(*parts).hex() == packed


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_fields_keep_their_bytes_and_start_at_a_word(parts: list[bytes]) -> None:
    packed = field_bytes(*parts)
    assert len(packed) % 4 == 0
    offset = 0
    for part in parts:
        assert packed[offset : offset + len(part)] == part
        offset += (len(part) + 3) // 4 * 4
        assert not packed[offset - (-len(part) % 4) : offset].strip(b"\0")
    assert offset == len(packed)


@pytest.mark.parametrize("index", [1, 1001, (1 << 20) + 250])
def test_an_index_is_in_the_machines_byte_order(index: int) -> None:
    assert int.from_bytes(index_bytes(index), sys.byteorder) == index
    assert len(index_bytes(index)) == 4


@given(st.booleans(), st.text(max_size=4), st.integers(1, 9))
def test_each_step_undoes_the_other(add: bool, namespace: str, index: int) -> None:
    step = Step(add, namespace, LinkUp(index))
    assert step.inverse() != step
    assert step.inverse().object == step.object
    assert step.inverse().namespace == namespace
    assert step.inverse().inverse() == step


@pytest.mark.parametrize(("text", "prefix"), [("10.0.0.4", "10.0.0.4/32"), ("fd00::4", "fd00::4/128")])
def test_host_prefix(text: str, prefix: str) -> None:
    assert host_prefix(ip_address(text)) == ip_network(prefix)


def test_a_route_without_a_next_hop_reaches_the_link() -> None:
    destination = ip_network("10.0.0.4/32")
    assert Route(destination, 5).scope is Scope.LINK
    assert Route(destination, 5, ip_address("0.0.0.0")).scope is Scope.UNIVERSE


def test_the_marker_of_a_ruleset_tells_texts_apart() -> None:
    tables = (("inet", "podvnet"),)
    one, other = Ruleset(tables, "table inet podvnet { }"), Ruleset(tables, "table inet podvnet {  }")
    assert one.marker != other.marker
    assert one.marker == Ruleset((), one.text).marker
    assert one.marker.startswith(MARKER)
    assert len(one.marker) < 32


def test_objects_are_values() -> None:
    assert {Element("inet", "t", "s", b"k"), Element("inet", "t", "s", b"k", b"")} == {Element("inet", "t", "s", b"k")}
