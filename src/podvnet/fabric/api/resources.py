"""Reads and writes of resources and their children, as the resource manager answers them.

Effects are the engine's, one call at a time; everything here decides what to ask of it and what to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from podvnet.fabric.api.resource_groups import ResourceGroups
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm import children, references
from podvnet.fabric.arm.world import Document
from podvnet.fabric.engine import Fabric
from podvnet.fabric.settlement import TYPES
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: whether the resource is new, how a GET shows it, and its etag."""

    new: bool
    view: Document
    etag: str


class Resources:
    """The resources behind the API. For the engine's turn."""

    def __init__(self, fabric: Fabric, groups: ResourceGroups) -> None:
        self._fabric = fabric
        self._groups = groups

    def get(self, target: Target) -> tuple[Document, str]:
        """A resource or child, and its etag.

        Raises:
            ArmError: it is not there.
        """
        resource = target.resource()
        document = self._top(resource)
        world = self._fabric.world
        view = references.view(document, world)
        etag = references.etag(document, world)
        if len(resource.path) > 1:
            return children.read_child(view, resource.path[1:]), etag
        return view, etag

    def every(self, target: Target) -> list[Document]:
        """The resources of a type in a group or subscription, or the children of a kind.

        Raises:
            ArmError: the type, group or parent is not there.
        """
        world = self._fabric.world
        if len(target.segments) > 1:
            parent = self._top(target.resource())
            view = references.view(parent, world)
            return children.list_children(view, target.resource().path[1:], target.segments[-1])
        self._check_type(target.full_type)
        if target.group:
            self._groups.get(target.subscription, target.group, world)
        prefix = f"/subscriptions/{target.subscription}/resourcegroups/{target.group}".lower() if target.group else ""
        return [
            references.view(document, world)
            for key, document in world.documents.items()
            if document["type"].lower() == target.full_type.lower() and key.startswith(f"{prefix}/" if prefix else "/")
        ]

    def in_group(self, subscription: str, group: str, condition: str = "") -> list[Document]:
        """The heads of all resources of a group, or, when none is named, of a subscription.

        Args:
            subscription: its id.
            group: its name, or nothing.
            condition: a ``$filter``: comparisons with ``eq``, joined by ``and``.

        Raises:
            ArmError: the filter is not understood.
        """
        wanted = _comparisons(condition)
        within = group or wanted.pop("resourcegroup", "")
        tail = f"resourcegroups/{within}/" if within else ""
        prefix = f"/subscriptions/{subscription}/{tail}".lower()
        return [
            {key: document[key] for key in ("id", "name", "type", "location", "tags") if key in document}
            for key, document in self._fabric.world.documents.items()
            if key.startswith(prefix) and all(_compared(document, name, value) for name, value in wanted.items())
        ]

    def put(self, target: Target, body: Any, if_match: str | None, *, synchronise: bool = False) -> Written:
        """Create or replace a resource or child; ``synchronise`` takes a peering's remote address space in anew.

        Raises:
            ArmError, ArmErrorsError: it is refused.
        """
        resource = target.resource()
        self._check_type(resource.type if len(resource.path) == 1 else _top_of(resource).type)
        self._groups.get(target.subscription, target.group, self._fabric.world)
        if not isinstance(body, Mapping):
            raise ArmError("InvalidRequestContent", "The request content was invalid: it must be a JSON object.")
        if len(resource.path) == 1:
            present = self._fabric.world.get(resource)
            if present is not None:
                self._match(present, if_match)
            document = {**body, "id": str(resource), "name": resource.name, "type": resource.type}
            new, settled = self._fabric.put(document)
            return self._written(new, settled, resource)
        parent = self._parent(resource)
        self._match(parent, if_match)
        view = references.view(parent, self._fabric.world)
        new = not children.has_child(view, resource.path[1:])
        changed = children.put_child(view, resource.path[1:], dict(body), synchronise=synchronise)
        _, settled = self._fabric.put(changed)
        return self._written(new, settled, resource)

    def tag(self, target: Target, body: Any, if_match: str | None) -> Written:
        """Set the tags of a resource: all that PATCH may change.

        Raises:
            ArmError: it is not there, or the body holds something else.
        """
        resource = target.resource()
        present = self._top(resource)
        self._match(present, if_match)
        if not isinstance(body, Mapping) or not isinstance(body.get("tags"), Mapping) or set(body) - {"tags"}:
            raise ArmError("InvalidRequestContent", "PATCH takes an object with 'tags' and nothing else.")
        view = references.view(present, self._fabric.world)
        _, settled = self._fabric.put(view | {"tags": dict(body["tags"])})
        return self._written(False, settled, resource)

    def delete(self, target: Target, if_match: str | None) -> bool:
        """Delete a resource or child; tell whether it was there.

        Raises:
            ArmError, ArmErrorsError: it is in use.
        """
        resource = target.resource()
        present = self._fabric.world.get(_top_of(resource))
        if present is None:
            return False
        view = references.view(present, self._fabric.world)
        if len(resource.path) > 1:
            if not children.has_child(view, resource.path[1:]):
                return False
            self._match(present, if_match)
            self._fabric.put(children.remove_child(view, resource.path[1:]))
            return True
        self._match(present, if_match)
        TYPES[present["type"].lower()].check_removal(resource, self._fabric.world)
        self._fabric.remove({resource.key})
        return True

    def _written(self, new: bool, settled: Document, resource: ResourceId) -> Written:
        world = self._fabric.world
        view = references.view(settled, world)
        shown = children.read_child(view, resource.path[1:]) if len(resource.path) > 1 else view
        return Written(new, shown, references.etag(settled, world))

    def _match(self, document: Document, if_match: str | None) -> None:
        """Refuse a write that was meant for another state of the resource."""
        if not if_match or if_match == "*":
            return
        etag = references.etag(document, self._fabric.world)
        if if_match.removeprefix("W/").strip('"') != etag.removeprefix("W/").strip('"'):
            raise ArmError(
                "PreconditionFailed",
                f"Precondition failed. Etag provided in if-match header {if_match} does not match etag {etag} of"
                f" resource {document['id']}.",
                status=HTTPStatus.PRECONDITION_FAILED,
                target=document["id"],
            )

    def _top(self, resource: ResourceId) -> Document:
        top = _top_of(resource)
        self._check_type(top.type)
        self._groups.get(resource.subscription, resource.resource_group, self._fabric.world)
        found = self._fabric.world.get(top)
        if found is None:
            raise ArmError(
                "ResourceNotFound",
                f"The Resource '{top.type}/{top.name}' under resource group '{top.resource_group}' was not found.",
                status=HTTPStatus.NOT_FOUND,
            )
        return found

    def _parent(self, resource: ResourceId) -> Document:
        top = _top_of(resource)
        found = self._fabric.world.get(top)
        if found is None:
            raise ArmError(
                "ParentResourceNotFound",
                f"Failed to perform 'write' on resource(s) of type '{resource.type}', because the parent resource"
                f" '{top}' could not be found.",
                status=HTTPStatus.NOT_FOUND,
            )
        return found

    @staticmethod
    def _check_type(full_type: str) -> None:
        if full_type.lower() not in TYPES:
            raise ArmError(
                "InvalidResourceType",
                f"The resource type '{full_type}' could not be found; this fabric has"
                f" {', '.join(kind.full_type for kind in TYPES.values())}.",
                status=HTTPStatus.NOT_FOUND,
            )


_COMPARISON = re.compile(r"\(?\s*([\w/]+)\s+eq\s+'([^']*)'\s*\)?\s*", re.IGNORECASE)
_COMPARED = {"resourcetype": "type", "name": "name", "location": "location", "resourcegroup": ""}


def _comparisons(condition: str) -> dict[str, str]:
    """The comparisons of a ``$filter``, by name in lower case."""
    found = {}
    for part in re.split(r"\sand\s", condition, flags=re.IGNORECASE) if condition else []:
        match = _COMPARISON.fullmatch(part.strip())
        if not match or match[1].lower() not in _COMPARED:
            known = ", ".join(sorted(_COMPARED))
            raise ArmError("InvalidFilterInQueryString", f"Invalid $filter '{part}': it compares one of {known} by eq.")
        found[match[1].lower()] = match[2]
    return found


def _compared(document: Document, name: str, value: str) -> bool:
    return str(document[_COMPARED[name]]).lower() == value.lower()


def _top_of(resource: ResourceId) -> ResourceId:
    return ResourceId(resource.subscription, resource.resource_group, resource.provider, resource.path[:1])
