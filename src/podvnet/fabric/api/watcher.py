"""What a network watcher answers: may a packet pass a NIC, where does it go next, does it arrive.

Every answer is the evaluator's: no packet is sent, so a connectivity check has no latencies and no probes.
Pure. Source: Azure REST references "Network Watchers - Verify IP Flow", "- Get Next Hop", "- Check Connectivity".
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

from podvnet.fabric.api.effective import next_hops
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import NETWORK_INTERFACES, VIRTUAL_MACHINES
from podvnet.model.address import Address
from podvnet.model.arm_error import ArmError
from podvnet.model.flow import ICMP, ICMPV6, TCP, UDP, Flow
from podvnet.model.intent import NetworkInterface
from podvnet.model.resource_id import ResourceId, parse
from podvnet.model.routing import NextHop
from podvnet.model.security import Direction
from podvnet.model.verdict import Check, Hop, Trace, Verdict
from podvnet.plan.effective_routes import select_route
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.platform_evaluation import SERVED
from podvnet.plan.security_evaluation import deciding_rule, groups_of

Answer = dict[str, Any]

EPHEMERAL = 49_152
"""The port of a sender that names none. Source: RFC 6335, the first dynamic port."""
_PORTS = {"Http": 80, "Https": 443}
_REACHED = {Check.OWNER, Check.APPLIANCE}


def verify_ip_flow(evaluator: Evaluator, body: Fields) -> Answer:
    """Whether the security groups of a NIC let a packet pass, and the rule that says so."""
    nic = _target(evaluator, body)
    direction = Direction(body.choice("direction", "", *Direction))
    protocol = TCP if body.choice("protocol", "", "TCP", "UDP") == "TCP" else UDP
    local, remote = _address(body, "localIPAddress"), _address(body, "remoteIPAddress")
    _check_own(body, "localIPAddress", nic, local)
    if direction is Direction.INBOUND:
        flow = Flow(protocol, remote, local, _port(body, "remotePort", any_port=True), _port(body, "localPort"))
    else:
        flow = Flow(protocol, local, remote, _port(body, "localPort", any_port=True), _port(body, "remotePort"))
    body.refuse_unread()
    answer = {"access": "Allow", "ruleName": ""}
    for _, group in groups_of(evaluator.topology, nic, direction):
        rule = deciding_rule(evaluator.topology, evaluator.topology.vantage(nic), group, direction, flow)
        answer = {"access": "Allow" if rule.allow else "Deny", "ruleName": rule.name}
        if not rule.allow:
            break
    return answer


def next_hop(evaluator: Evaluator, body: Fields) -> Answer:
    """Where a packet from a NIC goes next."""
    nic = _target(evaluator, body)
    source, destination = _address(body, "sourceIPAddress"), _address(body, "destinationIPAddress")
    body.refuse_unread()
    _check_own(body, "sourceIPAddress", nic, source)
    vantage = evaluator.topology.vantage(nic)
    route = select_route(vantage.routes, destination)
    addresses: list[str] = []
    table = None
    if destination in SERVED:
        hop = NextHop.VNET_LOCAL
    elif route is None:
        hop = NextHop.NONE
    else:
        hop, addresses = route.next_hop, next_hops(evaluator.intent, route)
        table = vantage.table if route.name else None
    return {
        "nextHopType": hop,
        "nextHopIpAddress": next(iter(addresses), ""),
        "routeTableId": str(table.id) if table else "System Route",
    }


def check_connectivity(evaluator: Evaluator, body: Fields) -> Answer:
    """Whether the first packet of a connection arrives, and by which hops."""
    protocol = body.choice("protocol", "Tcp", "Tcp", "Http", "Https", "Icmp")
    version = int(body.choice("preferredIPVersion", "IPv4", "IPv4", "IPv6").removeprefix("IPv"))
    body.allow("protocolConfiguration")
    source, destination = body.fields("source"), body.fields("destination")
    body.refuse_unread()
    text = destination.text("address")
    to = _parse(destination, "address", text) if text else None
    version = to.version if to else version
    sender, nic = _end(evaluator, source, version)
    source_port = source.number("port", 0, 0, 65535) or EPHEMERAL
    if to is None:
        to, _ = _end(evaluator, destination, version)
    else:
        destination.allow("resourceId")
    port = destination.number("port", _PORTS.get(protocol, 0), 0, 65535)
    for fields in (source, destination):
        fields.refuse_unread()
    if protocol == "Icmp":
        flow = Flow(ICMP if version == 4 else ICMPV6, sender, to)
    elif not port:
        raise destination.error("InvalidRequestFormat", "is required", "port")
    else:
        flow = Flow(TCP, sender, to, source_port, port)
    return _connectivity(evaluator, evaluator.evaluate(flow, nic))


def _connectivity(evaluator: Evaluator, trace: Trace) -> Answer:
    hops = [_hop("Source", trace.nics[0], str(trace.flow.source), 0)]
    for hop in trace.hops:
        if hop.check in _REACHED and hop.allowed:
            kind = "VirtualMachine" if hop.check is Check.OWNER else "VirtualAppliance"
            nic = evaluator.intent.nics[hop.where.key]
            address = _nearest(nic, trace.arrival.destination)
            hops.append(_hop(kind, hop.where, str(address), len(hops)))
        elif hop.check is Check.GATEWAY and hop.where.key in evaluator.intent.gateways:
            gateway = evaluator.intent.gateways[hop.where.key]
            address = gateway.instances[0].address
            hops.append(_hop("VirtualNetworkGateway", hop.where, str(address), len(hops)))
        elif hop.check is Check.FRONTEND and hop.allowed:
            kind = "PublicLoadBalancer" if trace.way_out else "InternalLoadBalancer"
            hops.append(_hop(kind, hop.where.top, str(trace.flow.destination), len(hops)))
    if trace.verdict is Verdict.REACHED_ON_PREMISES:
        hops.append(_hop("OnPremises", None, str(trace.flow.destination), len(hops)))
    if trace.verdict in {Verdict.LEFT_TO_INTERNET, Verdict.REACHED_SERVICE, Verdict.ANSWERED_BY_PLATFORM}:
        kind = "Internet" if trace.verdict is Verdict.LEFT_TO_INTERNET else "PlatformService"
        hops.append(_hop(kind, None, str(trace.flow.destination), len(hops)))
    for earlier, later in pairwise(hops):
        earlier["nextHopIds"] = [later["id"]]
        later["previousHopIds"] = [earlier["id"]]
    if trace.culprit:
        hops[-1]["issues"] = [_issue(trace.culprit)]
    return {
        "connectionStatus": "Disconnected" if trace.culprit else "Connected",
        "hops": hops,
        "avgLatencyInMs": None,
        "minLatencyInMs": None,
        "maxLatencyInMs": None,
        "probesSent": 0,
        "probesFailed": 0,
    }


def _hop(kind: str, resource: ResourceId | None, address: str, position: int) -> Answer:
    return {
        "type": kind,
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{position} {resource} {address}")),
        "address": address,
        "resourceId": str(resource or ""),
        "nextHopIds": [],
        "previousHopIds": [],
        "issues": [],
    }


def _issue(culprit: Hop) -> Answer:
    rule, route = culprit.rule, culprit.route
    context = {"where": str(culprit.where), "reason": culprit.reason, "remedy": culprit.remedy}
    kind = "Platform"
    if rule is not None:
        kind = "NetworkSecurityRule"
        context |= {"ruleName": rule.name, "networkSecurityGroup": str(culprit.group)}
    elif culprit.check is Check.APPLIANCE or (route is not None and culprit.table is not None):
        kind = "UserDefinedRoute"
    return {
        "origin": "Inbound" if rule is not None and rule.direction is Direction.INBOUND else "Outbound",
        "severity": "Error",
        "type": kind,
        "context": [{"key": key, "value": value} for key, value in context.items()],
    }


def _nearest(nic: NetworkInterface, destination: Address) -> Address:
    own = [each.address for each in nic.ip_configurations]
    return destination if destination in own else nic.primary(destination.version).address


def _target(evaluator: Evaluator, body: Fields) -> NetworkInterface:
    """The NIC that is asked about: the one named, or the first of the VM."""
    machine = _nics(evaluator, body, "targetResourceId", body.required("targetResourceId"))
    text = body.text("targetNicResourceId")
    return _nics(evaluator, body, "targetNicResourceId", text)[0] if text else machine[0]


def _end(evaluator: Evaluator, fields: Fields, version: int) -> tuple[Address, NetworkInterface]:
    """The address and NIC that a VM or NIC sends from or is reached at."""
    nic = _nics(evaluator, fields, "resourceId", fields.required("resourceId"))[0]
    if version not in nic.versions:
        raise fields.error("InvalidRequestFormat", f"NIC {nic.id.name} has no IPv{version} address", "resourceId")
    return nic.primary(version).address, nic


def _nics(evaluator: Evaluator, fields: Fields, key: str, text: str) -> tuple[NetworkInterface, ...]:
    """The NICs of a running VM, or the one NIC, that an id names."""
    try:
        resource = parse(text)
    except ValueError as problem:
        raise fields.error("InvalidRequestFormat", str(problem), key) from None
    intent = evaluator.intent
    machine, nic = intent.machines.get(resource.key), intent.nics.get(resource.key)
    if machine is not None:
        found = intent.machine_nics(machine)
    elif nic is not None:
        found = (nic,)
    else:
        kinds = f"{VIRTUAL_MACHINES} or {NETWORK_INTERFACES}"
        raise ArmError(
            "ResourceNotFound", f"{key}: there is no {kinds} {text}", status=HTTPStatus.NOT_FOUND, target=text
        )
    check_running(evaluator, found[0])
    return found


def check_running(evaluator: Evaluator, nic: NetworkInterface) -> None:
    """Refuse a question about a NIC that carries no packets.

    Raises:
        ArmError: it is on no VM, or on one that does not run.
    """
    if not evaluator.topology.is_running(nic):
        raise ArmError(
            "OperationNotAllowed",
            f"Network interface {nic.id} must be attached to a virtual machine that runs. Attach it, or start the"
            " virtual machine.",
            status=HTTPStatus.CONFLICT,
            target=str(nic.id),
        )


def _check_own(body: Fields, key: str, nic: NetworkInterface, address: Address) -> None:
    if not nic.ip_forwarding and all(each.address != address for each in nic.ip_configurations):
        raise body.error("InvalidRequestFormat", f"{address} is no address of NIC {nic.id.name}", key)


def _address(body: Fields, key: str) -> Address:
    return _parse(body, key, body.required(key))


def _parse(body: Fields, key: str, text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise body.error("InvalidRequestFormat", f"{text!r} is no IP address; names are not resolved", key) from None


def _port(body: Fields, key: str, *, any_port: bool = False) -> int:
    text = body.required(key)
    if any_port and text == "*":
        return EPHEMERAL
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise body.error("InvalidRequestFormat", f"must be a port from 0 to 65535, not {text!r}", key)
    return int(text)
