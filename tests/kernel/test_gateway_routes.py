"""Packets between virtual networks and on premises take the ways that Azure's documents say.

The gateways have plain links to the sites, where tunnels would be: what is under test is what virtual networks do. A
row says what is sent, which places see it in order, and which see the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import pytest

from podvnet.fabric.arm.world import (
    LOAD_BALANCERS,
    NETWORK_INTERFACES,
    PRIVATE_ENDPOINTS,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    STORAGE_ACCOUNTS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
)
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.testing.arena import Arena
from podvnet.testing.scenario import GATEWAY_SENDER, Port, Scenario, Sending, Topology

PRINTER, ROBOT, FRONTEND, ENDPOINT = "192.168.0.9", "172.18.0.9", "10.1.1.200", "10.1.2.50"
PLACES = {
    "hub": ("hub/plain", "10.1.1.4"),
    "deaf": ("hub/deaf", "10.1.3.4"),
    "nva": ("hub/edge", "10.1.2.4"),
    "spoke": ("spoke/plain", "10.2.1.4"),
    "apart": ("apart/plain", "10.3.1.4"),
}
SUBNETS = {
    "hub": {"plain": "10.1.1.0/24", "edge": "10.1.2.0/24", "deaf": "10.1.3.0/24", "GatewaySubnet": "10.1.200.0/27"},
    "spoke": {"plain": "10.2.1.0/24"},
    "apart": {"plain": "10.3.1.0/24"},
}
SPACES = {"hub": "10.1.0.0/16", "spoke": "10.2.0.0/16", "apart": "10.3.0.0/16"}
VPN, LINE = GATEWAY_SENDER + "vpn", GATEWAY_SENDER + "line"


@dataclass(frozen=True)
class Case:
    """What differs from two written prefixes on premises, without ExpressRoute.

    Attributes:
        written: what the office's and the factory's local network gateways have.
        up: the office's tunnel.
        learned: what ExpressRoute has learned from the office; None without such a gateway.
        routes: of route tables, by the subnet that has it; the table of ``hub/deaf`` lets no routes of gateways hold.
        rules: whom the security group of ``hub/plain`` denies, by direction.
    """

    name: str
    sent: tuple[tuple[str, str, str], ...]
    """Who sends, from and to which address (a word of ``WORDS`` or its own)."""
    ways: tuple[tuple[list[str], list[str] | None], ...]
    """For each the places that see it, and those that see the answer; None when there is none."""
    written: tuple[tuple[str, ...], tuple[str, ...]] = (("192.168.0.0/16",), ("172.18.0.0/16",))
    up: bool = True
    learned: tuple[str, ...] | None = None
    routes: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    rules: tuple[tuple[str, str], ...] = ()
    protocols: tuple[int, ...] = (TCP, UDP)


CASES = [
    Case(
        "on premises and the hub reach each other",
        (("hub", "", PRINTER), (VPN, PRINTER, "hub")),
        ((["office"], ["hub"]), (["hub"], ["office"])),
    ),
    Case(
        "on premises and a spoke reach each other, by gateway transit",
        (("spoke", "", PRINTER), (VPN, PRINTER, "spoke")),
        ((["office"], ["spoke"]), (["spoke"], ["office"])),
    ),
    Case(
        "a peer without transit has no way, and none leads to it",
        (("apart", "", PRINTER), (VPN, PRINTER, "apart")),
        (([], None), ([], None)),
    ),
    Case(
        "a subnet whose route table takes no routes of gateways has none, and its neighbour has",
        (("deaf", "", PRINTER), ("hub", "", PRINTER), (VPN, PRINTER, "deaf")),
        (([], None), (["office"], ["hub"]), (["deaf"], None)),
        routes={"hub/deaf": ()},
    ),
    Case(
        "a route that was written leads to the gateway when its tunnel is down, and ends there",
        (("hub", "", PRINTER), ("hub", "", ROBOT)),
        (([], None), (["factory"], ["hub"])),
        up=False,
    ),
    Case(
        "ExpressRoute is preferred for an equal prefix",
        (("hub", "", PRINTER), ("spoke", "", PRINTER), (LINE, PRINTER, "spoke")),
        ((["office"], ["hub"]), (["office"], ["spoke"]), (["spoke"], ["office"])),
        written=((), ("192.168.0.0/16",)),
        learned=("192.168.0.0/16",),
    ),
    Case(
        "a longer prefix of the VPN wins over ExpressRoute",
        (("hub", "", PRINTER), ("hub", "", "192.168.5.5")),
        ((["factory"], ["hub"]), (["office"], ["hub"])),
        written=((), ("192.168.0.0/24",)),
        learned=("192.168.0.0/16",),
    ),
    Case(
        "a prefix of the virtual network or of a peer stays theirs, even where a gateway's is longer",
        (("hub", "", "10.1.2.4"), ("hub", "", "10.2.1.4"), ("apart", "", "10.1.1.4")),
        ((["nva"], ["hub"]), (["spoke"], ["hub"]), (["hub"], ["apart"])),
        written=(("10.1.2.0/24", "10.2.1.0/24", "10.0.0.0/8"), ()),
    ),
    Case(
        "a prefix that holds the virtual network's is taken for the rest",
        (("hub", "", "10.77.0.9"),),
        ((["office"], ["hub"]),),
        written=(("10.0.0.0/8",), ()),
    ),
    Case(
        "the default route by ExpressRoute takes what would leave to the internet",
        (("hub", "", "198.51.100.10"), ("spoke", "", "198.51.100.10")),
        ((["office"], ["hub"]), (["office"], ["spoke"])),
        learned=("0.0.0.0/0",),
    ),
    Case(
        "a user's route to the gateway, in a subnet that takes none of the gateway's own",
        (("deaf", "", PRINTER), ("deaf", "", ROBOT)),
        ((["office"], ["deaf"]), ([], None)),
        routes={"hub/deaf": (("192.168.0.0/16", "VirtualNetworkGateway"),)},
    ),
    Case(
        "a user's route that leads to no gateway drops",
        (("apart", "", PRINTER),),
        (([], None),),
        routes={"apart/plain": (("192.168.0.0/16", "VirtualNetworkGateway"),)},
    ),
    Case(
        "a user's route wins over an equal one of a gateway, and a longer one of the gateway's over it",
        (("hub", "", PRINTER), ("hub", "", ROBOT)),
        (([], None), (["factory"], ["hub"])),
        routes={"hub/plain": (("192.168.0.0/16", "None"), ("172.16.0.0/12", "None"))},
    ),
    Case(
        "an appliance stands before the hub and before the spoke by the route table of GatewaySubnet",
        ((VPN, PRINTER, "hub"), (VPN, PRINTER, "spoke")),
        ((["nva", "hub"], None), (["nva", "spoke"], None)),
        routes={"hub/GatewaySubnet": (("10.1.1.0/24", "10.1.2.4"), ("10.2.0.0/16", "10.1.2.4"))},
    ),
    Case(
        "and answers come back through it where the subnets lead to it as well",
        ((VPN, PRINTER, "hub"), (VPN, PRINTER, "spoke"), ("hub", "", PRINTER)),
        ((["nva", "hub"], ["nva", "office"]), (["nva", "spoke"], ["nva", "office"]), (["nva", "office"], None)),
        routes={
            "hub/GatewaySubnet": (("10.1.1.0/24", "10.1.2.4"), ("10.2.0.0/16", "10.1.2.4")),
            "hub/plain": (("192.168.0.0/16", "10.1.2.4"),),
            "spoke/plain": (("192.168.0.0/16", "10.1.2.4"),),
        },
    ),
    Case(
        "None on GatewaySubnet drops what comes in",
        ((VPN, PRINTER, "hub"), (VPN, PRINTER, "spoke")),
        (([], None), (["spoke"], ["office"])),
        routes={"hub/GatewaySubnet": (("10.1.1.0/24", "None"),)},
    ),
    Case(
        "what comes with a source of the virtual network's own is dropped",
        ((VPN, "10.1.1.77", "hub"), (VPN, "10.1.1.77", "spoke")),
        (([], None), (["spoke"], None)),
    ),
    Case(
        "the security groups decide about what comes in, and take on premises for the virtual network",
        ((VPN, PRINTER, "hub"), (VPN, ROBOT, "hub"), ("hub", "", ROBOT)),
        ((["hub"], ["office"]), ([], None), ([], None)),
        rules=(("Inbound", "172.18.0.9"), ("Outbound", "172.18.0.0/16"), ("Inbound", "Internet")),
    ),
    Case(
        "an internal frontend answers on premises",
        ((VPN, PRINTER, FRONTEND),),
        ((["hub"], ["office"]),),
    ),
    Case(
        "a private endpoint answers on premises",
        ((VPN, PRINTER, ENDPOINT),),
        ((["service"], ["office"]),),
        protocols=(TCP,),
    ),
    Case(
        "the sites reach each other by the gateway",
        ((VPN, PRINTER, ROBOT),),
        ((["factory"], None),),
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    made = Arena(tmp_path_factory.mktemp("arena"))
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_packets_take_the_documented_ways(arena: Arena, case: Case) -> None:
    sendings = tuple(
        Sending(sender, flow(protocol, number, source or PLACES[sender][1], PLACES.get(to, ("", to))[1]))
        for protocol in case.protocols
        for number, (sender, source, to) in enumerate(case.sent)
    )
    outcome = arena.play(Scenario(topology(case), sendings))
    seen = [(places(each.seen), places(each.reply_seen) if each.reply_way else None) for each in outcome.passages]
    assert seen == [*case.ways] * len(case.protocols), "\n".join(map(str, outcome.passages))
    assert outcome.wrong == [], "\n".join(map(str, outcome.wrong))


def test_what_comes_with_a_source_of_the_networks_own_is_counted(arena: Arena) -> None:
    spoofed = Sending(VPN, flow(UDP, 0, "10.1.1.77", "10.1.1.4"))
    # What follows by the same link and has come tells that the one before has been decided about.
    following = Sending(VPN, flow(UDP, 1, PRINTER, "10.1.1.4"))
    outcome = arena.play(Scenario(topology(Case("", (), ())), (spoofed, following)))
    assert [places(each.seen) for each in outcome.passages] == [[], ["hub"]]
    assert outcome.counters["hub"]["foreign_source"] == 1


def places(seen: list[tuple[int, str]]) -> list[str]:
    return [place for _, place in sorted(seen)]


def flow(protocol: int, number: int, source: str, destination: str) -> Flow:
    return Flow(protocol, ip_address(source), ip_address(destination), 40_000 + number, 80)


def topology(case: Case) -> Topology:
    tables = [_table(subnet, routes) for subnet, routes in case.routes.items()]
    group = {"securityRules": [_rule(number, *rule) for number, rule in enumerate(case.rules)]}
    interfaces = [_interface(name, subnet, address) for name, (subnet, address) in PLACES.items()]
    resources: list[Document] = [
        *tables,
        {"type": SECURITY_GROUPS, "name": "plain", "properties": group},
        *(_network(name, case) for name in SPACES),
        _balancer(),
        *_service(),
        *interfaces,
        *(_machine(name) for name in PLACES),
    ]
    ports = [Port(name, name, 0, True, name == "nva", (ip_address(address),)) for name, (_, address) in PLACES.items()]
    office: Document = {"name": "vpn-office", "site": "office", "up": case.up, "written": list(case.written[0])}
    factory: Document = {"name": "vpn-factory", "site": "factory", "up": True, "written": list(case.written[1])}
    gateways: list[Document] = [
        {"name": "vpn", "kind": "Vpn", "network": "hub", "connections": [office, factory], "users": [["spoke", "hub"]]}
    ]
    if case.learned is not None:
        circuit = {"name": "line-office", "site": "office", "up": True, "learned": list(case.learned)}
        gateways.append({"name": "line", "kind": "ExpressRoute", "network": "hub", "connections": [circuit]})
    sites = (
        _site("office", 220, PRINTER, "192.168.0.0/16", "10.77.0.0/16"),
        _site("factory", 221, ROBOT, "172.18.0.0/16"),
    )  # fmt: skip
    return Topology(tuple(resources), tuple(ports), (ip_address(FRONTEND),), (), tuple(gateways), sites)


def _site(name: str, number: int, host: str, *prefixes: str) -> Document:
    return {"name": name, "public": f"203.0.113.{number}", "prefixes": list(prefixes), "hosts": [host]}


def _table(subnet: str, routes: tuple[tuple[str, str], ...]) -> Document:
    made = [
        {
            "name": f"r{number}",
            "properties": {"addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop}
            if hop[0].isdigit()
            else {"addressPrefix": prefix, "nextHopType": hop},
        }
        for number, (prefix, hop) in enumerate(routes)
    ]
    properties = {"routes": made, "disableBgpRoutePropagation": subnet == "hub/deaf"}
    return {"type": ROUTE_TABLES, "name": subnet.replace("/", "-"), "properties": properties}


def _rule(number: int, direction: str, remote: str) -> Document:
    near, far = ("destination", "source") if direction == "Inbound" else ("source", "destination")
    properties = {
        "priority": 100 + number, "direction": direction, "access": "Deny", "protocol": "*",
        "sourcePortRange": "*", "destinationPortRange": "*",
        f"{near}AddressPrefix": "*", f"{far}AddressPrefix": remote,
    }  # fmt: skip
    return {"name": f"r{number}", "properties": properties}


def _network(name: str, case: Case) -> Document:
    subnets = []
    for subnet, prefix in SUBNETS[name].items():
        properties: dict[str, Any] = {"addressPrefix": prefix}
        if f"{name}/{subnet}" in case.routes:
            properties["routeTable"] = {"id": f"routeTables/{name}-{subnet}"}
        if (name, subnet) == ("hub", "plain"):
            properties["networkSecurityGroup"] = {"id": "networkSecurityGroups/plain"}
        subnets.append({"name": subnet, "properties": properties})
    remotes = ["spoke", "apart"] if name == "hub" else ["hub"]
    peerings = [
        {
            "name": f"to-{remote}",
            "properties": {
                "remoteVirtualNetwork": {"id": f"virtualNetworks/{remote}"},
                "allowForwardedTraffic": True,
            },
        }
        for remote in remotes
    ]
    space = {"addressPrefixes": [SPACES[name]]}
    properties = {"addressSpace": space, "subnets": subnets, "virtualNetworkPeerings": peerings}
    return {"type": VIRTUAL_NETWORKS, "name": name, "properties": properties}


def _balancer() -> Document:
    """In front of the hub's VM, for any port."""
    frontend = {
        "subnet": {"id": "virtualNetworks/hub/subnets/plain"},
        "privateIPAllocationMethod": "Static",
        "privateIPAddress": FRONTEND,
    }
    rule = {
        "frontendIPConfiguration": {"id": "loadBalancers/inner/frontendIPConfigurations/f"},
        "backendAddressPool": {"id": "loadBalancers/inner/backendAddressPools/p"},
        "protocol": "All",
        "frontendPort": 0,
        "backendPort": 0,
    }
    properties = {
        "frontendIPConfigurations": [{"name": "f", "properties": frontend}],
        "backendAddressPools": [{"name": "p"}],
        "loadBalancingRules": [{"name": "all", "properties": rule}],
    }
    return {"type": LOAD_BALANCERS, "name": "inner", "sku": {"name": "Standard"}, "properties": properties}


