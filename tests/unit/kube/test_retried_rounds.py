"""A round is made when it is asked for, one that failed again without being asked, and none once it is to stop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from podvnet.kube.retried_rounds import RetriedRounds

SECONDS = 10.0


class Maker:
    """Makes rounds that end as they are told to, and tells of each when it has begun."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.outcomes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.rounds = RetriedRounds("rounds", self._make, first=0.001, longest=0.002)
        self.rounds.start()

    def _make(self) -> bool:
        self.begun.put(threading.current_thread().name)
        return self.outcomes.get(timeout=SECONDS)


@pytest.fixture
def maker() -> Iterator[Maker]:
    made = Maker()
    yield made
    made.rounds.stop()
    made.outcomes.put(True)


def test_what_failed_is_made_again_until_it_is_done(maker: Maker) -> None:
    maker.rounds.wake()
    for outcome in (False, False, True):
        assert maker.begun.get(timeout=SECONDS) == "rounds"
        maker.outcomes.put(outcome)
    with pytest.raises(queue.Empty):
        maker.begun.get(timeout=0.1)


def test_who_asks_during_a_round_gets_another(maker: Maker) -> None:
    maker.rounds.wake()
    maker.begun.get(timeout=SECONDS)
    maker.rounds.wake()
    maker.outcomes.put(True)
    maker.begun.get(timeout=SECONDS)
    maker.outcomes.put(True)


def test_none_is_made_once_it_is_to_stop(maker: Maker) -> None:
    maker.rounds.wake()
    maker.begun.get(timeout=SECONDS)
    maker.rounds.stop()
    maker.outcomes.put(False)
    with pytest.raises(queue.Empty):
        maker.begun.get(timeout=0.1)
