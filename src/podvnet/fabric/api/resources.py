"""Reads and writes of resources and their children, as the resource manager answers them.

Effects are the engine's, one call at a time; everything here decides what to ask of it and what to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from podvnet.fabric.api.resource_groups import ResourceGroups, invalid_namespace
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm import children, references
from podvnet.fabric.arm.machine_identity import merged
from podvnet.fabric.arm.virtual_machines import gone_with
from podvnet.fabric.arm.world import PRIVATE_ZONES, SQL_SERVERS, STORAGE_ACCOUNTS, VIRTUAL_MACHINES, Document
from podvnet.fabric.deployment.template_error import DetailedError
from podvnet.fabric.engine import Fabric
from podvnet.fabric.settlement import TYPES
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId

_PATCHED = {
    VIRTUAL_MACHINES: ("tags", "identity"),
    STORAGE_ACCOUNTS: ("tags", "properties", "sku"),
    SQL_SERVERS: ("tags", "properties"),
}
"""What PATCH may change, where it is more than the tags."""


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
        etag = view["etag"]
        if len(resource.path) > 1:
            child = children.read_child(view, resource.path[1:])
            return child, _etag_of(child, etag)
        return children.without_apart(view), etag

    def top(self, target: Target) -> Document:
        """The document of the top-level resource that a path is in.

        Raises:
            ArmError: it is not there.
        """
        return self._top(target.resource())

    def every(self, target: Target, ending: str = "") -> list[Document]:
        """The resources of a type in a group or subscription, or the children of a kind whose names have an ending.

        Raises:
            ArmError: the type, group or parent is not there.
        """
        world = self._fabric.world
        if len(target.segments) > 1:
            parent = self._top(target.resource())
            view = references.view(parent, world)
            found = children.list_children(view, target.resource().path[1:], target.segments[-1])
            return [each for each in found if each["name"].lower().endswith(ending.lower())]
        self._check_type(target.full_type)
        if target.group:
            self._groups.get(target.subscription, target.group, world)
        prefix = f"/subscriptions/{target.subscription}/resourcegroups/{target.group}".lower() if target.group else ""
        return [
            children.without_apart(references.view(document, world))
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

    def put(
        self,
        target: Target,
        body: Any,
        if_match: str | None,
        version: str,
        *,
        synchronise: bool = False,
        new_only: bool = False,
    ) -> Written:
        """Create or replace a resource or child, as an api-version means it.

        With ``synchronise`` a peering's remote address space is taken in anew; with ``new_only`` what is there is not
        replaced.

        Raises:
            ArmError, ArmErrorsError: it is refused.
        """
        new, document = self._draft(target, body, if_match, version, synchronise=synchronise)
        if new_only and not new:
            raise _precondition_failed(target.resource(), "It exists already, and If-None-Match is '*'.")
        settled = self._fabric.put(document)
        return self._written(new, settled, target.resource())

    def is_acceptable(self, target: Target, body: Any, version: str, *, synchronise: bool = False) -> bool:
        """Tell whether :meth:`put`, unconditional, would be accepted now. Nothing is changed."""
        try:
            _, document = self._draft(target, body, None, version, synchronise=synchronise)
            self._fabric.check(document)
        except ArmError:
            return False
        return True

    def _draft(
        self, target: Target, body: Any, if_match: str | None, version: str, *, synchronise: bool
    ) -> tuple[bool, Document]:
        """Whether what is put is new, and the top-level document to put for it."""
        resource = target.resource()
        self._check_type(_top_of(resource).type)
        self._groups.get(target.subscription, target.group, self._fabric.world)
        if not isinstance(body, Mapping):
            raise ArmError("InvalidRequestContent", "The request content was invalid: it must be a JSON object.")
        if len(resource.path) == 1:
            present = self._fabric.world.get(resource)
            if present is not None:
                self._match(present, if_match)
                body = children.keep_unnamed(body, present)
            own = {"id": str(resource), "name": resource.name, "type": resource.type, "apiVersion": version}
            return present is None, {**body, **own}
        parent = self._parent(resource)
        self._match(parent, if_match, resource.path[1:])
        view = references.view(parent, self._fabric.world)
        new = not children.has_child(view, resource.path[1:])
        document = children.put_child(view, resource.path[1:], dict(body), synchronise=synchronise)
        return new, {**document, "apiVersion": version}

    def tag(self, target: Target, body: Any, if_match: str | None) -> Written:
        """Set the tags of a resource, and what else PATCH may change of its type.

        Raises:
            ArmError: it is not there, or the body holds something else.
        """
        resource = target.resource()
        present = self._top(resource)
        if len(resource.path) > 1:
            if not isinstance(body, Mapping):
                raise ArmError("InvalidRequestContent", "The request content was invalid: it must be a JSON object.")
            self._match(present, if_match, resource.path[1:])
            view = references.view(present, self._fabric.world)
            child = children.patched_child(view, resource.path[1:], body)
            settled = self._fabric.put(children.put_child(view, resource.path[1:], child))
            return self._written(False, settled, resource)
        self._match(present, if_match)
        members = _PATCHED.get(present["type"], ("tags",))
        if (
            not isinstance(body, Mapping)
            or not body
            or any(key not in members or not isinstance(value, Mapping) for key, value in body.items())
        ):
            known = " or ".join(repr(each) for each in members)
            raise ArmError("InvalidRequestContent", f"PATCH takes an object with {known} and nothing else.")
        view = references.view(present, self._fabric.world)
        changed = {key: dict(value) for key, value in body.items()}
        if "identity" in changed:
            changed["identity"] = merged(view.get("identity", {}), changed["identity"])
        if "properties" in changed:
            changed["properties"] = view["properties"] | changed["properties"]
        settled = self._fabric.put(view | changed)
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
            self._match(present, if_match, resource.path[1:])
            self._fabric.put(children.remove_child(view, resource.path[1:]))
            return True
        self._match(present, if_match)
        TYPES[present["type"].lower()].check_removal(resource, self._fabric.world)
        with_it = gone_with(present) if present["type"] == VIRTUAL_MACHINES else set()
        self._fabric.remove({resource.key} | with_it)
        return True

    def _written(self, new: bool, settled: Document, resource: ResourceId) -> Written:
        world = self._fabric.world
        view = references.view(settled, world)
        if len(resource.path) > 1:
            shown = children.read_child(view, resource.path[1:])
            return Written(new, shown, _etag_of(shown, view["etag"]))
        return Written(new, children.without_apart(view), view["etag"])

    def _match(self, document: Document, if_match: str | None, path: children.Path = ()) -> None:
        """Refuse a write that was meant for another state of the resource, or of its child."""
        if not if_match or if_match == "*":
            return
        etag = references.etag(document, self._fabric.world)
        if path and document["type"] == PRIVATE_ZONES:
            view = references.view(document, self._fabric.world)
            etag = children.read_child(view, path)["etag"] if children.has_child(view, path) else ""
        if if_match.removeprefix("W/").strip('"') != etag.removeprefix("W/").strip('"'):
            what = f"Etag provided in if-match header {if_match} does not match etag {etag} of resource"
            raise _precondition_failed(document["id"], f"{what} {document['id']}.")

    def _top(self, resource: ResourceId) -> Document:
        top = _top_of(resource)
        self._check_type(top.type)
        self._groups.get(resource.subscription, resource.resource_group, self._fabric.world)
        found = self._fabric.world.get(top)
        if found is None:
            raise ArmError(
                "ResourceNotFound",
                f"The Resource '{top.type}/{top.name}' under resource group '{top.resource_group}' was not found."
                " For more details please go to https://aka.ms/ARMResourceNotFoundFix",
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
        namespace = full_type.split("/", 1)[0]
        if not any(known.split("/", 1)[0] == namespace.lower() for known in TYPES):
            raise invalid_namespace(namespace)
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


def _etag_of(child: Document, parent: str) -> str:
    """The etag of a child: its own, or that of its parent where it shows none."""
    return str(child.get("etag", parent))


def _precondition_failed(target: ResourceId | str, what: str) -> DetailedError:
    detail = ArmError("PreconditionFailedEtagMismatch", what)
    return DetailedError(
        "PreconditionFailed",
        "Precondition failed.",
        (detail,),
        status=HTTPStatus.PRECONDITION_FAILED,
        target=str(target),
    )


def _top_of(resource: ResourceId) -> ResourceId:
    return ResourceId(resource.subscription, resource.resource_group, resource.provider, resource.path[:1])
