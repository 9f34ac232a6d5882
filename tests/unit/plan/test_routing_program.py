"""Effective routes as tables of the kernel, and the links between virtual networks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from podvnet.model.address import Mac
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Chain,
    Dispatch,
    KernelObject,
    Route,
    RoutingRule,
    VethPair,
)
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.routing import NextHop, Peering, RouteTable, UserRoute
from podvnet.model.subnet import Subnet
from podvnet.plan import names
from podvnet.plan.parts import compile_fabric

UPLINK_HOP = ip_address("100.64.0.1")
PEER_HOP = ip_address("100.64.0.3")
NVA = ip_address("10.1.9.4")


def identity(kind: str, name: str) -> ResourceId:
    return make(Scope(), f"Microsoft.Network/{kind}", name)


def peering(here: str, there: str, prefix: str, *, access: bool = True, forwarded: bool = True) -> Peering:
    network = identity("virtualNetworks", here)
    return Peering(
        network.child("virtualNetworkPeerings", there),
        identity("virtualNetworks", there),
        (ip_network(prefix),),
        access,
        forwarded,
    )


def network(number: int, name: str, *peerings: Peering, table: RouteTable | None = None) -> VirtualNetwork:
    identifier = identity("virtualNetworks", name)
    prefix = ip_network(f"10.{number}.0.0/16")
    subnet = Subnet(identifier.child("subnets", "all"), (prefix,), route_table=table.id if table else None)
    return VirtualNetwork(identifier, number, (prefix,), (subnet,), peerings=peerings)


def machine(name: str, number: int, where: VirtualNetwork, address: str, *, forwarding: bool = False) -> Intent:
    nic = NetworkInterface(
        id=identity("networkInterfaces", name),
        number=number,
        mac=Mac(f"00:0d:3a:00:00:{number:02x}"),
        virtual_network=where.id,
        subnet=where.subnets[0].id,
        ip_configurations=(IpConfiguration("primary", ip_address(address), primary=True),),
        ip_forwarding=forwarding,
    )
    vm = VirtualMachine(make(Scope(), "Microsoft.Compute/virtualMachines", name), "", "local", "", (nic.id,))
    return Intent(nics={nic.id.key: nic}, machines={vm.id.key: vm})


def whole(*networks: VirtualNetwork, table: RouteTable | None = None, machines: tuple[Intent, ...] = ()) -> Intent:
    intent = Intent(virtual_networks={each.id.key: each for each in networks})
    for each in machines:
        intent.nics.update(each.nics)
        intent.machines.update(each.machines)
    if table:
        intent.route_tables[table.id.key] = table
    return intent


def routes(intent: Intent, name: str) -> set[KernelObject]:
    return {item for item in compile_fabric(intent)[f"podvnet-vnet-{name}"] if isinstance(item, Route | RoutingRule)}


def table_of(*written: UserRoute) -> RouteTable:
    return RouteTable(identity("routeTables", "table"), 7, written)


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        (NextHop.INTERNET, Route(ip_network("20.0.0.0/8"), names.UPLINK_INDEX, UPLINK_HOP, 1007)),
        (NextHop.NONE, Route(ip_network("20.0.0.0/8"), LOOPBACK, None, 1007)),
        (NextHop.GATEWAY, Route(ip_network("20.0.0.0/8"), LOOPBACK, None, 1007)),
        (NextHop.VNET_LOCAL, Route(ip_network("20.0.0.0/8"), LOOPBACK, None, 1007, throw=True)),
    ],
)
def test_each_next_hop(hop: NextHop, expected: Route) -> None:
    table = table_of(UserRoute("r", hop, ip_network("20.0.0.0/8")))
    found = routes(whole(network(1, "hub", table=table), table=table), "hub")
    assert expected in found
    assert RoutingRule(4, 1007) in found
    assert RoutingRule(4, names.PLAIN_TABLE) in found, "other subnets have no route table"


def test_a_users_route_takes_the_place_of_the_systems() -> None:
    table = table_of(UserRoute("r", NextHop.NONE, ip_network("10.1.0.0/16")))
    found = routes(whole(network(1, "hub", table=table), table=table), "hub")
    own = {each for each in found if isinstance(each, Route) and each.destination == ip_network("10.1.0.0/16")}
    assert own == {
        Route(ip_network("10.1.0.0/16"), LOOPBACK, None, 1007),
        Route(ip_network("10.1.0.0/16"), LOOPBACK, None, names.PLAIN_TABLE, throw=True),
    }


@pytest.mark.parametrize(
    ("forwarding", "running", "expected"),
    [
        (True, True, Route(ip_network("0.0.0.0/0"), names.port_index(3), NVA, 1007)),
        (False, True, Route(ip_network("0.0.0.0/0"), LOOPBACK, None, 1007)),
        (True, False, Route(ip_network("0.0.0.0/0"), LOOPBACK, None, 1007)),
    ],
)
def test_an_appliance_must_forward_and_run(forwarding: bool, running: bool, expected: Route) -> None:
    table = table_of(UserRoute("r", NextHop.APPLIANCE, ip_network("0.0.0.0/0"), appliance=NVA))
    hub = network(1, "hub", table=table)
    intent = whole(hub, table=table, machines=(machine("nva", 3, hub, str(NVA), forwarding=forwarding),))
    intent.machines.update({key: replace(each, running=running) for key, each in intent.machines.items()})
    assert expected in routes(intent, "hub")


def test_a_peer_is_reached_by_a_link_of_its_own() -> None:
    hub = network(1, "hub", peering("hub", "spoke", "10.2.0.0/16"))
    spoke = network(2, "spoke", peering("spoke", "hub", "10.1.0.0/16"))
    program = compile_fabric(whole(hub, spoke))
    assert (
        Route(ip_network("10.2.0.0/16"), names.peer_link_index(2), PEER_HOP, names.PLAIN_TABLE)
        in program["podvnet-vnet-hub"]
    )
    assert (
        Route(ip_network("10.1.0.0/16"), names.peer_link_index(1), PEER_HOP, names.PLAIN_TABLE)
        in program["podvnet-vnet-spoke"]
    )
    links = [item for item in program["podvnet-vnet-hub"] if isinstance(item, VethPair) and item.name == "peer2"]
    assert [(link.peer_namespace, link.peer_name) for link in links] == [("podvnet-vnet-spoke", "peer1")]


def test_an_appliance_of_a_peer_has_a_link_whose_packets_go_to_it_whatever_their_destination() -> None:
    table = table_of(UserRoute("r", NextHop.APPLIANCE, ip_network("0.0.0.0/0"), appliance=NVA))
    hub = network(1, "hub", peering("hub", "spoke", "10.2.0.0/16"))
    spoke = network(2, "spoke", peering("spoke", "hub", "10.1.0.0/16"), table=table)
    program = compile_fabric(
        whole(hub, spoke, table=table, machines=(machine("nva", 3, hub, str(NVA), forwarding=True),))
    )
    near, far = names.appliance_link_index(3), names.appliance_link_index(3, 2)
    assert Route(ip_network("0.0.0.0/0"), near, PEER_HOP, 1007) in program["podvnet-vnet-spoke"]
    marks = {
        item.index: item.chain
        for item in program["podvnet-vnet-hub"]
        if isinstance(item, Dispatch) and item.map == "route_table"
    }
    assert marks[far] == f"table-{names.appliance_table(3)}"
    assert (
        Route(ip_network("0.0.0.0/0"), names.port_index(3), NVA, names.appliance_table(3))
        in program["podvnet-vnet-hub"]
    )


def test_nothing_goes_to_an_appliance_of_a_peer_without_access_to_that_peer() -> None:
    hub = network(1, "hub", peering("hub", "spoke", "10.2.0.0/16"))
    table = table_of(UserRoute("out", NextHop.APPLIANCE, ip_network("0.0.0.0/0"), appliance=NVA))
    spoke = network(2, "spoke", peering("spoke", "hub", "10.1.0.0/16", access=False), table=table)
    program = compile_fabric(
        whole(hub, spoke, table=table, machines=(machine("nva", 3, hub, str(NVA), forwarding=True),))
    )
    near = names.appliance_link_index(3)
    assert Dispatch(names.TABLE, "to_peer", near, f"peer-refused-{near}") in program["podvnet-vnet-spoke"]


@pytest.mark.parametrize(
    ("access", "forwarded", "maps", "text"),
    [
        (True, True, set(), ""),
        (True, False, {"from_peer"}, "ip saddr { 10.2.0.0/16 } return\n\t\tcounter name foreign_source drop"),
        (False, True, {"from_peer", "to_peer"}, "counter name peer_refused drop"),
        (False, False, {"from_peer", "to_peer"}, "counter name peer_refused drop"),
    ],
)
def test_what_a_peering_accepts(access: bool, forwarded: bool, maps: set[str], text: str) -> None:
    hub = network(1, "hub", peering("hub", "spoke", "10.2.0.0/16", access=access, forwarded=forwarded))
    spoke = network(2, "spoke", peering("spoke", "hub", "10.1.0.0/16"))
    objects = compile_fabric(whole(hub, spoke))["podvnet-vnet-hub"]
    link = names.peer_link_index(2)
    found = [each for each in objects if isinstance(each, Dispatch) and each.index == link and each.map != "zones"]
    assert {each.map for each in found} == maps
    chains = {each.name: each.text.strip() for each in objects if isinstance(each, Chain)}
    assert {chains[each.chain] for each in found} == ({text} if text else set())
