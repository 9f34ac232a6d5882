"""The rules of Docker's containers on a VM: published ports, and networks that are internal.

A table of its own, written whole whenever a container with either comes or goes; containers without cost nothing here.

A published port is one of the VM's: what is sent to it, from outside, from other containers or from the VM itself, goes
to the container. The container sees the caller's own address, but for its own calls to itself, and calls to 127.0.0.1:
those come from the VM. That links of containers carry nothing else to 127.0.0.1 is seen to by
:mod:`podvnet.plan.node_ruleset`, whether or not there is this table.

A container of an internal network and everything outside the network's subnets are kept apart in both directions.
Source: Docker document "docker network create": "--internal: Restrict external access to the network".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from podvnet.model.address import Address, Prefix
from podvnet.model.attachment import Node
from podvnet.model.kernel import Ruleset

TABLE = "podvnet_docker"
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
"""What Docker publishes ports of, by IP protocol number."""

_ANY = (IPv4Address(0), IPv6Address(0))


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the VM that leads to one of a container.

    Attributes:
        protocol: IP protocol number.
        host: the address of the VM; None: every one, of both IP versions; 0.0.0.0 or ``::``: every one of that version.
    """

    protocol: int
    host: Address | None
    host_port: int
    port: int

    def __str__(self) -> str:
        where = f"{self.host}:" if self.host else ""
        return f"{where}{self.host_port}/{PROTOCOLS[self.protocol]}"

    def is_of(self, version: int) -> bool:
        """Tell whether calls of this IP version are meant."""
        return self.host is None or self.host.version == version

    def is_called(self, destination: Address, number: int) -> bool:
        """Tell whether a packet to this port of this address of the VM is for it."""
        everywhere = self.host is None or self.host in _ANY
        return number == self.host_port and self.is_of(destination.version) and (everywhere or self.host == destination)


@dataclass(frozen=True, slots=True)
class Container:
    """One container on one network. ``confined_to``: the subnets of an internal network."""

    link: str
    addresses: tuple[Address, ...]
    ports: tuple[PublishedPort, ...] = ()
    confined_to: tuple[Prefix, ...] = ()


def docker_ruleset(node: Node, containers: Iterable[Container]) -> Ruleset | None:
    """The table; None when none is needed."""
    concerned = [each for each in containers if each.ports or each.confined_to]
    if not concerned:
        return None
    published = "\n\t\t".join(rule for each in concerned for rule in _published(each))
    returned = "\n\t\t".join(rule for each in concerned for rule in _returned(node, each))
    confined = "\n\t\t".join(rule for each in concerned for rule in _confined(each))
    text = f"""
table inet {TABLE} {{
	chain arrive {{
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local goto ports
	}}
	chain local {{
		type nat hook output priority -100; policy accept;
		fib daddr type local ip6 daddr != ::1 goto ports
		fib daddr type local meta nfproto ipv4 goto ports
	}}
	chain ports {{
		{published}
	}}
	chain leave {{
		type nat hook postrouting priority srcnat - 1; policy accept;
		{returned}
	}}
	chain confine {{
		type filter hook forward priority filter; policy accept;
		{confined}
	}}
}}
"""
    return Ruleset((("inet", TABLE),), text)


def _published(container: Container) -> Iterator[str]:
    for address in container.addresses:
        family, target = ("ip", str(address)) if address.version == 4 else ("ip6", f"[{address}]")
        for port in container.ports:
            if port.is_of(address.version):
                called = f"{family} daddr {port.host} " if port.host and port.host not in _ANY else ""
                yield (
                    f"meta nfproto ipv{address.version} {called}{PROTOCOLS[port.protocol]} dport {port.host_port}"
                    f" dnat {family} to {target}:{port.port}"
                )


def _returned(node: Node, container: Container) -> Iterator[str]:
    if not container.ports:
        return
    for address in container.addresses:
        family = "ip" if address.version == 4 else "ip6"
        own = next((each for each in node.primary if each.version == address.version), None)
        if own is None:
            continue
        if address.version == 4:
            yield f'ip saddr 127.0.0.0/8 oifname "{container.link}" snat ip to {own}'
        yield f"{family} saddr {address} {family} daddr {address} snat {family} to {own}"


def _confined(container: Container) -> Iterator[str]:
    if not container.confined_to:
        return
    for version, family in ((4, "ip"), (6, "ip6")):
        inside = ", ".join(str(each) for each in container.confined_to if each.version == version)
        other = f"{{ {inside} }} " if inside else ""
        protocol = f"meta nfproto ipv{version}"
        yield f'iifname "{container.link}" {protocol} {f"{family} daddr != {other}" if inside else ""}drop'
        yield f'oifname "{container.link}" {protocol} {f"{family} saddr != {other}" if inside else ""}drop'
