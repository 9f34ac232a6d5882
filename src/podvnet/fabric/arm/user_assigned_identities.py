"""Microsoft.ManagedIdentity/userAssignedIdentities: identities that VMs are given, apart from any one of them.

Source: Azure document "Manage user-assigned managed identities". Its ids are derived from the resource id, as those of
everything in the fabric, so they are the same every time.
"""

from __future__ import annotations

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import USER_ASSIGNED_IDENTITIES, Document, World
from podvnet.fabric.identity.principals import TENANT
from podvnet.model.resource_id import ResourceId


class UserAssignedIdentities:
    """The type."""

    full_type = USER_ASSIGNED_IDENTITIES

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:  # noqa: ARG002 - it refers to nothing
        """Give an identity its ids."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("tenantId", "principalId", "clientId")
        properties.only("isolationScope", "None")
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "tenantId": TENANT,
            "principalId": stable_guid(resource, "principal"),
            "clientId": stable_guid(resource, "client"),
        }
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """An identity may always go; VMs that have it get no token any more, as in Azure."""
