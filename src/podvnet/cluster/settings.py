"""What a cluster is to be: names, addresses, ways. The rest follows from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from podvnet.model.address import Prefix

SERVICE_RANGES = (IPv4Network("10.96.0.0/16"), IPv4Network("172.20.0.0/16"), IPv4Network("192.168.128.0/17"))
"""Where Services get their addresses from, unless that is in the virtual network: Kubernetes' own choice first."""
API_PORT = 6443


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
    """

    name: str
    address: IPv4Address
    services: IPv4Network = SERVICE_RANGES[0]
    domain: str = "cluster.local"
    proxy: ProxyMode = ProxyMode.IPTABLES
    pods: PodMode = PodMode.TRANSPARENT
    images: Images = field(default_factory=Images)
    forget: bool = False

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


def service_range(network: list[Prefix], wanted: IPv4Network | None = None) -> IPv4Network:
    """Choose where Services get their addresses from.

    Args:
        network: the prefixes of the virtual network and of its peers.
        wanted: what is asked for.

    Raises:
        SettingsError: what is asked for is in use, or all of :data:`SERVICE_RANGES` are.
    """
    for each in (wanted,) if wanted else SERVICE_RANGES:
        taken = next((prefix for prefix in network if prefix.version == 4 and each.overlaps(prefix)), None)
        if taken is None:
            return each
        if wanted:
            raise SettingsError(f"addresses of Services cannot come from {wanted}: the virtual network has {taken}")
    raise SettingsError(
        f"the virtual network holds every range that Services could have ({', '.join(map(str, SERVICE_RANGES))});"
        " choose one with --service-range"
    )
