"""What ``whatIf`` answers: for each resource what would become of it, down to the members that change.

Sources: Azure document "ARM template deployment what-if operation" (change types), REST reference "Deployments - What
If" (WhatIfOperationResult, WhatIfPropertyChange).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from podvnet.fabric.deployment.json_value import Document, canonical

_OF_THE_SERVER = {"etag", "provisioningState", "resourceGuid"}
"""Members that the server writes: they change with every write and say nothing about it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One resource before and after.

    Attributes:
        before: as it is shown now, None when it is not there.
        after: as it would be shown, best settled; None when the template does not name it.
        deleted: whether a resource that is not named goes (mode ``Complete``); else it is left alone.
        unsupported: why nothing can be said about it; empty when something can.
    """

    id: str
    before: Document | None
    after: Document | None
    deleted: bool = False
    unsupported: str = ""


def what_if(changes: Iterable[Change], *, bodies: bool = True) -> Document:
    """The ``WhatIfOperationResult``.

    Args:
        changes: the resources, in the order they are to be told.
        bodies: ``resultFormat``: FullResourcePayloads when true, else ResourceIdOnly.
    """
    return {"status": "Succeeded", "properties": {"changes": [_change(each, bodies=bodies) for each in changes]}}


def _change(change: Change, *, bodies: bool) -> Document:
    before, after = _plain(change.before), _plain(change.after)
    delta = list(_members(before, after, "")) if before is not None and after is not None else []
    found: Document = {"resourceId": change.id, "changeType": _kind(change, changed=bool(delta))}
    if change.unsupported:
        return found | {"unsupportedReason": change.unsupported}
    if bodies:
        found |= {name: value for name, value in (("before", before), ("after", after)) if value is not None}
        if delta:
            found["delta"] = delta
    elif found["changeType"] == "Modify":
        # Without bodies nobody says how it changes.
        found["changeType"] = "Deploy"
    return found


def _kind(change: Change, *, changed: bool) -> str:
    if change.unsupported:
        return "Unsupported"
    if change.before is None:
        return "Create"
    if change.after is None:
        return "Delete" if change.deleted else "Ignore"
    return "Modify" if changed else "NoChange"


def _plain(value: Any) -> Any:
    """A value without what the server writes."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key not in _OF_THE_SERVER}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _members(before: Document, after: Document, path: str) -> Iterator[Document]:
    """Changes of an object's members; members of members are named by their path."""
    for key in (*before, *(key for key in after if key not in before)):
        where = f"{path}.{key}" if path else key
        one, other = before.get(key), after.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _members(one, other, where)
        else:
            yield from _value(one, other, where)


def _value(before: Any, after: Any, path: str) -> Iterator[Document]:
    if canonical(before) == canonical(after):
        return
    if isinstance(before, list) and isinstance(after, list):
        yield _property(path, "Array", None, None, list(_elements(before, after)))
    elif isinstance(before, dict) and isinstance(after, dict):
        yield _property(path, "Modify", None, None, list(_members(before, after, "")))
    elif before is None:
        yield _property(path, "Create", None, after)
    elif after is None:
        yield _property(path, "Delete", before, None)
    else:
        yield _property(path, "Modify", before, after)


def _elements(before: list[Any], after: list[Any]) -> Iterator[Document]:
    """Changes of an array's elements: matched by name when they have one, else by value, which has no order here."""
    if _named(before) and _named(after):
        old = {each["name"].lower(): each for each in before}
        new = {each["name"].lower(): each for each in after}
        for position, name in enumerate((*old, *(name for name in new if name not in old))):
            yield from _value(old.get(name), new.get(name), str(position))
        return
    if len(before) == len(after) and any(isinstance(each, dict | list) for each in (*before, *after)):
        for position, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _value(one, other, str(position))
        return
    kept = {canonical(each) for each in before} & {canonical(each) for each in after}
    for position, each in enumerate(before):
        if canonical(each) not in kept:
            yield _property(str(position), "Delete", each, None)
    for position, each in enumerate(after):
        if canonical(each) not in kept:
            yield _property(str(position), "Create", None, each)


def _named(values: list[Any]) -> bool:
    names = [each.get("name") for each in values if isinstance(each, dict)]
    lowered = {name.lower() for name in names if isinstance(name, str)}
    return bool(values) and len(lowered) == len(values)


def _property(path: str, kind: str, before: Any, after: Any, children: list[Document] | None = None) -> Document:
    return {"path": path, "propertyChangeType": kind, "before": before, "after": after, "children": children or []}
