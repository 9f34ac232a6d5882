"""The Services of a cluster in memory, written as an API server would have them, and what controllers do to them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from podvnet.kube.endpoint_pool import Slice, read_slice
from podvnet.kube.notice import Notice
from podvnet.kube.service import CLAIM, CLEANUP, GROUPS, Document, Service, read_service
from podvnet.kube.service_steps import Chart
from podvnet.model.address import Address

CLASS = "podvnet.io/pods"


class MemoryCluster:
    """Services by namespace and name, and the EndpointSlices of each. It is also what controllers write to.

    Attributes:
        events: reason and message of what was said of each Service, by its name.
    """

    def __init__(self, cluster: str = "test") -> None:
        self.services: dict[str, Document] = {}
        self.slices: dict[str, list[Document]] = {}
        self.events: dict[str, list[Notice]] = {}
        self._cluster = cluster
        self._born = 0

    def put(
        self, name: str, ports: Iterable[Any] = (80,), annotations: dict[str, str] | None = None, **spec: Any
    ) -> str:
        """Make a Service, or change it; return its uid without dashes.

        Args:
            name: of it; its namespace is ``default``.
            ports: numbers of TCP, or ports as the API has them.
            annotations: what is said of its load balancer.
            **spec: what else its specification says.
        """
        there = self.services.get(name)
        listed = [each if isinstance(each, dict) else {"port": each, "name": f"p{each}"} for each in ports]
        wanted = {
            "type": "LoadBalancer", "loadBalancerClass": CLASS, "ipFamilies": ["IPv4"], "ports": listed,
        } | spec  # fmt: skip
        if there is None:
            self._born += 1
            there = {
                "metadata": {
                    "uid": str(uuid.UUID(int=self._born)),
                    "name": name,
                    "namespace": "default",
                    "creationTimestamp": f"2026-01-01T00:{self._born // 60:02}:{self._born % 60:02}Z",
                },
                "status": {"loadBalancer": {}},
            }
        kept = {key: each for key, each in there["metadata"].get("annotations", {}).items() if key in {CLAIM, GROUPS}}
        metadata = {**there["metadata"], "annotations": {**(annotations or {}), **kept}}
        self.services[name] = {"metadata": metadata, "spec": wanted, "status": there["status"]}
        return uid_of(self.services[name])

    def serve(self, name: str, *addresses: str, ports: dict[str, int] | None = None) -> None:
        """Pods stand behind a Service, ready; ``ports`` are theirs by name, else those that the Service says."""
        made = []
        for version, kind in ((4, "IPv4"), (6, "IPv6")):
            chosen = [each for each in addresses if (":" in each) == (version == 6)]
            if chosen:
                made.append(self.slice(name, kind, chosen, ports))
        self.slices[name] = made

    def slice(self, name: str, kind: str, addresses: list[str], ports: dict[str, int] | None = None) -> Document:
        """An EndpointSlice of a Service."""
        said = self.services[name]["spec"]["ports"] if name in self.services else []
        listed = [
            {
                "name": each.get("name", ""),
                "protocol": each.get("protocol", "TCP"),
                "port": (ports or {}).get(each.get("name", ""), each.get("targetPort", each["port"])),
            }
            for each in said
        ]
        return {
            "metadata": {"namespace": "default", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
            "addressType": kind,
            "ports": listed,
            "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in addresses],
        }

    def delete(self, name: str) -> None:
        """Delete a Service: one with a finalizer stays until that is taken away."""
        there = self.services.get(name)
        if there is None:
            return
        self.slices.pop(name, None)
        if there["metadata"].get("finalizers"):
            there["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
        else:
            del self.services[name]

    def chart(self, *, default: bool = False) -> Chart:
        """What is wanted now."""
        slices: dict[tuple[str, str], list[Slice]] = {}
        for each in (read_slice(one) for many in self.slices.values() for one in many):
            if each is not None:
                slices.setdefault(each.service, []).append(each)
        return Chart(tuple(map(read_service, self.services.values())), slices, CLASS, default)

    def addresses(self, name: str) -> list[str]:
        """The addresses in a Service's status."""
        return [each["ip"] for each in self.services[name]["status"]["loadBalancer"].get("ingress", [])]

    # -- what controllers do

    async def claim(self, service: Service, groups: tuple[str, ...]) -> Document | None:
        """See :class:`podvnet.kube.service_desk.ServiceDesk`."""
        there = self._find(service)
        if there is None:
            return None
        metadata = there["metadata"]
        metadata["finalizers"] = sorted({*metadata.get("finalizers", []), CLEANUP})
        marks = {CLAIM: self._cluster} | ({GROUPS: ",".join(groups)} if groups else {})
        metadata["annotations"] = {**metadata.get("annotations", {}), **marks}
        return there

    async def report(self, service: Service, addresses: tuple[Address, ...]) -> Document | None:
        """See :class:`podvnet.kube.service_desk.ServiceDesk`."""
        there = self._find(service)
        if there is not None:
            there["status"] = {"loadBalancer": {"ingress": [{"ip": str(each)} for each in addresses]}}
        return there

    async def release(self, service: Service) -> Document | None:
        """See :class:`podvnet.kube.service_desk.ServiceDesk`."""
        there = self._find(service)
        if there is None:
            return None
        metadata = there["metadata"]
        metadata["finalizers"] = [each for each in metadata.get("finalizers", []) if each != CLEANUP]
        metadata["annotations"] = {
            key: each for key, each in metadata.get("annotations", {}).items() if key not in {CLAIM, GROUPS}
        }
        if "deletionTimestamp" in metadata:
            del self.services[service.name]
            return None
        return there

    async def say(self, service: Service, notice: Notice) -> None:
        """See :class:`podvnet.kube.service_desk.ServiceDesk`."""
        said = self.events.setdefault(service.name, [])
        if notice not in said:
            said.append(notice)

    def unsay(self, service: Service, kept: set[Notice]) -> None:
        """See :class:`podvnet.kube.service_desk.ServiceDesk`."""

    def _find(self, service: Service) -> Document | None:
        there = self.services.get(service.name)
        return there if there and uid_of(there) == service.uid else None


def uid_of(document: Document) -> str:
    """A Service's uid without dashes."""
    return read_service(document).uid
