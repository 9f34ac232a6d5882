"""Packets go where the evaluator says: a small slice, always the same, of `scripts/differential`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.testing.arena import Arena
from podvnet.testing.differential import PACKETS, compare

TOPOLOGIES, FIRST = 12, 100


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    made = Arena(tmp_path)
    yield made
    made.close()


def test_packets_go_where_the_evaluator_says_and_nowhere_else(arena: Arena) -> None:
    compare(arena, TOPOLOGIES, FIRST)
    assert arena.account.packets >= TOPOLOGIES * PACKETS
    assert arena.account.replies > TOPOLOGIES
