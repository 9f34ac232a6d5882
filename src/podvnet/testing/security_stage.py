"""The stage of the tests of security groups: rows of rules and flows, and what sets a row up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from podvnet.plan import names
from podvnet.testing.lab import execute
from podvnet.testing.stage import Resources, Stage, filled, stage
from podvnet.testing.traffic import Place

WORDS = {
    4: {"front": "10.1.1.0/24", "elsewhere": "10.99.0.0/16", "hub": "10.1.0.0/16", "world": "198.51.100.0/24"},
    6: {"front": "fd00:1:0:1::/64", "elsewhere": "fd99::/48", "hub": "fd00:1::/48", "world": "2001:db8:1::/48"},
}

Flow = tuple[str, str, str | tuple[str, ...], int, str]
"""Caller, called, protocols, port, what becomes of it."""


@dataclass(frozen=True)
class Row:
    """What a documented sentence means for packets.

    Attributes:
        groups: the rules of security groups; those not named have the default rules.
        flows: what becomes of which.
        more: what else of the file is different.
    """

    name: str
    groups: dict[str, list[dict[str, Any]]]
    flows: list[Flow]
    more: Callable[[Resources], None] | None = None
    versions: tuple[int, ...] = field(default=(4, 6))


def without_groups(*places: str) -> Callable[[Resources], None]:
    """No security group on NICs and subnets."""

    def change(resources: Resources) -> None:
        for place in places:
            if place in {"front", "back"}:
                network = resources["virtualNetworks/hub"]["properties"]
                subnet = next(each for each in network["subnets"] if each["name"] == place)
                del subnet["properties"]["networkSecurityGroup"]
            else:
                del resources[f"networkInterfaces/{place}"]["properties"]["networkSecurityGroup"]

    return change


def members(**groups: str) -> Callable[[Resources], None]:
    """Application security groups, each of some ip-configurations: ``web="b/pod4 b/pod6"``."""

    def change(resources: Resources) -> None:
        for group, places in groups.items():
            for nic, name in (place.split("/") for place in places.split()):
                configurations = resources[f"networkInterfaces/{nic}"]["properties"]["ipConfigurations"]
                properties = next(each for each in configurations if each["name"] == name)["properties"]
                member = {"id": f"applicationSecurityGroups/{group}"}
                properties["applicationSecurityGroups"] = [*properties.get("applicationSecurityGroups", []), member]

    return change


def routed(*prefixes: str) -> Callable[[Resources], None]:
    """User-defined routes of the subnet ``back`` that lead where the system's do."""

    def change(resources: Resources) -> None:
        resources["routeTables/back"]["properties"] = {
            "routes": [
                {"name": f"r{number}", "properties": {"addressPrefix": prefix, "nextHopType": "Internet"}}
                for number, prefix in enumerate(prefixes)
            ]
        }

    return change


def forwarding(*without: str) -> Callable[[Resources], None]:
    """The NIC of ``a2`` has IP forwarding; some places have no security group."""

    def change(resources: Resources) -> None:
        without_groups(*without)(resources)
        resources["networkInterfaces/a2"]["properties"]["enableIPForwarding"] = True

    return change


@contextmanager
def security_stage(file: Path) -> Iterator[Stage]:
    """Bring the file up, with the places that are no VMs: a pod, a stranger, the internet."""
    with stage(file) as made:
        addresses = {"b": ("10.1.2.50/32", "fd00:1:0:2::50/128"), "a2": ("192.0.2.7/32", "2001:db8:2::7/128")}
        for vm, added in addresses.items():
            for address in added:
                made.run(vm, "ip", "addr", "add", address, "dev", "lo")
        execute("ip", "-n", names.INTERNET, "addr", "add", "2001:db8:1::10/128", "dev", "lo")
        inside = made.lab.internet()
        made.places |= {
            "pod": Place(made.lab.vm("b"), {4: "10.1.2.50", 6: "fd00:1:0:2::50"}),
            "stranger": Place(made.lab.vm("a2"), {4: "192.0.2.7", 6: "2001:db8:2::7"}),
            "internet": Place(inside, {4: "198.51.100.10", 6: "2001:db8:1::10"}),
            "storage": Place(inside, {4: "20.60.0.10"}),
        }
        yield made


def set_up(net: Stage, groups: dict[str, list[dict[str, Any]]], version: int = 4) -> Resources:
    """The file's resources with the rules of some groups."""
    resources = net.declared
    words = {**net.words(version), **WORDS[version]}
    for group, rules in groups.items():
        resources[f"networkSecurityGroups/{group}"]["properties"] = {"securityRules": filled(rules, words)}
    return resources


def check(net: Stage, row: Row, version: int) -> None:
    """Set a row up and see what becomes of its flows.

    Raises:
        AssertionError: something else than it says.
    """
    resources = set_up(net, row.groups, version)
    if row.more:
        row.more(resources)
    net.apply(resources)
    flows = [
        (caller, called, protocol, port, expected)
        for caller, called, protocols, port, expected in row.flows
        for protocol in ((protocols,) if isinstance(protocols, str) else protocols)
    ]
    found = [(*each[:4], net.outcome(*each[:4], version=version)) for each in flows]
    differing = [f"{flow}: {was[-1]}" for flow, was in zip(flows, found, strict=True) if flow != was]
    if differing:
        raise AssertionError(f"{row.name}, IPv{version}: {'; '.join(differing)}")
