"""Topologies as hypothesis draws them: valid, small, and such that what is in them gets in one another's way.

Up to three virtual networks; subnets with security groups and route tables; NICs with several addresses, appliances
among them, on VMs that run or do not; in most, public addresses, NAT gateways and load balancers; in half of them
gateways with sites on premises. Prefixes, ports, tags
and groups come from small pools, so that rules overlap each other and meet the packets.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import strategies as st

from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_MACHINES,
    Document,
)
from podvnet.testing.drawn_balancing import Balancing, draw_balancing
from podvnet.testing.drawn_choice import one
from podvnet.testing.drawn_gateways import draw_gateways
from podvnet.testing.drawn_network import GROUPS, TABLES, DrawnNetwork, DrawnSubnet, draw_networks, network_resource
from podvnet.testing.drawn_rule import Places, security_rules
from podvnet.testing.scenario import Port, Topology

HOSTS = ("198.51.100.10", "20.60.200.10", "40.79.128.5")
"""Of the internet: somebody's, and two that the tags Storage and Sql hold."""
_TAGS = ("Storage", "Sql", "AzureCloud", "Storage.WestEurope")
_MOST_MACHINES = 8


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """A topology with at least two VMs that run. In most an appliance of the hub is the next hop of the rest."""
    chained = one(draw, True, True, False)
    networks = draw_networks(draw, chained=chained)
    groups = {network.name: [f"{network.name}-a", f"{network.name}-b"] for network in networks}
    ports, interfaces = _machines(draw, networks, groups, chained)
    balancing = draw_balancing(draw, networks, interfaces) if one(draw, True, True, False) else Balancing()
    gateways, sites = draw_gateways(draw, networks) if one(draw, True, False) else ([], [])
    on_premises = sorted({prefix for site in sites for prefix in site["prefixes"]})
    places = Places(
        spaces=[*(prefix for network in networks for prefix in network.space), *map(ip_network, on_premises)],
        subnets=[prefix for network in networks for subnet in network.subnets for prefix in subnet.prefixes],
        addresses=[*(address for port in ports for address in port.addresses), *balancing.frontends],
        appliances=[address for port in ports if port.forwarding for address in port.addresses],
        hosts=list(HOSTS),
        groups=groups,
    )
    resources: list[Document] = [
        *(_resource(INTERNET_HOSTS, f"host{i}", {"address": host}) for i, host in enumerate(HOSTS)),
        *(_resource(APPLICATION_GROUPS, name, {}) for names in groups.values() for name in names),
        *(_resource(SECURITY_GROUPS, name, {"securityRules": draw(security_rules(places))}) for name in GROUPS),
        *(
            _resource(ROUTE_TABLES, name, {"routes": _routes(draw, places, chained and name == TABLES[0])})
            for name in TABLES
        ),
        *balancing.ways_out,
        *(network_resource(network) for network in networks),
        *balancing.balancers,
        *interfaces,
    ]
    machines: dict[str, list[Port]] = {}
    for port in ports:
        if port.machine:
            machines.setdefault(port.machine, []).append(port)
    resources += [_machine_resource(name, own) for name, own in machines.items()]
    return Topology(
        tuple(resources),
        tuple(ports),
        tuple(balancing.frontends),
        tuple(balancing.healthy),
        tuple(gateways),
        tuple(sites),
    )


def _resource(full_type: str, name: str, properties: Document) -> Document:
    return {"type": full_type, "name": name, "properties": properties}


# -- NICs and VMs


def _machines(
    draw: st.DrawFn, networks: Sequence[DrawnNetwork], groups: dict[str, list[str]], chained: bool
) -> tuple[list[Port], list[Document]]:
    ports: list[Port] = []
    interfaces: list[Document] = []
    for number in range(draw(st.integers(5, _MOST_MACHINES))):
        # The first is mostly an appliance of the hub, the second a VM elsewhere; these two always run.
        network = networks[0] if number == 0 else one(draw, *networks, *networks[:2])
        forwarding = (chained and number == 0) or one(draw, False, False, False, False, True)
        state = one(draw, *["runs"] * 7, "stopped", "bare") if number > 1 else "runs"
        subnet = one(draw, *network.subnets[forwarding:][:1] * (12 if forwarding else 2), *network.subnets)
        # What an appliance forwards leaves it by the NIC it came by only where there is no other.
        count = 1 if forwarding or state == "bare" else one(draw, 1, 1, 1, 2)
        for position in range(count):
            name = f"n{number}{position}"
            host = 4 + 10 * number + 5 * position
            configurations = _configurations(draw, subnet, host, groups[network.name])
            properties: Document = {"enableIPForwarding": forwarding, "ipConfigurations": configurations}
            if group := one(draw, "", "", *GROUPS):
                properties["networkSecurityGroup"] = {"id": f"networkSecurityGroups/{group}"}
            interfaces.append(_resource(NETWORK_INTERFACES, name, properties))
            addresses = tuple(ip_address(each["properties"]["privateIPAddress"]) for each in configurations)
            machine = "" if state == "bare" else f"m{number}"
            ports.append(Port(name, machine, position, state == "runs", forwarding, addresses))
    return ports, interfaces


def _configurations(draw: st.DrawFn, subnet: DrawnSubnet, host: int, groups: list[str]) -> list[Document]:
    """One to three addresses of the IPv4 prefix, none to two of the IPv6 prefix."""
    counts = {4: one(draw, 1, 1, 2, 3), 6: one(draw, 0, 1, 1, 1, 1, 2)}
    made: list[Document] = []
    for prefix in subnet.prefixes:
        for number in range(counts[prefix.version]):
            joined = one(draw, [], [], groups[:1], groups[1:], groups)
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
    kind = one(draw, *["VirtualAppliance"] * (24 if chained else 5), *kinds)
    if kind != "VirtualAppliance":
        return {"nextHopType": kind}
    version = 6 if ":" in prefix else 4
    nowhere = {4: ip_address("10.1.1.99"), 6: ip_address("fd00:0:0:1::99")}[version]
    likely = [each for each in places.appliances if each.version == version]
    hops = [*likely[:1] * (60 if chained else 5), *likely * 8, *places.addresses, nowhere]
    hop = one(draw, *(address for address in hops if address.version == version or prefix in _TAGS))
    return {"nextHopType": kind, "nextHopIpAddress": str(hop)}
