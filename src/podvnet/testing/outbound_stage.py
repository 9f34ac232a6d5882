"""The stage of the tests of ways to the internet: who leaves by which, what the evaluator and the kernel know of it.

The resources that are named are those of ``tests/kernel/outbound.yaml``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from podvnet.linux import namespace, ruleset
from podvnet.linux.conntrack import Connection, ConntrackSocket
from podvnet.testing.balancing_stage import part
from podvnet.testing.lab import Lab, laboratory
from podvnet.testing.stage import Resources, Stage, control
from podvnet.testing.traffic import ICMP, TCP, Place
from podvnet.testing.witness import PORT, Call, Seen

HOST, OTHER = "198.51.100.20", "198.51.100.30"
"""The hosts of the internet."""
DEFAULT = "default"
"""Stands for the address of default outbound access."""


class OutboundStage(Stage):
    """A lab whose subnets and NICs are given ways out.

    Attributes:
        fresh_ports: of the host; the flows to them that the kernel knows are those of one test.
    """

    def __init__(self, lab: Lab, file: Path) -> None:
        super().__init__(lab, file)
        self.fresh_ports = itertools.count(PORT + 100)

    def leaving(
        self, *, gateway: bool = False, own: bool = False, route: str = "", pools: Iterable[str] = ()
    ) -> Resources:
        """The file's resources, with ways out for the first address of VM a, in the subnet front.

        Args:
            gateway: the subnet has the NAT gateway.
            own: the address has a public one of its own.
            route: the name of the subnet's route table.
            pools: those of the public load balancer that it is in.
        """
        made = self.declared
        subnet = part(made, "virtualNetworks/hub", "subnets", "front")
        if gateway:
            subnet["natGateway"] = {"id": "natGateways/gateway"}
        if route:
            subnet["routeTable"] = {"id": f"routeTables/{route}"}
        if own:
            first = part(made, "networkInterfaces/a", "ipConfigurations", "first")
            first["publicIPAddress"] = {"id": "publicIPAddresses/own"}
        for each in pools:
            join(made, "a", each)
        return made

    def publics(self) -> dict[str, str]:
        """Every public address by the name of its resource; that of default access by ``default`` and the NIC's."""
        shown = control("GET", "/status")
        found = {
            each["name"]: each["properties"]["ipAddress"]
            for each in shown["resources"]
            if each["type"].endswith("/publicIPAddresses")
        }
        nics = [nic for machine in shown["virtualMachines"] for nic in machine["nics"]]
        return found | {f"{DEFAULT} {nic['name']}": nic["outbound"] for nic in nics if nic.get("outbound")}

    def addresses_of_prefix(self) -> list[str]:
        """The addresses of the one public prefix, in order."""
        shown = control("GET", "/status")["resources"]
        prefix = next(each["properties"]["ipPrefix"] for each in shown if each["type"].endswith("/publicIPPrefixes"))
        return [str(each) for each in ip_network(prefix)]

    def seen(self, caller: str, called: str, protocol: str = TCP, *, by: str = "", port: int = PORT) -> str:
        """As whom a place is seen by another, or what went wrong; see :class:`podvnet.testing.witness.Call`."""
        found = Call(self.places[caller], self.places[called], protocol, port, by).seen(self.watch())
        return found.address if isinstance(found, Seen) else found

    def flows(self, port: int, public: int = 0) -> list[Connection]:
        """What the kernel knows of flows to a port of the host: of all, or of the one that left by a port."""
        with namespace.entered(self.lab.network()), ConntrackSocket() as table:
            return [
                each
                for each in table.connections()
                if (str(each.original.destination), each.original.destination_port) == (HOST, port)
                and public in {0, each.reply.destination_port}
            ]

    def forget_flows(self, port: int, public: int = 0) -> None:
        """Let the time of flows be over, as it is after minutes of silence."""
        gone = self.flows(port, public)
        with namespace.entered(self.lab.network()), ConntrackSocket() as table:
            table.delete(gone)

    def failures(self) -> int:
        """How many flows have found no port so far."""
        with namespace.entered(self.lab.network()), ConntrackSocket() as table:
            return table.failures()


@contextmanager
def outbound_stage(file: Path) -> Iterator[OutboundStage]:
    """Bring the file up, without agents; its appliance forwards, and sends as itself."""
    with laboratory(file, "--no-agents") as lab:
        made = OutboundStage(lab, file)
        made.run("appliance", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        with namespace.entered(lab.vm("appliance")):
            ruleset.run("table ip nva { chain out { type nat hook postrouting priority srcnat; masquerade\n}\n}\n")
        inside = lab.internet()
        made.places |= {"host": Place(inside, {4: HOST}), "other": Place(inside, {4: OTHER})}
        yield made


def join(made: Resources, vm: str, pool: str) -> None:
    """Put the first address of a VM in a pool of the public load balancer."""
    member = {"id": f"loadBalancers/public/backendAddressPools/{pool}"}
    part(made, f"networkInterfaces/{vm}", "ipConfigurations", "first")["loadBalancerBackendAddressPools"] = [member]


def traced(source: str, destination: str = HOST, protocol: str = TCP, port: int = PORT) -> dict[str, Any]:
    """What the evaluator says of a flow."""
    port = 0 if protocol == ICMP else port
    found: dict[str, Any] = control(
        "POST", "/trace", {"source": source, "destination": destination, "protocol": protocol, "port": port}
    )
    return found
