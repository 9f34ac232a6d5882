"""Questions to the resource manager that are answered later: asked once, looked for until the answer is there."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpTransport

from podvnet.azure.error import SourceError
from podvnet.azure.resource_manager import RefusedError, ResourceManager
from podvnet.model.resource_id import parse

NIC = parse("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/nic")
LATER = {"Location": "https://arm/results/1?api-version=x"}


@dataclass
class Answer:
    """What of an HTTP response the pipeline and the client look at."""

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None

    @property
    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()


@dataclass
class Script(HttpTransport[Any, Any]):
    """Gives answers in turn, the last one for ever; notes what was asked."""

    answers: deque[Answer]
    asked: list[tuple[str, str]] = field(default_factory=list)

    def send(self, request: Any, **_: Any) -> Answer:
        self.asked.append((request.method, request.url))
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    def open(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing."""


class Somebody:
    """Has a token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("token", 4_000_000_000)


@dataclass
class Asked:
    """What came of a question."""

    transport: Script
    pauses: list[float]
    manager: ResourceManager


def asking(*answers: Answer) -> Asked:
    transport, pauses = Script(deque(answers)), list[float]()
    manager = ResourceManager("https://arm", credential=Somebody(), transport=transport, pause=pauses.append)
    return Asked(transport, pauses, manager)


def test_an_answer_that_is_there_is_taken() -> None:
    asked = asking(Answer(200, body={"value": []}))
    assert asked.manager.ask(NIC, "question") == {"value": []}
    (method, url), *more = asked.transport.asked
    assert (method, more) == ("POST", [])
    assert url.startswith(f"https://arm{NIC}/question?api-version=")


def test_an_answer_that_comes_later_is_looked_for_where_and_when_it_was_said() -> None:
    slow, usual = Answer(202, LATER | {"Retry-After": "7"}), Answer(202, LATER)
    asked = asking(slow, usual, Answer(200, body={"value": 1}))
    assert asked.manager.ask(NIC, "question") == {"value": 1}
    assert asked.transport.asked[1:] == [("GET", LATER["Location"])] * 2
    assert asked.pauses == [7.0, 1.0]


def test_an_answer_that_does_not_come_is_given_up() -> None:
    asked = asking(Answer(202, LATER | {"Retry-After": "50"}))
    with pytest.raises(SourceError, match="no answer in 150 s") as given_up:
        asked.manager.ask(NIC, "question")
    assert given_up.value.retryable
    assert asked.pauses == [50.0] * 3


def test_a_refusal_is_told_whenever_it_comes() -> None:
    refusal = Answer(403, body={"error": {"code": "AuthorizationFailed", "message": "no"}})
    for answers in ((refusal,), (Answer(202, LATER), refusal)):
        with pytest.raises(RefusedError, match="AuthorizationFailed"):
            asking(*answers).manager.ask(NIC, "question")


@pytest.mark.parametrize("answer", [Answer(202), Answer(200), Answer(200, body=[])])
def test_an_answer_without_the_shape_of_one_is_refused(answer: Answer) -> None:
    with pytest.raises(SourceError):
        asking(answer).manager.ask(NIC, "question")
