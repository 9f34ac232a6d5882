"""What became of packets: what the evaluator says, and where the kernel let them come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from podvnet.model.verdict import Check, Trace
from podvnet.testing.expectation import Expectation
from podvnet.testing.wire import Heard


@dataclass
class Passage:
    """A packet: what the evaluator says, and where it was seen, in order: NICs, ``internet``, ``platform``.

    Attributes:
        expected: where it should be seen.
        reply_way: the same for the reply to it; None where none is sent.
    """

    number: int
    port: str
    trace: Trace
    expected: Expectation
    seen: list[tuple[int, str]] = field(default_factory=list)
    last: Heard | None = None
    reply_way: list[str] | None = None
    reply_seen: list[tuple[int, str]] = field(default_factory=list)

    @property
    def way(self) -> list[str]:
        """Where it should be seen, in order."""
        return self.expected.way

    @property
    def is_right(self) -> bool:
        """The kernel did what the evaluator says."""
        seen = _places(self.seen)
        culprit = self.trace.culprit
        if culprit and culprit.check is Check.LOOP:
            return seen[: len(self.way)] == self.way and set(seen) <= set(self.way)
        return seen == self.way

    @property
    def is_answered_right(self) -> bool:
        """The reply, if there was one, took the way back."""
        return _places(self.reply_seen) == (self.reply_way or [])

    def __str__(self) -> str:
        flow = self.trace.flow
        ends = f"{flow.source}:{flow.source_port} -> {flow.destination}:{flow.destination_port}"
        lines = [
            f"protocol {flow.protocol} {ends} sent by {self.port}",
            f"  evaluator: {self.trace.verdict} by way of {self.way}",
            *(f"    {'passes' if hop.allowed else 'DROPS'} {hop.check}: {hop.reason}" for hop in self.trace.hops),
            f"  kernel: seen at {_places(self.seen)}",
        ]
        if self.reply_way is not None:
            lines.append(f"  reply: awaited at {self.reply_way}, seen at {_places(self.reply_seen)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario. ``counters``: by virtual network, what its rules dropped."""

    passages: tuple[Passage, ...]
    counters: dict[str, dict[str, int]]

    @property
    def wrong(self) -> list[Passage]:
        """The packets about which the evaluator and the kernel disagree."""
        return [each for each in self.passages if not (each.is_right and each.is_answered_right)]


@dataclass
class Account:
    """Figures of many scenarios. ``topologies``: hashes, because hypothesis draws some of them again."""

    topologies: set[int] = field(default_factory=set)
    packets: int = 0
    replies: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def add(self, topology: str, outcome: Outcome) -> None:
        """Count one more."""
        self.topologies.add(hash(topology))
        self.packets += len(outcome.passages)
        self.replies += sum(each.reply_way is not None for each in outcome.passages)
        self.ends.update(_end(each) for each in outcome.passages)

    def __str__(self) -> str:
        ends = "".join(f"\n  {count:6} {end}" for end, count in self.ends.most_common())
        return f"{len(self.topologies)} topologies, {self.packets} packets, {self.replies} replies{ends}"


_BEGUN = {Check.SENDER: "", Check.SPOOFING: "", Check.GATEWAY: " from on premises"}
"""Where a packet comes from, by the first decision about it."""


def _end(passage: Passage) -> str:
    trace = passage.trace
    by = f" by {trace.culprit.check}" if trace.culprit else ""
    appliances = sum(hop.allowed and hop.check is Check.APPLIANCE for hop in trace.hops)
    over = f" over {appliances} appliances" if appliances else ""
    begun = _BEGUN.get(trace.hops[0].check, " from the internet")
    balanced = " by a load balancer" if any(hop.check is Check.BACKEND and hop.allowed for hop in trace.hops) else ""
    egress = f" as {trace.way_out.egress}" if trace.way_out else ""
    return f"IPv{trace.flow.source.version}{begun} {trace.verdict}{by}{over}{egress}{balanced}"


def _places(seen: list[tuple[int, str]]) -> list[str]:
    return [place for _, place in sorted(seen)]
