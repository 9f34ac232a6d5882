"""Child resources: parts of a document that have addresses of their own.

Reading one is finding it in the parent's view; writing one is writing the parent with that part replaced, so the checks
are the parent's. A path is what follows the parent in an id: pairs of kind and name.
Source: the REST reference of Microsoft.Network: which children can be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from podvnet.fabric.arm.private_dns_links import KIND as ZONE_LINKS
from podvnet.fabric.arm.private_dns_records import RECORD_TYPES
from podvnet.fabric.arm.private_dns_zone_groups import KIND as ZONE_GROUPS
from podvnet.fabric.arm.service_endpoint_policies import KIND as POLICY_DEFINITIONS
from podvnet.fabric.arm.world import (
    CIRCUITS,
    ENDPOINT_POLICIES,
    LOAD_BALANCERS,
    NETWORK_INTERFACES,
    NETWORK_WATCHERS,
    PRIVATE_ENDPOINTS,
    PRIVATE_ZONES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    SQL_SERVERS,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.arm_error import ArmError

Path = tuple[tuple[str, str], ...]

KINDS: dict[str, dict[str, bool]] = {
    VIRTUAL_NETWORKS: {"subnets": True, "virtualNetworkPeerings": True},
    SECURITY_GROUPS: {"securityRules": True, "defaultSecurityRules": False},
    ROUTE_TABLES: {"routes": True},
    NETWORK_INTERFACES: {"ipConfigurations": False},
    NETWORK_WATCHERS: {"flowLogs": True},
    PRIVATE_ENDPOINTS: {ZONE_GROUPS: True},
    ENDPOINT_POLICIES: {POLICY_DEFINITIONS: True},
    PRIVATE_ZONES: dict.fromkeys((*RECORD_TYPES, ZONE_LINKS), True),
    SQL_SERVERS: {"virtualNetworkRules": True, "firewallRules": True},
    CIRCUITS: {"peerings": True, "authorizations": True},
    LOAD_BALANCERS: {
        "backendAddressPools": True,
        "inboundNatRules": True,
        "frontendIPConfigurations": False,
        "probes": False,
        "loadBalancingRules": False,
        "outboundRules": False,
    },
}
"""By type of parent: the kinds of children, and whether they can be written by themselves."""
_KEPT = {
    VIRTUAL_NETWORKS: ("subnets", "virtualNetworkPeerings"),
    NETWORK_WATCHERS: ("flowLogs",),
    PRIVATE_ENDPOINTS: (ZONE_GROUPS,),
    PRIVATE_ZONES: (*RECORD_TYPES, ZONE_LINKS),
    SQL_SERVERS: ("virtualNetworkRules", "firewallRules"),
}
"""By type of parent: the kinds that a PUT without a word of them leaves as they are. Of the others none is left.

