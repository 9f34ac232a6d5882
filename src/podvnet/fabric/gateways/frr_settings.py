"""What FRR is told of a BGP speaker: the file it begins with, and the commands that turn one speaker into another.

Sources: FRR user guide, "BGP", "BFD"; Azure document "About BGP with Azure VPN Gateway" (keepalive 60 s, hold 180 s).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podvnet.model.address import Prefix
from podvnet.plan.appliances import OTHER_SIDE
from podvnet.plan.speakers import Neighbor, Speaker

REFUSED, WITHHELD, HEARD = "refused", "withheld", "heard"
_KEEPALIVE, _HOLD, _CONNECT = 60, 180, 3
_HOPS = 16
_PATHS = 4
_LENGTH = 32


ZEBRA = "no zebra nexthop kernel enable\n"
"""``zebra.conf``. A next hop that the kernel has not taken, because its link was down just then, zebra never gives it
again; a route it gives again."""


def settings(speaker: Speaker) -> str:
    """``frr.conf``. It holds passwords."""
    lines = [*_lists(speaker), *_head(speaker)]
    for neighbor in speaker.neighbors:
        lines += _session(neighbor)
    lines += [" address-family ipv4 unicast", f"  maximum-paths {_PATHS}", *_networks(speaker.networks)]
    for neighbor in speaker.neighbors:
        lines += _routes(neighbor)
    lines += [" exit-address-family", "exit"]
    return "".join(f"{line}\n" for line in lines)


def ways(speaker: Speaker) -> tuple[str, ...]:
    """``staticd.conf``: what leads to neighbors behind tunnels.

    They are not routes of the kernel's own, which zebra takes for good whether their links are up or not.
    """
    hops = {each.address: each.hop for each in speaker.neighbors}
    return tuple(
        f"ip route {address}/32 {OTHER_SIDE[4]} {each.link} onlink {each.rank + 1}"
        for each in speaker.ways
        for address in (each.address, hops.get(each.address))
        if address
    )


def changes(before: Speaker, after: Speaker) -> tuple[str, ...] | None:
    """The commands that make one speaker another, without a word to neighbors that stay.

    None when it must begin anew.
    """
    if _head(before) != _head(after) or before.namespace != after.namespace:
        return None
    found: list[str] = []
    if _lists(before) != _lists(after):
        found += [f"no ip prefix-list {name}" for name in (REFUSED, WITHHELD)]
        found += _lists(after)
    old, new = set(before.neighbors), set(after.neighbors)
    gone = [f" no neighbor {each.address}" for each in before.neighbors if each not in new]
    come = [each for each in after.neighbors if each not in old]
    inside = [f"  no network {each}" for each in before.networks if each not in after.networks]
    inside += _networks(each for each in after.networks if each not in before.networks)
    for each in come:
        inside += _routes(each)
    if gone or come or inside:
        found += [f"router bgp {after.asn}", *gone, *(line for each in come for line in _session(each))]
        found += [" address-family ipv4 unicast", *inside, " exit-address-family", "exit"]
    return tuple(each.strip() for each in found)


def filters(speaker: Speaker) -> list[str]:
    """What decides about all routes alike: what was told or heard before another one holds is asked again."""
    out = [f"deny {each}" for each in speaker.withheld]
    if speaker.own:
        out += [f"permit {each}" for each in speaker.networks if each not in speaker.withheld]
        out += dict.fromkeys(line for each in speaker.own for line in _overlapping(each))
    return [*_list(REFUSED, [f"deny {each}" for each in speaker.refused]), *_list(WITHHELD, out)]


def _lists(speaker: Speaker) -> list[str]:
    found = filters(speaker)
    for neighbor in speaker.neighbors:
        found += _heard(neighbor)
    return found


def _list(name: str, lines: list[str]) -> Iterator[str]:
    for place, line in enumerate((*lines, "permit 0.0.0.0/0 le 32"), 1):
        yield f"ip prefix-list {name} seq {place} {line}"


def _overlapping(prefix: Prefix) -> Iterator[str]:
    """Lines that deny what is within a prefix, itself included, and what holds it; nothing of the default route."""
    yield f"deny {prefix} le 32" if prefix.prefixlen < _LENGTH else f"deny {prefix}"
    for length in range(1, prefix.prefixlen):
        yield f"deny {prefix.supernet(new_prefix=length)}"


def _heard(neighbor: Neighbor) -> Iterator[str]:
    """What becomes of what a neighbor says."""
    if _is_altered(neighbor):
        yield f"route-map {HEARD}-{neighbor.address} permit 10"
        if neighbor.preference:
            yield f" set local-preference {neighbor.preference}"
        if neighbor.hop:
            yield f" set ip next-hop {neighbor.hop}"
        yield "exit"


def _is_altered(neighbor: Neighbor) -> bool:
    return bool(neighbor.preference or neighbor.hop)


def _head(speaker: Speaker) -> list[str]:
    return [
        f"router bgp {speaker.asn}",
        f" bgp router-id {speaker.identifier}",
        " bgp log-neighbor-changes",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " bgp bestpath as-path multipath-relax",
        f" timers bgp {_KEEPALIVE} {_HOLD}",
    ]


def _session(neighbor: Neighbor) -> Iterator[str]:
    who = f" neighbor {neighbor.address}"
    yield f"{who} remote-as {neighbor.asn}"
    yield f"{who} timers connect {_CONNECT}"
    if neighbor.source:
        yield f"{who} update-source {neighbor.source}"
    if not neighbor.adjacent:
        yield f"{who} ebgp-multihop {_HOPS}"
    if neighbor.password:
        yield f"{who} password {neighbor.password}"
    if neighbor.bfd:
        yield f"{who} bfd"


def _routes(neighbor: Neighbor) -> Iterator[str]:
    who = f"  neighbor {neighbor.address}"
    yield f"{who} activate"
    yield f"{who} soft-reconfiguration inbound"
    yield f"{who} prefix-list {REFUSED} in"
    yield f"{who} prefix-list {WITHHELD} out"
    if _is_altered(neighbor):
        yield f"{who} route-map {HEARD}-{neighbor.address} in"
    if neighbor.weight:
        yield f"{who} weight {neighbor.weight}"
    if neighbor.limit:
        yield f"{who} maximum-prefix {neighbor.limit}"


def _networks(prefixes: Iterable[Prefix]) -> list[str]:
    return [f"  network {each}" for each in prefixes]
