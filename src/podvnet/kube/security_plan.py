"""The rules of security groups that let clients of Services come to the pods.

A load balancer changes a packet's destination before security groups see it, so a rule names the pods' own addresses
and ports. It names them before the pool leads there, and until it leads there no more. Rules of others are not touched,
and of free priorities those for Services are taken from 500 on; those that deny, from 4096 down.
Sources: Azure document "Network security groups"; cloud-provider-azure, "Azure LoadBalancer" (source ranges, service
tags, deny all except), whose priorities these are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address

from podvnet.kube.arrangement import Served
from podvnet.kube.fitting import fits, without_none
from podvnet.kube.home import Document, Estate, Home, Subnet
from podvnet.kube.part_names import PartNames
from podvnet.model.address import Address, Prefix
from podvnet.model.limits import ADDRESSES_PER_SECURITY_GROUP_SIDE
from podvnet.model.resource_id import ResourceId

_ALLOW_FROM, _DENY_FROM = 500, 4096
_SPOKEN = {"TCP": "Tcp", "UDP": "Udp"}
_INTERNET, _PROBES, _ANY = "Internet", "AzureLoadBalancer", "*"


@dataclass(frozen=True, slots=True)
class SecurityWish:
    """A rule that is wanted.

    Attributes:
        sources: prefixes, or one tag.
        ports: of the pods; none for all.
        movers: uids of the Services it is for.
    """

    name: str
    allow: bool
    protocol: str
    sources: tuple[str, ...]
    ports: tuple[int, ...]
    targets: frozenset[Address]
    movers: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupChange:
    """How a security group is to change, and for which Services."""

    document: Document
    movers: frozenset[str]


def wished_rules(
    served: Iterable[Served], lingering: Mapping[str, frozenset[Address]], home: Home, estate: Estate
) -> dict[ResourceId, list[SecurityWish]]:
    """The rules that each security group is to have.

    Args:
        served: Services that are served.
        lingering: by pool, members that the load balancer leads to as yet.
        home: where things are made.
        estate: what is there: which subnet has which group.
    """
    found: dict[ResourceId, dict[str, SecurityWish]] = {}
    for each in served:
        for rule in _rules(each, lingering, home, estate):
            for subnet in estate.subnets:
                targets = frozenset(address for address in rule.targets if subnet.holds(address))
                if targets and subnet.group:
                    known = found.setdefault(subnet.group, {})
                    old = known.get(rule.name, replace(rule, targets=frozenset(), movers=frozenset()))
                    known[rule.name] = replace(old, targets=old.targets | targets, movers=old.movers | rule.movers)
    return {group: list(rules.values()) for group, rules in found.items()}


def unguarded(served: Served, estate: Estate) -> list[Subnet]:
    """The subnets of a Service's pods that have no group that we see, though who may come in hangs on one."""
    addresses = [address for members in served.pools.values() for address in members]
    if not served.wish.security or (served.wish.internal and not served.wish.sources.restricted):
        return []
    closed = [each for each in estate.subnets if each.group is None or each.group.key not in estate.groups]
    return [each for each in closed if any(map(each.holds, addresses))]


def plan_group(
    there: Document, wanted: Iterable[SecurityWish], held: Collection[str], names: PartNames, estate: Estate
) -> GroupChange | None:
    """See how a security group is to change; None: not at all."""
    rules = list(there["properties"].get("securityRules") or [])
    wished = list(wanted)
    left = {each.name: each for each in wished}
    taken = {each["properties"]["priority"] for each in rules if each["properties"]["direction"] == "Inbound"}
    merged, movers = [], set[str]()
    for rule in rules:
        wish = left.pop(rule["name"], None)
        if wish is None:
            if _stays(rule["name"], held, names):
                merged.append(rule)
            else:
                taken.discard(rule["properties"]["priority"])
                movers.add(names.owner(rule["name"]) or "")
            continue
        if names.is_shared(wish.name) and held:
            wish = replace(wish, targets=wish.targets | _targets(rule))
        asked = _document(wish, rule["properties"]["priority"], estate)
        if not fits(rule, asked):
            movers |= wish.movers
            rule = without_none(asked)  # noqa: PLW2901 - it takes its place
        merged.append(rule)
    # What failed is there as it was written, and is not carried out.
    stuck = set[str]()
    if there["properties"].get("provisioningState") == "Failed":
        stuck = stuck.union(*(each.movers for each in wished))
    if not movers and not left and not stuck:
        return None
    for wish in left.values():
        merged.append(without_none(_document(wish, _free(taken, allow=wish.allow), estate)))
        movers |= wish.movers
    document = {**there, "properties": {**there["properties"], "securityRules": merged}}
    return GroupChange(document, frozenset((movers | stuck) - {""}))


def grows(there: Document, wanted: Iterable[SecurityWish], estate: Estate) -> bool:
    """Tell whether anything that is wanted is missing; what is too much only waits for a quiet moment."""
    rules = {each["name"]: each for each in there["properties"].get("securityRules") or ()}
    for wish in wanted:
        rule = rules.get(wish.name)
        if rule is None or there["properties"].get("provisioningState") == "Failed":
            return True
        roomy = replace(wish, targets=wish.targets | _targets(rule))
        if not fits(rule, _document(roomy, rule["properties"]["priority"], estate)):
            return True
    return False


