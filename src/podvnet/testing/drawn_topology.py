"""Topologies as hypothesis draws them: valid, small, and such that what is in them gets in one another's way.

Up to three virtual networks, peered with one another or not, perhaps with the same addresses; subnets with security
groups and route tables; NICs with several addresses, appliances among them, on VMs that run or do not. Prefixes, ports,
tags and groups come from small pools, so that rules overlap each other and meet the packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeVar

from hypothesis import strategies as st

from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.address import Prefix
from podvnet.testing.drawn_rule import Places, security_rules
from podvnet.testing.scenario import Port, Topology

HOSTS = ("198.51.100.10", "20.60.200.10", "40.79.128.5")
"""Of the internet: somebody's, and two that the tags Storage and Sql hold."""
_NETWORKS = ("hub", "one", "two")
_GROUPS, _TABLES = ("g0", "g1", "g2"), ("t0", "t1")
_TAGS = ("Storage", "Sql", "AzureCloud", "Storage.WestEurope")
_ENDPOINTS = (["Microsoft.Storage"], ["Microsoft.Sql"], ["Microsoft.Sql", "Microsoft.Storage"])
_MOST_MACHINES = 8
_LENGTH = 24
"""Of every IPv4 subnet's prefix."""

T = TypeVar("T")


@dataclass(slots=True)
class _Subnet:
    network: str
    name: str
    prefixes: tuple[Prefix, ...]
    properties: Document

    @property
    def id(self) -> str:
        return f"virtualNetworks/{self.network}/subnets/{self.name}"


@dataclass(slots=True)
class _Network:
    name: str
    space: list[Prefix]
    subnets: list[_Subnet] = field(default_factory=list)
    peerings: list[Document] = field(default_factory=list)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """A topology with at least two VMs that run. In most an appliance of the hub is the next hop of the rest."""
    chained = _one(draw, True, True, False)
    networks = _networks(draw, chained)
    groups = {network.name: [f"{network.name}-a", f"{network.name}-b"] for network in networks}
    ports, interfaces = _machines(draw, networks, groups, chained)
    places = Places(
        spaces=[prefix for network in networks for prefix in network.space],
        subnets=[prefix for network in networks for subnet in network.subnets for prefix in subnet.prefixes],
        addresses=[address for port in ports for address in port.addresses],
        appliances=[address for port in ports if port.forwarding for address in port.addresses],
        hosts=list(HOSTS),
        groups=groups,
    )
    resources: list[Document] = [
        *(_resource(INTERNET_HOSTS, f"host{i}", {"address": host}) for i, host in enumerate(HOSTS)),
        *(_resource(APPLICATION_GROUPS, name, {}) for names in groups.values() for name in names),
        *(_resource(SECURITY_GROUPS, name, {"securityRules": draw(security_rules(places))}) for name in _GROUPS),
        *(
            _resource(ROUTE_TABLES, name, {"routes": _routes(draw, places, chained and name == _TABLES[0])})
            for name in _TABLES
        ),
        *(_network_resource(network) for network in networks),
        *interfaces,
    ]
    machines: dict[str, list[Port]] = {}
    for port in ports:
        if port.machine:
            machines.setdefault(port.machine, []).append(port)
    resources += [_machine_resource(name, own) for name, own in machines.items()]
    return Topology(tuple(resources), tuple(ports))


def _resource(full_type: str, name: str, properties: Document) -> Document:
    return {"type": full_type, "name": name, "properties": properties}


def _one(draw: st.DrawFn, *values: T) -> T:
    return draw(st.sampled_from(values))


# -- virtual networks


def _networks(draw: st.DrawFn, chained: bool) -> list[_Network]:
    wide = _one(draw, False, False, False, True)
    hub = ["10.0.0.0/8"] if wide else ["10.1.0.0/16", *_one(draw, [], ["100.64.0.0/24"])]
    one = "172.20.0.0/16" if wide else _one(draw, "10.2.0.0/16", "172.20.0.0/16")
    two = _one(draw, "192.168.0.0/20", "20.60.8.0/22", one)
    networks = []
    for position, four in enumerate((hub, [one], [two])):
        dual = _one(draw, True, True, True, True, False)
        block = 1 if position == 2 and two == one else position
        space: list[Prefix] = [ip_network(text) for text in four]
        networks.append(_Network(_NETWORKS[position], [*space, *([ip_network(f"fd00:{block}::/48")] if dual else [])]))
    _peer(draw, networks[0], networks[1], _one(draw, True, True, True, False))
    # Two that have the same addresses are strangers to each other, and to whom they might both be peered with.
    if two != one:
        _peer(draw, networks[0], networks[2], _one(draw, True, True, True, False))
        _peer(draw, networks[1], networks[2], _one(draw, True, False, False))
    for network in networks:
        network.subnets += (_subnet(draw, network, number, chained) for number in range(2))
    return networks


def _subnet(draw: st.DrawFn, network: _Network, number: int, chained: bool) -> _Subnet:
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
    tables = ([_TABLES[0]] * 8, [""] * 16)[number] if chained else []
    group, table = _one(draw, "", *_GROUPS), _one(draw, *tables, *_TABLES, "")
    if group:
        properties["networkSecurityGroup"] = {"id": f"networkSecurityGroups/{group}"}
    if table:
        properties["routeTable"] = {"id": f"routeTables/{table}"}
    if _one(draw, False, False, False, True):
        properties["defaultOutboundAccess"] = False
    if endpoints := _one(draw, [], [], [], [], *_ENDPOINTS):
        properties["serviceEndpoints"] = [{"service": service} for service in endpoints]
    return _Subnet(network.name, f"s{number}", tuple(prefixes), properties)


