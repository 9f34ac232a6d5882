"""Ports of the VM that lead to containers: chosen, and held so that no program of the VM is given them as well.

What holds a port is a socket that is bound and does not listen: packets are translated before they would reach it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

import structlog

from podvnet.agent.docker.protocol import DockerError, PortBinding
from podvnet.model.address import Address
from podvnet.plan.docker_ruleset import PROTOCOLS, PublishedPort

_TYPES = {6: socket.SOCK_STREAM, 17: socket.SOCK_DGRAM, 132: socket.SOCK_SEQPACKET}
_ANY = {4: "0.0.0.0", 6: "::"}
_TRIES = 16
"""How often the kernel is asked for a port."""
_MISSING = {errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
"""What this kernel says of a protocol or an IP version that it does not have."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Holding:
    """What an owner holds: its ports, and the sockets that keep them."""

    ports: tuple[PublishedPort, ...]
    sockets: list[socket.socket] = field(default_factory=list)


class HostPorts:
    """The ports held, by who holds them. For the agent's one thread, in the VM's namespace."""

    def __init__(self) -> None:
        self._held: dict[str, Holding] = {}

    def hold(self, owner: str, bindings: Sequence[PortBinding]) -> tuple[PublishedPort, ...]:
        """Choose and hold ports, all or none, in the place of those that the owner holds.

        An owner that holds such ports already keeps them: Docker asks again when it did not get the answer.

        Raises:
            DockerError: one is in use, or is of a protocol that is not known; what the owner held it holds still.
        """
        before = self._held.get(owner)
        if before is not None and _satisfy(before.ports, bindings):
            return before.ports
        self.release(owner)  # first: some may be asked for again
        sockets: list[socket.socket] = []
        try:
            chosen = tuple(_choose(binding, sockets) for binding in bindings)
        except DockerError:
            _close(sockets)
            if before is not None:
                self._hold_again(owner, before.ports)
            raise
        self._held[owner] = Holding(chosen, sockets)
        return chosen

    def hold_only(self, published: Mapping[str, tuple[PublishedPort, ...]]) -> None:
        """Hold what is published, by owner: also what an earlier process held, and nothing of who is gone.

        A port that a program of the VM has taken meanwhile stays published.
        """
        for owner in [each for each, held in self._held.items() if held.ports != published.get(each)]:
            self.release(owner)
        for owner in published.keys() - self._held.keys():
            self._hold_again(owner, published[owner])

    def restore(self, owner: str, ports: tuple[PublishedPort, ...]) -> None:
        """Hold what was published before, in the place of what the owner holds."""
        self.release(owner)
        self._hold_again(owner, ports)

    def _hold_again(self, owner: str, ports: tuple[PublishedPort, ...]) -> None:
        held = self._held[owner] = Holding(ports)
        for port in ports:
            try:
                held.sockets += _bound(port)
            except OSError as error:
                _log.warning("port_not_held", port=str(port), reason=str(error))

    def release(self, owner: str) -> None:
        """Let an owner's ports go."""
        held = self._held.pop(owner, None)
        if held is not None:
            _close(held.sockets)

    def close(self) -> None:
        """Let every port go."""
        for owner in list(self._held):
            self.release(owner)


def _satisfy(ports: Sequence[PublishedPort], bindings: Sequence[PortBinding]) -> bool:
    """Tell whether ports are what is asked for, one for each binding."""
    return len(ports) == len(bindings) and all(
        (port.protocol, port.host, port.port) == (binding.protocol, _host(binding.host), binding.port)
        and (not binding.host_port or port.host_port in _numbers(binding))
        for port, binding in zip(ports, bindings, strict=True)
    )


def _numbers(binding: PortBinding) -> Iterable[int]:
    """The ports of the VM to try, in order; 0 is one of the kernel's choice."""
    if not binding.host_port:
        # One that is free in IPv4 may be in use in IPv6: then the kernel is asked for another.
        return [0] * _TRIES
    return range(binding.host_port, max(binding.host_port, binding.host_port_end) + 1)


def _choose(binding: PortBinding, sockets: list[socket.socket]) -> PublishedPort:
    if binding.protocol not in PROTOCOLS:
        raise DockerError(f"ports of IP protocol {binding.protocol} cannot be published", "publish tcp, udp or sctp")
    port = PublishedPort(binding.protocol, _host(binding.host), binding.host_port, binding.port)
    failure: OSError | None = None
    for number in _numbers(binding):
        port = replace(port, host_port=number)
        try:
            bound = _bound(port)
        except OSError as error:
            failure = error
            continue
        sockets += bound
        if number:
            return port
        if bound:
            return replace(port, host_port=bound[0].getsockname()[1])
        name = PROTOCOLS[binding.protocol]
        raise DockerError(f"this kernel cannot choose a port of {name}: it does not have that", "name the VM's port")
    raise DockerError(
        f"port {port} of the VM cannot be published: {failure.strerror if failure else 'no port was named'}",
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
