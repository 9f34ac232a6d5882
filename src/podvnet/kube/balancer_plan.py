"""The document of a load balancer with the parts that Services want, and all that is not ours as it was.

Pools list the pods' addresses: a pool of addresses is written by itself, in one request for all its members, and no NIC
is. Outbound translation is off, so that no rule changes how nodes reach the internet.
Source: Azure document "Backend pool management" (pools of addresses, for containers); REST reference "Load Balancers".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from podvnet.kube.arrangement import Rule, Served
from podvnet.kube.fitting import fits, without_none
from podvnet.kube.front import Front
from podvnet.kube.home import Document, Home
from podvnet.kube.part_names import CLUSTER_TAG, PartNames, member_name
from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId, parse

FRONTENDS, POOLS, PROBES, RULES = (
    "frontendIPConfigurations", "backendAddressPools", "probes", "loadBalancingRules",
)  # fmt: skip
_SPOKEN = {"TCP": "Tcp", "UDP": "Udp"}


@dataclass(frozen=True, slots=True)
class BalancerChange:
    """How a load balancer is to change.

    Attributes:
        document: the whole, as it is to be; None: it is to go.
        pools: names of pools that are all that changes; empty when more does.
        movers: uids of the Services that it changes for.
    """

    document: Document | None
    pools: tuple[str, ...]
    movers: frozenset[str]


def plan_balancer(
    there: Document | None, served: Iterable[Served], held: Collection[str], home: Home, *, internal: bool
) -> BalancerChange | None:
    """See how a load balancer is to change; None: not at all.

    Args:
        there: as it is; None when it is not there.
        served: Services; those of the other load balancer are passed over.
        held: uids of Services whose parts stay as they are.
        home: where things are made.
        internal: which load balancer.
    """
    resource = home.balancer(internal=internal)
    present = there["properties"] if there else {}
    lists = {kind: list(present.get(kind) or []) for kind in (FRONTENDS, POOLS, PROBES, RULES)}
    wanted = _wanted(resource, [each for each in served if each.wish.internal is internal], home)
    kept = _Kept(lists, held, home.names)
    merged: dict[str, list[Document]] = {}
    moved: dict[str, set[str]] = {}
    for kind, parts in lists.items():
        merged[kind], moved[kind] = _merge(parts, wanted[kind], lambda part, kind=kind: kept.keeps(kind, part))
    # What failed is there as it was written, and is not carried out.
    stuck = {each.service.uid for each in served if each.wish.internal is internal} if _failed(present) else set[str]()
    if not any(moved.values()) and not stuck:
        return None
    movers = {home.names.owner(name) for names in moved.values() for name in names}
    users = [each.service.uid for each in served for front in each.fronts if front.name in moved[FRONTENDS]]
    everybody = frozenset(filter(None, (*movers, *users, *stuck)))
    document = dict(there or {})
    tags = dict(document.get("tags") or {})
    if there is None:
        tags[CLUSTER_TAG] = home.names.cluster
    rest = any(present.get(kind) for kind in ("inboundNatRules", "outboundRules", "inboundNatPools"))
    if not any(merged.values()) and not rest and tags.get(CLUSTER_TAG) == home.names.cluster:
        return BalancerChange(None, (), everybody)
    document |= {"location": home.location, "tags": tags, "properties": {**present, **merged}}
    document.setdefault("sku", {"name": "Standard"})
    grown = moved[POOLS] <= {each["name"] for each in lists[POOLS]} & {each["name"] for each in merged[POOLS]}
    alone = grown and not stuck and not any(moved[kind] for kind in (FRONTENDS, PROBES, RULES))
    return BalancerChange(document, tuple(sorted(moved[POOLS])) if alone else (), everybody)


def pool_document(change: BalancerChange, name: str) -> Document:
    """One pool of a change, to be written by itself."""
    pools = change.document["properties"][POOLS] if change.document else []
    found: Document = next(each for each in pools if each["name"] == name)
    return found


def _failed(properties: Document) -> bool:
    return bool(properties.get("provisioningState") == "Failed")


class _Kept:
    """Which parts stay as they are: others' and those of Services that are held, with the frontends they need."""

    def __init__(self, lists: dict[str, list[Document]], held: Collection[str], names: PartNames) -> None:
        self._held, self._names = held, names
        self._needed = {
            parse(rule["properties"]["frontendIPConfiguration"]["id"]).name.lower()
            for rule in lists[RULES]
            if self._stays(rule)
        }

    def keeps(self, kind: str, part: Document) -> bool:
        return self._stays(part) or (kind == FRONTENDS and part["name"].lower() in self._needed)

    def _stays(self, part: Document) -> bool:
        owner = self._names.owner(part["name"])
        return owner is None or owner in self._held


