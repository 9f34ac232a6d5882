"""What is known of a container on a network beyond its attachment: kept as JSON beside it in the ledger."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import msgspec

from podvnet.agent.ledger_record import Row
from podvnet.model.address import Prefix
from podvnet.plan.docker_ruleset import PublishedPort


class PortRecord(msgspec.Struct, frozen=True):
    """A published port."""

    protocol: int
    host: str
    host_port: int
    port: int


class Endpoint(msgspec.Struct, frozen=True):
    """How far an endpoint has come.

    Attributes:
        joined: a container has taken its end, or is about to.
        sandbox: the path of the container's namespace.
        ports: that lead to it.
        confined_to: the subnets of its network, if that is internal: who loses the network must not free it.
    """

    joined: bool = False
    sandbox: str = ""
    ports: tuple[PortRecord, ...] = ()
    confined_to: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        """As the ledger keeps it."""
        return msgspec.json.encode(self)

    def published(self) -> tuple[PublishedPort, ...]:
        """The ports as the rules have them."""
        return tuple(
            PublishedPort(each.protocol, ip_address(each.host) if each.host else None, each.host_port, each.port)
            for each in self.ports
        )

    def confinement(self) -> tuple[Prefix, ...]:
        """The subnets as the rules have them."""
        return tuple(ip_network(each) for each in self.confined_to)


def read_endpoint(row: Row) -> Endpoint:
    """What the ledger keeps of an endpoint; of one that was adopted it is nothing."""
    return msgspec.json.decode(row.result, type=Endpoint) if row.result else Endpoint(joined=True)


def recorded(ports: tuple[PublishedPort, ...]) -> tuple[PortRecord, ...]:
    """Ports as the ledger keeps them."""
    return tuple(
        PortRecord(each.protocol, str(each.host) if each.host else "", each.host_port, each.port) for each in ports
    )
