"""Reading the values of annotations: what is wrong is noted down, all of it, and said at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import ClassVar

from podvnet.kube.annotations import Standing, find, is_ours, port_of
from podvnet.kube.notice import Notice
from podvnet.model.address import Address, Prefix

_DIGITS = 10
"""At most, of a number: Python reads no more than some thousand, and a Service may hold more."""


class Values:
    """The annotations of one object.

    Attributes:
        UNKNOWN: the reason of a notice about a name that there is not.
    """

    REFUSED: ClassVar[str] = "NotSupported"
    UNKNOWN: ClassVar[str] = "UnknownAnnotation"
    NO_EFFECT: ClassVar[str] = "NoEffect"

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self._notices: dict[Notice, None] = {}

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What there is to say, in order, once each."""
        return tuple(self._notices)

    def refuse(self, name: str, why: str) -> None:
        """Note down that something cannot be had."""
        value = self._annotations.get(name)
        what = name if value is None else f"{name}: {value!r}"
        self._notices[Notice(self.REFUSED, f"{what}: {why}")] = None

    def check_known(self, name: str, ports: Collection[int]) -> None:
        """Say what becomes of an annotation that is not carried out."""
        if not is_ours(name):
            return
        about = port_of(name)
        found = find(name)
        if found is None or (about and about[0] not in ports):
            why = "there is no such annotation" if found is None else "the Service has no such port"
            self._notices[Notice(self.UNKNOWN, f"{name}: {why}; it is passed over")] = None
        elif found.standing is Standing.REFUSED:
            self.refuse(name, found.why)
        elif found.standing is Standing.NO_EFFECT:
            self._notices[Notice(self.NO_EFFECT, f"{name}: {found.why}; it has no effect", warning=False)] = None

    def text(self, name: str) -> str:
        """A text without spaces around it; empty when there is none."""
        return self._annotations.get(name, "").strip()

    def words(self, name: str) -> tuple[str, ...]:
        """A list with commas."""
        return tuple(filter(None, (each.strip() for each in self.text(name).split(","))))

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """A list ``a=b,c=d``."""
        found = []
        for each in self.words(name):
            key, mark, value = each.partition("=")
            if not (mark and key.strip()):
                self.refuse(name, f"{each!r} is not name=value")
            found.append((key.strip(), value.strip()))
        return tuple(found)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """``true`` or ``false``."""
        text = self.text(name).lower()
        if text not in {"", "true", "false"}:
            self.refuse(name, "is true or false")
        return default if not text else text == "true"

    def number(self, name: str, default: int, least: int, most: int = 2**31 - 1) -> int:
        """A whole number."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS) or not least <= int(text) <= most:
            self.refuse(name, f"is a whole number from {least}" + (f" to {most}" if most < 2**31 - 1 else " on"))
            return default
        return int(text)

    def number_of(self, names: Iterable[str], default: int, least: int) -> int:
        """A whole number, from the first of these annotations that there is."""
        return next((self.number(name, default, least) for name in names if self.text(name)), default)

    def choice(self, names: Iterable[str], default: str, values: Mapping[str, str]) -> str:
        """One of several values, in whatever case, from the first of these annotations that there is."""
        for name in names:
            text = self.text(name).lower()
            if text in values:
                return values[text]
            if text:
                self.refuse(name, f"is one of {', '.join(values)}")
        return values[default]

    def address(self, name: str, version: int) -> Address | None:
        """An address of an IP version."""
        text = self.text(name)
        found = self.parse_address(name, text) if text else None
        if found is not None and found.version != version:
            self.refuse(name, f"is no address of IPv{version}")
            return None
        return found

    def parse_address(self, name: str, text: str) -> Address | None:
        """An address that stands somewhere."""
        try:
            return ip_address(text.strip())
        except ValueError:
            self.refuse(name, f"{text!r} is no address")
            return None

    def prefix(self, name: str, text: str) -> Prefix | None:
        """A range of addresses that stands somewhere."""
        try:
            return ip_network(text.strip())
        except ValueError as error:
            self.refuse(name, f"{text!r} is no range of addresses: {error}")
            return None
