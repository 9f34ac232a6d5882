"""What is to be done next for all Services, from what is wanted and what is there: no other state is kept.

The order is such that an end between any two steps leaves nothing that is not found again: a Service is claimed before
anything is made for it; a public address is there before a frontend, rules of security groups before a pool leads to a
pod; and all that was made is gone before the Service may go.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from podvnet.kube.arrangement import Arrangement, Served, arrange
from podvnet.kube.balancer_plan import POOLS, PROBES, RULES, plan_balancer, pool_document
from podvnet.kube.endpoint_pool import Slice
from podvnet.kube.group_notices import unguarded_subnets, unreadable_groups, unusable_group
from podvnet.kube.home import Document, Estate, Home
from podvnet.kube.notice import Notice
from podvnet.kube.public_plan import made, plan_publics, unwanted
from podvnet.kube.security_plan import grows, plan_group, wished_rules
from podvnet.kube.service import CLEANUP, Service
from podvnet.kube.service_wish import Wish, read_wish
from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId

LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True, slots=True)
class Claim:
    """A Service gets the finalizer, and is told whose it is and which resource groups may hold something of it."""

    service: Service
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """A resource is written; ``movers`` are the uids of the Services that it is for."""

    id: ResourceId
    document: Document
    movers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Delete:
    """A resource is deleted."""

    id: ResourceId
    movers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Report:
    """A Service's status gets these addresses."""

    service: Service
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A Service of which nothing is left may go."""

    service: Service


Step = Claim | Put | Delete | Report | Release


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be done next.

    Attributes:
        steps: in any order; then look again. None: all is as it is wanted.
        notices: by uid, what there is to say.
        untidy: a security group lets in more than it needs to; that waits.
        states: how many Services are served, are left as they are, and are let go.
    """

    steps: tuple[Step, ...]
    notices: Mapping[str, tuple[Notice, ...]]
    untidy: bool = False
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Chart:
    """What is wanted.

    Attributes:
        services: every Service.
        slices: by namespace and name of their Service.
        chosen: the class of ours.
        default: Services that name no class are ours as well.
    """

    services: tuple[Service, ...]
    slices: Mapping[tuple[str, str], Sequence[Slice]]
    chosen: str
    default: bool = False

    def is_ours(self, service: Service) -> bool:
        """Tell whether a Service is to be served by us."""
        named = service.load_balancer_class or (self.chosen if self.default else "")
        return service.kind == LOAD_BALANCER and named == self.chosen and not service.ending

    def lets_go(self, service: Service, cluster: str) -> bool:
        """Tell whether a Service that is not, or no more, to be served has the finalizer from us."""
        if self.is_ours(service) or CLEANUP not in service.finalizers:
            return False
        # Without a claim, which anybody can take away, nobody else lets a Service of our own class go.
        unclaimed = not service.claim and service.ending and service.load_balancer_class == self.chosen
        return service.claim == cluster or (unclaimed and service.kind == LOAD_BALANCER)


def look(
    chart: Chart,
    home: Home,
    estate: Estate,
    waiting: Collection[str] = (),
    *,
    tidy: bool = True,
    settled: Callable[[Put], bool] = lambda _: False,
) -> Outlook:
    """See what is to be done next.

    Args:
        chart: what is wanted.
        home: where things are made.
        estate: what is there.
        waiting: uids of Services that are left as they are, whatever they want.
        tidy: security groups may be written to let in less.
        settled: whether a write has been carried out already, and is not to be again though it does not show.
    """
    notices: dict[str, list[Notice]] = {}
    wishes, claims, held = [], [], set(waiting)
    ours = list(filter(chart.is_ours, chart.services))
    for service in ours:
        wish, said = read_wish(service)
        amiss = unusable_group(service, wish.group if wish else "", estate)
        notices[service.uid] = [*said, *unreadable_groups(service.kept_groups, estate), *amiss]
        if amiss or (wish and wish.group.lower() in estate.unreadable):
            wish = None
        claim = _claim(service, wish, home)
        if claim and service.uid not in held:
            claims.append(claim)
        if wish is None or claim:
            held.add(service.uid)
        elif service.uid not in held:
            wishes.append(wish)
    arrangement = arrange(wishes, held, chart.slices, home, estate)
    for uid, said in arrangement.notices.items():
        notices.setdefault(uid, []).extend(said)
    for each in arrangement.served:
        notices[each.service.uid] += unguarded_subnets(each, estate)
    released = [each for each in chart.services if chart.lets_go(each, home.names.cluster) and each.uid not in held]
    notices |= {each.uid: unreadable_groups(each.kept_groups, estate) for each in released}
    steps, untidy = _steps(arrangement, released, home, estate, tidy=tidy, settled=settled)
    told = {uid: tuple(each) for uid, each in notices.items() if each}
    going = sum(chart.lets_go(each, home.names.cluster) for each in chart.services)
    states = {"served": len(arrangement.served), "held": len(ours) - len(arrangement.served), "going": going}
    return Outlook((*claims, *steps), told, untidy, states)


