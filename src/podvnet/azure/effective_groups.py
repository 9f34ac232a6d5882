"""The resource manager's answer to the question which security rules hold at a NIC.

Service tags and application security groups are prefixes there already. ``Internet`` may stand for itself: it is what
``VirtualNetwork`` is not.
Source: Azure REST reference "Network Interfaces - List Effective Network Security Groups".
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from podvnet.azure.error import bad_document
from podvnet.model.address import Prefix
from podvnet.model.nic_security import NicSecurity
from podvnet.model.resource_id import parse
from podvnet.model.security import ALL_PORTS, Direction, PortRange, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.service_tag import VIRTUAL_NETWORK

Document = dict[str, Any]

QUESTION = "effectiveNetworkSecurityGroups"

_PROTOCOLS = {"all": Protocol.ANY} | {str(each).lower(): each for each in Protocol}
_EVERYWHERE = {"*", "any"}
_EVERYWHERE4, _EVERYWHERE6 = "0.0.0.0/0", "::/0"


def read_groups(document: Document, source: str) -> NicSecurity:
    """Read an answer.

    Raises:
        SourceError: it has another shape, or says what cannot be enforced without knowing more. Nothing is guessed:
            half of the rules may allow what the whole of them denies.
    """
    try:
        return _read(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise bad_document(source, f"{type(error).__name__}: {error}") from error


def _read(document: Document) -> NicSecurity:
    if document.get("nextLink"):
        msg = "it goes on at another address"
        raise ValueError(msg)
    answers: list[Document] = document["value"]
    tell_families = any(_EVERYWHERE6 in _words(rule, side) for rule, side in _sides(answers))
    found: dict[str, SecurityGroup] = {}
    for answer in answers:
        place = _place(answer["association"])
        if place in found:
            msg = f"two groups of one {place}"
            raise ValueError(msg)
        rules = (_rule(each, tell_families=tell_families) for each in answer["effectiveSecurityRules"])
        ordered = sorted((rule for rule in rules if rule), key=lambda rule: rule.priority)
        found[place] = SecurityGroup(parse(answer["networkSecurityGroup"]["id"]), tuple(ordered))
    virtual_network = _virtual_network(answers)
    if found and not virtual_network:
        msg = f"what {VIRTUAL_NETWORK} means is nowhere said"
        raise ValueError(msg)
    return NicSecurity(found.get("networkInterface"), found.get("subnet"), virtual_network)


def _place(association: Document) -> str:
    for place in ("networkInterface", "subnet"):
        if association.get(place):
            return place
    msg = f"rules that are neither of the NIC nor of its subnet: {association}"
    raise ValueError(msg)


def _sides(answers: list[Document]) -> list[tuple[Document, str]]:
    return [
        (rule, side)
        for answer in answers
        for rule in answer["effectiveSecurityRules"]
        for side in ("source", "destination")
    ]


def _virtual_network(answers: list[Document]) -> tuple[Prefix, ...]:
    """What VirtualNetwork means: every rule that names it says so, and so may the map of tags."""
    for rule, side in _sides(answers):
        if VIRTUAL_NETWORK in _words(rule, side) and (expanded := _expanded(rule, side)):
            return tuple(map(_prefix, expanded))
    for answer in answers:
        if listed := (answer.get("tagMap") or {}).get(VIRTUAL_NETWORK):
            return tuple(map(_prefix, listed))
    return ()


def _rule(rule: Document, *, tell_families: bool) -> SecurityRule | None:
    """A rule; None for one that names only groups without members, and so no packet."""
    source = _side(rule, "source", tell_families=tell_families)
    destination = _side(rule, "destination", tell_families=tell_families)
    access = {"allow": True, "deny": False}[rule["access"].lower()]
    if source is None or destination is None:
        return None
    return SecurityRule(
        # The name becomes a comment in the kernel.
        re.sub(r"[^A-Za-z0-9_./-]", "_", rule["name"])[:100],
        int(rule["priority"]),
        Direction(rule["direction"].capitalize()),
        access,
        _PROTOCOLS[rule["protocol"].lower()],
        source,
        destination,
    )


def _side(rule: Document, side: str, *, tell_families: bool) -> Side | None:
    """One side of a rule; None for no address at all.

    ``0.0.0.0/0`` alone is every address, unless the answer has ``::/0`` somewhere and so tells IP versions apart.
    """
    words = _words(rule, side)
    ports = _ports(rule, side)
    everywhere = {_EVERYWHERE4, _EVERYWHERE6} if tell_families else {_EVERYWHERE4}
    if everywhere <= set(words) or any(word.lower() in _EVERYWHERE for word in words):
        return Side(ports=ports)
    tags = [word for word in words if not _is_prefix(word)]
    prefixes = [_prefix(word) for word in words if _is_prefix(word)]
    expanded = _expanded(rule, side)
    if expanded:
        return Side((*prefixes, *map(_prefix, expanded)), ports=ports)
    if len(tags) > 1:
        msg = f"{rule['name']}: it is not said what {', '.join(tags)} mean"
        raise ValueError(msg)
    if not prefixes and not tags:
        return None
    return Side(tuple(prefixes), tags[0] if tags else "", ports=ports)


def _words(rule: Document, side: str) -> list[str]:
    several = rule.get(f"{side}AddressPrefixes")
    return [each for each in several or [rule.get(f"{side}AddressPrefix")] if each]


def _expanded(rule: Document, side: str) -> list[str]:
    return rule.get(f"expanded{side.capitalize()}AddressPrefix") or []


def _is_prefix(word: str) -> bool:
    return word[0].isdigit() or ":" in word


def _prefix(text: str) -> Prefix:
    return ip_network(text, strict=False)


def _ports(rule: Document, side: str) -> tuple[PortRange, ...]:
    texts = rule.get(f"{side}PortRanges") or [rule[f"{side}PortRange"]]
    found = tuple(_range(text) for text in texts)
    return ALL_PORTS if ALL_PORTS[0] in found else found


def _range(text: str) -> PortRange:
    if text == "*":
        return ALL_PORTS[0]
    first, _, last = text.partition("-")
    return int(first), int(last or first)
