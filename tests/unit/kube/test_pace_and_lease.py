"""When a controller writes, and whether it may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from podvnet.kube.lease import wanted_lease
from podvnet.kube.pace import Pace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_rounds_that_write_keep_their_distance() -> None:
    pace = Pace(2.0)
    assert pace.wait(100.0) == 0.0
    pace.wrote(100.0, None)
    assert pace.wait(100.5) == 1.5
    assert pace.wait(103.0) == 0.0


@pytest.mark.parametrize(("left", "seconds"), [(None, 2.0), (1000, 2.0), (200, 2.0), (100, 4.0), (10, 40.0), (0, 60.0)])
def test_the_fewer_writes_are_left_the_further_apart_they_are(left: int | None, seconds: float) -> None:
    assert Pace(2.0).spacing(left) == seconds


def test_failures_are_waited_for_ever_longer_or_as_long_as_is_said() -> None:
    pace = Pace(2.0)
    assert [pace.failed(0.0, None) for _ in range(8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert pace.failed(0.0, 17.0) == 17.0
    assert pace.wait(0.0) == 60.0
    pace.wrote(100.0, None)
    assert pace.failed(200.0, None) == 1.0


def test_days_of_failures_are_waited_for_no_longer_and_a_wait_of_nothing_is_none() -> None:
    pace = Pace(2.0)
    assert {pace.failed(0.0, None) for _ in range(5000)} == {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0}
    assert pace.failed(0.0, 0.0) == 60.0


def lease(holder: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}}


@pytest.mark.parametrize(
    ("there", "unchanged_for", "taken"),
    [
        (None, 0.0, True),
        (lease(""), 0.0, True),
        (lease("me"), 0.0, True),
        (lease("another"), 14.0, False),
        (lease("another"), 15.0, True),
    ],
    ids=["there is none", "nobody's", "ours", "another's", "another's, and long not renewed"],
)
def test_a_lease_is_taken_when_it_is_free(there: dict[str, Any] | None, unchanged_for: float, taken: bool) -> None:
    wanted = wanted_lease(there, "me", NOW, unchanged_for, name="x", namespace="y")
    assert (wanted is not None) is taken
    if wanted is not None:
        assert wanted["spec"]["holderIdentity"] == "me"
        assert wanted["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"
        changed = there is None or there["spec"]["holderIdentity"] != "me"
        assert ("acquireTime" in wanted["spec"]) is changed
        if there:
            assert wanted["metadata"]["resourceVersion"] == "7", "so that of two who try, one is refused"
