"""The description of the API by itself: the paths that are served as an OpenAPI document, made from the types.

Source: OpenAPI Specification 3.0.3. What clients are shown may hold members that are not described; what they write may
not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from podvnet import __version__
from podvnet.fabric.api.gateway_bodies import GATEWAY_BESIDE, GATEWAY_CHILDREN, GATEWAY_PROPERTIES
from podvnet.fabric.api.private_dns import is_polled, is_record_set
from podvnet.fabric.api.private_dns_shapes import ZONE_CHILDREN
from podvnet.fabric.api.shapes import (
    BESIDE,
    CHILDREN,
    PATCHES,
    PROPERTIES,
    SCALARS,
    TAGS,
    TEXT,
    Shape,
    choice,
    closed,
    component,
    listed,
    named,
)
from podvnet.fabric.arm.children import KINDS
from podvnet.fabric.arm.world import (
    CIRCUITS,
    CONNECTIONS,
    NETWORK_GATEWAYS,
    PRIVATE_ZONES,
    SQL_SERVERS,
    STORAGE_ACCOUNTS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
)
from podvnet.fabric.settlement import TYPES
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION

_SUBSCRIPTION = "/subscriptions/{subscriptionId}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{resourceGroupName}"
_DEPLOYMENTS = _GROUP + "/providers/Microsoft.Resources/deployments"
_WRITE_REFUSALS = ("400", "401", "403", "404", "409", "412", "413", "429")
_READ_REFUSALS = ("400", "401", "404")
PROPERTY_SHAPES = PROPERTIES | GATEWAY_PROPERTIES
"""By type: the properties, less the sub-resources of :data:`CHILD_SHAPES`."""
CHILD_SHAPES = CHILDREN | GATEWAY_CHILDREN | {PRIVATE_ZONES: ZONE_CHILDREN}
"""By type of parent and kind: the sub-resources that a parent is written with."""
_TAGGED = closed(("tags",), tags=TAGS)


@cache
def describe() -> dict[str, Any]:
    """The document. Shared: not to be changed."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = dict(SCALARS) | {
        "Error": closed(("error",), error=closed(("code", "message"), code=TEXT, message=TEXT, target=TEXT,
                                                 details=listed({"type": "object"}))),
        "Shown": _open({}),
        "Shown.List": _list_of(component("Shown")),
    }  # fmt: skip
    _describe_frame(paths)
    for kind in TYPES.values():
        _describe_type(kind.full_type, paths, schemas)
    _describe_deployments(paths, schemas)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "The resource manager of a podvnet fabric",
            "version": __version__,
            "description": "Azure's resource manager as a local network serves it. Log in as `podvnet env` says.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "parameters": _parameters(),
            "schemas": schemas,
        },
    }


def _parameters() -> dict[str, Any]:
    def place(name: str, schema: Shape, where: str = "path") -> dict[str, Any]:
        return {"name": name, "in": where, "required": where == "path", "schema": schema}

    version = {"type": "string", "pattern": r"^20(1[6-9]|[2-9]\d)-\d{2}-\d{2}(-preview)?$"}
    return {
        "apiVersion": place("api-version", version, "query") | {"required": True},
        "ifMatch": place("If-Match", TEXT, "header"),
        "subscriptionId": place("subscriptionId", choice(DEFAULT_SUBSCRIPTION)),
        "resourceGroupName": place("resourceGroupName", component("GroupName")),
        "name": place("name", component("Name")),
        "child": place("child", component("Name")),
        "provider": place("provider", choice(*sorted({each.full_type.split("/")[0] for each in TYPES.values()}))),
        "location": place("location", component("Location")),
        "operationId": place("operationId", {"type": "string", "pattern": r"^\d+$"}),
        "peer": place("peer", component("Address"), "query") | {"required": True},
        "ipAddress": place("ipAddress", component("Address"), "query") | {"required": True},
        "domainNameLabel": place("domainNameLabel", TEXT, "query") | {"required": True},
        "expand": place("$expand", choice("instanceView"), "query"),
    }


