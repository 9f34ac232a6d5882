"""Ids of resources, their state at run time, and where the deployment takes place.

Source: Azure document "Resource functions for ARM templates". ``reference`` is answered by the context's resolver, and
only while the deployment runs.
"""

from __future__ import annotations

import re
from typing import Any

from podvnet.fabric.deployment.argument import Arguments, lowered, plain
from podvnet.fabric.deployment.json_value import Document
from podvnet.fabric.deployment.scope import RESOURCE_GROUPS, interleave
from podvnet.fabric.deployment.template_error import LateError, TemplateError

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ZONES = 3


def _below(given: Arguments, start: int) -> str:
    """``/providers/TYPE/NAME…`` from the arguments at ``start``."""
    full_type, names = given.text(start), given.texts()[start + 1 :]
    wanted = full_type.count("/")
    if wanted == 0 or not all(full_type.split("/")):
        raise given.error(f"the type '{full_type}' must include a namespace, as in Microsoft.Network/virtualNetworks")
    if wanted != len(names):
        raise given.error(
            f"the type '{full_type}' requires '{wanted}' resource name argument(s), {len(names)} are given"
        )
    return "/providers/" + interleave(full_type, names)


def _type_at(given: Arguments, most: int) -> int:
    """Where the type stands: it is the first argument with a slash."""
    texts = given.texts()
    place = next((i for i, text in enumerate(texts[: most + 1]) if "/" in text), None)
    if place is None:
        raise given.error("a fully qualified resource type is needed, as in Microsoft.Network/virtualNetworks")
    return place


def _resource_id(given: Arguments) -> str:
    scope = given.context.scope
    at = _type_at(given, 2)
    before = given.texts()[:at]
    subscription, group = scope.subscription, scope.resource_group
    if len(before) == 2:
        subscription, group = before
    elif before and not group and _GUID.fullmatch(before[0]):
        subscription = before[0]
    elif before:
        group = before[0]
    below = _below(given, at)
    if given.text(at).lower() == RESOURCE_GROUPS.lower():
        return f"/subscriptions/{subscription}/resourceGroups/{given.text(at + 1)}"
    return f"/subscriptions/{subscription}" + (f"/resourceGroups/{group}" if group else "") + below


def _subscription_resource_id(given: Arguments) -> str:
    at = _type_at(given, 1)
    subscription = given.text(0) if at else given.context.scope.subscription
    below = _below(given, at)
    if given.text(at).lower() == RESOURCE_GROUPS.lower():
        return f"/subscriptions/{subscription}/resourceGroups/{given.text(at + 1)}"
    return f"/subscriptions/{subscription}{below}"


def _extension_resource_id(given: Arguments) -> str:
    return given.text(0).rstrip("/") + _below(given, 1)


def _reference(given: Arguments) -> Any:
    name, asked = given.text(0), given.text(1, "")
    full = len(given) > 2 and given.text(2).lower() == "full"
    found = given.context.names.identify(name) if given.context.names else None
    if found is None and not name.startswith("/"):
        raise TemplateError(
            f"The resource '{name}' is not defined in the template. Please see https://aka.ms/arm-template for usage"
            " details"
        )
    if found is None and not asked:
        raise TemplateError(
            f"The reference to '{name}' requires an API version, for the template does not define it. Please see"
            " https://aka.ms/arm-template for usage details"
        )
    return _state(given, found or (name, asked), asked, full=full)


def _references(given: Arguments) -> list[Any]:
    full = len(given) > 1 and given.text(1).lower() == "full"
    found = given.context.names.identify_all(given.text(0)) if given.context.names else []
    return [_state(given, each, "", full=full) for each in found]


def _state(given: Arguments, resource: tuple[str, str], asked: str, *, full: bool) -> Any:
    resource_id, version = resource[0], asked or resource[1]
    if given.context.resolver is None:
        raise LateError(
            f"The template function '{given.function}' is not expected at this location. Please see"
            " https://aka.ms/arm-functions for usage details"
        )
    document = given.context.resolver(resource_id, version)
    if not full:
        return document.get("properties", {})
    return {"apiVersion": version, **_place(resource_id), **document, "resourceId": resource_id, "isAction": False}


def _place(resource_id: str) -> Document:
    parts = resource_id.split("/")
    found: Document = {}
    for name, kind, at in (("subscriptionId", "subscriptions", 1), ("resourceGroupName", "resourcegroups", 3)):
        if len(parts) > at + 1 and parts[at].lower() == kind:
            found[name] = parts[at + 1]
    return found


def _group(given: Arguments) -> Document:
    if not given.context.scope.resource_group:
        raise TemplateError(
            "The template function 'resourceGroup' is not expected at this location: the deployment is to a"
            " subscription"
        )
    return given.context.scope.group_document()


def _zones(given: Arguments) -> list[str]:
    """The fabric has three zones everywhere, and one zone for all that is small."""
    count, offset = given.whole(3, 1), given.whole(4, 0)
    if count < 1 or offset < 0 or count + offset > _ZONES:
        raise given.error(f"there are {_ZONES} zones")
    return [str(zone) for zone in range(offset + 1, offset + count + 1)]


def _tenant(given: Arguments) -> Document:
    scope = given.context.scope
    return {"id": f"/tenants/{scope.tenant}", "tenantId": scope.tenant, "displayName": scope.display_name}


RESOURCE_FUNCTIONS = lowered(
    {
        "extensionResourceId": plain(3, None, _extension_resource_id),
        "pickZones": plain(3, 5, _zones),
        "reference": plain(1, 3, _reference),
        "references": plain(1, 2, _references),
        "resourceGroup": plain(0, 0, _group),
        "resourceId": plain(2, None, _resource_id),
        "subscription": plain(0, 0, lambda given: given.context.scope.subscription_document()),
        "subscriptionResourceId": plain(2, None, _subscription_resource_id),
        "tenant": plain(0, 0, _tenant),
        "tenantResourceId": plain(2, None, lambda given: _below(given, 0)),
    }
)
