"""What public DNS has answered, for as long as it may be kept.

Pure: the caller has the clock. Sources: RFC 1034 section 3.6 (what is kept grows older); RFC 2308 section 5 (that a
name is not there is kept as long as the zone's record says, and not at all without one).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import dns.rdatatype
from dns.rrset import RRset, from_rdata_list

from podvnet.fabric.dns.resolution import NO_ERROR, NO_SUCH_NAME

_LONGEST = 86_400
_KEPT = 10_000

Question = tuple[str, str]
"""A name and a type of record."""


@dataclass(frozen=True, slots=True)
class PublicAnswer:
    """An answer of public DNS, whole or cut short.

    Attributes:
        truncated: there is more, over TCP.
    """

    rcode: str
    answers: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    truncated: bool = False

    def lifetime(self) -> int:
        """Seconds that it may be kept."""
        if self.rcode not in {NO_ERROR, NO_SUCH_NAME}:
            return 0
        times = [each.ttl for each in self.answers]
        if not times or self.rcode == NO_SUCH_NAME:
            times = [min(each.ttl, each[0].minimum) for each in self.authority if each.rdtype == dns.rdatatype.SOA] or [
                0
            ]
        return min(*times, _LONGEST)

    def aged(self, seconds: int) -> PublicAnswer:
        """The answer after some time."""
        return PublicAnswer(self.rcode, _aged(self.answers, seconds), _aged(self.authority, seconds))


class Cache:
    """The answers that are kept. When they are too many, those go first that nobody asked for the longest time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Question, tuple[float, PublicAnswer]] = OrderedDict()

    def find(self, question: Question, now: float) -> PublicAnswer | None:
        """The answer to a question, if one is known; ``now`` in seconds."""
        known = self._kept.get(question)
        if known is None:
            return None
        since, answer = known
        if now - since >= answer.lifetime():
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return answer.aged(int(now - since))

    def keep(self, question: Question, answer: PublicAnswer, now: float) -> None:
        """Remember an answer."""
        if answer.lifetime() > 0:
            self._kept[question] = (now, answer)
            self._kept.move_to_end(question)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def _aged(sets: tuple[RRset, ...], seconds: int) -> tuple[RRset, ...]:
    return tuple(from_rdata_list(each.name, max(0, each.ttl - seconds), list(each)) for each in sets)
