"""A JSON object written by a stranger, read key by key into typed values.

What arrives on stdin passed through a human, a runtime and its library. So: the bytes are decoded once, strictly
(``decode``); each key is asked for with the type it must have (``Document``); what nobody asked for can be listed at
the end (``unread``), so that a misspelt key is named instead of ignored.

Two habits of Go programs are followed, since every runtime and the original plug-in are ones: ``null`` means "not
given", and a key in another capitalisation counts when the exact one is absent (containerd sends ``HostPort``).

Reading for DEL is *lenient*: a bad value is noted as a warning and its default used. containerd runs DEL from the
configuration it has now, not from the one of the ADD, and a DEL that fails keeps a Kubernetes pod from ever ending.
"""

import json
from collections.abc import Callable, Mapping
from ipaddress import ip_interface
from types import MappingProxyType
from typing import Final, TypeGuard, TypeVar

from podvnet.model.address import Address, Interface, Prefix
from podvnet.plugin.error import CniError, Code, quoted

_T = TypeVar("_T")
_NAMED_KEYS: Final = 10
_JSON_TYPES: Final[Mapping[type, str]] = MappingProxyType(
    {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
)


class Document:
    """One JSON object and where it stands, for example ``ipam`` or ``prevResult.ips[0]``.

    Every reader returns a default for an absent key and raises ``CniError`` with ``code`` for one of the wrong type,
    naming key, expected and got; a lenient document notes that in ``warnings`` instead. Children share ``warnings``.
    """

    __slots__ = ("_folded", "_known", "_lenient", "_values", "_where", "code", "warnings")

    def __init__(
        self,
        values: dict[str, object],
        where: str = "",
        *,
        code: Code = Code.INVALID_CONFIG,
        lenient: bool = False,
        warnings: list[str] | None = None,
    ) -> None:
        self._values = values
        self._where = where
        self._lenient = lenient
        self._known: set[str] = set()
        self._folded: dict[str, str] | None = None
        self.code = code
        self.warnings: list[str] = [] if warnings is None else warnings

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def values(self) -> dict[str, object]:
        """The object itself, as decoded."""
        return self._values

    def place(self, key: str) -> str:
        """Return the full name of a key for a message: ``ipam.subnet``."""
        return f"{self._where}.{key}" if self._where else key

    def reject(self, error: CniError) -> None:
        """Raise ``error``; a lenient document notes it as a warning and the caller goes on with its default."""
        if not self._lenient:
            raise error
        self.warnings.append(f"{error.msg}; passed over")

    def reject_value(self, key: str, why: str) -> None:
        """Reject the value of ``key`` because ``why``, a clause such as ``"is not a network"``."""
        self.reject(CniError(self.code, f"{self.place(key)} {why}"))

    def value(self, key: str) -> object:
        """Return the bare value of ``key``, None when absent or null, and count the key as read."""
        if not self._values:
            return None
        self._known.add(key)
        found = self._values.get(key)
        if found is not None or key in self._values:
            return found
        if self._folded is None:
            self._folded = {name.lower(): name for name in self._values}
        spelling = self._folded.get(key.lower())
        if spelling is None:
            return None
        self._known.add(spelling)
        return self._values[spelling]

    def text(self, key: str, default: str = "") -> str:
        """Return a string."""
        found = self._typed(key, str, "a string")
        return default if found is None else found

    def flag(self, key: str) -> bool | None:
        """Return a boolean, None when absent."""
        return self._typed(key, bool, "true or false")

    def integer(self, key: str, low: int, high: int) -> int | None:
        """Return an integer of ``low`` to ``high``, None when absent."""
        found = self._typed(key, int, "an integer")
        if found is None or low <= found <= high:
            return found
        self.reject_value(key, f"is {found if abs(found) < 1 << 64 else 'huge'}, outside {low} to {high}")
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(item for item in self._items(key) if self._is(item, str, key, "a list of strings"))

    def comma_texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings, also when written as one string with commas, as the original's keys are."""
        found = self.value(key)
        if isinstance(found, str):
            return tuple(part.strip() for part in found.split(",") if part.strip())
        return self.texts(key)

    def address(self, key: str) -> Address | None:
        """Return an address; a prefix length behind it (``10.0.0.4/24``) is dropped."""
        return next(iter(self._parsed(key, self._one(key), parse_address, "an IP address")), None)

    def interface(self, key: str) -> Interface | None:
        """Return an address with its prefix length, which must be there."""
        expected = "an address with prefix length such as 10.0.0.4/16"
        return next(iter(self._parsed(key, self._one(key), parse_interface, expected)), None)

    def network(self, key: str) -> Prefix | None:
        """Return a network; bits set below the prefix length are cleared."""
        expected = "a network such as 10.0.0.0/16"
        found = next(iter(self._parsed(key, self._one(key), parse_interface, expected)), None)
        return found.network if found else None

    def addresses(self, key: str) -> tuple[Address, ...]:
        """Return a list of addresses; a prefix length behind one (``10.0.0.4/24``) is dropped."""
        return self._parsed(key, self.comma_texts(key), parse_address, "an IP address")

    def networks(self, key: str) -> tuple[Prefix, ...]:
        """Return a list of networks; bits set below the prefix length are cleared, with a warning."""
        networks = []
        for interface in self._parsed(key, self.comma_texts(key), parse_interface, "a network such as 10.0.0.0/16"):
            networks.append(interface.network)
            if interface.ip != interface.network.network_address:
                self.warnings.append(f"{self.place(key)}: {interface} is read as {interface.network}")
        return tuple(networks)

    def child(self, key: str, *, code: Code | None = None) -> "Document":
        """Return the object under ``key``; an empty one when absent."""
        return self._document(self._typed(key, dict, "an object") or {}, key, code)

    def children(self, key: str) -> list["Document"]:
        """Return the list of objects under ``key``."""
        return [
            self._document(item, f"{key}[{index}]", None)
            for index, item in enumerate(self._items(key))
            if self._is(item, dict, key, "a list of objects")
        ]

    def mapping(self, key: str) -> dict[str, str]:
        """Return an object whose values are all strings."""
        found = self._typed(key, dict, "an object") or {}
        return {name: text for name, text in found.items() if self._is(text, str, f"{key}.{name}", "a string")}

    def unread(self) -> list[str]:
        """Return the non-null keys nobody has asked for, sorted; ask last."""
        return sorted(key for key, value in self._values.items() if key not in self._known and value is not None)

    def warn(self, keys: list[str], effect: str) -> None:
        """Note one warning that names the keys (at most ten of them): "… have no effect: <effect>"."""
        if keys:
            named = ", ".join(quoted(self.place(key)) for key in keys[:_NAMED_KEYS])
            more = f" and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else ""
            self.warnings.append(f"no effect: {named}{more} ({effect})")

    def _document(self, values: dict[str, object], key: str, code: Code | None) -> "Document":
        where = self.place(key)
        return Document(values, where, code=code or self.code, lenient=self._lenient, warnings=self.warnings)

    def _items(self, key: str) -> list[object]:
        return self._typed(key, list, "a list") or []

    def _one(self, key: str) -> tuple[str, ...]:
        text = self.text(key)
        return (text,) if text else ()

    def _typed(self, key: str, kind: type[_T], expected: str) -> _T | None:
        found = self.value(key)
        return found if found is not None and self._is(found, kind, key, expected) else None

    def _is(self, value: object, kind: type[_T], key: str, expected: str) -> TypeGuard[_T]:
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return True
        self.reject_value(key, f"must be {expected}, but {_json_type(value)} was given")
        return False

    def _parsed(self, key: str, texts: tuple[str, ...], parse: Callable[[str], _T], expected: str) -> tuple[_T, ...]:
        values = []
        for text in texts:
            try:
                values.append(parse(text))
            except ValueError:
                self.reject_value(key, f"must be {expected}, but {quoted(text)} was given")
        return tuple(values)


def decode(stdin: bytes) -> dict[str, object]:
    """Decode stdin, which must be one JSON object in UTF-8.

    Raises ``CniError`` 6 for anything else, and for what JSON's grammar lets pass but no configuration holds: a key
    twice in one object, NaN, half a surrogate pair, numbers of thousands of digits, nesting without end.
    """
    if not stdin.strip():
        raise CniError(Code.CANNOT_DECODE, "stdin is empty", "the runtime must give the network configuration there")
    try:
        values = json.loads(stdin.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        if b"\\u" in stdin:
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise CniError(
            Code.CANNOT_DECODE,
            f"stdin is not a network configuration: {_decode_fault(error)}",
            "it must be one JSON object in UTF-8; look at the files in /etc/cni/net.d",
        ) from None
    if not isinstance(values, dict):
        raise CniError(Code.CANNOT_DECODE, f"stdin must be a JSON object, but {_json_type(values)} was given")
    return values


def parse_address(text: str) -> Address:
    """Read ``10.0.0.4`` or ``10.0.0.4/24``, IPv6 alike, and return the address; ``ValueError`` if it is neither."""
    return _without_zone(text).ip


def parse_interface(text: str) -> Interface:
    """Read an address with its prefix length, ``10.0.0.4/24``; ``ValueError`` if it is none."""
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix length")
    return _without_zone(text)


def _without_zone(text: str) -> Interface:
    # Python reads ``fe80::1%eth0``; the Go libraries that read our answers do not.
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
    return ip_interface(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {quoted(name)} is given twice")
            seen.add(name)
    return values


def _decode_fault(error: Exception) -> str:
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case UnicodeDecodeError():
            return f"byte {error.start} is not UTF-8"
        case UnicodeEncodeError():
            return "it holds half a surrogate pair"
        case _:
            return str(error)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "null")