def _peer(draw: st.DrawFn, one: _Network, other: _Network, peered: bool) -> None:
    if not peered:
        return
    sides = [(one, other), (other, one)]
    if _one(draw, *[False] * 9, True):
        sides.pop()  # a peering that only one side has carries nothing
    for near, far in sides:
        near.peerings.append(
            {
                "name": f"to-{far.name}",
                "properties": {
                    "remoteVirtualNetwork": {"id": f"virtualNetworks/{far.name}"},
                    "allowVirtualNetworkAccess": _one(draw, *[True] * 6, False),
                    "allowForwardedTraffic": _one(draw, True, True, True, False),
                },
            }
        )


def _network_resource(network: _Network) -> Document:
    return _resource(
        VIRTUAL_NETWORKS,
        network.name,
        {
            "addressSpace": {"addressPrefixes": [str(prefix) for prefix in network.space]},
            "subnets": [{"name": subnet.name, "properties": subnet.properties} for subnet in network.subnets],
            "virtualNetworkPeerings": network.peerings,
        },
    )


# -- NICs and VMs


def _machines(
    draw: st.DrawFn, networks: Sequence[_Network], groups: dict[str, list[str]], chained: bool
) -> tuple[list[Port], list[Document]]:
    ports: list[Port] = []
    interfaces: list[Document] = []
    for number in range(draw(st.integers(5, _MOST_MACHINES))):
        # The first is mostly an appliance of the hub, the second a VM elsewhere; these two always run.
        network = networks[0] if number == 0 else _one(draw, *networks, *networks[:2])
        forwarding = (chained and number == 0) or _one(draw, False, False, False, False, True)
        state = _one(draw, *["runs"] * 7, "stopped", "bare") if number > 1 else "runs"
        subnet = _one(draw, *network.subnets[forwarding:][:1] * (12 if forwarding else 2), *network.subnets)
        # What an appliance forwards leaves it by the NIC it came by only where there is no other.
        count = 1 if forwarding or state == "bare" else _one(draw, 1, 1, 1, 2)
        for position in range(count):
            name = f"n{number}{position}"
            host = 4 + 10 * number + 5 * position
            configurations = _configurations(draw, subnet, host, groups[network.name])
            properties: Document = {"enableIPForwarding": forwarding, "ipConfigurations": configurations}
            if group := _one(draw, "", "", *_GROUPS):
                properties["networkSecurityGroup"] = {"id": f"networkSecurityGroups/{group}"}
            interfaces.append(_resource(NETWORK_INTERFACES, name, properties))
            addresses = tuple(ip_address(each["properties"]["privateIPAddress"]) for each in configurations)
            machine = "" if state == "bare" else f"m{number}"
            ports.append(Port(name, machine, position, state == "runs", forwarding, addresses))
    return ports, interfaces


def _configurations(draw: st.DrawFn, subnet: _Subnet, host: int, groups: list[str]) -> list[Document]:
    """One to three addresses of the IPv4 prefix, none to two of the IPv6 prefix."""
    counts = {4: _one(draw, 1, 1, 2, 3), 6: _one(draw, 0, 1, 1, 1, 1, 2)}
    made: list[Document] = []
    for prefix in subnet.prefixes:
        for number in range(counts[prefix.version]):
            joined = _one(draw, [], [], groups[:1], groups[1:], groups)
            properties: Document = {
                "primary": not made,
                "privateIPAddressVersion": f"IPv{prefix.version}",
                "privateIPAllocationMethod": "Static",
                "privateIPAddress": str(prefix.network_address + host + number),
                "subnet": {"id": subnet.id},
            }
            if joined:
                properties["applicationSecurityGroups"] = [{"id": f"applicationSecurityGroups/{g}"} for g in joined]
            made.append({"name": f"c{len(made)}", "properties": properties})
    return made


def _machine_resource(name: str, ports: Sequence[Port]) -> Document:
    listed = [{"id": f"networkInterfaces/{port.name}", "properties": {"primary": port.position == 0}} for port in ports]
    return _resource(VIRTUAL_MACHINES, name, {"networkProfile": {"networkInterfaces": listed}})


# -- routes


def _routes(draw: st.DrawFn, places: Places, chained: bool) -> list[Document]:
    prefixes = [
        *["0.0.0.0/0"] * 3, *["::/0"] * 2, "10.0.0.0/8", "172.16.0.0/12", "fd00::/16", *_TAGS,
        *[*map(str, places.spaces)] * (20 if chained else 4), *[*map(str, places.subnets)] * (12 if chained else 3),
        *(f"{address}/{address.max_prefixlen}" for address in (*places.addresses, *map(ip_address, places.hosts))),
    ]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(prefixes), min_size=3 if chained else 0, max_size=7, unique=True))
    return [
        {"name": f"r{position}", "properties": {"addressPrefix": prefix, **_next_hop(draw, prefix, places, chained)}}
        for position, prefix in enumerate(chosen)
    ]


def _next_hop(draw: st.DrawFn, prefix: str, places: Places, chained: bool) -> dict[str, Any]:
    kinds = ["None", "Internet", "VnetLocal", "VirtualNetworkGateway"]
    kind = _one(draw, *["VirtualAppliance"] * (24 if chained else 5), *kinds)
    if kind != "VirtualAppliance":
        return {"nextHopType": kind}
    version = 6 if ":" in prefix else 4
    nowhere = {4: ip_address("10.1.1.99"), 6: ip_address("fd00:0:0:1::99")}[version]
    likely = [each for each in places.appliances if each.version == version]
    hops = [*likely[:1] * (60 if chained else 5), *likely * 8, *places.addresses, nowhere]
    hop = _one(draw, *(address for address in hops if address.version == version or prefix in _TAGS))
    return {"nextHopType": kind, "nextHopIpAddress": str(hop)}
