from __future__ import annotations

import itertools
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.cluster.watchers import lacking


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def few_files() -> Iterator[None]:
    """Room for twenty more open files, in place of the machine's limit, which other tests need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, 20, None)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_lacking_for_a_cluster_is_counted_and_nothing_is_left_open(few_files: None) -> None:
    before = open_files()
    assert 0 < lacking(2) < 36
    assert lacking(4) - lacking(2) == 20
    assert open_files() == before