def _service() -> list[Document]:
    """A storage account with a private endpoint in the hub."""
    link = {"privateLinkServiceId": "storageAccounts/acct", "groupIds": ["blob"]}
    address = {"privateIPAddress": ENDPOINT, "groupId": "blob", "memberName": "blob"}
    properties = {
        "subnet": {"id": "virtualNetworks/hub/subnets/edge"},
        "privateLinkServiceConnections": [{"name": "link", "properties": link}],
        "ipConfigurations": [{"name": "c", "properties": address}],
    }
    return [
        {"type": STORAGE_ACCOUNTS, "name": "acct", "properties": {}},
        {"type": PRIVATE_ENDPOINTS, "name": "end", "properties": properties},
    ]


def _interface(name: str, subnet: str, address: str) -> Document:
    network, _, place = subnet.partition("/")
    configuration: dict[str, Any] = {
        "privateIPAllocationMethod": "Static",
        "privateIPAddress": address,
        "subnet": {"id": f"virtualNetworks/{network}/subnets/{place}"},
    }
    if name == "hub":
        configuration["loadBalancerBackendAddressPools"] = [{"id": "loadBalancers/inner/backendAddressPools/p"}]
    properties = {
        "enableIPForwarding": name == "nva",
        "ipConfigurations": [{"name": "c", "properties": configuration}],
    }
    return {"type": NETWORK_INTERFACES, "name": name, "properties": properties}


def _machine(name: str) -> Document:
    nics = {"networkInterfaces": [{"id": f"networkInterfaces/{name}"}]}
    return {"type": VIRTUAL_MACHINES, "name": name, "properties": {"networkProfile": nics}}
