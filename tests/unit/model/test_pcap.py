from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import RawPcapReader

from podvnet.model.pcap import SNAPSHOT_LENGTH, CapturedFrame, file_header, record

FRAMES = st.builds(
    CapturedFrame,
    time=st.integers(0, 2**32 * 10**9 - 1),
    data=st.binary(min_size=1, max_size=200),
    length=st.integers(200, 70_000),
)


def read_back(content: bytes) -> list[tuple[int, bytes, int]]:
    """Time in nanoseconds, bytes and length on the wire of each frame, as scapy reads them."""
    with RawPcapReader(io.BytesIO(content)) as reader:
        assert reader.nano
        assert reader.linktype == 1
        return [(meta.sec * 10**9 + meta.usec, data, meta.wirelen) for data, meta in reader]


@given(frames=st.lists(FRAMES, max_size=5))
def test_another_reader_gets_back_what_was_written(frames: list[CapturedFrame]) -> None:
    content = file_header() + b"".join(map(record, frames))
    assert read_back(content) == [(each.time, each.data, each.length) for each in frames]


def test_a_frame_is_cut_at_the_length_the_file_announces() -> None:
    content = record(CapturedFrame(1, bytes(SNAPSHOT_LENGTH + 1), SNAPSHOT_LENGTH + 1))
    assert struct.unpack_from("<IIII", content) == (0, 1, SNAPSHOT_LENGTH, SNAPSHOT_LENGTH + 1)
    assert len(content) == 16 + SNAPSHOT_LENGTH
    assert struct.unpack_from("<I", file_header(), 16) == (SNAPSHOT_LENGTH,)


@pytest.mark.parametrize("second", [0, 1_700_000_000])
def test_nanoseconds_stay_below_a_second(second: int) -> None:
    [(time, _, _)] = read_back(file_header() + record(CapturedFrame(second * 10**9 + 999_999_999, b"x", 1)))
    assert time == second * 10**9 + 999_999_999
