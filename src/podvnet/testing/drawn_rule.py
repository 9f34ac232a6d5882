"""Rules of security groups as hypothesis draws them: about few ports, few prefixes, few tags, so that they overlap."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from podvnet.fabric.arm.world import Document
from podvnet.model.address import Address, Prefix
from podvnet.testing.drawn_choice import one

_TAGS = (
    "VirtualNetwork", "VirtualNetwork", "Internet", "Internet", "AzureLoadBalancer", "Storage", "Storage.WestEurope",
    "Sql", "AzureCloud", "GatewayManager",
)  # fmt: skip
_PLATFORM_TAGS = (*["AzurePlatformIMDS"] * 3, *["AzurePlatformDNS"] * 3, "AzurePlatformLKM")
_PROTOCOLS = ("*", "*", "*", "Tcp", "Tcp", "Udp", "Icmp", "Esp", "Ah")
_DESTINATION_PORTS = (
    ["*"], ["*"], ["*"], ["80"], ["22-80"], ["53", "443"], ["443-65535"], ["0-52", "8080"],
)  # fmt: skip
_SOURCE_PORTS = (["*"], ["*"], ["*"], ["*"], ["*"], ["1000-1003"], ["40000-65535"], ["1002", "40004-40009"])
_LOWEST = 100


@dataclass(frozen=True, slots=True)
class Places:
    """What there is to name in a topology.

    Attributes:
        spaces, subnets: prefixes of virtual networks, of subnets.
        addresses: of NICs; ``appliances`` are those of NICs with IP forwarding.
        hosts: of the internet.
        groups: by virtual network, its application security groups.
    """

    spaces: list[Prefix]
    subnets: list[Prefix]
    addresses: list[Address]
    appliances: list[Address]
    hosts: list[str]
    groups: dict[str, list[str]]


@st.composite
def security_rules(draw: st.DrawFn, places: Places) -> list[Document]:
    """The rules of one group, in no order."""
    taken: set[tuple[str, int]] = set()
    rules = []
    for number in range(draw(st.integers(1, 10))):
        direction = one(draw, "Inbound", "Outbound")
        priority = draw(st.integers(_LOWEST, _LOWEST + 12))
        while (direction, priority) in taken:
            priority += 1
        taken.add((direction, priority))
        rules.append({"name": f"r{number}", "properties": _rule(draw, places, direction, priority)})
    return rules


def _rule(draw: st.DrawFn, places: Places, direction: str, priority: int) -> Document:
    properties: Document = {
        "priority": priority,
        "direction": direction,
        "access": one(draw, "Allow", "Deny"),
        "protocol": one(draw, *_PROTOCOLS),
        "sourcePortRanges": one(draw, *_SOURCE_PORTS),
        "destinationPortRanges": one(draw, *_DESTINATION_PORTS),
    }
    version, network = one(draw, 4, 4, 6), one(draw, *places.groups)
    for side in ("source", "destination"):
        if one(draw, *[False] * 3, True):
            members = draw(st.lists(st.sampled_from(places.groups[network]), min_size=1, max_size=2, unique=True))
            named = [{"id": f"applicationSecurityGroups/{group}"} for group in members]
            properties[f"{side}ApplicationSecurityGroups"] = named
        else:
            properties[f"{side}AddressPrefixes"] = _addresses(draw, places, version)
    if direction == "Outbound" and one(draw, *[False] * 5, True):
        properties.pop("destinationApplicationSecurityGroups", None)
        properties |= {"access": "Deny", "destinationAddressPrefixes": [one(draw, *_PLATFORM_TAGS)]}
        if one(draw, True, True, False):
            properties |= {"sourcePortRanges": ["*"], "protocol": one(draw, "*", "Tcp")}
    return properties


def _addresses(draw: st.DrawFn, places: Places, version: int) -> list[str]:
    """All, a tag, prefixes of one IP version, or a tag and prefixes."""
    kind = one(draw, "all", "all", "tag", "tag", "prefixes", "prefixes", "both")
    if kind == "all":
        return ["*"]
    tag = [one(draw, *_TAGS)] if kind in {"tag", "both"} else []
    if kind == "tag":
        return tag
    texts = [
        *map(str, places.spaces), *map(str, places.subnets), *map(str, places.addresses), *places.hosts,
        "0.0.0.0/0", "::/0", "20.0.0.0/8", "168.63.129.16", "2001:db8::/32",
    ]  # fmt: skip
    chosen = [text for text in texts if (":" in text) == (version == 6)]
    return [*tag, *draw(st.lists(st.sampled_from(chosen), min_size=1, max_size=3, unique=True))]
