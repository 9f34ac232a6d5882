"""Typed reading of a resource document: what is wrong is named by its path.

Members that nobody asked for are refused at the end, as the network resource provider does ("Could not find member"):
a misspelt property must not be ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from podvnet.model.address import Prefix, parse_prefix
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, Scope, parse

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a number",
    bool: "true or false",
    type(None): "null",
}


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return _NAMES.get(type(value), type(value).__name__)


class Fields:
    """The members of one JSON object.

    Args:
        value: the object; anything else is refused.
        path: where it stands, e.g. ``properties.subnets[0]``.
        target: the id of the resource, for the error.
    """

    def __init__(self, value: object, path: str, target: str) -> None:
        self._path = path
        self._target = target
        if not isinstance(value, Mapping):
            raise self.error("InvalidRequestFormat", f"must be an object, not {kind_of(value)}")
        self._value: Mapping[str, Any] = value
        self._read: set[str] = set()

    def error(self, code: str, what: str, key: str = "") -> ArmError:
        """An error about this object, or about its member ``key``."""
        where = ".".join(part for part in (self._path, key) if part)
        return ArmError(code, f"{where}: {what}" if where else what, target=self._target)

    def has(self, key: str) -> bool:
        """Tell whether the member is there and not null."""
        return self._value.get(key) is not None

    def _get(self, key: str, kind: type, default: Any) -> Any:
        self._read.add(key)
        value = self._value.get(key)
        if value is None:
            return default
        if type(value) is not kind:
            raise self.error("InvalidRequestFormat", f"must be {_NAMES[kind]}, not {kind_of(value)}", key)
        return value

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value: str = self._get(key, str, default)
        return value

    def required(self, key: str) -> str:
        """A string that must be there."""
        value = self.text(key)
        if not value:
            raise self.error("InvalidRequestFormat", "is required", key)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value: bool = self._get(key, bool, default)
        return value

    def integer(self, key: str) -> int:
        """An integer that must be there."""
        if not self.has(key):
            raise self.error("InvalidRequestFormat", "is required", key)
        value: int = self._get(key, int, 0)
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """An integer in a range, ends included."""
        value: int = self._get(key, int, default)
        if not low <= value <= high:
            raise self.error("InvalidRequestFormat", f"must be between {low} and {high}, not {value}", key)
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings, empty when absent."""
        values: list[Any] = self._get(key, list, [])
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.error("InvalidRequestFormat", f"must be a string, not {kind_of(value)}", f"{key}[{i}]")
        return values

    def choice(self, key: str, default: str, *accepted: str) -> str:
        """A string of a few that are accepted, in any case; spelt as they are."""
        value = self.text(key, default)
        found = next((each for each in accepted if each.lower() == value.lower()), None)
        if found is None:
            raise self.error("InvalidRequestFormat", f"must be one of {', '.join(accepted)}, not {value!r}", key)
        return found

    def only(self, key: str, *accepted: str | bool) -> None:
        """Refuse a member unless it asks for what is the case anyway."""
        self._read.add(key)
        value = self._value.get(key)
        if value is not None and not any(type(value) is type(each) and value == each for each in accepted):
            raise self.error("UnsupportedProperty", f"this fabric does not carry out {value!r} yet", key)

    def mapping(self, key: str) -> dict[str, Any]:
        """An object that is kept as it is (tags)."""
        value: dict[str, Any] = self._get(key, dict, {})
        return value

    def fields(self, key: str) -> Fields:
        """A nested object, empty when absent."""
        self._read.add(key)
        value = self._value.get(key)
        return Fields({} if value is None else value, ".".join(p for p in (self._path, key) if p), self._target)

    def each(self, key: str) -> Iterator[Fields]:
        """The objects of a list."""
        values: list[Any] = self._get(key, list, [])
        for i, value in enumerate(values):
            yield Fields(value, ".".join(p for p in (self._path, f"{key}[{i}]") if p), self._target)

    def prefix(self, text: str, key: str) -> Prefix:
        """Read a CIDR that stands at ``key``."""
        if "/" not in text:
            raise self.error("NetcfgInvalidIPAddressPrefix", f"{text!r} is not a prefix (address/length)", key)
        try:
            return parse_prefix(text)
        except ValueError as problem:
            code = "InvalidCIDRNotation" if "host bits" in str(problem) else "NetcfgInvalidIPAddressPrefix"
            raise self.error(code, str(problem), key) from None

    def reference(self, key: str, scope: Scope, wanted_type: str) -> ResourceId:
        """Read ``{"id": …}`` at ``key``: the id of a resource of the wanted type, full or short."""
        return self.fields(key).identity(scope, wanted_type)

    def identity(self, scope: Scope, wanted_type: str) -> ResourceId:
        """Read this object as a reference ``{"id": …}``; see :meth:`reference`."""
        text = self.required("id")
        # Clients send the whole resource that they read.
        self.allow("properties", "name", "type", "etag", "location", "tags", "sku", "zones", "resourceGroup", "kind")
        self.refuse_unread()
        provider = wanted_type.split("/", 1)[0]
        try:
            found = parse(text, scope, provider)
        except ValueError as problem:
            raise self.error("LinkedInvalidPropertyId", str(problem), "id") from None
        if found.type.lower() != wanted_type.lower():
            raise self.error("InvalidResourceReference", f"{text} is not a {wanted_type}", "id")
        return found

    def allow(self, *keys: str) -> None:
        """Accept members without reading them: what the server itself writes and clients send back."""
        self._read.update(keys)

    def refuse_unsupported(self, *keys: str) -> None:
        """Refuse members that Azure knows and this fabric does not carry out; empty ones ask for nothing.

        Raises:
            ArmError: naming the member.
        """
        self.allow(*keys)
        for key in keys:
            if self._value.get(key) not in (None, [], {}):
                raise self.error("UnsupportedProperty", "this fabric does not carry it out yet", key)

    def refuse_unread(self) -> None:
        """Refuse members that were never asked for.

        Raises:
            ArmError: naming the member, and the one that may have been meant.
        """
        for key in self._value:
            if key not in self._read:
                close = next((known for known in sorted(self._read) if known.lower() == str(key).lower()), "")
                hint = f"; {close!r} is meant?" if close else ""
                raise self.error("InvalidRequestFormat", f"could not find member {key!r}{hint}")
