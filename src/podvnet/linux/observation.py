"""What of a namespace's wanted objects is missing, and what is there that nobody wants."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Door
from podvnet.model.kernel import (
    BridgeEntry,
    Element,
    InterfaceAddress,
    KernelObject,
    LinkUp,
    Neighbour,
    NetworkNamespace,
    Route,
    Ruleset,
    Sysctl,
    VethPair,
)


class Observation:
    """A reading of one namespace. Each table is read when first asked for, and once."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._links = {link.index: link for link in rtnetlink_dump.links(door.route)}
        self._sets: dict[tuple[str, str, str], frozenset[Element]] = {}
        self._addresses = frozenset(rtnetlink_dump.addresses(door.route))
        self._routes = frozenset(rtnetlink_dump.routes(door.route))
        self._neighbours = frozenset(rtnetlink_dump.neighbours(door.route))
        self._entries = frozenset(rtnetlink_dump.bridge_entries(door.route))

    @property
    def links(self) -> dict[int, rtnetlink_dump.Link]:
        """The interfaces by index."""
        return self._links

    def missing(self, wanted: Iterable[KernelObject]) -> list[KernelObject]:
        """The wanted objects that are not there, or not as wanted."""
        return [item for item in wanted if not self._holds(item)]

    def unwanted(self, wanted: Iterable[KernelObject]) -> list[KernelObject]:
        """What is there beyond ``wanted``, where podvnet owns the whole namespace: links, routes of ours, elements.

        The elements of sets that no wanted object names are left alone.
        """
        wanted = frozenset(wanted)
        indexes = {item.index for item in wanted if isinstance(item, VethPair | LinkUp)}
        surplus: list[KernelObject] = [
            VethPair(link.name, link.index, link.mac, "", "", 0, link.mac)
            for link in self._links.values()
            if link.index not in indexes
        ]
        surplus += (route for route in self._routes if route not in wanted and route.index in indexes)
        surplus += (entry for entry in self._neighbours if entry not in wanted and entry.index in indexes)
        for key in {(item.family, item.table, item.set) for item in wanted if isinstance(item, Element)}:
            surplus += self._set(*key) - wanted
        return surplus

    def _holds(self, item: KernelObject) -> bool:
        match item:
            case NetworkNamespace():
                return True
            case Sysctl(path, value):
                return self._sysctl(path) in {value, None}
            case Ruleset():
                return self._ruleset(item)
            case Element():
                return item in self._set(item.family, item.table, item.set)
            case VethPair():
                link = self._links.get(item.index)
                return bool(link and link.name == item.name and link.mac == item.mac and link.bridge == item.bridge)
            case LinkUp(index):
                return index in self._links and self._links[index].up
            case InterfaceAddress():
                return item in self._addresses
            case Route():
                return item in self._routes
            case Neighbour():
                return item in self._neighbours
            case BridgeEntry():
                return item in self._entries

    def _sysctl(self, path: str) -> str | None:
        """The value of a setting; None when this kernel does not have it."""
        target = Path("/proc/sys/net") / path
        with namespace.entered(self._door.descriptor):
            return target.read_text(encoding="ascii").strip() if target.exists() else None

    def _ruleset(self, item: Ruleset) -> bool:
        family, name = item.tables[0]
        return item.marker in self._door.sets.counters(family, name)

    def _set(self, family: str, table: str, name: str) -> frozenset[Element]:
        key = (family, table, name)
        if key not in self._sets:
            try:
                self._sets[key] = frozenset(self._door.sets.elements(*key))
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise
                self._sets[key] = frozenset()
        return self._sets[key]
