"""A person's question about a packet: who is meant by the words, and the evaluator's answer as a document."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, NoReturn

from podvnet.fabric.hop_counters import HopCounters
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.flow import ICMP, ICMPV6, TCP, UDP, Flow
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.verdict import Check, Hop, Trace, Verdict
from podvnet.plan.entrances import is_of_internet
from podvnet.plan.evaluate import Evaluator, SenderError
from podvnet.plan.remedy import described, named

_PROTOCOLS = {"tcp": TCP, "udp": UDP}
_SENDER_PORT = 49_152
"""Source: RFC 6335, the first dynamic port."""


def trace_of(
    evaluator: Evaluator,
    counters: HopCounters,
    *,
    source: str,
    destination: str,
    protocol: str,
    port: int = 0,
) -> dict[str, Any]:
    """The answer about one packet.

    Args:
        evaluator: knows the network.
        counters: knows what its kernel has counted.
        source: an address, the name of a NIC or VM, or both: ``name@address``; or that of a host on premises,
            ``site/host``. A public address that no NIC has is a host of the internet, or one on premises.
        destination: an address, or the name of a NIC, VM or host on premises; from the internet that means its public
            address.
        protocol: ``tcp``, ``udp`` or ``icmp``.
        port: the destination's, for TCP and UDP.

    Raises:
        ArmErrorsError: nobody, or several, are meant by a word.
    """
    name, _, text = source.partition("@")
    own = _address(text or name) or _host(evaluator.intent, name)
    to = _address(destination) or _host(evaluator.intent, destination)
    version = next((each.version for each in (to, own) if each), 4)
    sender: NetworkInterface | None
    if own is not None and not text and evaluator.topology.is_on_premises(own):
        to = to or _primary(_find(evaluator.intent, destination), version)
        sender = None
    elif own is not None and not text:
        is_outside = is_of_internet(own) and not evaluator.topology.holders(own)
        if to is None and is_outside:
            to = _public(evaluator.intent, _find(evaluator.intent, destination), version)
        is_outside = is_outside and to is not None and evaluator.topology.entrances.knows(to)
        sender = None if is_outside else _holder(evaluator, own)
    elif own is None and text:
        _refuse("InvalidRequestFormat", f"{text!r} is no address", HTTPStatus.BAD_REQUEST)
    else:
        sender = _find(evaluator.intent, name)
        own = own or _primary(sender, version)
    to = to or _primary(_find(evaluator.intent, destination), version)
    if own.version != to.version:
        _refuse("InvalidRequestFormat", f"{own} and {to} are of two IP versions", HTTPStatus.BAD_REQUEST)
    if protocol in _PROTOCOLS:
        flow = Flow(_PROTOCOLS[protocol], own, to, _SENDER_PORT, port)
    else:
        flow = Flow(ICMP if version == 4 else ICMPV6, own, to)
    return document(counters.counted(evaluator.evaluate(flow, sender)))


def _public(intent: Intent, nic: NetworkInterface, version: int) -> Address:
    """The public address of a NIC."""
    configs = [each for each in nic.ip_configurations if each.address.version == version]
    addresses = [
        each for config in configs if config.public for each in intent.public_addresses[config.public.key].addresses
    ]
    if not addresses:
        what = f"NIC {nic.id.name} has no IPv{version} public address that the internet could send to"
        _refuse("InvalidRequestFormat", what, HTTPStatus.BAD_REQUEST)
    return addresses[0]


def document(trace: Trace) -> dict[str, Any]:
    """A trace as JSON; ``summary`` is one line that names what decided."""
    flow, arrival, way_out, culprit = trace.flow, trace.arrival, trace.way_out, trace.culprit
    return {
        "packet": described(flow),
        "summary": _summary(trace),
        "verdict": trace.verdict,
        "remedy": culprit.remedy if culprit else "",
        "protocol": flow.protocol,
        "source": str(flow.source),
        "destination": str(flow.destination),
        "destinationPort": flow.destination_port,
        "outbound": str(trace.outbound or ""),
        "egress": way_out.egress if way_out else "",
        "outboundPorts": list(way_out.ports or ()) if way_out else [],
        "arrival": {
            "source": str(arrival.source),
            "sourcePort": arrival.source_port,
            "destination": str(arrival.destination),
            "destinationPort": arrival.destination_port,
        },
        "nics": [str(nic) for nic in trace.nics],
        "hops": [_hop(hop) for hop in trace.hops],
    }


def _summary(trace: Trace) -> str:
    match trace.verdict, trace.culprit:
        case _, Hop(check=Check.SECURITY_RULE | Check.ROUTE, reason=reason, where=where):
            # These say themselves what did it; of the rest the place does.
            return f"dropped by {reason}, at {named(where)}"
        case _, Hop(reason=reason, where=where):
            return f"dropped at {named(where)}: {reason}"
        case Verdict.DELIVERED, _:
            how = f" as {described(trace.arrival)}" if trace.arrival != trace.flow else ""
            return f"delivered to {named(trace.nics[-1])}{how}"
        case Verdict.LEFT_TO_INTERNET, _:
            ports = trace.way_out.ports if trace.way_out else None
            return f"leaves to the internet as {trace.outbound}{f', ports {ports[0]} to {ports[1]}' if ports else ''}"
        case Verdict.REACHED_ON_PREMISES, _:
            by = next(named(hop.where) for hop in reversed(trace.hops) if hop.check is Check.GATEWAY)
            sites = (f"{named(hop.where)}: {hop.reason}" for hop in trace.hops[-1:] if hop.check is Check.SITE)
            return f"leaves by {by} to {next(sites, 'a device that is not of this fabric')}"
        case Verdict.REACHED_SERVICE, _:
            last = trace.hops[-1].where
            how = "the service endpoint" if last.path[-1][0].lower() == "subnets" else named(last)
            return f"reaches the service as {trace.flow.source}, by {how}"
    return "answered by the platform"


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "where": str(hop.where),
        "place": named(hop.where),
        "check": hop.check,
        "allowed": hop.allowed,
        "reason": hop.reason,
        "securityGroup": str(hop.group or ""),
        "rule": hop.rule.name if hop.rule else "",
        "routeTable": str(hop.table or ""),
        "route": str(hop.route.prefix) if hop.route else "",
        "remedy": hop.remedy,
        "counter": hop.counter,
    }


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _host(intent: Intent, name: str) -> Address | None:
    """The address of a host on premises: ``site/host``."""
    site, _, host = name.lower().partition("/")
    for each in intent.sites.values():
        for one in each.hosts:
            if (each.id.name.lower(), one.name.lower()) == (site, host):
                return one.address
    return None


def _holder(evaluator: Evaluator, address: Address) -> NetworkInterface:
    try:
        return evaluator.sender(address)
    except SenderError as problem:
        _refuse("ResourceNotFound", f"{problem}", HTTPStatus.NOT_FOUND)


def _find(intent: Intent, name: str) -> NetworkInterface:
    """The NIC of a name or id: the NIC itself, or the first one of a VM."""
    wanted = name.lower()
    machines = [each for each in intent.machines.values() if wanted in {each.id.key, each.id.name.lower()}]
    nics = [intent.nics[each.nics[0].key] for each in machines]
    nics = nics or [each for each in intent.nics.values() if wanted in {each.id.key, each.id.name.lower()}]
    if len(nics) > 1:
        which = ", ".join(str(each.id) for each in machines or nics)
        _refuse("AmbiguousName", f"several are named {name!r}; give the id of one: {which}", HTTPStatus.BAD_REQUEST)
    if not nics:
        ids = [each.id for each in intent.machines.values()] + [each.id for each in intent.nics.values()]
        known = sorted({each.name for each in ids})
        _refuse(
            "ResourceNotFound",
            f"there is no VM and no NIC {name!r} (there are: {', '.join(known) or 'none'})",
            HTTPStatus.NOT_FOUND,
        )
    return nics[0]


def _primary(nic: NetworkInterface, version: int) -> Address:
    if version not in nic.versions:
        what = f"NIC {nic.id.name} has no IPv{version} address"
        _refuse("InvalidRequestFormat", what, HTTPStatus.BAD_REQUEST)
    return nic.primary(version).address


def _refuse(code: str, message: str, status: HTTPStatus) -> NoReturn:
    raise ArmErrorsError((ArmError(code, message, status=status),))
