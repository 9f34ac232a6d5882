"""A small world to compile: one virtual network, two VMs, the second with a NIC that forwards."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address

import pytest

from podvnet.model.address import Mac
from podvnet.model.intent import (
    Intent,
    InternetHost,
    IpConfiguration,
    NetworkInterface,
    VirtualMachine,
    VirtualNetwork,
)
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.subnet import Subnet

HUB = make(Scope(), "Microsoft.Network/virtualNetworks", "Hub")


def _nic(name: str, number: int, subnet: str, *addresses: str, forwarding: bool = False) -> NetworkInterface:
    """A NIC; ``10.0.0.4>203.0.113.1`` is an address with its public one."""
    configurations = []
    for position, text in enumerate(addresses):
        private, _, public = text.partition(">")
        configurations.append(
            IpConfiguration(f"ip{position}", ip_address(private), position == 0, ip_address(public) if public else None)
        )
    return NetworkInterface(
        id=make(Scope(), "Microsoft.Network/networkInterfaces", name),
        number=number,
        mac=Mac(f"00:0d:3a:00:00:0{number}"),
        virtual_network=HUB,
        subnet=HUB.child("subnets", subnet),
        ip_configurations=tuple(configurations),
        ip_forwarding=forwarding,
    )


def _machine(name: str, *nics: ResourceId, running: bool = True) -> VirtualMachine:
    resource = make(Scope(), "Microsoft.Compute/virtualMachines", name)
    return VirtualMachine(resource, f"id of {name}", "local", "Standard_D2s_v5", nics, running)


@pytest.fixture
def intent() -> Intent:
    """``one`` has web (10.0.0.4 with an outbound address, two more) and back; ``two`` has gate, which forwards."""
    network = VirtualNetwork(
        HUB,
        3,
        (IPv4Network("10.0.0.0/16"), IPv4Network("20.1.0.0/16")),
        (
            Subnet(HUB.child("subnets", "front"), (IPv4Network("10.0.0.0/24"),)),
            Subnet(HUB.child("subnets", "back"), (IPv4Network("10.0.1.0/24"),)),
        ),
    )
    web = _nic("web", 1, "front", "10.0.0.4>203.0.113.1", "10.0.0.5", "10.0.0.6")
    back = _nic("back", 2, "back", "10.0.1.4")
    gate = _nic("gate", 5, "front", "10.0.0.7>203.0.113.2", forwarding=True)
    spare = _nic("spare", 6, "front", "10.0.0.8")
    machines = (_machine("One", web.id, back.id), _machine("two", gate.id), _machine("off", spare.id, running=False))
    host = InternetHost(make(Scope(), "Podvnet.Fabric/internetHosts", "example"), ip_address("198.51.100.7"))
    return Intent(
        {HUB.key: network},
        {nic.id.key: nic for nic in (web, back, gate, spare)},
        {machine.id.key: machine for machine in machines},
        {host.id.key: host},
    )
