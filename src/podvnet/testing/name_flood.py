"""Many questions to a resolver from several places at once, each sent once: what comes back, and how soon.

A place sends at an even pace, with no more than a few questions unanswered, as a busy VM does. Nothing is sent twice,
so a question that is lost stays lost.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from podvnet.linux import namespace

_QUESTION = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
"""Flags and counts of a question that wants recursion."""


@dataclass(slots=True)
class Flood:
    """What became of the questions. ``latencies`` in seconds, of each answer; ``seconds`` of the whole."""

    sent: int = 0
    wrong: int = 0
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        """How many got no answer."""
        return self.sent - len(self.latencies)

    def __str__(self) -> str:
        ordered = sorted(self.latencies) or [0.0]
        places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        slow = ", ".join(
            f"{name} {1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)]:.2f} ms"
            for name, part in places.items()
        )
        pace = self.sent / self.seconds
        return f"{self.sent} sent, {self.lost} lost, {self.wrong} wrong, {self.seconds:.1f} s, {pace:.0f}/s; {slow}"


@dataclass(slots=True)
class _Place:
    """Where questions are sent from, with those that are unanswered: by number the time they were sent at."""

    caller: socket.socket
    due: float
    number: int = 0
    waiting: dict[int, float] = field(default_factory=dict)


def flood(
    places: Sequence[int],
    server: str,
    names: dict[str, bytes],
    count: int,
    *,
    pace: float,
    outstanding: int,
    patience: float = 5.0,
) -> Flood:
    """Ask for addresses.

    Args:
        places: namespaces.
        server: the resolver's address.
        names: what is asked for in turn, and how the answer ends on the wire: the address.
        count: of questions, all places together.
        pace: questions a second of each place.
        outstanding: questions of a place that may be unanswered.
        patience: seconds after which a question is lost.
    """
    found = Flood()
    questions = [(_wire(name), end) for name, end in names.items()]
    begun = time.monotonic()
    with selectors.DefaultSelector() as selector:
        callers = [_Place(namespace.run_inside(each, lambda: _connected(server)), begun) for each in places]
        for each in callers:
            selector.register(each.caller, selectors.EVENT_READ, each)
        while (sending := found.sent < count) or any(each.waiting for each in callers):
            now = time.monotonic()
            for each in callers:
                _forget_lost(each, now - patience)
                while found.sent < count and each.due <= now and len(each.waiting) < outstanding:
                    each.number = (each.number + 1) % 65_536
                    each.caller.send(each.number.to_bytes(2) + questions[each.number % len(questions)][0])
                    each.waiting[each.number] = time.monotonic()
                    each.due = max(each.due + 1 / pace, now - 0.05)
                    found.sent += 1
            pause = max(0.0, min(each.due for each in callers) - now) if sending else 0.1
            for key, _ in selector.select(min(pause, 0.1)):
                _take(key.data, questions, found)
        for each in callers:
            each.caller.close()
    found.seconds = time.monotonic() - begun
    return found


def _take(place: _Place, questions: list[tuple[bytes, bytes]], found: Flood) -> None:
    while True:
        try:
            answer = place.caller.recv(2048)
        except BlockingIOError:
            return
        number = int.from_bytes(answer[:2])
        since = place.waiting.pop(number, None)
        if since is None:
            found.wrong += 1
            continue
        found.latencies.append(time.monotonic() - since)
        found.wrong += not answer.endswith(questions[number % len(questions)][1])


def _forget_lost(place: _Place, before: float) -> None:
    while place.waiting and next(iter(place.waiting.values())) < before:
        del place.waiting[next(iter(place.waiting))]


def _wire(name: str) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return _QUESTION + labels + b"\0\0\1\0\1"


def _connected(server: str) -> socket.socket:
    caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    caller.connect((server, 53))
    caller.setblocking(False)
    return caller
