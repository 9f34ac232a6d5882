"""What the points of a moment are, from the intent and from what the kernel says. Pure.

A failure to find a port is counted by the kernel for a whole virtual network, so it counts for every load balancer and
NAT gateway that the network is left by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podvnet.fabric.metrics import definition
from podvnet.fabric.metrics.point import Point
from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.intent import Intent
from podvnet.model.load_balancer import LoadBalancer
from podvnet.model.resource_id import ResourceId
from podvnet.plan.backends import Backends
from podvnet.plan.outbound_ports import PortRange, outbound_ports

_PROTOCOLS = {6: "TCP", 17: "UDP"}


@dataclass(frozen=True, slots=True)
class Translated:
    """A connection whose source is translated: its first packet, and an answer as it comes in."""

    first: Flow
    answer: Flow


@dataclass(frozen=True, slots=True)
class NetworkReading:
    """What the kernel says of one virtual network.

    Attributes:
        active: the connections that there are.
        begun: those that have begun since the minute did.
        failed: how many connections found no port in that time.
        unsupported: how many packets NAT gateways have dropped in that time for their protocol.
    """

    active: tuple[Translated, ...] = ()
    begun: tuple[Translated, ...] = ()
    failed: int = 0
    unsupported: int = 0


def watched(intent: Intent) -> set[ResourceId]:
    """The virtual networks whose connections count: those that a load balancer or a NAT gateway leads out of."""
    gateways = {
        network.id
        for network in intent.virtual_networks.values()
        if any(subnet.nat_gateway for subnet in network.subnets)
    }
    members = {network for network, _, _ in outbound_ports(intent, Backends(intent))}
    return gateways | {intent.virtual_networks[key].id for key in members}


def points(intent: Intent, networks: dict[str, NetworkReading]) -> Iterator[Point]:
    """Every point of a moment.

    Args:
        intent: what there is.
        networks: by id key, those that :func:`watched` names.
    """
    backends = Backends(intent)
    ranges = outbound_ports(intent, backends)
    for key, balancer in intent.load_balancers.items():
        yield from _availability(key, balancer, backends)
        own = {place: given for place, given in ranges.items() if given.source.top.key == key}
        yield from _ports(key, own, networks)
    for key, gateway in intent.nat_gateways.items():
        addresses = {
            address
            for each in gateway.addresses
            if each.key in intent.public_addresses
            for address in intent.public_addresses[each.key].addresses
        }
        using = [
            network.id.key
            for network in intent.virtual_networks.values()
            if any(subnet.nat_gateway == gateway.id for subnet in network.subnets)
        ]
        if networks.keys() >= set(using):
            yield from _gateway(key, addresses, [networks[each] for each in using])


def _availability(key: str, balancer: LoadBalancer, backends: Backends) -> Iterator[Point]:
    """Whether a new flow to a frontend comes to somebody, and who answers the probes."""
    for rule in balancer.rules:
        frontend = next(each for each in balancer.frontends if each.id == rule.frontend)
        probe = next((each for each in balancer.probes if each.id == rule.probe), None)
        for address in backends.addresses(frontend):
            front = str(address), str(rule.frontend_port)
            receivers = backends.receivers(balancer, rule, address.version)
            yield Point(key, definition.VIP, front, 100.0 if receivers else 0.0)
            for member in backends.members(rule.pool) if probe and rule.pool else ():
                if probe and member.address.version == address.version:
                    answers = 100.0 if backends.is_healthy(probe, member) else 0.0
                    place = (rule.protocol.upper(), str(rule.backend_port), *front, str(member.address))
                    yield Point(key, definition.DIP, place, answers)


def _ports(
    key: str, ranges: dict[tuple[str, Address, int], PortRange], networks: dict[str, NetworkReading]
) -> Iterator[Point]:
    """The ports of a load balancer that members have and use, and the connections they began."""
    for network, reading in networks.items():
        active, begun = _by_use(reading.active), _by_use(reading.begun)
        here = [(place, given) for place, given in ranges.items() if place[0] == network]
        for (_, member, protocol), given in here:
            names = str(given.address), str(member), _PROTOCOLS[protocol]
            use, ports = (member, protocol, given.address), range(given.first, given.last + 1)
            used = {port for port in active.get(use, ()) if port in ports}
            came = sum(port in ports for port in begun.get(use, ()))
            yield Point(key, definition.ALLOCATED, names, len(ports))
            yield Point(key, definition.USED, names, len(used))
            if came:
                yield Point(key, definition.SNAT_CONNECTIONS, (*names[:2], "Successful"), came)
        if here:
            yield Point(key, definition.SNAT_CONNECTIONS, ("", "", "Failed"), reading.failed)


def _by_use(connections: tuple[Translated, ...]) -> dict[tuple[Address, int, Address], list[int]]:
    """The ports that connections left with, by private address, protocol and public address."""
    found: dict[tuple[Address, int, Address], list[int]] = {}
    for each in connections:
        use = each.first.source, each.first.protocol, each.answer.destination
        found.setdefault(use, []).append(each.answer.destination_port)
    return found


def _gateway(key: str, addresses: set[Address], readings: list[NetworkReading]) -> Iterator[Point]:
    """The connections of a NAT gateway and the packets it has dropped."""
    for number, name in _PROTOCOLS.items():
        protocol = f"{number}: {name}"
        active, begun = (
            sum(each.answer.destination in addresses and each.first.protocol == number for each in connections)
            for connections in (
                [each for reading in readings for each in reading.active],
                [each for reading in readings for each in reading.begun],
            )
        )
        yield Point(key, definition.GATEWAY_TOTAL, (protocol,), active)
        yield Point(key, definition.GATEWAY_CONNECTIONS, (protocol, "Attempted"), begun)
    failed = sum(reading.failed for reading in readings)
    yield Point(key, definition.GATEWAY_CONNECTIONS, ("", "Failed"), failed)
    yield Point(key, definition.GATEWAY_DROPS, (), failed + sum(reading.unsupported for reading in readings))
