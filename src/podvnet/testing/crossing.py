"""The packets of a scenario that is built, on their way: sent, heard, replied to."""

from __future__ import annotations

from dataclasses import replace

from podvnet.model.address import PLATFORM_MAC, Mac
from podvnet.model.flow import ICMP, Flow
from podvnet.model.intent import Intent
from podvnet.model.packet_header import ACK, RST, read_packet
from podvnet.model.verdict import Trace, Verdict
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.marked_frame import first_frame, number_of, reply_frame
from podvnet.testing.passage import Passage
from podvnet.testing.scenario import Scenario
from podvnet.testing.wire import Heard, Wire

INTERNET, SERVICE, PLATFORM = "internet", "service", "platform"
_LAST = {
    Verdict.LEFT_TO_INTERNET: [INTERNET],
    Verdict.REACHED_SERVICE: [SERVICE],
    Verdict.ANSWERED_BY_PLATFORM: [PLATFORM],
}
"""Where a packet comes in the end that comes to no NIC."""
_ETHERNET = 14
_QUOTED = _ETHERNET + 20 + 8
"""Where an ICMP error, of which no header has options, quotes the packet that it is about. Source: RFC 792."""
_UNREACHABLE = 3
_DEADLINE = 3.0
"""Seconds in which what the evaluator awaits must have come; mostly it takes some milliseconds."""
_QUIET = 0.03
"""Seconds without a frame after which nothing is taken to be on its way any more."""


class Crossing:
    """The packets of one scenario.

    Args:
        intent: what was built.
        wire: to the VMs that run, to the internet and to services.
        number: of the first packet. Those of other scenarios are unlike, so that a straggler is known for what it is.
    """

    def __init__(self, intent: Intent, wire: Wire, number: int) -> None:
        self._intent = intent
        self._wire = wire
        self._number = number
        self._passages: dict[int, Passage] = {}
        self._asked: dict[Flow, Passage] = {}
        self._nics = {nic.id.name: nic for nic in intent.nics.values()}
        self._ends = {
            nic.name: (names.machine_namespace(machine.id), f"eth{position}")
            for machine in intent.machines.values()
            for position, nic in enumerate(machine.nics)
        }
        self._places = {end: name for name, end in self._ends.items()}

    def run(self, scenario: Scenario) -> tuple[Passage, ...]:
        """Send everything, then the replies."""
        evaluator = Evaluator(self._intent)
        for number, sending in enumerate(scenario.sendings, self._number):
            trace = evaluator.evaluate(sending.flow, self._nics[sending.port])
            passage = self._passages[number] = Passage(number, sending.port, trace, _way(trace))
            self._asked[_reversed(sending.flow)] = passage
        for passage in self._passages.values():
            mac = self._nics[passage.port].mac
            frame = first_frame(passage.trace.flow, passage.number, mac, PLATFORM_MAC)
            self._wire.send(*self._ends[passage.port], frame)
        self._wire.hear(self._note_first, self._all_came, _DEADLINE, _QUIET)
        self._reply()
        self._wire.hear(self._note_reply, self._all_replied, _DEADLINE, _QUIET)
        return tuple(self._passages.values())

    def _note_first(self, heard: Heard) -> None:
        number = number_of(heard.frame, answers=False)
        if number in self._passages:
            passage = self._passages[number]
            passage.seen.append((heard.time, self._place(passage, heard)))
            if passage.last is None or passage.last.time < heard.time:
                passage.last = heard
            return
        # The platform has no server here, so its kernel says that the port is closed.
        header = read_packet(heard.frame[_ETHERNET:])
        if header and header.tcp_flags & (RST | ACK) == RST | ACK and header.flow in self._asked:
            self._asked[header.flow].seen.append((heard.time, PLATFORM))
        if header and header.flow.protocol == ICMP and header.icmp_type == _UNREACHABLE:
            about = read_packet(heard.frame[_QUOTED:])
            if about and _reversed(about.flow) in self._asked:
                self._asked[_reversed(about.flow)].seen.append((heard.time, PLATFORM))

    def _place(self, passage: Passage, heard: Heard) -> str:
        """Where a frame came in; of the internet and of services, as whom it came there when that is wrong."""
        header = read_packet(heard.frame[_ETHERNET:])
        source = header.flow.source if header else None
        if heard.namespace == names.SERVICES:
            return SERVICE if source == passage.trace.flow.source else f"{SERVICE} as {source}"
        if heard.namespace != names.INTERNET:
            return self._places[heard.namespace, heard.interface]
        return INTERNET if source == passage.trace.outbound else f"{INTERNET} as {source}"

    def _all_came(self) -> bool:
        return all(len(each.seen) >= len(each.way) for each in self._passages.values())

    def _reply(self) -> None:
        """Who got a packet replies to whom it came from, where that goes the same way back if no rule hinders it."""
        unfiltered = Evaluator(_without_groups(self._intent))
        for passage in self._passages.values():
            trace = passage.trace
            if passage.last is None or not passage.is_right or trace.flow.source == trace.flow.destination:
                continue
            if trace.verdict in {Verdict.LEFT_TO_INTERNET, Verdict.REACHED_SERVICE}:
                if self._owns_source(passage):
                    passage.reply_way = [passage.port]
            elif trace.verdict is Verdict.DELIVERED:
                back = unfiltered.evaluate(_reversed(trace.flow), self._nics[passage.way[-1]])
                if back.verdict is Verdict.DELIVERED and back.nics == trace.nics[::-1]:
                    passage.reply_way = _way(back)
            if passage.reply_way:
                self._wire.send(passage.last.namespace, passage.last.interface, _reply_to(passage.last, passage.number))

    def _owns_source(self, passage: Passage) -> bool:
        own = self._nics[passage.port].ip_configurations
        return any(each.address == passage.trace.flow.source for each in own)

    def _note_reply(self, heard: Heard) -> None:
        number = number_of(heard.frame, answers=True)
        if number in self._passages:
            self._passages[number].reply_seen.append((heard.time, self._places[heard.namespace, heard.interface]))
        else:
            self._note_first(heard)

    def _all_replied(self) -> bool:
        return all(len(each.reply_seen) >= len(each.reply_way or []) for each in self._passages.values())


def _way(trace: Trace) -> list[str]:
    """Where a packet with this trace must be seen, in order."""
    last = _LAST.get(trace.verdict, [])
    return [*(nic.name for nic in trace.nics[1:]), *last]


def _reversed(flow: Flow) -> Flow:
    return Flow(flow.protocol, flow.destination, flow.source, flow.destination_port, flow.source_port)


def _reply_to(heard: Heard, number: int) -> bytes:
    header = read_packet(heard.frame[_ETHERNET:])
    if header is None:
        raise ValueError(f"no IP packet: {heard.frame.hex()}")
    far, near = (Mac(heard.frame[start : start + 6].hex(":")) for start in (6, 0))
    return reply_frame(_reversed(header.flow), number, near, far)


def _without_groups(intent: Intent) -> Intent:
    """The same without security groups: what an established flow meets."""
    return replace(
        intent,
        nics={key: replace(nic, security_group=None) for key, nic in intent.nics.items()},
        virtual_networks={
            key: replace(network, subnets=tuple(replace(subnet, security_group=None) for subnet in network.subnets))
            for key, network in intent.virtual_networks.items()
        },
    )
