"""Microsoft.Network/applicationSecurityGroups: a name for a set of ip-configurations.

The group itself is empty; membership stands on the ip-configuration. All members are in one virtual network, and so
are those of all groups that one security rule names.
Source: Azure document "Application security groups".
"""

from __future__ import annotations

from collections.abc import Iterable

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.linked import refuse_use
from podvnet.fabric.arm.resource_type import head, stable_guid
from podvnet.fabric.arm.world import APPLICATION_GROUPS, Document, World
from podvnet.model.resource_id import ResourceId, parse


class ApplicationSecurityGroups:
    """The type."""

    full_type = APPLICATION_GROUPS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:  # noqa: ARG002 - it refers to nothing
        """Check and complete a group: it has no members of its own."""
        document = head(resource, body)
        properties = body.fields("properties")
        properties.allow("provisioningState", "resourceGuid")
        properties.refuse_unread()
        body.refuse_unread()
        document["properties"] = {
            "provisioningState": "Succeeded",
            "resourceGuid": stable_guid(resource, "resource"),
        }
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A group goes only when no ip-configuration is in it and no security rule names it."""
        refuse_use(resource, world, "InUseApplicationSecurityGroupCannotBeDeleted", "Application security group")


def network_of(group: str, world: World, but: str = "") -> ResourceId | None:
    """The virtual network of a group's members, None while it has none.

    Args:
        group: the id key of the group.
        world: where its members are.
        but: id key of a NIC that does not count.
    """
    own = f"{but}/" if but else ""
    for key in world.referrers.get(group, {}):
        if key.rsplit("/", 2)[1] != "ipconfigurations" or (own and key.startswith(own)):
            continue
        nic = world.documents[key.rsplit("/", 2)[0]]
        return parse(nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]).parent
    return None


def groups_beside(group: str, world: World) -> Iterable[str]:
    """The id keys of the groups that stand in one security rule with a group, on either side."""
    beside: set[str] = set()
    for rule in world.users(group, "securityRules"):
        found = world.find(parse(rule))
        if found is not None:
            beside |= set(groups_of_rule(found))
    return sorted(beside - {group})


def groups_of_rule(rule: Document) -> list[str]:
    """The id keys of the groups that a security rule names."""
    return [
        each["id"].lower()
        for side in ("source", "destination")
        for each in rule["properties"].get(f"{side}ApplicationSecurityGroups", [])
    ]
