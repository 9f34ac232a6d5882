"""A zone by names, for answers.

Pure. Names are texts in lower case without a dot at the end. Source: RFC 1034, section 4.3; RFC 4592 (wildcards: only
below the closest name that there is).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from podvnet.model.dns import APEX, RecordSet

Node = Mapping[str, RecordSet]
"""The record sets of a name, by type."""

_NOTHING: Node = {}
_SOA = "azureprivatedns.net. azureprivatedns-host.microsoft.com. 1 3600 300 2419200 10"
"""Source: recorded answers of private zones."""


class Zone:
    """A zone.

    Args:
        name: its own.
        record_sets: what is in it.
        redirect: names that there are not are looked for in public DNS.
    """

    def __init__(self, name: str, record_sets: Iterable[RecordSet], *, redirect: bool = False) -> None:
        self.name = name
        self.redirect = redirect
        self._nodes: dict[str, dict[str, RecordSet]] = {}
        self._between: set[str] = {name}
        for each in record_sets:
            full = name if each.name == APEX else f"{each.name}.{name}"
            self._nodes.setdefault(full, {})[each.type] = each
            parent = full
            while parent != name:
                parent = parent.partition(".")[2]
                self._between.add(parent)

    @property
    def authority(self) -> RecordSet:
        """The record that says how long to believe that a name is not there. Source: RFC 2308, section 3."""
        found = self._nodes.get(self.name, _NOTHING).get("SOA", RecordSet(APEX, "SOA", 3600, (_SOA,)))
        least = int(found.data[0].rsplit(" ", 1)[1])
        return replace(found, ttl=min(found.ttl, least))

    def find(self, name: str) -> Node | None:
        """The record sets of a name of the zone; none for one with others below it; None when it is not there."""
        if name in self._nodes:
            return self._nodes[name]
        if name in self._between:
            return _NOTHING
        encloser = name.partition(".")[2]
        while encloser not in self._between and encloser not in self._nodes:
            encloser = encloser.partition(".")[2]
        return self._nodes.get(f"*.{encloser}")