def _describe_frame(paths: dict[str, Any]) -> None:
    """Subscriptions, resource groups and providers."""
    document, documents = {"type": "object"}, _list_of({"type": "object"})
    paths["/subscriptions"] = _path("/subscriptions", get=_read(documents))
    for tail, shape in (
        ("", document), ("/locations", documents), ("/providers", documents), ("/providers/{provider}", document),
        ("/resources", documents), ("/resourceGroups", component("Shown.List")),
        ("/providers/Microsoft.Network/locations/{location}/usages", documents),
        ("/providers/Microsoft.Compute/locations/{location}/usages", documents),
    ):  # fmt: skip
        paths[_SUBSCRIPTION + tail] = _path(_SUBSCRIPTION + tail, get=_read(shape))
    availability = f"{_SUBSCRIPTION}/providers/Microsoft.Network/locations/{{location}}/CheckDnsNameAvailability"
    paths[availability] = _path(availability, "domainNameLabel", get=_read(document))
    group = closed(("location",), location=component("Location"), tags=TAGS)
    paths[_GROUP] = _path(
        _GROUP,
        get=_read(component("Shown")),
        head={"responses": {"204": {"description": "It is there."}, **_without_bodies(*_READ_REFUSALS)}},
        put=_write(group, component("Shown"), "200", "201"),
        patch=_write(_TAGGED, component("Shown"), "200"),
        delete=_removal("202"),
    )
    paths[f"{_GROUP}/resources"] = _path(f"{_GROUP}/resources", get=_read(documents))


