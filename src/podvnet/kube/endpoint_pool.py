"""Who stands behind a port of a Service, from its EndpointSlices.

Ready endpoints do; when none is ready, those that end but still serve, as kube-proxy has it.
Source: Kubernetes documents "EndpointSlices" and KEP-1669 "Proxy Terminating Endpoints".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from podvnet.kube.service import Port
from podvnet.model.address import Address

Document = dict[str, Any]
_OF_SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address.

    Attributes:
        lingering: it ends, and still serves.
        pod: the name of its pod, if it is one.
    """

    address: Address
    ready: bool
    lingering: bool = False
    pod: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice: endpoints that all have the same ports.

    Attributes:
        service: namespace and name of the Service.
        ports: by name and protocol, the number.
    """

    service: tuple[str, str]
    version: int
    endpoints: tuple[Endpoint, ...]
    ports: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Members:
    """Who stands behind a port, of one IP version.

    Attributes:
        target: the port of theirs; None when nobody says which.
        misfits: pods, by name or address, whose port of that name is another one; they are left out.
    """

    target: int | None
    addresses: frozenset[Address] = frozenset()
    misfits: tuple[str, ...] = ()


def read_slice(document: Document) -> Slice | None:
    """Read an EndpointSlice; None for one of no Service, or of names."""
    metadata = document["metadata"]
    name = (metadata.get("labels") or {}).get(_OF_SERVICE, "")
    version = {"IPv4": 4, "IPv6": 6}.get(document.get("addressType", ""))
    if not name or version is None:
        return None
    ports = tuple(
        (each.get("name") or "", each.get("protocol", "TCP"), each["port"])
        for each in document.get("ports") or ()
        if each.get("port")
    )
    return Slice((metadata["namespace"], name), version, tuple(_endpoints(document, version)), ports)


def members(slices: Iterable[Slice], port: Port, version: int) -> Members:
    """Who stands behind a port of a Service.

    A rule of a load balancer leads to one port. Pods whose container port of that name has another number than that of
    most pods cannot stand behind it.

    Args:
        slices: of the Service.
        port: of the Service.
        version: of IP.
    """
    numbered = [
        (each, number)
        for each in slices
        if each.version == version
        for name, protocol, number in each.ports
        if (name, protocol) == (port.name, port.protocol)
    ]
    by_number: dict[int, dict[Address, str]] = {}
    for wanted in (lambda each: each.ready, lambda each: each.lingering):
        for found, number in numbered:
            for endpoint in filter(wanted, found.endpoints):
                by_number.setdefault(number, {})[endpoint.address] = endpoint.pod or str(endpoint.address)
        if by_number:
            break
    if not by_number:
        target = port.target if isinstance(port.target, int) else min((number for _, number in numbered), default=None)
        return Members(target)
    target = max(by_number, key=lambda number: (len(by_number[number]), -number))
    addresses = by_number.pop(target)
    misfits = sorted({pod for others in by_number.values() for pod in others.values()})
    return Members(target, frozenset(addresses), tuple(misfits))


def _endpoints(document: Document, version: int) -> Iterable[Endpoint]:
    for each in document.get("endpoints") or ():
        conditions = each.get("conditions") or {}
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving", ready) is not False
        target = each.get("targetRef") or {}
        for address in _addresses(each.get("addresses") or (), version):
            yield Endpoint(
                address,
                ready=ready,
                lingering=bool(conditions.get("terminating")) and serving,
                pod=target.get("name", "") if target.get("kind") == "Pod" else "",
            )


def _addresses(texts: Iterable[str], version: int) -> Iterable[Address]:
    """Addresses of an IP version. What is none is passed over: the API server knows more spellings (``010.0.0.1``)."""
    for text in texts:
        try:
            found = ip_address(text)
        except ValueError:
            continue
        if found.version == version and "%" not in text:
            yield found