def _steps(
    arrangement: Arrangement,
    released: list[Service],
    home: Home,
    estate: Estate,
    *,
    tidy: bool,
    settled: Callable[[Put], bool],
) -> tuple[list[Step], bool]:
    served, held = arrangement.served, arrangement.held
    publics = [Put(each.id, each.document, frozenset({each.mover})) for each in plan_publics(served, home, estate)]
    growing = _group_puts(arrangement, home, estate, growing=True)
    balancers = _balancer_steps(served, held, home, estate)
    for phase in (publics, growing, balancers):
        found: list[Step] = [each for each in phase if isinstance(each, Delete) or not settled(each)]
        if found:
            return found, False
    steps: list[Step] = [
        Delete(each, frozenset({owner})) for each, owner in unwanted(served, held, home, estate)
    ]  # fmt: skip
    shrinking = [each for each in _group_puts(arrangement, home, estate, growing=False) if not settled(each)]
    gone = {each.uid for each in released}
    last: list[Step] = []
    if tidy or any(each.movers & gone for each in shrinking):
        steps += [each for each in shrinking if each.movers]
        # What is about nobody any more, as rules that were shared, may be refused without anybody's waiting for it.
        last += [each for each in shrinking if not each.movers]
        shrinking = []
    for each in served:
        addresses = tuple(front.address for front in each.fronts if front.address)
        if len(addresses) == len(each.fronts) and set(map(str, addresses)) != set(each.service.ingress):
            steps.append(Report(each.service, addresses))
    there = owners(home, estate)
    for service in released:
        if service.uid not in there and not unreadable_groups(service.kept_groups, estate):
            if service.ingress and not service.ending:
                steps.append(Report(service, ()))
            else:
                steps.append(Release(service))
    return [*steps, *last], bool(shrinking)


def _claim(service: Service, wish: Wish | None, home: Home) -> Claim | None:
    """What is missing of the marks of a Service that we serve; nothing is made for one that cannot be served."""
    groups = (*service.kept_groups, *((wish.group,) if wish and wish.group else ()))
    marked = CLEANUP in service.finalizers and service.claim == home.names.cluster
    if marked and set(groups) == set(service.kept_groups):
        return None
    return Claim(service, tuple(dict.fromkeys(groups))) if wish or marked else None


def _group_puts(arrangement: Arrangement, home: Home, estate: Estate, *, growing: bool) -> Iterator[Put]:
    wanted = wished_rules(arrangement.served, _led_to(estate), home, estate)
    for document in estate.groups.values():
        group = next(each.group for each in estate.subnets if each.group and each.group.key == document["id"].lower())
        rules = wanted.get(group, [])
        if growing and not grows(document, rules, estate):
            continue
        change = plan_group(document, rules, arrangement.held, home.names, estate)
        if change:
            yield Put(group, change.document, change.movers)


def _led_to(estate: Estate) -> dict[str, frozenset[Address]]:
    """By pool, the members that load balancers lead to."""
    return {
        pool["name"]: frozenset(
            ip_address(each["properties"]["ipAddress"])
            for each in pool["properties"].get("loadBalancerBackendAddresses") or ()
            if each["properties"].get("ipAddress")
        )
        for internal in (False, True)
        for pool in estate.parts(POOLS, internal=internal)
    }


def _balancer_steps(
    served: Iterable[Served], held: Collection[str], home: Home, estate: Estate
) -> Iterator[Put | Delete]:  # fmt: skip
    for internal in (False, True):
        there = estate.balancers.get(internal)
        change = plan_balancer(there, served, held, home, internal=internal)
        resource = home.balancer(internal=internal)
        if change is None:
            continue
        if change.document is None:
            if there is not None:
                yield Delete(resource, change.movers)
        elif len(change.pools) == 1:
            name = change.pools[0]
            yield Put(resource.child(POOLS, name), pool_document(change, name), change.movers)
        else:
            yield Put(resource, change.document, change.movers)


def owners(home: Home, estate: Estate) -> set[str | None]:
    """The uids of the Services that anything is there of.

    Frontends do not count: another Service may have one, and those that none has are gone with their rules.
    """
    names = [
        part["name"]
        for internal in (False, True)
        for kind in (POOLS, PROBES, RULES)
        for part in estate.parts(kind, internal=internal)
    ]
    names += [
        rule["name"] for group in estate.groups.values() for rule in group["properties"].get("securityRules") or ()
    ]
    used = {
        part["properties"].get("publicIPAddress", {}).get("id", "").lower()
        for part in estate.parts("frontendIPConfigurations", internal=False)
    }
    return {home.names.owner(name) for name in names} | {
        owner for resource, owner in made(home, estate) if resource.key not in used
    }
