"""The zone groups of private endpoints: private zones that have the endpoint's address, for as long as it is there.

The record set is the group's: it is written again when it is taken out or changed. A zone that is not named as the
service's name is below ``privatelink`` gets none. What several endpoints say of one name stands in one record set.
Source: Azure document "Azure Private Endpoint DNS integration", "Private DNS zone group"; Azure REST reference "Private
Dns Zone Groups".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.private_dns_records import endpoint_set, is_of_endpoint
from podvnet.fabric.arm.resource_type import check_name
from podvnet.fabric.arm.world import PRIVATE_ENDPOINTS, PRIVATE_ZONES, Document, World
from podvnet.model import limits
from podvnet.model.private_endpoint import private_link_name
from podvnet.model.resource_id import ResourceId, Scope, parse

KIND = "privateDnsZoneGroups"
_CONFIGS = "privateDnsZoneConfigs"
_TTL = 10


class Told(NamedTuple):
    """What zones are told: the public name of what an endpoint leads to, and the endpoint's address."""

    endpoint: ResourceId
    host: str
    address: str


def settle_zone_groups(told: Told, properties: Fields, world: World) -> list[Document]:
    """Check and complete the zone groups of an endpoint.

    Args:
        told: what their zones are told.
        properties: where the groups stand.
        world: where the zones are; a zone that was named before may be gone.

    Raises:
        ArmError: one is refused.
    """
    groups = [_settled(told, each, world) for each in properties.each(KIND)]
    if len(groups) > limits.ZONE_GROUPS_PER_PRIVATE_ENDPOINT:
        raise properties.error("InvalidRequestFormat", "a private endpoint has at most one zone group", KIND)
    return groups


def follow_zone_groups(world: World) -> None:
    """Bring the record sets of zone groups up to date, and take out those of endpoints that are gone."""
    wanted: dict[str, dict[str, list[Document]]] = {}
    for endpoint in world.of_type(PRIVATE_ENDPOINTS):
        for zone, name in _zones(endpoint):
            if name:
                wanted.setdefault(zone.key, {}).setdefault(name, []).append(endpoint)
    for document in list(world.of_type(PRIVATE_ZONES)):
        before = document["properties"]
        named = wanted.get(document["id"].lower(), {})
        kept = [each for each in before["A"] if not is_of_endpoint(each) and each["name"].lower() not in named]
        own = [_record_set(parse(document["id"]), name, named[name]) for name in sorted(named)]
        after = before | {"A": [*kept, *own]}
        if after != before:
            world.put(document | {"properties": after})


def _record_set(zone: ResourceId, name: str, endpoints: list[Document]) -> Document:
    addresses = dict.fromkeys(each["_fabric"]["address"] for each in endpoints)
    first = endpoints[0]
    creator = f"{first['name']} with resource guid {first['properties']['resourceGuid']}"
    return endpoint_set(zone, name, addresses, _TTL, creator)


def _zones(endpoint: Document) -> Iterator[tuple[ResourceId, str]]:
    """The zones that an endpoint's groups name, and the name of its record set there; none where it has none."""
    for group in endpoint["properties"][KIND]:
        for each in group["properties"][_CONFIGS]:
            sets = each["properties"]["recordSets"]
            yield parse(each["properties"]["privateDnsZoneId"]), sets[0]["recordSetName"] if sets else ""


def _settled(told: Told, fields: Fields, world: World) -> Document:
    name = fields.required("name")
    resource = told.endpoint.child(KIND, name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("provisioningState")
    configs = [_config(told, each, world) for each in properties.each(_CONFIGS)]
    if not 1 <= len(configs) <= limits.ZONES_PER_ZONE_GROUP:
        what = f"a zone group names 1 to {limits.ZONES_PER_ZONE_GROUP} zones, not {len(configs)}"
        raise properties.error("InvalidRequestFormat", what, _CONFIGS)
    for key in ("name", "id"):
        values = [each["name"] if key == "name" else each["properties"]["privateDnsZoneId"] for each in configs]
        if len({each.lower() for each in values}) < len(values):
            raise properties.error("InvalidRequestFormat", f"two have one {key}", _CONFIGS)
    properties.refuse_unread()
    fields.refuse_unread()
    inner = {"provisioningState": "Succeeded", _CONFIGS: configs}
    return {"name": name, "id": str(resource), "type": resource.type, "properties": inner}


def _config(told: Told, fields: Fields, world: World) -> Document:
    endpoint = told.endpoint
    name = fields.required("name")
    fields.allow("id", "type", "etag")
    properties = fields.fields("properties")
    properties.allow("recordSets", "provisioningState")
    text = properties.required("privateDnsZoneId")
    properties.refuse_unread()
    fields.refuse_unread()
    scope = Scope(endpoint.subscription, endpoint.resource_group)
    zone = Fields({"id": text}, "privateDnsZoneId", str(endpoint)).identity(scope, PRIVATE_ZONES)
    there = world.get(zone)
    previous = world.get(endpoint)
    if there is None and not (previous and zone in dict(_zones(previous))):
        raise properties.error(
            "InvalidResourceReference",
            f"Resource {zone} referenced by resource {endpoint} was not found. Please make sure that the referenced"
            " resource exists",
            "privateDnsZoneId",
        )
    identity = there["id"] if there else str(zone)
    return {
        "name": name,
        "properties": {
            "privateDnsZoneId": identity,
            "recordSets": _record_sets(zone.name.lower(), private_link_name(told.host), told.address),
        },
    }


def _record_sets(zone: str, name: str, address: str) -> list[Document]:
    """What a group writes into a zone of a name, as it is shown."""
    if not name.endswith(f".{zone}"):
        return []
    return [
        {
            "recordType": "A",
            "recordSetName": name.removesuffix(f".{zone}"),
            "fqdn": name,
            "ttl": _TTL,
            "ipAddresses": [address],
            "provisioningState": "Succeeded",
        }
    ]
