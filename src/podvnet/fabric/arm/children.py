"""Child resources: members of their parent's document that have an id of their own.

A write of a child is a write of its parent with that member put in, replaced or left out, so every check is the
parent's. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from podvnet.fabric.arm.world import NETWORK_INTERFACES, VIRTUAL_NETWORKS, Document
from podvnet.model.arm_error import ArmError

Path = tuple[tuple[str, str], ...]
"""Pairs of (kind, name) below a top-level resource."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of child: the list of the parent's properties it is in, and whether it can be written by itself."""

    member: str
    writable: bool = True


KINDS: dict[str, dict[str, Kind]] = {
    VIRTUAL_NETWORKS.lower(): {"subnets": Kind("subnets")},
    NETWORK_INTERFACES.lower(): {"ipconfigurations": Kind("ipConfigurations", writable=False)},
}
"""By the parent's type and the child's kind, both in lower case."""


def read_child(view: Document, path: Path) -> Document:
    """A child of a shown document.

    Raises:
        ArmError: ``NotFound``, or the kind is none of the parent's.
    """
    kind, name = _single(view, path)
    found = _find(view, kind, name)
    if found is None:
        resource = f"{view['id']}/{path[0][0]}/{path[0][1]}"
        raise ArmError("NotFound", f"Resource {resource} not found.", status=HTTPStatus.NOT_FOUND)
    return found


def list_children(view: Document, path: Path, kind: str) -> list[Document]:
    """All children of a kind.

    Raises:
        ArmError: the kind is none of the parent's.
    """
    if path:
        raise _unknown(view, path[0][0])
    children: list[Document] = view["properties"].get(_kind(view, kind).member, [])
    return children


def has_child(view: Document, path: Path) -> bool:
    """Tell whether a child is there."""
    kind, name = _single(view, path)
    return _find(view, kind, name) is not None


def put_child(view: Document, path: Path, body: Document) -> Document:
    """The parent's document with a child put in or replaced.

    Raises:
        ArmError: the kind cannot be written by itself.
    """
    kind, name = _single(view, path)
    _check_writable(view, kind, path)
    child = {**body, "name": name}
    present = view["properties"].get(kind.member, [])
    replaced = [child if each["name"].lower() == name.lower() else each for each in present]
    if _find(view, kind, name) is None:
        replaced.append(child)
    return view | {"properties": view["properties"] | {kind.member: replaced}}


def remove_child(view: Document, path: Path) -> Document:
    """The parent's document without a child.

    Raises:
        ArmError: the kind cannot be written by itself.
    """
    kind, name = _single(view, path)
    _check_writable(view, kind, path)
    kept = [each for each in view["properties"].get(kind.member, []) if each["name"].lower() != name.lower()]
    return view | {"properties": view["properties"] | {kind.member: kept}}


def _single(view: Document, path: Path) -> tuple[Kind, str]:
    if len(path) != 1:
        raise _unknown(view, "/".join(kind for kind, _ in path))
    return _kind(view, path[0][0]), path[0][1]


def _kind(view: Document, kind: str) -> Kind:
    found = KINDS.get(view["type"].lower(), {}).get(kind.lower())
    if found is None:
        raise _unknown(view, kind)
    return found


def _find(view: Document, kind: Kind, name: str) -> Document | None:
    children: list[Document] = view["properties"].get(kind.member, [])
    return next((each for each in children if each["name"].lower() == name.lower()), None)


def _check_writable(view: Document, kind: Kind, path: Path) -> None:
    if not kind.writable:
        raise ArmError(
            "OperationNotAllowed",
            f"{view['type']}/{path[0][0]} is read-only; write {view['type']} instead.",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
        )


def _unknown(view: Document, kind: str) -> ArmError:
    return ArmError(
        "InvalidResourceType",
        f"The resource type '{view['type']}/{kind}' could not be found.",
        status=HTTPStatus.NOT_FOUND,
    )
