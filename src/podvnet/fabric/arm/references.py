"""A document as a GET shows it: with back-references, and with the etag that changes when anything shown does.

Back-references are not stored: they are what other documents say, read the other way round.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from podvnet.fabric.arm.world import VIRTUAL_NETWORKS, Document, World, shown


def view(document: Document, world: World) -> Document:
    """The document with back-references and etags."""
    found = _with_references(document, world)
    tagged: Document = _with_etags(found, _etag_of(found))
    return tagged


def etag(document: Document, world: World) -> str:
    """The etag of a document and of its children: ``W/"GUID"``, another one whenever the view is another."""
    return _etag_of(_with_references(document, world))


def _with_references(document: Document, world: World) -> Document:
    found = shown(document)
    if document["type"] == VIRTUAL_NETWORKS:
        for subnet in found["properties"]["subnets"]:
            held = world.holders.get(subnet["id"].lower(), {})
            if held:
                subnet["properties"]["ipConfigurations"] = [{"id": holder} for holder in held.values()]
    return found


def _etag_of(found: Document) -> str:
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).digest()
    return f'W/"{uuid.UUID(bytes=digest[:16])}"'


def _with_etags(value: Any, tag: str) -> Any:
    """Put the etag on every resource and child: on what has an id, a name and properties."""
    if isinstance(value, dict):
        found = {key: _with_etags(each, tag) for key, each in value.items()}
        if {"id", "name", "properties"} <= found.keys():
            found["etag"] = tag
        return found
    if isinstance(value, list):
        return [_with_etags(each, tag) for each in value]
    return value
