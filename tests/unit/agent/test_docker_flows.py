"""Which datagrams are decided anew when a container's ports are published or withdrawn."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podvnet.agent.docker.flows import goes_astray, leads_to
from podvnet.linux.conntrack import Connection, Count, Status
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.plan.docker_ruleset import PublishedPort

CONTAINER = frozenset({ip_address("10.1.1.5"), ip_address("fd00::5")})
VM = frozenset({ip_address("10.1.1.4"), ip_address("fd00::4"), ip_address("127.0.0.1")})
ANYWHERE = PublishedPort(UDP, None, 5353, 53)


def connection(destination: str, *, to: str = "", protocol: int = UDP, port: int = 5353) -> Connection:
    """From a far caller; translated to ``to``, if that is given."""
    caller = ip_address("fd00:9::9" if ":" in destination else "10.1.2.9")
    original = Flow(protocol, caller, ip_address(destination), 40000, port)
    reply = Flow(protocol, ip_address(to or destination), caller, 53 if to else port, 40000)
    status = Status.CONFIRMED | (Status.DESTINATION_NAT if to else Status(0))
    return Connection(original, reply, 0, 0, status, 30, Count(1, 60), Count(0, 0), (b"", b""))


@pytest.mark.parametrize(
    ("asked", "ended"),
    [
        (connection("10.1.1.4", to="10.1.1.5"), True),
        (connection("fd00::4", to="fd00::5"), True),
        (connection("10.1.1.4", to="10.1.1.6"), False),
        (connection("10.1.1.4"), False),
        (connection("10.1.1.5"), False),  # called by its own address: nothing is translated
        (connection("10.1.1.4", to="10.1.1.5", protocol=TCP), False),
    ],
)
def test_what_is_translated_to_a_container_ends_with_it(asked: Connection, ended: bool) -> None:
    assert leads_to(asked, CONTAINER) is ended


@pytest.mark.parametrize(
    ("asked", "port", "astray"),
    [
        (connection("10.1.1.4"), ANYWHERE, True),
        (connection("fd00::4"), ANYWHERE, True),
        (connection("127.0.0.1"), ANYWHERE, True),
        (connection("127.0.0.53"), ANYWHERE, True),  # all of 127.0.0.0/8 is the VM's
        (connection("10.1.1.4", to="10.1.1.6"), ANYWHERE, True),  # who had the port before is gone
        (connection("10.1.1.4", to="10.1.1.5"), ANYWHERE, False),
        (connection("10.1.1.4", port=5354), ANYWHERE, False),
        (connection("10.1.1.4", protocol=TCP), ANYWHERE, False),
        (connection("198.51.100.10"), ANYWHERE, False),  # somebody else's server, asked by way of the VM
        (connection("10.1.1.4"), PublishedPort(UDP, ip_address("10.1.1.4"), 5353, 53), True),
        (connection("10.1.1.4"), PublishedPort(UDP, ip_address("127.0.0.1"), 5353, 53), False),
        (connection("127.0.0.1"), PublishedPort(UDP, ip_address("127.0.0.1"), 5353, 53), True),
        (connection("fd00::4"), PublishedPort(UDP, ip_address("0.0.0.0"), 5353, 53), False),
        (connection("fd00::4"), PublishedPort(UDP, ip_address("::"), 5353, 53), True),
    ],
)
def test_datagrams_to_a_published_port_that_get_elsewhere_are_decided_anew(
    asked: Connection, port: PublishedPort, astray: bool
) -> None:
    assert goes_astray(asked, [port], CONTAINER, VM) is astray