def _merge(
    there: list[Document], wanted: dict[str, Document], keeps: Any
) -> tuple[list[Document], set[str]]:  # fmt: skip
    """The parts as they are to be, and the names of those that change."""
    merged, moved, left = [], set(), dict(wanted)
    for part in there:
        asked = left.pop(part["name"], None)
        if asked is None:
            if keeps(part):
                merged.append(part)
            else:
                moved.add(part["name"])
        elif fits(part, asked):
            merged.append(part)
        else:
            merged.append(without_none(asked))
            moved.add(part["name"])
    merged += map(without_none, left.values())
    return merged, moved | set(left)


def _wanted(resource: ResourceId, served: list[Served], home: Home) -> dict[str, dict[str, Document]]:
    wanted: dict[str, dict[str, Document]] = {kind: {} for kind in (FRONTENDS, POOLS, PROBES, RULES)}
    for each in served:
        for front in each.fronts:
            # A frontend that somebody else has made is used as it is.
            if home.names.owner(front.name):
                wanted[FRONTENDS].setdefault(front.name, _frontend(front))
        for name, addresses in each.pools.items():
            wanted[POOLS][name] = _pool(name, addresses, home)
        for rule in each.rules:
            wanted[RULES][rule.name] = _rule(resource, rule, each)
            if rule.probe:
                wanted[PROBES][rule.probe[0]] = _probe(rule)
    return wanted


def _frontend(front: Front) -> Document:
    if front.public:
        return {"name": front.name, "properties": {"publicIPAddress": {"id": str(front.public)}}}
    inner: Document = {"subnet": {"id": str(front.subnet)}, "privateIPAddressVersion": f"IPv{front.version}"}
    if front.fixed:
        inner |= {"privateIPAllocationMethod": "Static", "privateIPAddress": str(front.address)}
    else:
        inner["privateIPAllocationMethod"] = "Dynamic"
    return {"name": front.name, "properties": inner}


def _pool(name: str, addresses: frozenset[Address], home: Home) -> Document:
    network = {"id": str(home.subnet.parent)}
    members = [
        {"name": member_name(each), "properties": {"ipAddress": str(each)}} for each in sorted(addresses, key=int)
    ]
    return {"name": name, "properties": {"virtualNetwork": network, "loadBalancerBackendAddresses": members}}


def _probe(rule: Rule) -> Document:
    assert rule.probe  # noqa: S101 - the caller has looked
    name, wish, port = rule.probe
    return {
        "name": name,
        "properties": {
            "protocol": wish.protocol,
            "port": port,
            "requestPath": wish.path or None,
            "intervalInSeconds": wish.interval,
            "numberOfProbes": wish.count,
            "probeThreshold": wish.count,
        },
    }


def _rule(resource: ResourceId, rule: Rule, served: Served) -> Document:
    wish = served.wish
    probe = {"id": str(resource.child(PROBES, rule.probe[0]))} if rule.probe else None
    return {
        "name": rule.name,
        "properties": {
            "frontendIPConfiguration": {"id": str(resource.child(FRONTENDS, rule.front.name))},
            "backendAddressPool": {"id": str(resource.child(POOLS, rule.pool))},
            "probe": probe,
            "protocol": _SPOKEN[rule.port.protocol] if rule.port else "All",
            "frontendPort": rule.port.number if rule.port else 0,
            "backendPort": rule.target,
            "enableFloatingIP": False,
            "idleTimeoutInMinutes": wish.idle,
            "enableTcpReset": wish.tcp_reset,
            "loadDistribution": "SourceIP" if wish.service.sticky else "Default",
            "disableOutboundSnat": True,
        },
    }
