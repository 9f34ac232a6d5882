"""The difference of two programs, as ordered steps.

Removals come first, in the reverse order of additions. Rules and the elements of sets are added before the links they
speak of, and taken away after them: no interface is ever up without the rules that guard it.

What chains of security rules change, they change in one transaction a namespace, additions and removals together, so
that no packet meets half of it: after the sets are filled that the new chains ask, before those go that the old ones
asked.

A link takes with it, at both its ends, what hangs on it: when a link is made anew, so is all of that. A namespace that
goes takes all it holds, but only once its last user is gone; so a cable from it to a namespace that stays is removed
by itself, for its name may be needed at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from podvnet.model.address import Prefix
from podvnet.model.kernel import (
    MAIN_TABLE,
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
    NetworkNamespace,
    Program,
    Route,
    RoutingRule,
    Ruleset,
    SecurityObject,
    Step,
    Sysctl,
    VethPair,
)

_RANK: dict[type[KernelObject], int] = {
    NetworkNamespace: 0,
    Sysctl: 1,
    Ruleset: 2,
    AddressSet: 3,
    IdleTimeout: 3,
    Element: 4,
    Chain: 5,
    Dispatch: 5,
    Junction: 5,
    VethPair: 6,
    LinkUp: 7,
    InterfaceAddress: 8,
    Neighbour: 9,
    BridgeEntry: 9,
    RoutingRule: 10,
    Route: 11,
}

_ON_LINKS = (LinkUp, InterfaceAddress, Neighbour, BridgeEntry, Route)


def difference(old: Program, new: Program) -> tuple[Step, ...]:
    """The steps that turn ``old`` into ``new``. A namespace that goes takes what it holds with it."""
    removals: list[Step] = []
    additions: list[Step] = []
    cut = _cut(old, new)
    for namespace in old.keys() | new.keys():
        before, after = old.get(namespace, frozenset()), new.get(namespace, frozenset())
        gone = before - after
        if NetworkNamespace() in gone:
            gone = frozenset(item for item in gone if _outlives(item, new))
        anew = {item for item in before & after if _hangs_on(item, namespace, cut)}
        come = (after - before) | anew
        # A route takes the place of another to the same prefix in one go; meanwhile no other way is taken.
        replaced = {_place(item) for item in come if isinstance(item, Route)} - {
            _place(item) for item in anew if isinstance(item, Route)
        }
        additions += (Step(True, namespace, item) for item in come)
        removals += (
            Step(False, namespace, item)
            for item in gone | anew
            if not (isinstance(item, Route) and item.table != MAIN_TABLE and _place(item) in replaced)
        )
    return ordered(removals, additions)


def _place(route: Route) -> tuple[int, Prefix, int]:
    """What there is one route of in a namespace."""
    return route.table, route.destination, route.metric


def _cut(old: Program, new: Program) -> set[tuple[str, int]]:
    """Namespace and index of every end of a cable that goes."""
    cables = (
        (namespace, item)
        for namespace, before in old.items()
        for item in before - new.get(namespace, frozenset())
        if isinstance(item, VethPair)
    )
    return {end for place, pair in cables for end in ((place, pair.index), (pair.peer_namespace, pair.peer_index))}


def _hangs_on(item: KernelObject, namespace: str, cut: set[tuple[str, int]]) -> bool:
    return isinstance(item, _ON_LINKS) and (namespace, item.index) in cut


def _outlives(item: KernelObject, new: Program) -> bool:
    """Tell what of a namespace that goes must be removed by a step of its own."""
    return isinstance(item, NetworkNamespace) or (isinstance(item, VethPair) and item.peer_namespace in new)


def ordered(removals: Iterable[Step], additions: Iterable[Step]) -> tuple[Step, ...]:
    """Removals, then additions, each in the order in which the kernel can take them; see the head of this file."""
    removals, additions = list(removals), sorted(additions, key=_order)
    going = {(step.namespace, step.object.name) for step in removals if isinstance(step.object, AddressSet)}
    late = [step for step in removals if _is_late(step, going)]
    security = [step for step in (*removals, *additions) if isinstance(step.object, SecurityObject)]
    before = [step for step in additions if _RANK[type(step.object)] < _RANK[Chain]]
    after = [step for step in additions if _RANK[type(step.object)] > _RANK[Chain]]
    early = [step for step in removals if not isinstance(step.object, SecurityObject) and not _is_late(step, going)]
    return (
        *sorted(early, key=_order, reverse=True),
        *before,
        *sorted(security, key=_order),
        *sorted(late, key=_order, reverse=True),
        *after,
    )


def _is_late(step: Step, going: set[tuple[str, str]]) -> bool:
    """Sets that go are asked by the old chains until those have gone; so are timeouts."""
    item = step.object
    return isinstance(item, AddressSet | IdleTimeout) or (
        isinstance(item, Element) and (step.namespace, item.set) in going
    )


def _order(step: Step) -> tuple[int, str, int, int]:
    item = step.object
    depth = 0
    if isinstance(item, Route):
        depth = 2 - (item.via is None)  # a route that another's next hop is looked up by goes first
    return _RANK[type(item)], step.namespace, depth, getattr(item, "index", 0)


def merge(*programs: Program) -> Program:
    """One program that holds everything of several."""
    merged: dict[str, frozenset[KernelObject]] = {}
    for program in programs:
        for namespace, objects in program.items():
            merged[namespace] = merged.get(namespace, frozenset()) | objects
    return merged
