"""Where a packet with a trace must be seen, and as what: NICs, sites, ``internet``, ``service``, ``platform``."""

from __future__ import annotations

from podvnet.model.flow import Flow
from podvnet.model.verdict import Check, Trace, Verdict

INTERNET, SERVICE, PLATFORM = "internet", "service", "platform"
_LAST = {
    Verdict.LEFT_TO_INTERNET: [INTERNET],
    Verdict.REACHED_SERVICE: [SERVICE],
    Verdict.ANSWERED_BY_PLATFORM: [PLATFORM],
}
"""Where a packet comes in the end that comes to no NIC."""


class Expectation:
    """What the evaluator says of one packet, as somebody sees it who watches where frames come in.

    Attributes:
        way: the places, in order.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._sent = trace.flow
        self._outside = trace.way_out.applied(trace.flow) if trace.way_out else trace.flow
        self.way = self._find_way()

    @property
    def _arrives(self) -> bool:
        """The last NIC gets the packet as it was when the trace ended; by a hairpin, too, which its kernel drops."""
        culprit = self._trace.culprit
        return self._trace.verdict is Verdict.DELIVERED or (culprit is not None and culprit.check is Check.HAIRPIN)

    def _find_way(self) -> list[str]:
        trace = self._trace
        # What comes from the internet has no sender among the NICs.
        first = trace.hops[0].check if trace.hops else None
        nics = [nic.name for nic in trace.nics]
        if first in {Check.SENDER, Check.SPOOFING}:
            nics = nics[1:]
        if trace.way_out and trace.verdict is not Verdict.LEFT_TO_INTERNET:
            # It leaves, and comes in again to a public address of the fabric.
            place = len(nics) - self._arrives
            return [*nics[:place], INTERNET, *nics[place:]]
        # A site gets what is for one of its networks, whether somebody has the address or not.
        site = [hop.where.name for hop in trace.hops[-1:] if hop.check is Check.SITE]
        return [*nics, *_LAST.get(trace.verdict, []), *site]

    def place(self, place: str, before: int, flow: Flow | None) -> str:
        """A place where the packet was seen; as what, when it must not look so.

        Args:
            place: where.
            before: how often it was seen there before.
            flow: what was seen.
        """
        positions = [number for number, each in enumerate(self.way) if each == place]
        if flow is None or before >= len(positions):
            return place
        position = positions[before]
        is_last = position == len(self.way) - 1
        if place == INTERNET:
            return place if self._is_outside(flow) else f"{place} as {_shown(flow)}"
        expected = self._trace.arrival if is_last and self._arrives else self._sent
        return place if flow == expected else f"{place} as {_shown(flow)}, not {_shown(expected)}"

    def reply_place(self, place: str, sender: str, flow: Flow | None) -> str:
        """A place where the reply was seen; as what, when it must not look so. ``sender``: who is replied to."""
        if flow is None:
            return place
        if place == INTERNET and sender != INTERNET:
            is_right = self._is_outside(reversed_flow(flow))
        else:
            is_right = flow == reversed_flow(self._sent)
        return place if is_right else f"{place} as {_shown(flow)}"

    def _is_outside(self, flow: Flow) -> bool:
        """Whether the internet may see the packet so: its source port may be any of a range."""
        way_out = self._trace.way_out
        if way_out is None or way_out.ports is None or way_out.keeps_port(self._sent):
            return flow == self._outside
        first, last = way_out.ports
        other = Flow(flow.protocol, flow.source, flow.destination, self._outside.source_port, flow.destination_port)
        return other == self._outside and (flow.source_port == 0 or first <= flow.source_port <= last)


def reversed_flow(flow: Flow) -> Flow:
    """The flow as a reply to it has it."""
    return Flow(flow.protocol, flow.destination, flow.source, flow.destination_port, flow.source_port)


def _shown(flow: Flow) -> str:
    return f"{flow.source}:{flow.source_port} -> {flow.destination}:{flow.destination_port}"
