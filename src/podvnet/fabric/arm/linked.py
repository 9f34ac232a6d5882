"""References to other resources: what is named must exist, in the same region.

Source: Azure document "Troubleshoot common Azure deployment errors", code InvalidResourceReference.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, Scope, parse

Find = Callable[[ResourceId], Document | None]


class Linker:
    """Reads the references of one resource.

    Args:
        resource: the resource that refers to others.
        location: its region.
        world: where the others are.
    """

    def __init__(self, resource: ResourceId, location: str, world: World) -> None:
        self._resource = resource
        self._scope = Scope(resource.subscription, resource.resource_group)
        self._location = location
        self._world = world

    def one(self, fields: Fields, key: str, full_type: str) -> Document | None:
        """The resource or sub-resource that ``{"id": …}`` at ``key`` names; None when there is no such member."""
        if not fields.has(key):
            fields.allow(key)
            return None
        return self.named(fields.fields(key), full_type)

    def required(self, fields: Fields, key: str, full_type: str) -> Document:
        """As :meth:`one`, of a member that must be there."""
        return self.named(fields.fields(key), full_type)

    def each(self, fields: Fields, key: str, full_type: str) -> list[Document]:
        """What the references of a list name, each named once.

        Raises:
            ArmError: one is not there, or named twice.
        """
        found = [self.named(each, full_type) for each in fields.each(key)]
        seen: set[str] = set()
        for each in found:
            if each["id"].lower() in seen:
                raise fields.error("InvalidRequestFormat", f"{each['id']} is listed twice", key)
            seen.add(each["id"].lower())
        return found

    def named(self, reference: Fields, full_type: str) -> Document:
        """What one reference names."""
        wanted = reference.identity(self._scope, full_type)
        found = self._world.find(wanted)
        top = self._world.get(wanted.top)
        if found is None or top is None or not same_region(top["location"], self._location):
            raise reference.error(
                "InvalidResourceReference",
                f"Resource {wanted} referenced by resource {self._resource} was not found. Please make sure that the"
                " referenced resource exists, and that both resources are in the same region",
                "id",
            )
        return found


def refuse_use(resource: ResourceId, world: World, code: str, what: str) -> None:
    """Refuse the removal of a resource that others refer to.

    Raises:
        ArmError: who refers to it.
    """
    users = [user for user in world.users(resource.key) if not user.lower().startswith(resource.key + "/")]
    if users:
        shown = ", ".join(users[:3]) + (f" and {len(users) - 3} more" if len(users) > 3 else "")
        raise ArmError(
            code,
            f"{what} {resource} cannot be deleted because it is in use by the following resources: {shown}. In order"
            " to delete it, remove the association with the resources.",
            status=HTTPStatus.BAD_REQUEST,
            target=str(resource),
        )


def same_region(one: str, other: str) -> bool:
    """Tell whether two names are one region's: ``East US`` is ``eastus``."""
    return one.replace(" ", "").lower() == other.replace(" ", "").lower()


def linked(properties: Document, key: str) -> ResourceId | None:
    """The resource that a settled document names by ``{"id": …}`` at ``key``."""
    return parse(properties[key]["id"]) if key in properties else None
