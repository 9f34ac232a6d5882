"""What a question is answered, as far as that can be told without asking anybody.

Pure. Private zones go first, that of Azure's own names for a virtual network among them; then the reverse names of
private addresses, then the fabric's public names, of which those of services with private endpoints are aliases; all
else is for public DNS. A name that a zone has not is not there,
unless the link says otherwise. Sources: Azure documents "Fallback to internet for Azure Private DNS zones", "What is IP
address 168.63.129.16?", "Name resolution for resources in Azure virtual networks".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from podvnet.fabric.arm.private_dns_links import REGISTERED_TTL
from podvnet.fabric.dns.public_names import PUBLIC_TTL
from podvnet.fabric.dns.view import View
from podvnet.fabric.dns.zone import Node, Zone
from podvnet.model.address import Address
from podvnet.model.dns import RecordSet

ANY = "ANY"
_LONGEST_CHAIN = 16
"""Aliases that are followed."""
NO_ERROR, FAILED, NO_SUCH_NAME = "NOERROR", "SERVFAIL", "NXDOMAIN"


@dataclass(frozen=True, slots=True)
class Resolution:
    """An answer, or how far it goes.

    Attributes:
        rcode: how the question ended.
        answers: owner names and what they have, aliases first.
        authority: the zone's name and its record, where something is not there.
        forward: the name that public DNS is to be asked for, to go on from the answers; empty for none.
    """

    rcode: str = NO_ERROR
    answers: tuple[tuple[str, RecordSet], ...] = ()
    authority: tuple[str, RecordSet] | None = None
    forward: str = ""


def resolve(view: View, name: str, kind: str) -> Resolution:
    """Answer a question in a virtual network.

    Args:
        view: of the virtual network.
        name: in lower case, without a dot at its end.
        kind: the type of record, or :data:`ANY`.
    """
    found: list[tuple[str, RecordSet]] = []
    while len(found) < _LONGEST_CHAIN:
        step = _step(view, name, kind)
        alias = _alias(step, kind)
        found += step.answers
        if alias is None:
            return replace(step, answers=tuple(found))
        name = alias
    return Resolution(FAILED)


def _step(view: View, name: str, kind: str) -> Resolution:
    """The answer without following an alias."""
    zone = view.zone_of(name)
    if zone is not None:
        node = zone.find(name)
        if node is not None:
            return _of_node(zone, name, node, kind)
        if not zone.redirect:
            return Resolution(NO_SUCH_NAME, authority=(zone.name, zone.authority))
    hosts = view.hosts_at(name)
    if hosts is not None:
        return _of_reverse(name, hosts, kind)
    if name in view.aliases:
        return Resolution(answers=((name, RecordSet("", "CNAME", PUBLIC_TTL, (f"{view.aliases[name]}.",))),))
    if name in view.public:
        return Resolution(answers=tuple((name, each) for each in _public_sets(view.public[name], kind)))
    return Resolution(forward=name)


def _of_node(zone: Zone, name: str, node: Node, kind: str) -> Resolution:
    chosen = tuple((name, each) for each in node.values() if kind in {each.type, ANY})
    if not chosen and "CNAME" in node:
        chosen = ((name, node["CNAME"]),)
    if chosen:
        return Resolution(answers=chosen)
    return Resolution(authority=(zone.name, zone.authority))


def _public_sets(addresses: tuple[Address, ...], kind: str) -> Iterator[RecordSet]:
    """The addresses of a public name, a set for each IP version that is asked for."""
    for version, own in ((4, "A"), (6, "AAAA")):
        data = tuple(str(each) for each in addresses if each.version == version)
        if data and kind in {own, ANY}:
            yield RecordSet("", own, PUBLIC_TTL, data)


def _of_reverse(name: str, hosts: list[str], kind: str) -> Resolution:
    suffix = ".".join(name.split(".")[-2:])
    authority = (suffix, Zone(suffix, ()).authority)
    if not hosts:
        return Resolution(NO_SUCH_NAME, authority=authority)
    if kind not in {"PTR", ANY}:
        return Resolution(authority=authority)
    return Resolution(answers=((name, RecordSet("", "PTR", REGISTERED_TTL, tuple(f"{each}." for each in hosts))),))


def _alias(step: Resolution, kind: str) -> str | None:
    """The name to go on with, where an answer is an alias and was not asked for as such."""
    if len(step.answers) == 1 and step.answers[0][1].type == "CNAME" and kind not in {"CNAME", ANY}:
        return step.answers[0][1].data[0].rstrip(".").lower()
    return None
