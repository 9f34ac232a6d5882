"""The public addresses that are made for Services: which are wanted, and which are to go."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from podvnet.kube.arrangement import Served
from podvnet.kube.fitting import fits, without_none
from podvnet.kube.front import Front
from podvnet.kube.home import Document, Estate, Home
from podvnet.kube.part_names import CLUSTER_TAG, SERVICE_TAG, UID_TAG
from podvnet.kube.service_wish import Wish
from podvnet.model.resource_id import ResourceId, parse


@dataclass(frozen=True, slots=True)
class PublicChange:
    """A public address as it is to be, and the Service that it is for."""

    id: ResourceId
    document: Document
    mover: str


def plan_publics(served: Iterable[Served], home: Home, estate: Estate) -> list[PublicChange]:
    """The public addresses that are to be made, or changed."""
    found: dict[ResourceId, PublicChange] = {}
    for each in served:
        for front in each.fronts:
            if front.public is None:
                continue
            there = estate.publics.get(front.public.key)
            change = _change(each.wish, front, there, home) if front.owned else _labelled(each.wish, there)
            if change:
                found.setdefault(front.public, PublicChange(front.public, change, each.service.uid))
    return list(found.values())


def unwanted(
    served: Iterable[Served], held: Collection[str], home: Home, estate: Estate
) -> list[tuple[ResourceId, str]]:
    """The public addresses that were made for Services and are used by none: each with the Service it was for."""
    used = {front.public for each in served for front in each.fronts}
    for part in estate.parts("frontendIPConfigurations", internal=False):
        public = part["properties"].get("publicIPAddress")
        used.add(parse(public["id"]) if public else None)
    return [(each, owner) for each, owner in made(home, estate) if each not in used and owner not in held]


def made(home: Home, estate: Estate) -> list[tuple[ResourceId, str]]:
    """The public addresses that were made for Services of the cluster: each with the Service's uid."""
    found = []
    for document in estate.publics.values():
        tags = document.get("tags") or {}
        if tags.get(CLUSTER_TAG) == home.names.cluster and tags.get(UID_TAG):
            found.append((parse(document["id"]), tags[UID_TAG]))
    return found


def _change(wish: Wish, front: Front, there: Document | None, home: Home) -> Document | None:
    service = wish.service
    tags = dict(wish.tags) | {
        CLUSTER_TAG: home.names.cluster, SERVICE_TAG: service.spoken, UID_TAG: service.uid,
    }  # fmt: skip
    asked = next(each for each in wish.fronts if each.version == front.version)
    if there is not None:
        inner = dict(there["properties"])
        names = _names(wish, inner)
        failed = inner.get("provisioningState") == "Failed"
        if fits(there.get("tags") or {}, tags) and names == inner.get("dnsSettings") and not failed:
            return None
        inner["dnsSettings"] = names
        return {**there, "tags": {**(there.get("tags") or {}), **tags}, "properties": without_none(inner)}
    inner = {
        "publicIPAllocationMethod": "Static",
        "publicIPAddressVersion": f"IPv{front.version}",
        "publicIPPrefix": {"id": asked.prefix} if asked.prefix else None,
        "ipTags": [{"ipTagType": key, "tag": value} for key, value in wish.ip_tags] or None,
        "dnsSettings": {"domainNameLabel": wish.label} if wish.label else None,
    }
    return {"location": home.location, "sku": {"name": "Standard"}, "tags": tags, "properties": without_none(inner)}


def _labelled(wish: Wish, there: Document | None) -> Document | None:
    """Somebody else's public address with the label that is asked for; None when it has it."""
    if there is None or wish.label is None:
        return None
    names = _names(wish, there["properties"])
    if names == there["properties"].get("dnsSettings"):
        return None
    return {**there, "properties": without_none({**there["properties"], "dnsSettings": names})}


def _names(wish: Wish, inner: Document) -> Document | None:
    """The names of a public address; without a word about the label they are as they were."""
    there: Document | None = inner.get("dnsSettings")
    if wish.label is None or (there or {}).get("domainNameLabel", "") == wish.label:
        return there
    rest = {key: value for key, value in (there or {}).items() if key not in {"domainNameLabel", "fqdn"}}
    return (rest | ({"domainNameLabel": wish.label} if wish.label else {})) or None
