"""ARM resource ids: parsed, compared without case, written with it.

Shape: ``/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/V/subnets/T``.
Source: Azure document "Resource IDs"; segments are case-insensitive and case-preserving.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DEFAULT_SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
DEFAULT_RESOURCE_GROUP = "podvnet"


@dataclass(frozen=True, slots=True)
class Scope:
    """The subscription and resource group that short references are resolved against."""

    subscription: str = DEFAULT_SUBSCRIPTION
    resource_group: str = DEFAULT_RESOURCE_GROUP


@dataclass(frozen=True, slots=True, eq=False)
class ResourceId:
    """One resource or child resource.

    Attributes:
        subscription, resource_group: where it lives.
        provider: e.g. ``Microsoft.Network``.
        path: pairs of (type, name), the parent first.
        key: the id in lower case: what ids are compared by.
    """

    subscription: str
    resource_group: str
    provider: str
    path: tuple[tuple[str, str], ...]
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Kept, because an id is made once and looked up by at every write.
        object.__setattr__(self, "key", str(self).lower())

    def __str__(self) -> str:
        tail = "/".join(f"{kind}/{name}" for kind, name in self.path)
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}/providers/{self.provider}/{tail}"
        )

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceId) and self.key == other.key

    @property
    def name(self) -> str:
        """The last name."""
        return self.path[-1][1]

    @property
    def type(self) -> str:
        """The full type, e.g. ``Microsoft.Network/virtualNetworks/subnets``."""
        return "/".join((self.provider, *(kind for kind, _ in self.path)))

    @property
    def parent(self) -> ResourceId:
        """The resource this is a child of; itself when it is top-level."""
        return (
            self
            if len(self.path) == 1
            else ResourceId(self.subscription, self.resource_group, self.provider, self.path[:-1])
        )

    @property
    def top(self) -> ResourceId:
        """The top-level resource this is in; itself when it is top-level."""
        return (
            self
            if len(self.path) == 1
            else ResourceId(self.subscription, self.resource_group, self.provider, self.path[:1])
        )

    def child(self, kind: str, name: str) -> ResourceId:
        """The id of a child resource."""
        return ResourceId(self.subscription, self.resource_group, self.provider, (*self.path, (kind, name)))


def make(scope: Scope, full_type: str, *names: str) -> ResourceId:
    """Build an id from a full type and as many names as the type has segments."""
    provider, *kinds = full_type.split("/")
    return ResourceId(scope.subscription, scope.resource_group, provider, tuple(zip(kinds, names, strict=True)))


def parse(text: str, scope: Scope | None = None, provider: str = "Microsoft.Network") -> ResourceId:
    """Read a full id, or, when ``scope`` is given, the short form ``virtualNetworks/V/subnets/T``.

    Raises:
        ValueError: the text is neither.
    """
    parts = text.strip("/").split("/")
    if len(parts) >= 8 and [parts[0].lower(), parts[2].lower(), parts[4].lower()] == [
        "subscriptions",
        "resourcegroups",
        "providers",
    ]:
        scope, provider, tail = Scope(parts[1], parts[3]), parts[5], parts[6:]
    elif scope is not None and not text.startswith("/"):
        tail = parts
    else:
        msg = f"{text!r} is not a resource id (/subscriptions/…/resourceGroups/…/providers/…)"
        raise ValueError(msg)
    if len(tail) % 2 or not all(tail):
        msg = f"{text!r} is not a resource id: types and names must come in pairs"
        raise ValueError(msg)
    pairs = tuple(zip(tail[::2], tail[1::2], strict=True))
    return ResourceId(scope.subscription, scope.resource_group, provider, pairs)
