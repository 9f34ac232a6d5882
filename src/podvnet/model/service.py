"""Stand-ins of Azure's services: a storage account, a Sql server, and whom their firewalls let in.

Sources: Azure documents "Configure Azure Storage firewalls and virtual networks", "Use virtual network service
endpoints and rules for servers in Azure SQL Database", "Azure SQL Database and Azure Synapse IP firewall rules".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from podvnet.model.resource_id import ResourceId

Span = tuple[IPv4Address, IPv4Address]
"""Addresses from the first to the last, ends included."""


class ServiceKind(StrEnum):
    """What a service is, by the name that service endpoints have for it."""

    STORAGE = "Microsoft.Storage"
    SQL = "Microsoft.Sql"

    @property
    def port(self) -> int:
        """The TCP port that clients know."""
        return 443 if self is ServiceKind.STORAGE else 1433


@dataclass(frozen=True, slots=True)
class Service:
    """One service. ``number`` is small, stable and unique among those of its kind.

    Attributes:
        endpoints: its host names, in lower case, and the public address of each.
        open: it takes whoever comes.
        public_access: it takes anybody at all.
        subnets: those whose packets it takes by their service endpoints.
        spans: the public addresses that it takes.
        secrets: of an account its keys; of a server its administrator's name and password.
    """

    id: ResourceId
    number: int
    kind: ServiceKind
    endpoints: tuple[tuple[str, IPv4Address], ...]
    open: bool = False
    public_access: bool = True
    subnets: tuple[ResourceId, ...] = ()
    spans: tuple[Span, ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """Its public addresses."""
        return tuple(address for _, address in self.endpoints)
