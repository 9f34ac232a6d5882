"""How parts of resources that a controller makes are called: by cluster and Service, so that they are found again.

A name is ``podvnet-CLUSTER-UID-REST``; a name that does not begin so is somebody else's, and left alone.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv6Address

from podvnet.kube.service import Port
from podvnet.model.address import Address

LONGEST_CLUSTER = 24
CLUSTER_TAG = "podvnet-cluster"
SERVICE_TAG = "podvnet-service"
UID_TAG = "podvnet-service-uid"
_CLUSTER = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")
_UID = r"([0-9a-f]{32})(?:-.*)?"
_SHARED = "shared-"


class PartNames:
    """The names of one cluster's parts.

    Raises:
        ValueError: the cluster's name is too long, or cannot be part of a resource's name.
    """

    def __init__(self, cluster: str) -> None:
        if len(cluster) > LONGEST_CLUSTER or not _CLUSTER.fullmatch(cluster):
            msg = f"{cluster!r} is no name of a cluster: at most {LONGEST_CLUSTER} letters, digits and hyphens"
            raise ValueError(msg)
        self.cluster = cluster
        self._prefix = f"podvnet-{cluster}-"
        self._ours = re.compile(re.escape(self._prefix) + _UID)

    def owner(self, name: str) -> str | None:
        """The uid of the Service that a part belongs to; None for a part of somebody else."""
        found = self._ours.fullmatch(name)
        return found[1] if found else None

    def is_shared(self, name: str) -> bool:
        """Tell whether a part belongs to several Services of the cluster."""
        return name.startswith(f"{self._prefix}{_SHARED}")

    def front(self, uid: str, version: int) -> str:
        """A frontend; also the public address made for it."""
        return f"{self._prefix}{uid}-{version}"

    def pool(self, uid: str, version: int, port: Port | None) -> str:
        """A backend pool: of all ports of a Service, or of one."""
        return f"{self._prefix}{uid}-{version}" + ("" if port is None else f"-{_port(port)}")

    def probe(self, uid: str, version: int, port: Port) -> str:
        """A probe."""
        return f"{self._prefix}{uid}-{version}-{_port(port)}"

    def rule(self, uid: str, version: int, port: Port | None) -> str:
        """A load balancing rule: of a port, or of all."""
        return f"{self._prefix}{uid}-{version}-" + ("all" if port is None else _port(port))

    def security_rule(self, uid: str, version: int, what: str) -> str:
        """A rule of a security group."""
        return f"{self._prefix}{uid}-{version}-{what}"

    def shared_security_rule(self, *what: str) -> str:
        """A rule of a security group that Services share who want the same."""
        return f"{self._prefix}{_SHARED}{hashlib.sha256(' '.join(what).encode()).hexdigest()[:16]}"


def member_name(address: Address) -> str:
    """What a member of a pool of addresses is called: by its address, so that the order does not matter."""
    text = address.exploded if isinstance(address, IPv6Address) else str(address)
    return text.replace(".", "-").replace(":", "-")


def _port(port: Port) -> str:
    return f"{port.protocol.lower()}-{port.number}"
