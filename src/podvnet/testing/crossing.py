"""The packets of a scenario that is built, on their way: sent, heard, replied to."""

from __future__ import annotations

from dataclasses import replace

from podvnet.model.address import PLATFORM_MAC, Address, Mac
from podvnet.model.flow import ICMP, Flow
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.packet_header import ACK, RST, read_packet
from podvnet.model.resource_id import ResourceId
from podvnet.model.verdict import Check, Trace, Verdict
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.testing.expectation import INTERNET, PLATFORM, SERVICE, Expectation, reversed_flow
from podvnet.testing.gateway_stand_in import site_link_name
from podvnet.testing.marked_frame import first_frame, number_of, reply_frame
from podvnet.testing.passage import Passage
from podvnet.testing.public_side import PublicSide
from podvnet.testing.scenario import GATEWAY_SENDER, INTERNET_SENDER, Scenario, Sending
from podvnet.testing.wire import Heard, Wire

_ETHERNET = 14
_QUOTED = _ETHERNET + 20 + 8
"""Where an ICMP error, of which no header has options, quotes the packet that it is about. Source: RFC 792."""
_UNREACHABLE = 3
_DEADLINE = 3.0
"""Seconds in which what the evaluator awaits must have come; mostly it takes some milliseconds."""
_QUIET = 0.03
"""Seconds without a frame after which nothing is taken to be on its way any more."""
_NO_WAY_OUT = {Check.OUTBOUND, Check.NAT_GATEWAY}
"""What hinders the first packet of a flow to the internet, and no answer to one from there."""


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
        self._evaluator = Evaluator(intent)
        self._unfiltered = Evaluator(_without_groups(intent))
        self._public = PublicSide(intent)
        self._passages: dict[int, Passage] = {}
        self._asked: dict[Flow, Passage] = {}
        self._claimed: set[tuple[str, int, frozenset[tuple[Address, int]]]] = set()
        self._nics = {nic.id.name: nic for nic in intent.nics.values()}
        self._ends = {
            nic.name: (names.machine_namespace(machine.id), f"eth{position}")
            for machine in intent.machines.values()
            for position, nic in enumerate(machine.nics)
        }
        self._places = {end: name for name, end in self._ends.items()}
        self._gateways = {GATEWAY_SENDER + each.id.name: each for each in intent.gateways.values()}
        self._sites = {names.site_namespace(each.id): each.id.name for each in intent.sites.values()}

    def run(self, scenario: Scenario) -> tuple[Passage, ...]:
        """Send everything, then the replies.

        Returns:
            What became of each packet. Those are not sent, and not among them, of which the evaluator leaves open what
            they will look like: who else has the same addresses and ports, before or after they are translated, has
            its source port exchanged for any other.
        """
        for number, sending in enumerate(scenario.sendings, self._number):
            passage = self._passage(number, sending)
            if passage is not None:
                self._passages[number] = passage
                self._asked[reversed_flow(passage.trace.flow)] = passage
        for passage in self._passages.values():
            self._send(passage)
        self._wire.hear(self._note_first, self._all_came, _DEADLINE, _QUIET)
        self._reply()
        self._wire.hear(self._note_reply, self._all_replied, _DEADLINE, _QUIET)
        return tuple(self._passages.values())

    def _passage(self, number: int, sending: Sending) -> Passage | None:
        flow = self._public.with_public_address(sending.flow)
        if sending.port == INTERNET_SENDER:
            if not self._evaluator.is_from_internet(flow):
                return None
            trace = self._evaluator.evaluate(flow)
        else:
            trace = self._evaluator.evaluate(flow, self._gateways.get(sending.port) or self._nics[sending.port])
        outside = trace.way_out.applied(flow) if trace.way_out else flow
        is_open = trace.way_out is not None and not trace.way_out.keeps_port(flow)
        if is_open and trace.verdict is not Verdict.LEFT_TO_INTERNET:
            return None
        nic = self._nics.get(sending.port)
        begin = nic.virtual_network.key if nic else sending.port
        end = self._intent.nics[trace.nics[-1].key].virtual_network.key if trace.nics else begin
        known = ((begin, flow), (INTERNET if trace.way_out else begin, outside), (end, trace.arrival))
        wanted = {(where, *_connection(each)) for where, each in known}
        # What has one end twice, from an address to itself without ports, is no flow.
        if wanted & self._claimed or any(len(ends) == 1 for *_, ends in wanted):
            return None
        self._claimed |= wanted
        return Passage(number, sending.port, trace, Expectation(trace))

    def _send(self, passage: Passage) -> None:
        flow = passage.trace.flow
        if passage.port == INTERNET_SENDER:
            # Nobody's address: it would end where it began.
            if link := self._public.link_to(flow.destination):
                frame = first_frame(flow, passage.number, names.INTERNET_MAC, names.EDGE_MAC)
                self._wire.send(names.INTERNET, link, frame)
            return
        if passage.port in self._gateways:
            frame = first_frame(flow, passage.number, names.NEAR_MAC, names.FAR_MAC)
            site = next(iter(self._sites))
            self._wire.send(site, site_link_name(self._gateways[passage.port]), frame)
            return
        frame = first_frame(flow, passage.number, self._nics[passage.port].mac, PLATFORM_MAC)
        self._wire.send(*self._ends[passage.port], frame)

    def _note_first(self, heard: Heard) -> None:
        number = number_of(heard.frame, answers=False)
        header = read_packet(heard.frame[_ETHERNET:])
        if number in self._passages:
            passage = self._passages[number]
            place = self._place(heard)
            before = sum(1 for _, seen in passage.seen if seen == place)
            shown = passage.expected.place(place, before, header.flow if header else None)
            passage.seen.append((heard.time, shown))
            if passage.last is None or passage.last.time < heard.time:
                passage.last = heard
            return
        # The platform has no server here, so its kernel says that the port is closed.
        if header and header.tcp_flags & (RST | ACK) == RST | ACK and header.flow in self._asked:
            self._asked[header.flow].seen.append((heard.time, PLATFORM))
        if header and header.flow.protocol == ICMP and header.icmp_type == _UNREACHABLE:
            about = read_packet(heard.frame[_QUOTED:])
            if about and reversed_flow(about.flow) in self._asked:
                self._asked[reversed_flow(about.flow)].seen.append((heard.time, PLATFORM))

    def _place(self, heard: Heard) -> str:
        """Where a frame came in."""
        if heard.namespace == names.SERVICES:
            return SERVICE
        if heard.namespace in self._sites:
            return self._sites[heard.namespace]
        return INTERNET if heard.namespace == names.INTERNET else self._places[heard.namespace, heard.interface]

    def _all_came(self) -> bool:
        return all(len(each.seen) >= len(each.expected.way) for each in self._passages.values())

    def _reply(self) -> None:
        """Who got a packet replies to whom it came from, where that goes the same way back if no rule hinders it."""
        for passage in self._passages.values():
            if passage.last is None or not passage.is_right:
                continue
            way = self._reply_way(passage)
            if way:
                passage.reply_way = way
                self._wire.send(passage.last.namespace, passage.last.interface, _reply_to(passage.last, passage.number))

    def _reply_way(self, passage: Passage) -> list[str]:
        trace = passage.trace
        if trace.flow.source == trace.flow.destination:
            return []
        if trace.verdict in {Verdict.LEFT_TO_INTERNET, Verdict.REACHED_SERVICE}:
            if passage.port in self._gateways:
                return [next(iter(self._sites.values()))]
            return [passage.port] if self._owns_source(passage) else []
        if trace.verdict is Verdict.REACHED_ON_PREMISES or (trace.culprit and trace.culprit.check is Check.SITE):
            return self._way_back_in(passage)
        if trace.verdict is not Verdict.DELIVERED:
            return []
        checks = {hop.check for hop in trace.hops}
        if {Check.APPLIANCE, Check.BACKEND} <= checks:
            # A member's answer by way of an appliance is not known as one of the frontend's flow.
            return []
        receiver = self._intent.nics[trace.nics[-1].key]
        back = self._unfiltered.evaluate(_from(receiver, reversed_flow(trace.arrival)), receiver)
        if passage.port == INTERNET_SENDER:
            return [INTERNET] if _goes_out(back) else []
        if passage.port in self._gateways:
            return self._way_back_out(passage, back)
        if trace.way_out:
            return [INTERNET, passage.port] if _goes_out(back) and self._owns_source(passage) else []
        goes_back = back.verdict is Verdict.DELIVERED and back.nics == trace.nics[::-1]
        return [nic.name for nic in back.nics[1:]] if goes_back and back.way_out is None else []

    def _way_back_in(self, passage: Passage) -> list[str]:
        """The way of an answer from on premises, if it comes back by the gateway that the packet left by."""
        trace = passage.trace
        own = passage.port in self._nics and self._owns_source(passage)
        if not own or len(trace.nics) > 1:
            return []
        gateway = self._intent.gateways[_gateways_of(trace)[-1].key]
        back = self._unfiltered.evaluate(reversed_flow(trace.flow), gateway)
        return [passage.port] if back.verdict is Verdict.DELIVERED and back.nics == trace.nics else []

    def _way_back_out(self, passage: Passage, back: Trace) -> list[str]:
        """The way of an answer to on premises; by an appliance only if that and the gateway are the same ones."""
        trace = passage.trace
        if back.verdict is not Verdict.REACHED_ON_PREMISES and not (back.culprit and back.culprit.check is Check.SITE):
            return []
        is_same = back.nics == trace.nics[::-1] and _gateways_of(back) == [self._gateways[passage.port].id]
        is_plain = len(trace.nics) == len(back.nics) == 1
        way = [*(nic.name for nic in back.nics[1:]), *(hop.where.name for hop in back.hops[-1:])]
        return way if is_same or is_plain else []

    def _owns_source(self, passage: Passage) -> bool:
        own = self._nics[passage.port].ip_configurations
        return any(each.address == passage.trace.flow.source for each in own)

    def _note_reply(self, heard: Heard) -> None:
        number = number_of(heard.frame, answers=True)
        if number in self._passages:
            passage = self._passages[number]
            header = read_packet(heard.frame[_ETHERNET:])
            shown = passage.expected.reply_place(self._place(heard), passage.port, header.flow if header else None)
            passage.reply_seen.append((heard.time, shown))
        else:
            self._note_first(heard)

    def _all_replied(self) -> bool:
        return all(len(each.reply_seen) >= len(each.reply_way or []) for each in self._passages.values())


