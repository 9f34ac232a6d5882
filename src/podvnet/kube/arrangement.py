"""What all Services together come to: who is served at which frontend by which rules, and who has to be told what.

Of two Services that want one port of one address, the one that has it keeps it, else the older one gets it.
Source: Azure document "Multiple frontends for Azure Load Balancer" (no two rules lead to one port of one pool).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from podvnet.kube.endpoint_pool import Members, Slice, members
from podvnet.kube.front import Front, UnmetError, find_front
from podvnet.kube.home import Document, Estate, Home
from podvnet.kube.notice import Notice
from podvnet.kube.service import Port, Service
from podvnet.kube.service_wish import FrontWish, PortWish, ProbeWish, Wish
from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId, parse


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a load balancer.

    Attributes:
        port: of the Service; None: every port.
        target: of the pods; 0 for every port.
        pool: its name.
        probe: its name, and what and how it asks; None: no probe.
    """

    name: str
    front: Front
    port: Port | None
    target: int
    pool: str
    probe: tuple[str, ProbeWish, int] | None


@dataclass(frozen=True, slots=True)
class Served:
    """A Service that is served.

    Attributes:
        pools: by name: the members.
    """

    wish: Wish
    fronts: tuple[Front, ...]
    rules: tuple[Rule, ...]
    pools: Mapping[str, frozenset[Address]]

    @property
    def service(self) -> Service:
        """The Service."""
        return self.wish.service


@dataclass(frozen=True)
class Arrangement:
    """What all come to.

    Attributes:
        held: uids of Services that are left as they are: what they wish cannot be had.
        notices: by uid, what there is to say.
    """

    served: tuple[Served, ...]
    held: frozenset[str]
    notices: Mapping[str, tuple[Notice, ...]] = field(default_factory=dict)


Claim = tuple[str, str, int]
"""A port of a frontend: its name in lower case, the protocol or ``ALL``, the number or 0."""


