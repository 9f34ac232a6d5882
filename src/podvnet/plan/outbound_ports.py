"""Which ports of which public address a member of a load balancer's pool reaches the internet with.

Ports are given out beforehand, whether a member uses them or not. Outbound rules come first; a load balancing rule
lends its frontend's address to those that none is about.

Source: Azure documents "Use Source Network Address Translation (SNAT) for outbound connections" and "Outbound rules
Azure Load Balancer".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from podvnet.model.address import Address
from podvnet.model.flow import TCP, UDP
from podvnet.model.intent import Intent
from podvnet.model.load_balancer import LoadBalancer, Transport
from podvnet.model.resource_id import ResourceId
from podvnet.plan.backends import Backends

BLOCK = 8
"""Ports come in blocks of so many."""
FIRST_PORT, USABLE_PORTS = 1024, 64_000
_POOL_SIZES = (50, 100, 200, 400, 800)
_PORTS_BY_SIZE = (1024, 512, 256, 128, 64, 32)
"""The ports of each member of a pool that is no larger than the size at the same place; of larger ones the last."""
PROTOCOLS: dict[Transport, tuple[int, ...]] = {
    Transport.TCP: (TCP,),
    Transport.UDP: (UDP,),
    Transport.ALL: (TCP, UDP),
}
"""The IP protocols that ports are given out of, by what a rule is about."""

_Key = tuple[str, Address, int]


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports of a public address, the ends included. ``source`` is the outbound rule or the load balancing rule."""

    address: Address
    first: int
    last: int
    source: ResourceId


def default_ports(members: int) -> int:
    """How many ports each member of a pool gets where an outbound rule leaves it open."""
    return _PORTS_BY_SIZE[bisect_left(_POOL_SIZES, members)]


def outbound_ports(intent: Intent, backends: Backends) -> dict[_Key, PortRange]:
    """The ports of every member that has any.

    Returns:
        By the key of the virtual network, the private address and the IP protocol (6 or 17). Only the first address of
        a NIC on a VM that runs has ports; the addresses of a pool have them in order, as long as there are some.
    """
    balancers = [each for each in intent.load_balancers.values() if each.is_public]
    return _Allocation(backends, balancers).run()


class _Allocation:
    """Gives out ports once."""

    def __init__(self, backends: Backends, balancers: list[LoadBalancer]) -> None:
        self._backends = backends
        self._balancers = balancers
        self._burnt: dict[Address, set[int]] = {}
        self._free: dict[tuple[Address, int], list[tuple[int, int]]] = {}
        self._found: dict[_Key, PortRange] = {}

    def run(self) -> dict[_Key, PortRange]:
        ruled: set[_Key] = set()
        for balancer in self._balancers:
            for address, block in self._taken(balancer):
                self._burnt.setdefault(address, set()).add(block)
        for balancer in self._balancers:
            for outbound in balancer.outbound_rules:
                addresses = self._addresses(balancer, outbound.frontends)
                for protocol in PROTOCOLS[outbound.protocol]:
                    members = self._members(outbound.pool, protocol)
                    self._give(members, addresses, outbound.ports or default_ports(len(members)), outbound.id)
                    ruled.update(members)
        for balancer in self._balancers:
            for rule in balancer.rules:
                if rule.outbound_snat and rule.pool:
                    addresses = self._addresses(balancer, (rule.frontend,))
                    for protocol in PROTOCOLS[rule.protocol]:
                        members = self._members(rule.pool, protocol)
                        wanting = [each for each in members if each not in ruled]
                        self._give(wanting, addresses, default_ports(len(members)), rule.id)
        return self._found

    def _give(self, members: Iterable[_Key], addresses: tuple[Address, ...], ports: int, source: ResourceId) -> None:
        for key in members:
            _, private, protocol = key
            fitting = [each for each in addresses if each.version == private.version]
            if key not in self._found:
                taken = (self._take(address, protocol, ports, source) for address in fitting)
                found = next((each for each in taken if each), None)
                if found:
                    self._found[key] = found

    def _take(self, address: Address, protocol: int, ports: int, source: ResourceId) -> PortRange | None:
        """The first free ports of an address that follow one another."""
        free = self._free.get((address, protocol))
        if free is None:
            free = self._free[address, protocol] = list(_gaps(self._burnt.get(address, set())))
        for place, (first, end) in enumerate(free):
            if end - first >= ports:
                free[place] = (first + ports, end)
                return PortRange(address, first, first + ports - 1, source)
        return None

    def _members(self, pool: ResourceId, protocol: int) -> list[_Key]:
        members = self._backends.members(pool)
        return [
            (each.nic.virtual_network.key, each.address, protocol) for each in members if each.nic and each.is_primary
        ]

    def _addresses(self, balancer: LoadBalancer, frontends: Iterable[ResourceId]) -> tuple[Address, ...]:
        by_id = {each.id: each for each in balancer.frontends}
        return tuple(address for each in frontends for address in self._backends.addresses(by_id[each]))

    def _taken(self, balancer: LoadBalancer) -> Iterator[tuple[Address, int]]:
        """The blocks that hold a port at which clients come in, by address."""
        entrances = [(each.frontend, each.frontend_port, each.frontend_port) for each in balancer.rules]
        entrances += [(each.frontend, each.first_port, each.last_port) for each in balancer.nat_rules]
        for frontend, first, last in entrances:
            for address in self._addresses(balancer, (frontend,)):
                for block in range(first // BLOCK, last // BLOCK + 1):
                    yield address, block


def _gaps(burnt: set[int]) -> Iterator[tuple[int, int]]:
    """The usable ports between burnt blocks: the first of each stretch, and the one after its last."""
    start, end = FIRST_PORT, FIRST_PORT + USABLE_PORTS
    for block in sorted(burnt):
        if FIRST_PORT <= block * BLOCK < end:
            if start < block * BLOCK:
                yield start, block * BLOCK
            start = (block + 1) * BLOCK
    if start < end:
        yield start, end
