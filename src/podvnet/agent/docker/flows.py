"""Datagrams to published ports, as the kernel remembers them.

The kernel decides by the first datagram of a caller whether and where its datagrams are translated, and keeps to that
for as long as they come. A caller that goes on sending while containers come and go has to be decided anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

import structlog

from podvnet.linux import rtnetlink_dump
from podvnet.linux.conntrack import Connection, ConntrackSocket, Status
from podvnet.linux.error import KernelError
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.model.address import Address
from podvnet.model.flow import UDP
from podvnet.plan.docker_ruleset import PublishedPort

_log = structlog.get_logger()


class Flows:
    """The connections of the VM. For the agent's one thread, in the VM's namespace.

    What the kernel refuses is logged and no error: new callers are served all the same.
    """

    def forget(self, addresses: frozenset[Address]) -> None:
        """Forget the translation of datagrams to a container that is going."""
        self._delete(lambda found: [each for each in found if leads_to(each, addresses)])

    def divert(self, ports: Iterable[PublishedPort], addresses: frozenset[Address]) -> None:
        """Forget the datagrams to a container's published ports that go elsewhere: to nobody, or to who had the port.

        Call it once the ports are published: what comes before would be remembered in the old way.
        """
        published = [port for port in ports if port.protocol == UDP]
        if published:
            self._delete(lambda found: _astray(found, published, addresses))

    @staticmethod
    def _delete(chosen: Callable[[Iterable[Connection]], list[Connection]]) -> None:
        try:
            with ConntrackSocket() as table:
                table.delete(chosen(table.connections()))
        except KernelError as error:
            _log.warning("datagrams_not_decided_anew", reason=str(error))


def _astray(
    found: Iterable[Connection], published: list[PublishedPort], addresses: frozenset[Address]
) -> list[Connection]:
    with NetlinkSocket(ROUTE) as route:
        own = frozenset(each.interface.ip for each in rtnetlink_dump.addresses(route))
    return [each for each in found if goes_astray(each, published, addresses, own)]


def leads_to(connection: Connection, addresses: frozenset[Address]) -> bool:
    """Tell whether datagrams are translated to a container."""
    return (
        connection.original.protocol == UDP
        and Status.DESTINATION_NAT in connection.status
        and connection.reply.source in addresses
    )


def goes_astray(
    connection: Connection,
    published: Iterable[PublishedPort],
    addresses: frozenset[Address],
    own: frozenset[Address],
) -> bool:
    """Tell whether datagrams were sent to one of the ports and do not get to the container that has it now.

    Args:
        connection: of any protocol.
        published: the container's ports of UDP.
        addresses: the container's.
        own: the VM's: what is sent to the same port of others is no concern of ours.
    """
    if connection.original.protocol != UDP or leads_to(connection, addresses):
        return False
    destination = connection.original.destination
    loopback = isinstance(destination, IPv4Address) and destination.is_loopback
    return (loopback or destination in own) and any(
        port.is_called(destination, connection.original.destination_port) for port in published
    )
