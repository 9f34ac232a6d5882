"""Podvnet.Fabric/serviceTags: what a service tag means, where the table that podvnet brings along says otherwise.

Azure publishes its tags; a user of the fabric has stand-ins of services at other addresses. A resource is called as
the tag, ``Storage`` or ``Storage.WestEurope``, and its prefixes take the place of the tag's. They are put in where
rules and routes name the tag, so that everything after that sees prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import head
from podvnet.fabric.arm.service_tags import PLATFORM_TAGS, service_tag
from podvnet.fabric.arm.world import SERVICE_TAGS, Document, World
from podvnet.model.address import Prefix
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId
from podvnet.model.routing import RouteTable
from podvnet.model.security import SecurityGroup, Side
from podvnet.model.service_tag import INTERNET, LOAD_BALANCER, VIRTUAL_NETWORK

_FIXED = {VIRTUAL_NETWORK, INTERNET, LOAD_BALANCER, *PLATFORM_TAGS}

Meanings = Mapping[str, tuple[Prefix, ...]]
"""By tag in lower case, the prefixes that users gave it."""


class ServiceTags:
    """The type."""

    full_type = SERVICE_TAGS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check a tag: it must be one that rules can name, and not mean what the network itself says."""
        tag = service_tag(resource.name)
        if tag is None or tag in _FIXED:
            what = "is no service tag" if tag is None else "means what the network itself says"
            raise ArmError("InvalidResourceName", f"{resource.name} {what}", target=str(resource))
        others = (each for each in world.of_type(SERVICE_TAGS) if each["id"].lower() != resource.key)
        if any(each["name"].lower() == tag.lower() for each in others):
            raise ArmError("InvalidResourceName", f"{tag} is given prefixes by another resource", target=str(resource))
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState")
        texts = properties.texts("addressPrefixes")
        if not texts:
            raise properties.error("InvalidRequestFormat", "at least one prefix is required", "addressPrefixes")
        prefixes = [properties.prefix(text, f"addressPrefixes[{i}]") for i, text in enumerate(texts)]
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {"provisioningState": "Succeeded", "addressPrefixes": list(map(str, prefixes))}
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A tag may always go; it means again what the table says."""


def meanings(world: World) -> Meanings:
    """What users say that tags mean."""
    return {
        document["name"].lower(): tuple(ip_network(text) for text in document["properties"]["addressPrefixes"])
        for document in world.of_type(SERVICE_TAGS)
    }


def group_with(group: SecurityGroup, tags: Meanings) -> SecurityGroup:
    """A group whose rules have prefixes in the place of the tags that users gave some."""
    rules = tuple(
        replace(rule, source=_side(rule.source, tags), destination=_side(rule.destination, tags))
        for rule in group.rules
    )
    return replace(group, rules=rules)


def table_with(table: RouteTable, tags: Meanings) -> RouteTable:
    """A table whose routes lead to prefixes in the place of the tags that users gave some.

    A route that is written as a prefix still wins over one that was written as a tag.
    """
    written = {route.prefix for route in table.routes if route.prefix}
    routes = tuple(
        replace(route, prefix=prefix, tag="") if prefix else route
        for route in table.routes
        for prefix in _route_prefixes(route.tag, tags)
        if not prefix or prefix not in written
    )
    return replace(table, routes=routes)


def _side(side: Side, tags: Meanings) -> Side:
    found = _meaning(side.tag, tags)
    return side if found is None else replace(side, tag="", prefixes=(*side.prefixes, *found))


def _route_prefixes(tag: str, tags: Meanings) -> tuple[Prefix | None, ...]:
    found = _meaning(tag, tags)
    return (None,) if found is None else found


def _meaning(tag: str, tags: Meanings) -> tuple[Prefix, ...] | None:
    """What users say of a tag, of its region or else of the whole; None when they say nothing."""
    if not tag:
        return None
    return tags.get(tag.lower(), tags.get(tag.split(".", 1)[0].lower()))
