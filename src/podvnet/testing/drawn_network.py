"""Virtual networks as hypothesis draws them: up to three, peered or not, perhaps with the same addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import strategies as st

from podvnet.fabric.arm.world import VIRTUAL_NETWORKS, Document
from podvnet.model.address import Prefix
from podvnet.testing.drawn_choice import one

GROUPS, TABLES = ("g0", "g1", "g2"), ("t0", "t1")
"""The security groups and route tables that subnets may have."""
_NETWORKS = ("hub", "one", "two")
_ENDPOINTS = (["Microsoft.Storage"], ["Microsoft.Sql"], ["Microsoft.Sql", "Microsoft.Storage"])
_LENGTH = 24
"""Of every IPv4 subnet's prefix."""


@dataclass(slots=True)
class DrawnSubnet:
    """A subnet, of the virtual network of that name."""

    network: str
    name: str
    prefixes: tuple[Prefix, ...]
    properties: Document

    @property
    def id(self) -> str:
        """As ids in files are."""
        return f"virtualNetworks/{self.network}/subnets/{self.name}"


@dataclass(slots=True)
class DrawnNetwork:
    """A virtual network. ``space``: its prefixes; ``reserved``: subnets that no NIC is in."""

    name: str
    space: list[Prefix]
    subnets: list[DrawnSubnet] = field(default_factory=list)
    reserved: list[DrawnSubnet] = field(default_factory=list)
    peerings: list[Document] = field(default_factory=list)


def draw_networks(draw: st.DrawFn, *, chained: bool) -> list[DrawnNetwork]:
    """The virtual networks; ``chained``: the first subnets are clients of an appliance in the second of the hub."""
    wide = one(draw, False, False, False, True)
    hub = ["10.0.0.0/8"] if wide else ["10.1.0.0/16", *one(draw, [], ["100.64.0.0/24"])]
    second = "172.20.0.0/16" if wide else one(draw, "10.2.0.0/16", "172.20.0.0/16")
    two = one(draw, "192.168.0.0/20", "20.60.8.0/22", second)
    networks = []
    for position, four in enumerate((hub, [second], [two])):
        dual = one(draw, True, True, True, True, False)
        block = 1 if position == 2 and two == second else position
        space: list[Prefix] = [ip_network(text) for text in four]
        networks.append(
            DrawnNetwork(_NETWORKS[position], [*space, *([ip_network(f"fd00:{block}::/48")] if dual else [])])
        )
    _peer(draw, networks[0], networks[1], one(draw, True, True, True, False))
    # Two that have the same addresses are strangers to each other, and to whom they might both be peered with.
    if two != second:
        _peer(draw, networks[0], networks[2], one(draw, True, True, True, False))
        _peer(draw, networks[1], networks[2], one(draw, True, False, False))
    for network in networks:
        network.subnets += (_subnet(draw, network, number, chained) for number in range(2))
    return networks


def _subnet(draw: st.DrawFn, network: DrawnNetwork, number: int, chained: bool) -> DrawnSubnet:
    fours = [prefix for prefix in network.space if isinstance(prefix, IPv4Network)]
    sixes = [prefix for prefix in network.space if isinstance(prefix, IPv6Network)]
    base = fours[min(number, len(fours) - 1)]
    start = base.network_address if base.prefixlen == _LENGTH else base.network_address + 256 * (number + 1)
    prefixes: list[Prefix] = [ip_network(f"{start}/{_LENGTH}")]
    has_six = draw(st.integers(0, 6)) > 0
    if sixes and has_six:
        prefixes.append(ip_network(f"{sixes[0].network_address + ((number + 1) << 64)}/64"))
    properties: Document = {"addressPrefixes": [str(prefix) for prefix in prefixes]}
    # The first subnets are the clients of an appliance, which stands in the second: its routes lead not to itself.
    tables = ([TABLES[0]] * 8, [""] * 16)[number] if chained else []
    group, table = one(draw, "", *GROUPS), one(draw, *tables, *TABLES, "")
    if group:
        properties["networkSecurityGroup"] = {"id": f"networkSecurityGroups/{group}"}
    if table:
        properties["routeTable"] = {"id": f"routeTables/{table}"}
    if one(draw, False, False, False, True):
        properties["defaultOutboundAccess"] = False
    if endpoints := one(draw, [], [], [], [], *_ENDPOINTS):
        properties["serviceEndpoints"] = [{"service": service} for service in endpoints]
    return DrawnSubnet(network.name, f"s{number}", tuple(prefixes), properties)


def _peer(draw: st.DrawFn, near_end: DrawnNetwork, far_end: DrawnNetwork, peered: bool) -> None:
    if not peered:
        return
    sides = [(near_end, far_end), (far_end, near_end)]
    if one(draw, *[False] * 9, True):
        sides.pop()  # a peering that only one side has carries nothing
    for near, far in sides:
        near.peerings.append(
            {
                "name": f"to-{far.name}",
                "properties": {
                    "remoteVirtualNetwork": {"id": f"virtualNetworks/{far.name}"},
                    "allowVirtualNetworkAccess": one(draw, *[True] * 6, False),
                    "allowForwardedTraffic": one(draw, True, True, True, False),
                },
            }
        )


def network_resource(network: DrawnNetwork) -> Document:
    """As a file declares it."""
    return {
        "type": VIRTUAL_NETWORKS,
        "name": network.name,
        "properties": {
            "addressSpace": {"addressPrefixes": [str(prefix) for prefix in network.space]},
            "subnets": [
                {"name": subnet.name, "properties": subnet.properties}
                for subnet in (*network.subnets, *network.reserved)
            ],
            "virtualNetworkPeerings": network.peerings,
        },
    }