def _connection(flow: Flow) -> tuple[int, frozenset[tuple[Address, int]]]:
    return flow.protocol, frozenset({(flow.source, flow.source_port), (flow.destination, flow.destination_port)})


def _from(nic: NetworkInterface, flow: Flow) -> Flow:
    """A reply of a NIC; one from a floating frontend's address takes the routes of the NIC's own addresses."""
    if any(each.address == flow.source for each in nic.ip_configurations):
        return flow
    return replace(flow, source=nic.primary(flow.source.version).address)


def _gateways_of(trace: Trace) -> list[ResourceId]:
    """The gateways that send a packet on, in order."""
    return [hop.where for hop in trace.hops if hop.check is Check.GATEWAY and hop.allowed]


def _goes_out(back: Trace) -> bool:
    """Whether a reply goes to the internet, by no appliance. It needs no way out of its own."""
    if any(hop.check is Check.APPLIANCE for hop in back.hops):
        return False
    return back.way_out is not None or (back.culprit is not None and back.culprit.check in _NO_WAY_OUT)


def _reply_to(heard: Heard, number: int) -> bytes:
    header = read_packet(heard.frame[_ETHERNET:])
    if header is None:
        raise ValueError(f"no IP packet: {heard.frame.hex()}")
    far, near = (Mac(heard.frame[start : start + 6].hex(":")) for start in (6, 0))
    return reply_frame(reversed_flow(header.flow), number, near, far)


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