Source: Azure's announcement "Azure Virtual Network now supports updates without subnet property".
"""
_APART = {PRIVATE_ZONES, PRIVATE_ENDPOINTS}
"""Types whose children are shown by themselves only."""
_EVERY_RECORD_SET = ("all", "recordsets")
"""What stands for the record sets of a zone of whatever type, where children are listed."""


def without_apart(view: Document) -> Document:
    """The view of a parent as it is shown: without children that are shown by themselves only."""
    if view["type"] not in _APART:
        return view
    apart = KINDS[view["type"]]
    return view | {"properties": {key: value for key, value in view["properties"].items() if key not in apart}}


def patched_child(document: Document, path: Path, body: Mapping[str, Any]) -> Document:
    """What is to be put for a child so that it has the members that a PATCH names, and keeps its others.

    Raises:
        ArmError: there is no such child, or it takes no PATCH.
    """
    child = read_child(document, path)
    if document["type"] != PRIVATE_ZONES:
        raise ArmError(
            "MethodNotAllowed",
            f"{child['type']} has no tags of its own and takes no PATCH; put it, or patch {document['id']}.",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
            target=child["id"],
        )
    properties = body.get("properties")
    if not isinstance(properties, Mapping):
        return child | dict(body)
    # What a PATCH writes to is one's own from then on, though a VM was registered by it before.
    kept = {key: value for key, value in child["properties"].items() if key != "isAutoRegistered"}
    return child | dict(body) | {"properties": kept | dict(properties)}


def keep_unnamed(body: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """The body of a PUT of a parent that is there, completed by the children that such a PUT leaves as they are.

    Args:
        body: what is put.
        document: the parent as it is kept.
    """
    properties = body.get("properties") or {}
    if not isinstance(properties, Mapping):
        return dict(body)
    named = {name.lower() for name, value in properties.items() if value is not None}
    kept = {
        kind: document["properties"][kind]
        for kind in _KEPT.get(document["type"], ())
        if kind.lower() not in named and kind in document["properties"]
    }
    return {**body, "properties": {**properties, **kept}} if kept else dict(body)


def spelt_as(document: Document, body: Document) -> Document:
    """A body whose children have the names, in the case, that those of the parent as it is kept have.

    Args:
        document: the parent as it is kept.
        body: the parent as it is wanted; not changed.
    """
    properties = body.get("properties")
    if not isinstance(properties, Mapping):
        return body
    kinds = {kind for kind in KINDS.get(document["type"], {}) if isinstance(properties.get(kind), list)}
    return {**body, "properties": {**properties} | {kind: _spelt(document, kind, properties[kind]) for kind in kinds}}


def read_child(document: Document, path: Path) -> Document:
    """The child at a path of a parent's view.

    Raises:
        ArmError: there is none, or there are no such children.
    """
    kind, name = _step(document, path)
    found = _find(document, kind, name)
    if found is None:
        raise _not_found(document, kind, name)
    return found


def list_children(document: Document, path: Path, kind: str) -> list[Document]:
    """The children of a kind.

    Args:
        document: the parent's view.
        path: empty: no child has children of its own.
        kind: of which children.

    Raises:
        ArmError: there are no such children.
    """
    if path:
        raise _no_such_kind(document, f"{path[0][0]}/{kind}")
    if document["type"] == PRIVATE_ZONES and kind.lower() in _EVERY_RECORD_SET:
        return [each for record_type in RECORD_TYPES for each in document["properties"][record_type]]
    return list(document["properties"].get(_kind(document, kind), []))


def has_child(document: Document, path: Path) -> bool:
    """Tell whether a parent's view has a child at a path.

    Raises:
        ArmError: there are no such children.
    """
    return _find(document, *_step(document, path)) is not None


def put_child(document: Document, path: Path, body: Mapping[str, Any], *, synchronise: bool = False) -> Document:
    """The parent's body with one child added or replaced.

    Args:
        document: the parent's view.
        path: of the child.
        body: what is put.
        synchronise: a peering learns the remote address space anew (``?syncRemoteAddressSpace=true``).

    Raises:
        ArmError: such children cannot be written.
    """
    kind, name = _writable(document, path)
    old = _find(document, kind, name)
    child = {**body, "name": name, "id": f"{document['id']}/{kind}/{name}"}
    if synchronise and old and kind == "virtualNetworkPeerings" and isinstance(child.get("properties"), Mapping):
        current = old["properties"].get("remoteVirtualNetworkAddressSpace")
        child["properties"] = {**child["properties"], "remoteAddressSpace": current}
    members = document["properties"].get(kind, [])
    replaced = [child if each is old else each for each in members] if old else [*members, child]
    return document | {"properties": document["properties"] | {kind: replaced}}


def remove_child(document: Document, path: Path) -> Document:
    """The parent's body without one child.

    Raises:
        ArmError: there is none, or such children cannot be written.
    """
    kind, name = _writable(document, path)
    old = _find(document, kind, name)
    if old is None:
        raise _not_found(document, kind, name)
    rest = [each for each in document["properties"][kind] if each is not old]
    return document | {"properties": document["properties"] | {kind: rest}}


def parent_not_found(full_type: str, parent: str) -> ArmError:
    """The error of a child that is written under a parent that is not there."""
    return ArmError(
        "ParentResourceNotFound",
        f"Failed to perform 'write' on resource(s) of type '{full_type}', because the parent resource '{parent}' could"
        " not be found.",
        status=HTTPStatus.NOT_FOUND,
        target=parent,
    )


def _step(document: Document, path: Path) -> tuple[str, str]:
    if len(path) != 1:
        raise _no_such_kind(document, "/".join(kind for kind, _ in path))
    return _kind(document, path[0][0]), path[0][1]


def _writable(document: Document, path: Path) -> tuple[str, str]:
    kind, name = _step(document, path)
    if not KINDS[document["type"]][kind]:
        raise ArmError(
            "MethodNotAllowed",
            f"{document['type']}/{kind} cannot be written by themselves; write {document['id']} with them.",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
            target=f"{document['id']}/{kind}/{name}",
        )
    return kind, name


def _kind(document: Document, kind: str) -> str:
    found = next((each for each in KINDS.get(document["type"], {}) if each.lower() == kind.lower()), None)
    if found is None:
        raise _no_such_kind(document, kind)
    return found


def _find(document: Document, kind: str, name: str) -> Document | None:
    members: list[Document] = document["properties"].get(kind, [])
    return next((each for each in members if each["name"].lower() == name.lower()), None)


def _spelt(document: Document, kind: str, members: list[Any]) -> list[Any]:
    known = {each["name"].lower(): each["name"] for each in document["properties"].get(kind, [])}

    def spelt(member: Any) -> Any:
        name = member.get("name") if isinstance(member, Mapping) else None
        return {**member, "name": known.get(name.lower(), name)} if isinstance(name, str) else member

    return [spelt(each) for each in members]


def _no_such_kind(document: Document, kinds: str) -> ArmError:
    known = ", ".join(KINDS.get(document["type"], {})) or "none"
    return ArmError(
        "InvalidResourceType",
        f"{document['type']}/{kinds} is not a type this fabric knows; children of {document['type']}: {known}.",
        status=HTTPStatus.NOT_FOUND,
        target=document["id"],
    )


def _not_found(document: Document, kind: str, name: str) -> ArmError:
    resource = f"{document['id']}/{kind}/{name}"
    return ArmError("NotFound", f"Resource {resource} not found.", status=HTTPStatus.NOT_FOUND, target=resource)
