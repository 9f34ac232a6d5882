"""Ports of the VM that lead to containers: chosen, and held so that no program of the VM is given them as well.

What holds a port is a socket that is bound and does not listen: packets are translated before they would reach it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from ipaddress import ip_address

import structlog

from podvnet.agent.docker.protocol import DockerError, PortBinding
from podvnet.model.address import Address
from podvnet.plan.docker_ruleset import PROTOCOLS, PublishedPort

_TYPES = {6: socket.SOCK_STREAM, 17: socket.SOCK_DGRAM, 132: socket.SOCK_SEQPACKET}
_ANY = {4: "0.0.0.0", 6: "::"}
_MISSING = {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""What this kernel says of a protocol or an IP version that it does not have."""

_log = structlog.get_logger()


class HostPorts:
    """The ports held, by who holds them. For the agent's one thread, in the VM's namespace."""

    def __init__(self) -> None:
        self._held: dict[str, list[socket.socket]] = {}

    def hold(self, owner: str, bindings: list[PortBinding]) -> tuple[PublishedPort, ...]:
        """Choose and hold ports, all or none.

        Raises:
            DockerError: one is in use, or is of a protocol that is not known.
        """
        sockets: list[socket.socket] = []
        try:
            chosen = tuple(_choose(binding, sockets) for binding in bindings)
        except DockerError:
            _close(sockets)
            raise
        self.release(owner)
        self._held[owner] = sockets
        return chosen

    def hold_only(self, published: Mapping[str, tuple[PublishedPort, ...]]) -> None:
        """Hold what is published, by owner: also what an earlier process held, and nothing of who is gone.

        A port that a program of the VM has taken meanwhile stays published.
        """
        for owner in self._held.keys() - published.keys():
            self.release(owner)
        for owner in published.keys() - self._held.keys():
            self._hold_again(owner, published[owner])

    def _hold_again(self, owner: str, ports: tuple[PublishedPort, ...]) -> None:
        self._held[owner] = []
        for port in ports:
            try:
                self._held[owner] += _bound(port)
            except OSError as error:
                _log.warning("port_not_held", port=str(port), reason=str(error))

    def release(self, owner: str) -> None:
        """Let an owner's ports go."""
        _close(self._held.pop(owner, []))

    def close(self) -> None:
        """Let every port go."""
        for owner in list(self._held):
            self.release(owner)


def _choose(binding: PortBinding, sockets: list[socket.socket]) -> PublishedPort:
    if binding.protocol not in PROTOCOLS:
        raise DockerError(f"ports of IP protocol {binding.protocol} cannot be published", "publish tcp, udp or sctp")
    host = _host(binding.host)
    last = max(binding.host_port, binding.host_port_end)
    failure: OSError | None = None
    for number in range(binding.host_port, last + 1):
        port = PublishedPort(binding.protocol, host, number, binding.port)
        try:
            bound = _bound(port)
        except OSError as error:
            failure = error
            continue
        sockets += bound
        # Port 0 has become one of the kernel's choice.
        actual = bound[0].getsockname()[1] if bound else number
        return PublishedPort(binding.protocol, host, actual, binding.port)
    asked = PublishedPort(binding.protocol, host, last, binding.port)
    raise DockerError(
        f"port {asked} of the VM cannot be published: {failure.strerror if failure else 'no port was named'}",
        "publish another one, or end what uses it (ss -lntup)",
    )


def _bound(port: PublishedPort) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    number = port.host_port
    try:
        for version in (4, 6):
            if not port.is_of(version):
                continue
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            try:
                made = socket.socket(family, _TYPES[port.protocol], port.protocol)
            except OSError as error:
                if error.errno in _MISSING:
                    continue
                raise
            sockets.append(made)
            if version == 6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                made.bind((str(port.host) if port.host else _ANY[version], number))
            except OSError as error:
                if port.host is None and version == 6 and error.errno in _MISSING:
                    sockets.remove(made)
                    made.close()
                    continue
                raise
            number = made.getsockname()[1]
    except OSError:
        _close(sockets)
        raise
    return sockets


def _host(text: str) -> Address | None:
    try:
        return ip_address(text) if text else None
    except ValueError:
        raise DockerError(f"{text!r} is not an address of the VM") from None


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
