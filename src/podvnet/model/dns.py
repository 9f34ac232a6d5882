"""Private DNS zones as resolvers see them: record sets, and the virtual networks that a zone is linked to.

Source: Azure documents "What is a private Azure DNS zone?" and "What is a virtual network link?".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.resource_id import ResourceId

APEX = "@"
"""The name of the record sets at the zone's own name."""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The records of one name and type.

    Attributes:
        name: relative to the zone, in lower case; :data:`APEX` for the zone's own, ``*`` for all that there is not.
        type: ``A``, ``AAAA``, ``CNAME``, ``MX``, ``PTR``, ``SOA``, ``SRV`` or ``TXT``.
        ttl: seconds.
        data: of each record the data as zone files write it, names absolute. Source: RFC 1035, section 5.1.
    """

    name: str
    type: str
    ttl: int
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ZoneLink:
    """A virtual network that a zone is linked to.

    Attributes:
        registration: its VMs are registered in the zone.
        redirect: names that the zone has not are looked for in public DNS (``NxDomainRedirect``).
    """

    virtual_network: ResourceId
    registration: bool = False
    redirect: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PrivateZone:
    """A private zone. ``name`` is in lower case, without a dot at its end."""

    id: ResourceId
    name: str
    record_sets: tuple[RecordSet, ...]
    links: tuple[ZoneLink, ...]
