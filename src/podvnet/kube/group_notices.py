"""What is to be said of groups that a Service hangs on and that are not there, or may not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podvnet.kube.annotations import RESOURCE_GROUP
from podvnet.kube.arrangement import Served
from podvnet.kube.home import Estate
from podvnet.kube.notice import Notice
from podvnet.kube.security_plan import unguarded
from podvnet.kube.service import MOST_GROUPS, Service


def unreadable_groups(groups: Iterable[str], estate: Estate) -> list[Notice]:
    """Of resource groups that may hold public addresses of a Service."""
    text = "the public addresses of the resource group {} cannot be read: let the controller's identity read and write"
    return [
        Notice("ResourceGroupNotReadable", f"{text.format(group)} them")
        for group in groups
        if group.lower() in estate.unreadable
    ]


def unusable_group(service: Service, group: str, estate: Estate) -> list[Notice]:
    """Of the resource group that a Service names; nothing when a public address can be made there."""
    if not group or group in service.kept_groups:
        return []
    found = unreadable_groups([group], estate)
    if len(service.kept_groups) >= MOST_GROUPS:
        text = f"{RESOURCE_GROUP}: something may be left in {', '.join(service.kept_groups)}, and that is all that is"
        found.append(Notice("NotSupported", f"{text} kept of one Service: make another Service"))
    return found


def unguarded_subnets(served: Served, estate: Estate) -> Iterator[Notice]:
    """Of the security groups of a Service's pods."""
    for subnet in unguarded(served, estate):
        text = f"the subnet {subnet.id.name} of the pods has no network security group, and without one "
        text += (
            "the sources that are named shut nobody out: give it one"
            if served.wish.internal
            else "nothing comes in from the internet: give it one"
        )
        if subnet.group:
            text = f"the network security group {subnet.group} of the pods' subnet cannot be read: let the controller's"
            text += " identity read and write it"
        yield Notice("NoSecurityGroup", text)