def _describe_type(full_type: str, paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    """A type: lists by subscription and by group, the resource, its children."""
    _, title = full_type.split("/")
    schemas[title] = _body(full_type)
    schemas[f"{title}.Shown"] = _open(schemas[title])
    schemas[f"{title}.List"] = _list_of(component(f"{title}.Shown"))
    for place in (_SUBSCRIPTION, _GROUP):
        path = f"{place}/providers/{full_type}"
        paths[path] = _path(path, get=_read(component(f"{title}.List")))
    resource = f"{_GROUP}/providers/{full_type}/{{name}}"
    gone = ("200", "204") if full_type in {STORAGE_ACCOUNTS, SQL_SERVERS} else ("202", "204")
    paths[resource] = _path(
        resource,
        get=_read(component(f"{title}.Shown"), etag=True),
        put=_write(component(title), component(f"{title}.Shown"), *_created(full_type), conditional=True),
        patch=_write(PATCHES.get(full_type, _TAGGED), component(f"{title}.Shown"), "200", conditional=True),
        delete=_removal(*gone, conditional=True),
    )
    for kind, writable in KINDS.get(full_type, {}).items():
        shape = CHILD_SHAPES[full_type].get(kind, named())
        schemas[f"{title}.{kind}.Shown"] = shown = _open(shape)
        operations = {"get": _read(shown, etag=True)}
        if writable:
            # The name of a child is in its path.
            written = closed(("properties",), properties=shape["properties"]["properties"])
            child = f"{full_type}/{kind}"
            operations["put"] = _write(written, shown, *_created(child), conditional=True)
            operations["delete"] = _removal(*(("200", "204") if is_record_set(child) else gone), conditional=True)
            if full_type == PRIVATE_ZONES:
                operations["patch"] = _write(written, shown, "200", conditional=True)
        paths[f"{resource}/{kind}"] = _path(f"{resource}/{kind}", get=_read(_list_of(shown)))
        paths[f"{resource}/{kind}/{{child}}"] = _path(f"{resource}/{kind}/{{child}}", **operations)
    if full_type == VIRTUAL_NETWORKS:
        usages, availability = f"{resource}/usages", f"{resource}/CheckIPAddressAvailability"
        paths[usages] = _path(usages, get=_read(_list_of({"type": "object"})))
        free = {"type": "object", "required": ["available"], "properties": {"available": {"type": "boolean"}}}
        paths[availability] = _path(availability, "ipAddress", get=_read(free))
    if full_type == PRIVATE_ZONES:
        paths[f"{resource}/ALL"] = _path(f"{resource}/ALL", get=_read(_list_of({"type": "object"})))
    if full_type == STORAGE_ACCOUNTS:
        path = f"{resource}/listKeys"
        keys = {"type": "object", "required": ["keys"], "properties": {"keys": listed({"type": "object"})}}
        paths[path] = _path(path, post=_read(keys))
    if full_type in {NETWORK_GATEWAYS, CONNECTIONS, CIRCUITS}:
        _describe_gateway_actions(full_type, resource, paths)
    if full_type == VIRTUAL_MACHINES:
        for place in (resource, *(f"{place}/providers/{full_type}" for place in (_SUBSCRIPTION, _GROUP))):
            paths[place]["get"]["parameters"] = [{"$ref": "#/components/parameters/expand"}]
        for action in ("start", "powerOff", "deallocate", "restart"):
            path = f"{resource}/{action}"
            paths[path] = _path(path, post=_action("202"))
        view = {"type": "object", "required": ["statuses"], "properties": {"statuses": listed({"type": "object"})}}
        paths[f"{resource}/instanceView"] = _path(f"{resource}/instanceView", get=_read(view))


def _describe_gateway_actions(full_type: str, resource: str, paths: dict[str, Any]) -> None:
    document = {"type": "object"}
    if full_type == NETWORK_GATEWAYS:
        for action in ("reset", "getBgpPeerStatus", "getLearnedRoutes"):
            paths[f"{resource}/{action}"] = _path(f"{resource}/{action}", post=_action("202"))
        path = f"{resource}/getAdvertisedRoutes"
        paths[path] = _path(path, "peer", post=_action("202"))
        paths[f"{resource}/connections"] = _path(f"{resource}/connections", get=_read(_list_of(document)))
    if full_type == CONNECTIONS:
        key = closed(("value",), value=TEXT, id=TEXT)
        path = f"{resource}/sharedkey"
        put = _write(closed(("value",), value=TEXT), key, "200")
        paths[path] = _path(path, get=_read(key), put=put)
        reset = _write(closed(("keyLength",), keyLength={"type": "integer"}), document, "202")
        paths[f"{path}/reset"] = _path(path, post=reset)
        paths[f"{resource}/resetconnection"] = _path(resource, post=_action("202"))
    if full_type == CIRCUITS:
        paths[f"{resource}/stats"] = _path(resource, get=_read(document))


def _created(full_type: str) -> tuple[str, ...]:
    """The statuses that a PUT of a type is answered with."""
    return ("202",) if is_polled(full_type) else ("200", "201")


def _describe_deployments(paths: dict[str, Any], schemas: dict[str, Any]) -> None:
    template = closed(("$schema", "contentVersion", "resources"), **{
        "$schema": choice("https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"),
        "contentVersion": choice("1.0.0.0"),
        "parameters": {"type": "object"}, "variables": {"type": "object"}, "outputs": {"type": "object"},
        "resources": listed({"type": "object", "required": ["type", "apiVersion", "name"], "properties": {
            "type": choice(*(each.full_type for each in TYPES.values())),
            "apiVersion": choice("2024-05-01"), "name": TEXT, "location": TEXT, "properties": {"type": "object"},
            "dependsOn": listed(TEXT), "condition": {}, "copy": {"type": "object"},
        }}),
    })  # fmt: skip
    schemas["deployments"] = closed(
        ("properties",),
        properties=closed(
            ("mode", "template"), mode=choice("Incremental"), template=template, parameters={"type": "object"}
        ),
    )
    body, shown = component("deployments"), {"type": "object", "required": ["properties"]}
    one = f"{_DEPLOYMENTS}/{{name}}"
    paths[_DEPLOYMENTS] = _path(_DEPLOYMENTS, get=_read(_list_of(shown)))
    paths[one] = _path(one, get=_read(shown), put=_write(body, shown, "200", "201"), delete=_removal("202", "204"))
    # Asked for without the provider's name as well.
    for place in (one, f"{_GROUP}/deployments/{{name}}"):
        operations, operation = f"{place}/operations", f"{place}/operations/{{operationId}}"
        paths[operations] = _path(operations, get=_read(_list_of(shown)))
        paths[operation] = _path(operation, get=_read(shown))
    paths[f"{one}/cancel"] = _path(one, post=_action())
    paths[f"{one}/validate"] = _path(one, post=_write(body, {"type": "object"}, "200"))
    paths[f"{one}/whatIf"] = _path(one, post=_write(body, {"type": "object"}, "200", "202"))


def _body(full_type: str) -> Shape:
    """What is put of a type."""
    members = PROPERTY_SHAPES[full_type]["properties"]
    kinds = {kind: listed(shape) for kind, shape in CHILD_SHAPES.get(full_type, {}).items()}
    properties = PROPERTY_SHAPES[full_type] | {"properties": members | kinds}
    required = ("location", "properties") if "required" in properties else ("location",)
    beside = (BESIDE | GATEWAY_BESIDE).get(full_type, {})
    return closed(required, location=component("Location"), tags=TAGS, properties=properties, **beside)


def _open(shape: Shape) -> Shape:
    """What is shown of what is written so: a head, and members of the same types among others."""
    head = dict.fromkeys(("id", "name", "type"), TEXT)
    loose: Shape = _loosened(shape)
    members = loose.get("properties", {}) | head | {"properties": _properties(shape)}
    return {**loose, "type": "object", "properties": members, "required": [*head, "properties"]}


def _properties(shape: Shape) -> Shape:
    inner: Shape = _loosened(shape.get("properties", {}).get("properties", {}))
    return {"type": "object", **inner}


def _loosened(shape: Any) -> Any:
    """A shape without what a client must keep to."""
    if isinstance(shape, list):
        return [_loosened(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    if isinstance(shape.get("type"), str):
        shape = {key: each for key, each in shape.items() if key not in {"required", "additionalProperties", "pattern"}}
    if shape.get("$ref"):
        return {"type": "string"}
    return {key: _loosened(each) for key, each in shape.items()}


def _list_of(shape: Shape) -> Shape:
    return closed(("value",), value=listed(shape), nextLink=TEXT)


def _path(path: str, *query: str, **operations: Any) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"$ref": f"#/components/parameters/{name}"} for name in ("apiVersion", *names, *query)]
    return {"parameters": parameters, **operations}


def _refusals(*statuses: str) -> dict[str, Any]:
    error = {"application/json": {"schema": component("Error")}}
    return {status: {"description": "Refused.", "content": error} for status in statuses}


def _without_bodies(*statuses: str) -> dict[str, Any]:
    return {status: {"description": "Refused."} for status in statuses}


def _read(shape: Shape, *, etag: bool = False) -> dict[str, Any]:
    found = {"description": "Found.", "content": {"application/json": {"schema": shape}}} | _etag(present=etag)
    return {"responses": {"200": found} | _refusals(*_READ_REFUSALS)}


def _etag(*, present: bool) -> dict[str, Any]:
    return {"headers": {"ETag": {"required": True, "schema": TEXT}}} if present else {}


def _write(body: Shape, shape: Shape, *statuses: str, conditional: bool = False) -> dict[str, Any]:
    content = {"application/json": {"schema": shape}}
    done = {"description": "Written."} | _etag(present=conditional)
    responses = {status: done | ({} if status == "202" else {"content": content}) for status in statuses}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": responses | _refusals(*_WRITE_REFUSALS),
        **_condition(present=conditional),
    }


def _action(*statuses: str) -> dict[str, Any]:
    """What is asked for without a body, and answered without one."""
    begun = {status: {"description": "Begun."} for status in statuses}
    return {"responses": begun | _refusals(*_WRITE_REFUSALS)}


def _removal(*statuses: str, conditional: bool = False) -> dict[str, Any]:
    gone = {status: {"description": "Gone."} for status in statuses}
    return {"responses": gone | _refusals(*_WRITE_REFUSALS), **_condition(present=conditional)}


def _condition(*, present: bool) -> dict[str, Any]:
    return {"parameters": [{"$ref": "#/components/parameters/ifMatch"}]} if present else {}
