"""A network as a file would declare it, and the packets that are sent through it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import yaml

from podvnet.fabric.arm.world import PUBLIC_ADDRESSES, Document
from podvnet.fabric.resource_file import LOCATION
from podvnet.model.address import Address
from podvnet.model.flow import Flow
from podvnet.model.resource_id import Scope, make

INTERNET_SENDER = "internet"
"""In the place of a NIC's name, where a packet comes from the internet."""
GATEWAY_SENDER = "by gateway "
"""In the place of a NIC's name, with the gateway's, where a packet comes from on premises by a gateway."""
PUBLIC_PLACEHOLDERS = IPv4Network("198.18.0.0/28")
"""Stand for the public addresses of a topology, which are known when it is built. Source: RFC 2544."""


@dataclass(frozen=True, slots=True)
class Port:
    """A NIC of a drawn topology.

    Attributes:
        name: of the NIC.
        machine: the name of the VM it is on; empty for none.
        position: its place on the VM.
        running: the VM runs.
        forwarding: IP forwarding is enabled on it.
    """

    name: str
    machine: str
    position: int
    running: bool
    forwarding: bool
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """Resources, as a resource file has them: without location, the ids within it short.

    Attributes:
        frontends: the private addresses of load balancers.
        healthy: the names of load balancers, each with an address that answers its probe.
        gateways, sites: in the words of :mod:`podvnet.testing.gateway_stand_in`.
    """

    resources: tuple[Document, ...]
    ports: tuple[Port, ...]
    frontends: tuple[Address, ...] = ()
    healthy: tuple[tuple[str, Address], ...] = ()
    gateways: tuple[Document, ...] = ()
    sites: tuple[Document, ...] = ()

    @property
    def has_public(self) -> bool:
        """There are public addresses that the internet can send to."""
        return any(each["type"] == PUBLIC_ADDRESSES for each in self.resources)

    @property
    def documents(self) -> list[Document]:
        """The resources with what a resource file adds."""
        return [
            {"location": LOCATION, **each, "id": str(make(Scope(), each["type"], each["name"]))}
            for each in self.resources
        ]

    @property
    def stopped(self) -> set[str]:
        """The names of VMs that are to be stopped."""
        return {port.machine for port in self.ports if port.machine and not port.running}

    @property
    def text(self) -> str:
        """The resource file, which ``podvnet up`` takes."""
        stopped = ", ".join(sorted(self.stopped))
        note = f"# stopped: {stopped}\n" if stopped else ""
        note += "".join(f"# {each}\n" for each in (*self.gateways, *self.sites))
        return note + yaml.safe_dump({"resources": list(self.resources)}, sort_keys=False, default_flow_style=None)


@dataclass(frozen=True, slots=True)
class Sending:
    """A packet, and the name of the NIC that sends it, or :data:`INTERNET_SENDER`, or a gateway."""

    port: str
    flow: Flow


@dataclass(frozen=True, slots=True)
class Scenario:
    """A topology and what is sent through it, no two packets of one flow."""

    topology: Topology
    sendings: tuple[Sending, ...]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """What hypothesis shows beside the message, which has the whole."""
        printer.text(f"<{len(self.topology.resources)} resources, {len(self.sendings)} packets>")
