"""A Service of Kubernetes, as much of it as load balancing is about.

Source: Kubernetes API reference, "Service v1 core", "EndpointSlice v1 discovery.k8s.io".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from podvnet.kube.annotations import RESOURCE_GROUP

Document = dict[str, Any]

CLEANUP = "service.kubernetes.io/load-balancer-cleanup"
"""The finalizer that keeps a Service until its load balancer is gone."""
CLAIM = "podvnet.io/load-balancer"
"""The annotation that says whose the finalizer is: the cluster's name, as the controller was told it."""
GROUPS = "podvnet.io/load-balancer-resource-groups"
"""The annotation that keeps in which other resource groups public addresses may have been made for a Service."""
MOST_GROUPS = 8
"""That are kept of one Service: each is asked about, and anybody can write annotations."""
_GROUP = re.compile(r"[-\w.()]{0,89}[-\w()]")
"""The name of a resource group. Source: Azure document "Naming rules and restrictions for Azure resources"."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service.

    Attributes:
        protocol: ``TCP``, ``UDP`` or ``SCTP``.
        target: of the pods: a number, or the name of a container's port.
        application: ``appProtocol``.
    """

    name: str
    protocol: str
    number: int
    target: int | str
    application: str = ""

    @property
    def spoken(self) -> str:
        """As a person writes it: ``80/TCP``."""
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service.

    Attributes:
        uid: without dashes: 32 hexadecimal digits.
        families: IP versions, the first one first.
        ingress: the addresses in its status.
        created: when; orders Services.
        ending: it is being deleted.
        claim: whose the finalizer is; empty: nobody's.
    """

    uid: str
    namespace: str
    name: str
    kind: str = "LoadBalancer"
    load_balancer_class: str = ""
    families: tuple[int, ...] = (4,)
    ports: tuple[Port, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    sticky: bool = False
    address: str = ""
    sources: tuple[str, ...] = ()
    ingress: tuple[str, ...] = ()
    created: str = ""
    ending: bool = False
    finalizers: tuple[str, ...] = ()
    claim: str = ""
    kept_groups: tuple[str, ...] = ()

    @property
    def asked_groups(self) -> tuple[str, ...]:
        """The resource groups that its annotations name for public addresses."""
        return group_names((self.annotations.get(RESOURCE_GROUP, "").strip(),))

    @property
    def spoken(self) -> str:
        """As a person writes it: ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


def read_service(document: Document) -> Service:
    """Read a Service as the API server has it."""
    metadata, spec = document["metadata"], document.get("spec", {})
    annotations = dict(metadata.get("annotations") or {})
    ingress = (document.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    return Service(
        uid=short_uid(metadata["uid"]),
        namespace=metadata["namespace"],
        name=metadata["name"],
        kind=spec.get("type", "ClusterIP"),
        load_balancer_class=spec.get("loadBalancerClass") or "",
        families=tuple(6 if each == "IPv6" else 4 for each in spec.get("ipFamilies") or ["IPv4"]),
        ports=tuple(map(_port, spec.get("ports") or [])),
        annotations=annotations,
        sticky=spec.get("sessionAffinity") == "ClientIP",
        address=spec.get("loadBalancerIP") or "",
        sources=tuple(spec.get("loadBalancerSourceRanges") or ()),
        ingress=tuple(each.get("ip", "") for each in ingress),
        created=metadata.get("creationTimestamp") or "",
        ending=bool(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        claim=annotations.get(CLAIM, ""),
        kept_groups=group_names(annotations.get(GROUPS, "").split(","))[:MOST_GROUPS],
    )


def group_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that resource groups can have: anything else would become another question in the address that is asked."""
    return tuple(filter(_GROUP.fullmatch, texts))


def short_uid(uid: str) -> str:
    """The uid of an object of Kubernetes as it stands in names of resources."""
    return uid.replace("-", "").lower()


def _port(document: Document) -> Port:
    number = document["port"]
    return Port(
        name=document.get("name", ""),
        protocol=document.get("protocol", "TCP"),
        number=number,
        target=document.get("targetPort") or number,
        application=(document.get("appProtocol") or "").lower(),
    )
