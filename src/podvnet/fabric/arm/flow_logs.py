"""Microsoft.Network/networkWatchers/flowLogs: which flows are written down.

A storage account is a name: the fabric has a directory for it. A log whose target is deleted goes with it, as in Azure.
Sources: Azure document "Flow logging for network security groups"; Azure REST reference "Flow Logs - Create Or Update".
"""

from __future__ import annotations

import re

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import Linker, same_region
from podvnet.fabric.arm.resource_type import check_name, stable_guid
from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    NETWORK_WATCHERS,
    SECURITY_GROUPS,
    SUBNETS,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.model.flow_log import FlowLog
from podvnet.model.resource_id import ResourceId, parse

KIND = "flowLogs"
_TARGETS = (SECURITY_GROUPS, VIRTUAL_NETWORKS, SUBNETS, NETWORK_INTERFACES)
_STORAGE = "Microsoft.Storage/storageAccounts"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_VERSIONS = (1, 2)
_DAYS = (0, 365)


def settle_flow_logs(watcher: ResourceId, location: str, properties: Fields, world: World) -> list[Document]:
    """Check and complete the flow logs of a watcher.

    Raises:
        ArmError: one is refused.
    """
    linker = Linker(watcher, location, world)
    logs = [_settled(watcher, location, each, linker) for each in properties.each(KIND)]
    seen: set[str] = set()
    for each in logs:
        if each["name"].lower() in seen:
            raise properties.error("InvalidRequestFormat", f"two flow logs are called {each['name']!r}", KIND)
        seen.add(each["name"].lower())
    return logs


def intent_of(watcher: Document) -> tuple[FlowLog, ...]:
    """The logs of a watcher that are enabled, as the compilers see them."""
    return tuple(
        FlowLog(
            id=parse(each["id"]),
            target=parse(each["properties"]["targetResourceId"]),
            storage=parse(each["properties"]["storageId"]),
            version=each["properties"]["format"]["version"],
        )
        for each in watcher["properties"].get(KIND, [])
        if each["properties"]["enabled"]
    )


def drop_orphans(world: World) -> None:
    """Take out the logs whose targets are gone."""
    for watcher in list(world.of_type(NETWORK_WATCHERS)):
        logs = watcher["properties"].get(KIND, [])
        left = [each for each in logs if world.find(parse(each["properties"]["targetResourceId"]))]
        if len(left) < len(logs):
            world.put(watcher | {"properties": watcher["properties"] | {KIND: left}})


def _settled(watcher: ResourceId, location: str, fields: Fields, linker: Linker) -> Document:
    name = fields.required("name")
    resource = watcher.child(KIND, name)
    check_name(name, str(resource))
    fields.allow("id", "type", "etag")
    fields.refuse_unsupported("identity")
    own = fields.text("location", location)
    if not same_region(own, location):
        raise fields.error("InvalidRequestFormat", f"must be that of the network watcher, {location}", "location")
    tags = {str(key): str(value) for key, value in fields.mapping("tags").items()}
    properties = fields.fields("properties")
    properties.allow("provisioningState", "targetResourceGuid")
    target = _target(properties, linker)
    settled: Document = {
        "provisioningState": "Succeeded",
        "targetResourceId": target["id"],
        "targetResourceGuid": target["properties"].get("resourceGuid") or stable_guid(parse(target["id"]), "resource"),
        "storageId": str(_storage(properties)),
        "enabled": properties.flag("enabled", default=True),
        "retentionPolicy": _retention(properties.fields("retentionPolicy")),
        "format": _format(properties.fields("format")),
    }
    analytics = properties.fields("flowAnalyticsConfiguration")
    configuration = analytics.fields("networkWatcherFlowAnalyticsConfiguration")
    configuration.only("enabled", False)
    configuration.allow("workspaceId", "workspaceRegion", "workspaceResourceId", "trafficAnalyticsInterval")
    for key in ("enabledFilteringCriteria", "recordTypes"):
        properties.only(key, "")
    for each in (configuration, analytics, properties, fields):
        each.refuse_unread()
    document: Document = {"name": name, "id": str(resource), "type": resource.type, "location": own}
    return document | ({"tags": tags} if tags else {}) | {"properties": settled}


def _target(properties: Fields, linker: Linker) -> Document:
    """What is logged: it must be there, in the watcher's region."""
    identity = _identity(properties, "targetResourceId")
    full_type = next((each for each in _TARGETS if each.lower() == identity.type.lower()), None)
    if full_type is None:
        kinds = ", ".join(each.rsplit("/", 1)[-1] for each in _TARGETS)
        raise properties.error(
            "InvalidResourceReference", f"{identity} is none of what can be logged: {kinds}", "targetResourceId"
        )
    return linker.named(Fields({"id": str(identity)}, "properties.targetResourceId", str(identity)), full_type)


def _storage(properties: Fields) -> ResourceId:
    identity = _identity(properties, "storageId")
    if identity.type.lower() != _STORAGE.lower() or not _ACCOUNT.fullmatch(identity.name):
        raise properties.error(
            "InvalidResourceReference",
            f"{identity} is not the id of a storage account, whose name has 3 to 24 lower-case letters and digits",
            "storageId",
        )
    return identity


def _identity(properties: Fields, key: str) -> ResourceId:
    try:
        return parse(properties.required(key))
    except ValueError as problem:
        raise properties.error("LinkedInvalidPropertyId", str(problem), key) from None


def _retention(fields: Fields) -> Document:
    """Nothing is ever removed, so only that can be asked for."""
    days = fields.number("days", 0, *_DAYS)
    fields.only("enabled", False)
    fields.refuse_unread()
    return {"days": days, "enabled": False}


def _format(fields: Fields) -> Document:
    kind = fields.choice("type", "JSON", "JSON")
    version = fields.number("version", _VERSIONS[-1], *_VERSIONS)
    fields.refuse_unread()
    return {"type": kind, "version": version}
