"""What every resource type provides, and the head that all documents share."""

from __future__ import annotations

import re
import uuid
from typing import Protocol

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.limits import NAME_LENGTH
from podvnet.model.resource_id import ResourceId

_NAME = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
_NAMESPACE = uuid.UUID("6ba7b814-9dad-11d1-80b4-00c04fd430c8")


class ResourceType(Protocol):
    """One type of resource."""

    full_type: str

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check a document against the world and fill in what Azure would; nothing is changed.

        Raises:
            ArmError: it is refused.
        """

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """Refuse the removal of what is in use.

        Raises:
            ArmError: what uses it.
        """


def check_name(name: str, target: str) -> None:
    """Refuse a name that Azure would.

    Source: Azure document "Naming rules and restrictions for Azure resources", Microsoft.Network.
    """
    if len(name) > NAME_LENGTH or not _NAME.fullmatch(name):
        raise ArmError(
            "InvalidResourceName",
            f"Resource name {name!r} is invalid. It has 1 to {NAME_LENGTH} letters, digits, '_', '-' or '.', starts"
            " with a letter, digit or '_', and ends with one.",
            target=target,
        )


def check_names(properties: Fields, kind: str, members: list[Document]) -> None:
    """Refuse a list whose members are not all called differently; ``kind`` is its name."""
    seen: set[str] = set()
    for each in members:
        if each["name"].lower() in seen:
            raise properties.error("InvalidRequestFormat", f"two are called {each['name']!r}", kind)
        seen.add(each["name"].lower())


def head(resource: ResourceId, body: Fields) -> Document:
    """The members every document starts with: id, name, type, location, tags."""
    check_name(resource.name, str(resource))
    body.allow("id", "name", "type", "etag", "apiVersion", "properties")
    location = body.text("location")
    if not location:
        raise ArmError(
            "LocationRequired", "The location property is required for this definition.", target=str(resource)
        )
    tags = body.mapping("tags")
    document: Document = {"name": resource.name, "id": str(resource), "type": resource.type, "location": location}
    if tags:
        document["tags"] = {str(key): str(value) for key, value in tags.items()}
    return document


def stable_guid(resource: ResourceId, purpose: str) -> str:
    """A guid that is always the same for a resource and a purpose."""
    return str(uuid.uuid5(_NAMESPACE, f"{purpose}:{resource.key}"))
