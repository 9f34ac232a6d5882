"""All resources of the fabric as one consistent whole, with the indexes that checks need.

A *document* is a resource as ARM shows it, plus a member ``_fabric`` with what the fabric alone knows (numbers, MACs,
chosen public addresses); :func:`shown` leaves that out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address
from typing import Any

from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId

Document = dict[str, Any]

VIRTUAL_NETWORKS = "Microsoft.Network/virtualNetworks"
SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
NETWORK_INTERFACES = "Microsoft.Network/networkInterfaces"
VIRTUAL_MACHINES = "Microsoft.Compute/virtualMachines"
INTERNET_HOSTS = "Podvnet.Fabric/internetHosts"

OUTBOUND_POOL = IPv4Network("203.0.113.0/24")
"""Public addresses of default outbound access. Source: RFC 5737, a block that no real host has."""


@dataclass(slots=True)
class World:
    """Documents by id key, and who holds which private address."""

    documents: dict[str, Document] = field(default_factory=dict)
    holders: dict[str, dict[Address, str]] = field(default_factory=dict)
    """By subnet id key: private address to the id of the ip-configuration that holds it."""

    def copy(self) -> World:
        """A copy whose changes do not reach this one. Documents themselves are never changed in place."""
        return World(dict(self.documents), {subnet: dict(held) for subnet, held in self.holders.items()})

    def get(self, resource: ResourceId) -> Document | None:
        """The document of a top-level resource."""
        return self.documents.get(resource.key)

    def of_type(self, full_type: str) -> Iterator[Document]:
        """All documents of a type."""
        return (document for document in self.documents.values() if document["type"].lower() == full_type.lower())

    def put(self, document: Document) -> None:
        """Add or replace a settled document."""
        key = document["id"].lower()
        self._release(key)
        self.documents[key] = document
        if document["type"] == NETWORK_INTERFACES:
            for config in document["properties"]["ipConfigurations"]:
                subnet = config["properties"]["subnet"]["id"].lower()
                address = ip_address(config["properties"]["privateIPAddress"])
                self.holders.setdefault(subnet, {})[address] = config["id"]

    def remove(self, key: str) -> None:
        """Take a document out."""
        self._release(key)
        del self.documents[key]

    def _release(self, key: str) -> None:
        document = self.documents.get(key)
        if document and document["type"] == NETWORK_INTERFACES:
            for config in document["properties"]["ipConfigurations"]:
                subnet = config["properties"]["subnet"]["id"].lower()
                del self.holders[subnet][ip_address(config["properties"]["privateIPAddress"])]
                if not self.holders[subnet]:
                    del self.holders[subnet]

    def free_number(self, full_type: str) -> int:
        """The smallest positive number no resource of the type has."""
        taken = {document["_fabric"]["number"] for document in self.of_type(full_type)}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    def machine_of(self, nic: ResourceId, but: ResourceId | None = None) -> Document | None:
        """The VM a NIC is on; ``but`` one that does not count."""
        for machine in self.of_type(VIRTUAL_MACHINES):
            if (but is None or machine["id"].lower() != but.key) and any(
                each["id"].lower() == nic.key for each in machine["properties"]["networkProfile"]["networkInterfaces"]
            ):
                return machine
        return None


def shown(document: Document) -> Document:
    """The document as clients see it."""
    return {key: copy.deepcopy(value) for key, value in document.items() if key != "_fabric"}