class _Arranging:
    def __init__(self, slices: Mapping[tuple[str, str], Sequence[Slice]], home: Home, estate: Estate) -> None:
        self._slices = slices
        self._home = home
        self._estate = estate
        self.notices: dict[str, list[Notice]] = {}
        self._taken: dict[bool, list[tuple[Claim, str, str]]] = {False: [], True: []}
        """Whether internal: what is taken, by which uid, in words; the uid is empty for others than Services."""
        self._wanted: dict[str, tuple[tuple[Front, ...], set[Claim]]] = {}
        self._shared: dict[tuple[bool, str], Front] = {}
        self._labels: dict[ResourceId, list[Wish]] = {}
        """By public address, those who ask for a label, the older one first."""
        self._there = {
            internal: {each["name"]: each for each in estate.parts("loadBalancingRules", internal=internal)}
            for internal in (False, True)
        }

    def keep(self, kept: Collection[str]) -> None:
        """Ports of rules that others have made, or of Services that are left as they are, are taken."""
        for internal, rules in self._there.items():
            for name, rule in rules.items():
                owner = self._home.names.owner(name)
                if owner is None or owner in kept:
                    self._taken[internal].append((_claim(rule), owner or "", f"the rule {name}"))

    def want(self, wish: Wish) -> None:
        """Find the frontends of a Service. What it wants and has already is taken by it.

        Raises:
            UnmetError: there can be none.
        """
        uid = wish.service.uid
        fronts = tuple(self._front(wish, each) for each in wish.fronts)
        claims = {(front.name.lower(), protocol, number) for front in fronts for protocol, number in _ports(wish)}
        self._wanted[uid] = fronts, claims
        for front in fronts:
            if front.public and wish.label is not None:
                self._labels.setdefault(front.public, []).append(wish)
        for name, rule in self._there[wish.internal].items():
            if self._home.names.owner(name) == uid and _claim(rule) in claims:
                self._taken[wish.internal].append((_claim(rule), uid, wish.service.spoken))

    def serve(self, wish: Wish) -> Served:
        """Give a Service its rules.

        Raises:
            UnmetError: it cannot have all it wishes.
        """
        fronts, claims = self._wanted[wish.service.uid]
        found = {
            (front.version, each.port): self._members(wish, each.port, front.version)
            for front in fronts
            for each in wish.ports
        }
        rules = [rule for front in fronts for rule in self._rules(wish, front, found)]
        addresses = {front.name.lower(): front.address or front.name for front in fronts}
        for claim in sorted(claims):
            holder = self._holder(wish, claim)
            if holder:
                front, protocol, number = claim
                spoken = f"{number}/{protocol}" if number else "every port"
                raise UnmetError("AddressInUse", f"{spoken} of {addresses[front]} is taken by {holder}")
        self._check_label(wish, fronts)
        self._taken[wish.internal] += [(claim, wish.service.uid, wish.service.spoken) for claim in claims]
        pools = {
            rule.pool: found[rule.front.version, rule.port or wish.ports[0].port].addresses for rule in rules
        }  # fmt: skip
        return Served(wish, fronts, tuple(rules), pools)

    def _check_label(self, wish: Wish, fronts: Iterable[Front]) -> None:
        """Of several labels for one public address the one that it has stays, else the older Service gets its own."""
        for front in fronts:
            asking = self._labels.get(front.public, []) if front.public and wish.label is not None else []
            there = self._estate.publics.get(front.public.key, {}) if front.public else {}
            has = (there.get("properties", {}).get("dnsSettings") or {}).get("domainNameLabel", "")
            first = next((each for each in asking if each.label == has), asking[0] if asking else wish)
            if first.label != wish.label:
                text = f"{front.address or front.name} has the DNS label {first.label!r} for {first.service.spoken}"
                raise UnmetError("LabelInUse", text)

    def say(self, service: Service, reason: str, message: str) -> None:
        """Note down something to say."""
        notice = Notice(reason, message)
        if notice not in self.notices.setdefault(service.uid, []):
            self.notices[service.uid].append(notice)

    def _front(self, wish: Wish, asked: FrontWish) -> Front:
        """The frontend; the one that an earlier Service gets, when both want the same address."""
        front = find_front(wish, asked, self._home, self._estate)
        if wish.internal and not front.fixed:
            return front
        place = str(front.public or front.address).lower()
        first = self._shared.setdefault((wish.internal, place), front)
        return replace(front, name=first.name)

    def _members(self, wish: Wish, port: Port, version: int) -> Members:
        service = wish.service
        found = members(self._slices.get((service.namespace, service.name), ()), port, version)
        if found.misfits:
            shown = ", ".join(found.misfits[:5]) + (", …" if len(found.misfits) > 5 else "")
            self.say(
                service, "PortsDiffer",
                f"port {port.spoken} ({port.target}) is {found.target} of most pods, and a rule leads to one port: left"
                f" out are {shown}",
            )  # fmt: skip
        outside = sorted(each for each in found.addresses if not self._estate.holds(each))
        if outside:
            shown = ", ".join(map(str, outside[:5])) + (", …" if len(outside) > 5 else "")
            self.say(service, "NotInVirtualNetwork", f"left out are addresses that the network does not have: {shown}")
        target = found.target if found.target is not None else self._last_target(wish, port, version)
        return Members(target, found.addresses.difference(outside), found.misfits)

    def _last_target(self, wish: Wish, port: Port, version: int) -> int | None:
        """The port of pods that are gone, when only they knew what its name means."""
        rule = self._there[wish.internal].get(self._home.names.rule(wish.service.uid, version, port))
        return rule["properties"]["backendPort"] if rule else None

    def _rules(self, wish: Wish, front: Front, found: Mapping[tuple[int, Port], Members]) -> Iterable[Rule]:
        names, uid, version = self._home.names, wish.service.uid, front.version
        of_version = {port: each for (number, port), each in found.items() if number == version}
        common = len({each.addresses for each in of_version.values()}) <= 1
        leading: dict[tuple[str, int], Port] = {}
        for each in wish.ports[: 1 if wish.all_ports else None]:
            target = of_version[each.port].target
            if target is None:
                continue
            twin = leading.setdefault((each.port.protocol, target), each.port)
            if twin is not each.port:
                raise UnmetError(
                    "TargetPortTwice",
                    f"ports {twin.spoken} and {each.port.spoken} both lead to port {target} of the pods, which a load"
                    " balancer cannot tell apart: give the pods two ports",
                )
            pool = names.pool(uid, version, None if common or wish.all_ports else each.port)
            probe = self._probe(uid, each, version, found)
            if wish.all_ports:
                _check_same(of_version)
                yield Rule(names.rule(uid, version, None), front, None, 0, pool, probe)
            else:
                yield Rule(names.rule(uid, version, each.port), front, each.port, target, pool, probe)

    def _probe(
        self, uid: str, wish: PortWish, version: int, found: Mapping[tuple[int, Port], Members]
    ) -> tuple[str, ProbeWish, int] | None:
        if wish.probe is None:
            return None
        asked = wish.probe.port
        number = asked if isinstance(asked, int) else None
        if isinstance(asked, Port):
            known = found.get((version, asked))
            number = known.target if known else asked.target if isinstance(asked.target, int) else None
        return None if number is None else (self._home.names.probe(uid, version, wish.port), wish.probe, number)

    def _holder(self, wish: Wish, claim: Claim) -> str:
        """Who else has a port."""
        front, protocol, number = claim
        for (other, spoken, taken), uid, holder in self._taken[wish.internal]:
            overlaps = (0 in {taken, number} or taken == number) and ("ALL" in {spoken, protocol} or spoken == protocol)
            if uid != wish.service.uid and other == front and overlaps:
                return holder
        return ""


def arrange(
    wishes: Iterable[Wish],
    held: Collection[str],
    slices: Mapping[tuple[str, str], Sequence[Slice]],
    home: Home,
    estate: Estate,
) -> Arrangement:
    """See what all Services together come to.

    Args:
        wishes: of the Services that are to be served.
        held: uids of others, that are left as they are.
        slices: by namespace and name of their Service.
        home: where things are made.
        estate: what is there.
    """
    arranging = _Arranging(slices, home, estate)
    arranging.keep(held)
    kept, served = set(held), []
    waiting = sorted(wishes, key=lambda each: (each.service.created, each.service.spoken))
    for step in (arranging.want, lambda wish: served.append(arranging.serve(wish))):
        for wish in waiting:
            if wish.service.uid in kept:
                continue
            try:
                step(wish)
            except UnmetError as error:
                arranging.say(wish.service, error.reason, str(error))
                kept.add(wish.service.uid)
                arranging.keep({wish.service.uid})
    notices = {uid: tuple(each) for uid, each in arranging.notices.items()}
    return Arrangement(tuple(served), frozenset(kept), notices)


def _claim(rule: Document) -> Claim:
    inner = rule["properties"]
    front = parse(inner["frontendIPConfiguration"]["id"]).name
    return front.lower(), inner["protocol"].upper(), inner["frontendPort"]


def _ports(wish: Wish) -> list[tuple[str, int]]:
    return [("ALL", 0)] if wish.all_ports else [(each.port.protocol, each.port.number) for each in wish.ports]


def _check_same(found: Mapping[Port, Members]) -> None:
    for port, each in found.items():
        if each.target is not None and each.target != port.number:
            raise UnmetError(
                "NotSupported",
                f"port {port.spoken} leads to {each.target} of the pods; a rule for every port changes none, so both"
                " must be the same",
            )
