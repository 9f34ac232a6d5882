"""Microsoft.Network/privateDnsZones: zones that the virtual networks they are linked to see.

Record sets and links are kept in the zone and are resources of their own. Source: Azure document "What is a private
Azure DNS zone?" (names, restrictions, reserved zone names); Azure REST reference "Private DNS - Private Zones".
"""

from __future__ import annotations

from http import HTTPStatus

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.private_dns_links import GLOBAL, KIND, link_of, settle_links
from podvnet.fabric.arm.private_dns_records import RECORD_TYPES, is_name, record_set_of, settle_record_sets
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import PRIVATE_ZONES, Document, World
from podvnet.model import limits
from podvnet.model.arm_error import ArmError
from podvnet.model.dns import PrivateZone
from podvnet.model.resource_id import ResourceId, parse

_LABELS = (2, 34)
_RESERVED = frozenset(
    {
        "azclient.ms", "azure.com", "cloudapp.net", "core.windows.net", "internal.cloudapp.net", "microsoft.com",
        "msidentity.com", "trafficmanager.net", "windows.net",
    }
)  # fmt: skip
_COUNTED = ("numberOfRecordSets", "numberOfVirtualNetworkLinks", "numberOfVirtualNetworkLinksWithRegistration")
_MOST = {
    "maxNumberOfRecordSets": limits.RECORD_SETS_PER_ZONE,
    "maxNumberOfVirtualNetworkLinks": limits.LINKS_PER_ZONE,
    "maxNumberOfVirtualNetworkLinksWithRegistration": limits.REGISTRATION_LINKS_PER_ZONE,
}


class PrivateDnsZones:
    """The type."""

    full_type = PRIVATE_ZONES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check and complete a zone with its record sets and links. VMs are registered once it is in the world."""
        document = head(resource, body)
        if document["location"].lower() != GLOBAL:
            raise ArmError(
                "LocationNotAvailableForResourceType",
                f"The provided location '{document['location']}' is not available for resource type '{PRIVATE_ZONES}'."
                f" List of available regions for the resource type is '{GLOBAL}'.",
                target=str(resource),
            )
        _check_zone_name(resource)
        if world.get(resource) is None:
            _check_count(resource, world)
        properties = body.fields("properties")
        properties.allow("provisioningState", "internalId", *_MOST, *_COUNTED)
        sets = settle_record_sets(resource, properties)
        links = settle_links(resource, properties, world)
        properties.refuse_unread()
        body.refuse_unread()
        inner = {"provisioningState": "Succeeded", "internalId": stable_guid(resource, "zone")}
        document["properties"] = inner | sets | {KIND: links}
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A zone goes only when no virtual network is linked to it."""
        zone = world.get(resource)
        if zone and zone["properties"][KIND]:
            raise ArmError(
                "CannotDeleteResource",
                "Cannot delete resource while nested resources exist. Some existing nested resource IDs include:"
                f" '{zone['properties'][KIND][0]['id']}'. Please delete all nested resources before deleting this"
                " resource.",
                status=HTTPStatus.CONFLICT,
                target=str(resource),
            )


def complete_view(zone: Document) -> None:
    """Add to the view of a zone how many record sets and links it has, and may have."""
    properties = zone["properties"]
    links = properties[KIND]
    registering = sum(each["properties"]["registrationEnabled"] for each in links)
    counts = (sum(len(properties[kind]) for kind in RECORD_TYPES), len(links), registering)
    properties.update(_MOST, **dict(zip(_COUNTED, counts, strict=True)))


def intent_of(document: Document) -> PrivateZone:
    """The zone as resolvers see it."""
    properties = document["properties"]
    return PrivateZone(
        id=parse(document["id"]),
        name=document["name"].lower(),
        record_sets=tuple(record_set_of(each) for kind in RECORD_TYPES for each in properties[kind]),
        links=tuple(link_of(each) for each in properties[KIND]),
    )


def _check_zone_name(resource: ResourceId) -> None:
    name = resource.name
    low, high = _LABELS
    if not is_name(name) or not low <= name.count(".") + 1 <= high:
        raise ArmError(
            "BadRequest",
            f"The zone name '{name}' is not valid: it has {low} to {high} labels, joined by dots, each of 1 to 63"
            " letters, digits, '-' and '_'.",
            target=str(resource),
        )
    if name.lower() in _RESERVED:
        raise ArmError("BadRequest", f"The zone name '{name}' is reserved and cannot be created.", target=str(resource))


def _check_count(resource: ResourceId, world: World) -> None:
    place = f"/subscriptions/{resource.subscription}/".lower()
    count = sum(zone["id"].lower().startswith(place) for zone in world.of_type(PRIVATE_ZONES))
    if count >= limits.PRIVATE_ZONES_PER_SUBSCRIPTION:
        raise ArmError(
            "QuotaExceeded",
            f"a subscription holds at most {limits.PRIVATE_ZONES_PER_SUBSCRIPTION} private DNS zones",
            target=str(resource),
        )
