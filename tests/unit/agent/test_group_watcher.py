"""The thread that asks for the rules: about the NIC it was told, again at intervals, and after failures."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from podvnet.agent.group_watcher import GroupWatcher
from podvnet.azure.error import SourceError
from podvnet.model.address import Mac
from podvnet.model.nic_security import NicSecurity

MAC, OTHER = Mac("00:0d:3a:00:00:01"), Mac("00:0d:3a:00:00:02")
Answer = NicSecurity | SourceError
ANSWER = NicSecurity()
FAILURE = SourceError("silent", "wait", retryable=True, retry_after=0.001)
LONG = 3600.0
PATIENCE = 10.0


class Asked:
    """A watcher whose questions a test answers."""

    def __init__(self, interval: float) -> None:
        self.questions: queue.Queue[Mac] = queue.Queue()
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.delivered: queue.Queue[Answer] = queue.Queue()
        self.watcher = GroupWatcher(self._read, self.delivered.put, interval, chance=lambda: 0.0)
        self.watcher.start()

    def _read(self, mac: Mac) -> NicSecurity:
        self.questions.put(mac)
        answer = self.answers.get(timeout=PATIENCE)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    def answer(self, answer: Answer) -> Mac:
        """Answer the next question; return what it was about."""
        mac = self.questions.get(timeout=PATIENCE)
        self.answers.put(answer)
        assert self.delivered.get(timeout=PATIENCE) is answer
        return mac


@pytest.fixture
def often() -> Iterator[Asked]:
    asked = Asked(0.001)
    yield asked
    asked.watcher.stop()
    asked.answers.put(ANSWER)


@pytest.fixture
def seldom() -> Iterator[Asked]:
    asked = Asked(LONG)
    yield asked
    asked.watcher.stop()
    asked.answers.put(ANSWER)


def test_it_asks_at_intervals(often: Asked) -> None:
    often.watcher.ask(MAC)
    assert [often.answer(ANSWER) for _ in range(3)] == [MAC] * 3


def test_it_asks_at_once_when_told_and_about_the_nic_it_was_told(seldom: Asked) -> None:
    for mac in (MAC, OTHER):
        seldom.watcher.ask(mac)
        assert seldom.answer(ANSWER) == mac


def test_it_waits_after_a_failure_as_long_as_the_failure_says_and_not_the_interval(seldom: Asked) -> None:
    seldom.watcher.ask(MAC)
    assert [seldom.answer(each) for each in (FAILURE, FAILURE, ANSWER)] == [MAC] * 3
