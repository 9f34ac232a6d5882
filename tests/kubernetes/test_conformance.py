"""Kubernetes' own tests of a cluster's network come out as docs/conformance.md says, row by row."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from podvnet.testing import conformance
from podvnet.testing.conformance import Outcome
from podvnet.testing.kubernetes import Cluster

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
ALL = os.environ.get("PODVNET_KUBERNETES_ALL") == "1"
PASSES, FAILS = "passes", "fails"
LINE = re.compile(rf"^\| (\S.*?) \| (every run)? ?\| ({PASSES}|{FAILS}) \| (.*?) ?\|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One of the page's: a test, whether every run runs it, what is expected, and why."""

    name: str
    always: bool
    passes: bool
    why: str


ROWS = [
    Row(f"[sig-network] {name} [Conformance]", bool(always), outcome == PASSES, why)
    for name, always, outcome, why in LINE.findall(PAGE.read_text("utf-8"))
]
CHOSEN = [row for row in ROWS if ALL or row.always]
PROXIES = ["iptables", "nftables"] if ALL else ["iptables"]
in_each_mode = (
    pytest.mark.parametrize("cluster", ["transparent", "bridge"], indirect=True, scope="session")
    if ALL
    else pytest.mark.usefixtures("cluster")
)


@pytest.fixture(scope="session", params=PROXIES)
def outcomes(request: pytest.FixtureRequest, cluster: Cluster) -> dict[str, Outcome]:
    """What became of the tests that are chosen; they run once in each way."""
    cluster.up("--proxy", request.param)
    conformance.load_images(cluster)
    found = conformance.run(cluster, [row.name for row in CHOSEN])
    print(f"\n{conformance.table(found)}")  # noqa: T201 - the list is what they are run for
    return {each.name: each for each in found}


def test_the_page_has_each_test_that_kubernetes_has() -> None:
    assert sorted(row.name for row in ROWS) == sorted(conformance.names())


def test_each_exception_has_its_reason() -> None:
    assert [row.name for row in ROWS if row.passes == bool(row.why)] == []


@in_each_mode
@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_it_comes_out_as_the_page_says(row: Row, outcomes: dict[str, Outcome]) -> None:
    came = outcomes[row.name]
    assert came.passed == row.passes, came.words
