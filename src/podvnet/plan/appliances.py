"""Network virtual appliances: NICs with IP forwarding that routes lead to, and the ways there.

An appliance must be reachable without another hop: in the virtual network itself or in one that is peered with it.
Source: Azure document "Virtual network traffic routing", next hop type virtual appliance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from podvnet.model.address import Address
from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.routing import RouteTable
from podvnet.plan import names

OTHER_SIDE: dict[int, Address] = {4: IPv4Address("100.64.0.3"), 6: IPv6Address("fe80::3")}
"""The next hop on links between virtual networks; it appears in no packet."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where packets for an appliance go.

    Attributes:
        address: the appliance's, that routes name.
        index: the interface that leads there: the port of its NIC, or the link into the peered network it is in.
        hop: the next hop on that interface for each IP version.
    """

    address: Address
    index: int
    hop: tuple[tuple[int, Address], ...]


def find_appliances(intent: Intent) -> dict[str, list[NetworkInterface]]:
    """By id key of the virtual network, the NICs with IP forwarding of VMs that run."""
    found: dict[str, list[NetworkInterface]] = {}
    for machine in intent.machines.values():
        if machine.running:
            for nic in intent.machine_nics(machine):
                if nic.ip_forwarding:
                    found.setdefault(nic.virtual_network.key, []).append(nic)
    return found


def wanted_appliances(tables: Iterable[RouteTable]) -> set[Address]:
    """The addresses of appliances that routes name."""
    return {route.appliance for table in tables for route in table.routes if route.appliance}


def way_to(nic: NetworkInterface, *, of_peer: bool = False) -> tuple[Way, ...]:
    """The ways to each address of an appliance; ``of_peer`` says that it is in a peered virtual network."""
    if of_peer:
        index, hops = names.appliance_link_index(nic.number), tuple(OTHER_SIDE.items())
    else:
        index = names.port_index(nic.number)
        hops = tuple((version, nic.primary(version).address) for version in nic.versions)
    return tuple(Way(config.address, index, hops) for config in nic.ip_configurations)
