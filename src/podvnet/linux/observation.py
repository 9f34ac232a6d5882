"""What of a namespace's wanted objects is missing, and what is there that nobody wants."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.error import KernelError
from podvnet.linux.executor import Door
from podvnet.linux.security_text import DOOR
from podvnet.model.kernel import (
    AddressSet,
    BridgeEntry,
    Chain,
    Dispatch,
    Element,
    IdleTimeout,
    InterfaceAddress,
    Junction,
    KernelObject,
    LinkUp,
    Neighbour,
    NeighbourProxy,
    NetworkNamespace,
    Route,
    RoutingRule,
    Ruleset,
    Sysctl,
    VethPair,
)

_SECURITY_FAMILY = "inet"
T = TypeVar("T")


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
        self._rules = frozenset(rtnetlink_dump.rules(door.route))
        proxies = frozenset(rtnetlink_dump.neighbour_proxies(door.route))
        self._listed = self._addresses | self._routes | self._neighbours | proxies | self._entries | self._rules
        self._chains: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._jumps: dict[str, dict[str, str]] = {}
        self._dispatches: dict[tuple[str, str], frozenset[Dispatch]] = {}

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
            # A tun device is a process's own and goes with it.
            if link.index not in indexes and link.kind != "tun"
        ]
        surplus += (route for route in self._routes if route not in wanted and route.index in indexes)
        surplus += (entry for entry in self._neighbours if entry not in wanted and entry.index in indexes)
        surplus += self._rules - wanted
        for key in {(item.family, item.table, item.set) for item in wanted if isinstance(item, Element)}:
            surplus += self._set(*key) - wanted
        for rules in (item for item in wanted if isinstance(item, Ruleset)):
            surplus += self._unwanted_security(rules, wanted)
        return surplus

    def _unwanted_security(self, rules: Ruleset, wanted: frozenset[KernelObject]) -> Iterator[KernelObject]:
        """Chains, sets and dispatches beyond those that the text of a ruleset declares."""
        tables = {name for family, name in rules.tables if family == _SECURITY_FAMILY}
        for table in tables:
            own_chains = set(re.findall(r"^\s*chain (\S+) \{", rules.text, re.MULTILINE))
            own_sets = set(re.findall(r"^\s*(?:set|map) (\S+) \{", rules.text, re.MULTILINE))
            maps = set(re.findall(r"^\s*map (\S+) \{[^}]*: verdict;", rules.text, re.MULTILINE))
            chains = {item.name for item in wanted if isinstance(item, Chain) and item.table == table}
            sets = {item.name for item in wanted if isinstance(item, AddressSet) and item.table == table}
            for name in sorted(maps):
                yield from self._map(table, name) - wanted
            doors = {name for name in self._chain_names(table) if name.startswith(DOOR)}  # they go with their elements
            junctions = {item.name for item in wanted if isinstance(item, Junction) and item.table == table}
            yield from (
                Junction(table, name, chain, declared=True)
                for name, chain in sorted(self._table_jumps(table).items())
                if name in own_chains - junctions and self._is_empty_in(rules.text, name)
            )
            surplus = self._chain_names(table) - own_chains - chains - doors - junctions
            yield from (Chain(table, name, "") for name in sorted(surplus))
            surplus_sets = self._set_names(table) - own_sets - sets
            # Anonymous sets belong to the rules they stand in.
            yield from (AddressSet(table, name, 4) for name in sorted(surplus_sets) if not name.startswith("__"))
            timeouts = {item for item in wanted if isinstance(item, IdleTimeout)}
            yield from self._timeouts(table) - timeouts

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
            case Chain() | AddressSet() | Dispatch() | Junction() | IdleTimeout():
                return self._table_holds(item)
            case InterfaceAddress() | Route() | RoutingRule() | Neighbour() | NeighbourProxy() | BridgeEntry():
                return item in self._listed

    def _table_holds(self, item: Chain | AddressSet | Dispatch | Junction | IdleTimeout) -> bool:
        match item:
            case Chain(table, name, _):
                return name in self._chain_names(table)
            case AddressSet(table, name, _):
                return name in self._set_names(table)
            case Dispatch():
                return item in self._map(item.table, item.map)
            case Junction(table, name, chain):
                return self._table_jumps(table).get(name) == chain
            case IdleTimeout():
                return item in self._timeouts(item.table)

    def _sysctl(self, path: str) -> str | None:
        """The value of a setting; None when this kernel does not have it."""
        target = Path("/proc/sys/net") / path
        with namespace.entered(self._door.descriptor):
            return target.read_text(encoding="ascii").strip() if target.exists() else None

    def _ruleset(self, item: Ruleset) -> bool:
        family, name = item.tables[0]
        return item.marker in self._door.sets.counters(family, name)

    def _chain_names(self, table: str) -> set[str]:
        if table not in self._chains:
            self._chains[table] = self._door.sets.chains(_SECURITY_FAMILY, table)
        return self._chains[table]

    def _set_names(self, table: str) -> set[str]:
        if table not in self._names:
            self._names[table] = self._door.sets.sets(_SECURITY_FAMILY, table)
        return self._names[table]

    def _map(self, table: str, name: str) -> frozenset[Dispatch]:
        key = table, name
        if key not in self._dispatches:
            jumps = self._table_jumps(table)  # asked before: a listing that has begun must not meet another
            found = _or_nothing(self._door.sets.dispatches(_SECURITY_FAMILY, *key))
            # What does not lead where ours lead by way of a chain of its own is not as it should be.
            self._dispatches[key] = frozenset(
                Dispatch(table, name, index, jumps.get(chain, "")) for index, chain in found
            )
        return self._dispatches[key]

    def _table_jumps(self, table: str) -> dict[str, str]:
        if table not in self._jumps:
            self._jumps[table] = self._door.sets.jumps(_SECURITY_FAMILY, table)
        return self._jumps[table]

    @staticmethod
    def _is_empty_in(text: str, chain: str) -> bool:
        """Whether a text declares a chain without rules: those are what junctions fill."""
        return re.search(rf"^\s*chain {re.escape(chain)} \{{\s*\}}", text, re.MULTILINE) is not None

    def _timeouts(self, table: str) -> set[IdleTimeout]:
        found = self._door.sets.timeouts(_SECURITY_FAMILY, table)
        seconds = (int(name.rpartition("-")[2]) for name in found if name.startswith("idle4-"))
        return {IdleTimeout(table, each) for each in seconds}

    def _set(self, family: str, table: str, name: str) -> frozenset[Element]:
        key = (family, table, name)
        if key not in self._sets:
            self._sets[key] = frozenset(_or_nothing(self._door.sets.elements(*key)))
        return self._sets[key]


def _or_nothing(listing: Iterator[T]) -> Iterator[T]:
    """A listing, empty when what is listed is not there."""
    try:
        yield from listing
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