def _stays(name: str, held: Collection[str], names: PartNames) -> bool:
    """Whether a rule that nobody served wants is left: it is somebody else's, or of a Service that is held."""
    if names.is_shared(name):
        return bool(held)
    owner = names.owner(name)
    return owner is None or owner in held


def _rules(
    each: Served, lingering: Mapping[str, frozenset[Address]], home: Home, estate: Estate
) -> Iterator[SecurityWish]:
    wish, uid = each.wish, each.service.uid
    if not wish.security or (wish.internal and not wish.sources.restricted):
        return
    for version in dict.fromkeys(front.version for front in each.fronts):
        rules = [rule for rule in each.rules if rule.front.version == version]
        for protocol in dict.fromkeys(rule.port.protocol if rule.port else _ANY for rule in rules):
            chosen = [rule for rule in rules if (rule.port.protocol if rule.port else _ANY) == protocol]
            ports = tuple(sorted({rule.target for rule in chosen} - {0}))
            pools = {rule.pool for rule in chosen}
            targets = frozenset[Address]().union(
                *(each.pools[pool] | lingering.get(pool, frozenset()) for pool in pools)
            )  # fmt: skip
            begin = "any" if protocol == _ANY else protocol.lower()
            for word, allow, sources in _sources(each, version, home, estate):
                name = home.names.security_rule(uid, version, f"{begin}-{word}")
                if wish.shared_rule:
                    kind = "allow" if allow else "deny"
                    name = home.names.shared_security_rule(str(version), protocol, kind, *sources, *map(str, ports))
                yield SecurityWish(
                    name, allow, _SPOKEN.get(protocol, _ANY), sources, ports, targets, frozenset({uid})
                )  # fmt: skip


def _sources(each: Served, version: int, home: Home, estate: Estate) -> Iterator[tuple[str, bool, tuple[str, ...]]]:
    """What stands at the end of a rule's name, whether it allows, and its sources."""
    wanted = each.wish.sources
    if not wanted.restricted:
        yield "allow", True, (_INTERNET,)
        return
    ranges = tuple(str(prefix) for prefix in _merged(wanted.ranges) if prefix.version == version)
    if ranges:
        yield "allow", True, ranges
    for tag in wanted.tags:
        yield f"t{hashlib.sha256(tag.encode()).hexdigest()[:7]}", True, (tag,)
    yield "probe", True, (_PROBES,)
    if each.wish.internal and not wanted.deny_all:
        # Pods and nodes go on to reach the pods by their own addresses, which a rule cannot tell from clients.
        own = [
            str(prefix)
            for subnet in _own_subnets(each, home, estate)
            for prefix in subnet.prefixes
            if prefix.version == version
        ]
        yield "own", True, tuple(own)
    yield "deny", False, (_ANY,) if each.wish.internal or wanted.deny_all else (_INTERNET,)


def _own_subnets(each: Served, home: Home, estate: Estate) -> list[Subnet]:
    """The subnets of the pods, and that of the nodes as far as it is known."""
    addresses = [address for members in each.pools.values() for address in members]
    return [subnet for subnet in estate.subnets if subnet.id == home.subnet or any(map(subnet.holds, addresses))]


def _targets(rule: Document) -> frozenset[Address]:
    """The single addresses that a rule is about."""
    inner = rule["properties"]
    every = inner.get("destinationAddressPrefixes") or [inner.get("destinationAddressPrefix", _ANY)]
    return frozenset(filter(None, map(_address, every)))


def _address(text: str) -> Address | None:
    """A single address; None for a range, and for a tag that somebody else has put there."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _merged(ranges: Iterable[Prefix]) -> list[Prefix]:
    return sorted(set(ranges), key=lambda each: (each.version, int(each.network_address), each.prefixlen))


def _document(wish: SecurityWish, priority: int, estate: Estate) -> Document:
    targets = [str(each) for each in sorted(wish.targets, key=int)]
    if len(targets) > ADDRESSES_PER_SECURITY_GROUP_SIDE:
        holding = [subnet for subnet in estate.subnets if any(map(subnet.holds, wish.targets))]
        version = next(iter(wish.targets)).version
        targets = [str(each) for subnet in holding for each in subnet.prefixes if each.version == version]
    inner: Document = {
        "priority": priority,
        "direction": "Inbound",
        "access": "Allow" if wish.allow else "Deny",
        "protocol": wish.protocol,
        "sourcePortRange": _ANY,
    }
    inner |= _side("sourceAddressPrefix", "sourceAddressPrefixes", wish.sources)
    inner |= _side("destinationAddressPrefix", "destinationAddressPrefixes", targets)
    inner |= _side("destinationPortRange", "destinationPortRanges", [str(each) for each in wish.ports] or [_ANY])
    return {"name": wish.name, "properties": inner}


def _side(one: str, many: str, values: Collection[str]) -> Document:
    return {one: next(iter(values)), many: []} if len(values) == 1 else {one: None, many: list(values)}


def _free(taken: set[int], *, allow: bool) -> int:
    """A priority that no rule has; 0, which is refused, when there is none."""
    every = range(_ALLOW_FROM, _DENY_FROM + 1) if allow else range(_DENY_FROM, _ALLOW_FROM - 1, -1)
    found = next((each for each in every if each not in taken), 0)
    taken.add(found)
    return found
