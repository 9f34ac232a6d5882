"""What a request's path names.

Source: Azure document "Resource IDs" and the REST reference of Microsoft.Resources. Segments are case-insensitive.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus

from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId

_API_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(-[A-Za-z]+(\.\d+)?)?$")
OLDEST_API_VERSION = "2015-06-15"


@dataclass(frozen=True, slots=True)
class Target:
    """A path taken apart.

    Attributes:
        subscription: empty for paths above subscriptions.
        group: the resource group, empty when none is named.
        provider: the provider's namespace, empty when none is named.
        segments: what follows the provider: types and names in turn.
        words: what follows when no provider is named.
    """

    subscription: str = ""
    group: str = ""
    provider: str = ""
    segments: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_collection(self) -> bool:
        """A type without a name: a list."""
        return len(self.segments) % 2 == 1

    @property
    def full_type(self) -> str:
        """The type named, e.g. ``Microsoft.Network/virtualNetworks/subnets``."""
        return "/".join((self.provider, *self.segments[::2]))

    def resource(self) -> ResourceId:
        """The id named, or for an odd number of segments the id of what the last one belongs to."""
        pairs = tuple(zip(self.segments[0::2], self.segments[1::2], strict=False))
        return ResourceId(self.subscription, self.group, self.provider, pairs)


def parse_path(path: str) -> Target:
    """Take a path apart.

    Raises:
        ArmError: the subscription is no GUID, or a segment is empty.
    """
    parts = [part for part in path.split("/") if part]
    if not parts or parts[0].lower() != "subscriptions" or len(parts) == 1:
        return Target(words=tuple(parts))
    subscription, rest = parts[1], parts[2:]
    try:
        uuid.UUID(subscription)
    except ValueError:
        raise ArmError(
            "InvalidSubscriptionId", f"The provided subscription identifier '{subscription}' is malformed or invalid."
        ) from None
    group = ""
    if len(rest) >= 2 and rest[0].lower() == "resourcegroups":
        group, rest = rest[1], rest[2:]
    if rest and rest[0].lower() == "providers" and len(rest) > 1:
        return Target(subscription, group, rest[1], tuple(rest[2:]), ())
    if group and rest and rest[0].lower() == "deployments":
        # The operations of deployments are asked for without the provider's name.
        return Target(subscription, group, "Microsoft.Resources", tuple(rest), ())
    return Target(subscription, group, "", (), tuple(rest))


def check_api_version(value: str | None) -> None:
    """Refuse a missing, malformed or too old ``api-version``.

    Raises:
        ArmError: with the resource manager's code.
    """
    if not value:
        raise ArmError(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _API_VERSION.match(value) or value[:10] < OLDEST_API_VERSION:
        raise ArmError(
            "InvalidApiVersionParameter",
            f"The api-version '{value}' is invalid. The supported versions are dates from {OLDEST_API_VERSION} on.",
            status=HTTPStatus.BAD_REQUEST,
        )
