"""What a cluster is to be: names, addresses, ways. The rest follows from it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TypeVar

from podvnet.model.address import Address, Prefix

SERVICE_RANGES = (IPv4Network("10.96.0.0/16"), IPv4Network("172.20.0.0/16"), IPv4Network("192.168.128.0/17"))
"""Where Services get their addresses from, unless that is in the virtual network: Kubernetes' own choice first."""
SERVICE_RANGES6 = (IPv6Network("fd00:10:96::/112"), IPv6Network("fd00:172:20::/112"), IPv6Network("fd00:192:168::/112"))
"""Likewise of IPv6. A /112 is what Kubernetes' own tools take."""
API_PORT = 6443
_Range = TypeVar("_Range", IPv4Network, IPv6Network)


class ProxyMode(enum.StrEnum):
    """How kube-proxy puts Services into the kernel."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"


class PodMode(enum.StrEnum):
    """How pods are attached.

    Not by a tunnel: answers of a Service between pods of one VM would leave it with the Service's address, which the
    network takes for forged.
    """

    TRANSPARENT = "transparent"
    BRIDGE = "bridge"


class SettingsError(ValueError):
    """A cluster cannot be as it is asked for."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images that a node runs by itself.

    Attributes:
        pause: of a pod's sandbox.
        dns: of the cluster's DNS.
    """

    pause: str = "localhost/podvnet/pause:1"
    dns: str = "localhost/podvnet/coredns:1"


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """A cluster.

    Attributes:
        name: in kubeconfigs.
        address: of the VM of the control plane, where its API is.
        services: the prefix that Services get their addresses from; no part of the virtual network.
        domain: the zone of the cluster's DNS.
        proxy: how Services come into the kernel of nodes.
        pods: how pods are attached.
        forget: etcd may lose what it has not written when the machine loses its power: for tests.
        services6: likewise of IPv6; None in a cluster that knows IPv4 only.
    """

    name: str
    address: IPv4Address
    services: IPv4Network = SERVICE_RANGES[0]
    domain: str = "cluster.local"
    proxy: ProxyMode = ProxyMode.IPTABLES
    pods: PodMode = PodMode.TRANSPARENT
    images: Images = field(default_factory=Images)
    forget: bool = False
    services6: IPv6Network | None = None

    @property
    def server(self) -> str:
        """Where the API is, for clients in the virtual network."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def api_service(self) -> IPv4Address:
        """The address of the Service ``kubernetes``: the first, by Kubernetes' rule."""
        return self.services.network_address + 1

    @property
    def dns_service(self) -> IPv4Address:
        """The address of the cluster's DNS: the tenth, by custom."""
        return self.services.network_address + 10

    @property
    def service_ranges(self) -> tuple[Prefix, ...]:
        """The prefixes of Services, IPv4 first: of a Service that does not say, that is the family."""
        return (self.services, *((self.services6,) if self.services6 else ()))

    @property
    def dns_services(self) -> tuple[Address, ...]:
        """The addresses of the cluster's DNS, of each IP version."""
        return tuple(each.network_address + 10 for each in self.service_ranges)

    def spoken(self, prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
        """The first prefix of each IP version that the cluster knows, IPv4 first."""
        found = [*prefixes]
        versions = [each.version for each in self.service_ranges]
        return tuple(next(each for each in found if each.version == version) for version in versions)


def service_range(network: list[Prefix], wanted: IPv4Network | None = None) -> IPv4Network:
    """Choose where Services get their addresses from.

    Args:
        network: the prefixes of the virtual network and of its peers.
        wanted: what is asked for.

    Raises:
        SettingsError: what is asked for is in use, or all of :data:`SERVICE_RANGES` are.
    """
    return _free(network, SERVICE_RANGES, wanted)


def service_range6(network: list[Prefix], wanted: IPv6Network | None = None) -> IPv6Network:
    """Likewise of IPv6, of :data:`SERVICE_RANGES6`."""
    return _free(network, SERVICE_RANGES6, wanted)


def _free(network: list[Prefix], usual: tuple[_Range, ...], wanted: _Range | None) -> _Range:
    for each in (wanted,) if wanted else usual:
        taken = next((prefix for prefix in network if prefix.version == each.version and each.overlaps(prefix)), None)
        if taken is None:
            return each
        if wanted:
            raise SettingsError(f"addresses of Services cannot come from {wanted}: the virtual network has {taken}")
    raise SettingsError(
        f"the virtual network holds every range that Services could have ({', '.join(map(str, usual))});"
        " choose one with --service-range"
    )
