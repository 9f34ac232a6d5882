"""The services' namespace: links, firewalls, the way back; and which flows a change of endpoints ends."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from typing import Any

from podvnet.model.address import Mac
from podvnet.model.flow import TCP, Flow
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.kernel import (
    LOOPBACK,
    Chain,
    Dispatch,
    InterfaceAddress,
    KernelObject,
    Route,
    RoutingRule,
    VethPair,
    host_prefix,
)
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.service import Service, ServiceKind
from podvnet.model.subnet import Subnet
from podvnet.model.verdict import Check, Verdict
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.parts import PartCompiler, compile_fabric, whole
from podvnet.plan.rerouted_flows import is_rerouted, rerouted

BLOB, SQL = IPv4Address("20.60.0.5"), IPv4Address("40.79.128.5")
STORAGE = ("Microsoft.Storage",)


def identity(kind: str, name: str) -> ResourceId:
    return make(Scope(), kind, name)


def network(name: str, number: int, endpoints: tuple[str, ...]) -> VirtualNetwork:
    own = identity("Microsoft.Network/virtualNetworks", name)
    subnets = (
        Subnet(own.child("subnets", "a"), (ip_network("10.0.0.0/24"),), service_endpoints=endpoints),
        Subnet(own.child("subnets", "b"), (ip_network("10.0.1.0/24"),)),
    )
    return VirtualNetwork(own, number, (ip_network("10.0.0.0/16"),), subnets)


def account(*subnets: ResourceId, spans: tuple[tuple[str, str], ...] = (), **members: Any) -> Service:
    return Service(
        id=identity("Microsoft.Storage/storageAccounts", "acct"),
        number=1,
        kind=ServiceKind.STORAGE,
        endpoints=(("acct.blob.core.windows.net", BLOB),),
        subnets=subnets,
        spans=tuple((IPv4Address(first), IPv4Address(last)) for first, last in spans),
        **members,
    )


def program(*services: Service, endpoints: tuple[str, ...] = STORAGE) -> dict[str, frozenset[KernelObject]]:
    hub, twin = network("hub", 1, endpoints), network("twin", 2, ())
    return compile_fabric(
        Intent({each.id.key: each for each in (hub, twin)}, services={each.id.key: each for each in services})
    )


def rules(objects: frozenset[KernelObject], index: int) -> list[str]:
    """The rules of the firewalls as they are for what comes by the link of an index."""
    maps = {(each.map, each.index): each.chain for each in objects if isinstance(each, Dispatch)}
    text = next(each.text for each in objects if isinstance(each, Chain) and each.name == maps["firewall", index])
    return text.strip().split("\n\t\t") if text else []


SUBNET = network("hub", 1, ()).subnets[0].id


def test_without_services_and_endpoints_there_is_no_such_namespace() -> None:
    assert names.SERVICES not in program(endpoints=())
    assert names.SERVICES not in program(endpoints=("Microsoft.KeyVault",))
    assert names.SERVICES in program()
    assert names.SERVICES in program(account(), endpoints=())


def test_a_network_with_an_endpoint_has_a_link_that_its_replies_go_back_by() -> None:
    made = program(account())
    label = names.network_namespace(identity("Microsoft.Network/virtualNetworks", "hub"))
    link = next(each for each in made[label] if isinstance(each, VethPair) and each.name == "services")
    assert (link.index, link.peer_namespace, link.peer_name) == (names.SERVICES_INDEX, names.SERVICES, "vnet1")
    table = names.services_table(1)
    back = {each for each in made[names.SERVICES] if isinstance(each, Route) and each.table == table}
    assert {(str(each.destination), each.index) for each in back} == {("0.0.0.0/0", link.peer_index)}
    assert RoutingRule(4, table) in made[names.SERVICES]
    marks = [each.text for each in made[names.SERVICES] if isinstance(each, Chain) and each.name == f"arrival-{table}"]
    assert marks == [f"\t\tmeta mark set {table} ct original zone set {table}\n"]
    twin = names.network_namespace(identity("Microsoft.Network/virtualNetworks", "twin"))
    assert "services" not in {each.name for each in made[twin] if isinstance(each, VethPair)}


def test_endpoint_routes_lead_to_the_services_and_those_of_version_6_to_nowhere_new() -> None:
    made = program()
    label = names.network_namespace(identity("Microsoft.Network/virtualNetworks", "hub"))
    by = {str(each.destination): each.index for each in made[label] if isinstance(each, Route)}
    assert by["20.60.0.0/16"] == names.SERVICES_INDEX
    assert by["2603:1000:4:400::/57"] == names.UPLINK_INDEX


def test_the_internet_leads_the_addresses_there() -> None:
    made = program(account())
    assert InterfaceAddress(LOOPBACK, ip_interface(f"{BLOB}/32")) in made[names.SERVICES]
    assert host_prefix(BLOB) in {each.destination for each in made[names.INTERNET] if isinstance(each, Route)}


def test_a_firewall_takes_the_named_subnet_by_its_link_and_named_addresses_from_the_internet() -> None:
    spans = (("198.51.100.7", "198.51.100.7"), ("203.0.113.8", "203.0.113.15"), ("203.0.113.12", "203.0.113.20"))
    made = program(account(SUBNET, spans=spans))[names.SERVICES]
    assert rules(made, names.internet_link_index(1)) == [
        f"ip daddr {{ {BLOB} }} ip saddr {{ 10.0.0.0/24 }} return",
        f"ip daddr {{ {BLOB} }} tcp dport 443 dnat to :10444",
    ]
    assert rules(made, names.UPLINK_INDEX) == [
        f"ip daddr {{ {BLOB} }} ip saddr {{ 198.51.100.7, 203.0.113.8-203.0.113.20 }} return",
        f"ip daddr {{ {BLOB} }} tcp dport 443 dnat to :10443",
    ]


def test_a_rule_holds_only_while_the_subnet_has_the_endpoint_of_the_service() -> None:
    made = program(account(SUBNET), endpoints=("Microsoft.Sql",))[names.SERVICES]
    assert rules(made, names.internet_link_index(1)) == [f"ip daddr {{ {BLOB} }} tcp dport 443 dnat to :10444"]


def test_one_that_is_open_takes_all_and_one_without_public_access_nobody() -> None:
    for index in (names.internet_link_index(1), names.UPLINK_INDEX):
        assert rules(program(account(open=True))[names.SERVICES], index) == []
        shut = program(account(SUBNET, spans=(("1.1.1.1", "1.1.1.1"),), open=True, public_access=False))
        (only,) = rules(shut[names.SERVICES], index)
        assert "dnat" in only


def test_another_firewall_makes_no_other_part_anew() -> None:
    hub, compiler = network("hub", 1, STORAGE), PartCompiler()
    before, after = (
        compiler.compile(Intent({hub.id.key: hub}, services={each.id.key: each}))
        for each in (account(), account(SUBNET))
    )
    changed = {key.split(" /")[0] for key, part in after.items() if before[key] is not part}
    assert changed == {"service addresses", "firewalls"}
    assert whole(after) == compile_fabric(Intent({hub.id.key: hub}, services={account().id.key: account(SUBNET)}))


FLOW = Flow(TCP, ip_address("10.0.0.4"), BLOB, 40_000, 443)


def test_flows_of_a_subnet_to_a_service_end_when_its_endpoint_comes_or_goes() -> None:
    def change(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        one, other = (Intent({each.id.key: each}) for each in (network("hub", 1, before), network("hub", 1, after)))
        (stretches,) = rerouted(one, other).values() or [set()]
        return is_rerouted(FLOW, FLOW, stretches)

    assert change((), STORAGE)
    assert change(STORAGE, ())
    assert not change(STORAGE, STORAGE)
    assert not change((), ("Microsoft.Sql",))


def test_no_flow_ends_of_another_subnet_or_of_a_network_that_was_not_known() -> None:
    hub = network("hub", 1, STORAGE)
    bare = network("hub", 1, ())
    intent = Intent({hub.id.key: hub})
    (stretches,) = rerouted(Intent({bare.id.key: bare}), intent).values()
    assert not is_rerouted(replace(FLOW, source=ip_address("10.0.1.4")), FLOW, stretches)
    assert not is_rerouted(replace(FLOW, destination=SQL), FLOW, stretches)
    assert rerouted(Intent(), intent) == {}


def test_a_packet_reaches_the_service_with_its_private_source_and_without_a_public_address() -> None:
    hub = network("hub", 1, STORAGE)
    own = IpConfiguration("c", FLOW.source, primary=True)
    nic = NetworkInterface(
        identity("Microsoft.Network/networkInterfaces", "nic"),
        1,
        Mac("00:0d:3a:00:00:01"),
        hub.id,
        hub.subnets[0].id,
        (own,),
    )
    machine = VirtualMachine(identity("Microsoft.Compute/virtualMachines", "vm"), "id", "local", "size", (nic.id,))
    intent = Intent({hub.id.key: hub}, {nic.id.key: nic}, {machine.id.key: machine})
    trace = Evaluator(intent).evaluate(FLOW, nic)
    assert (trace.verdict, trace.outbound, trace.hops[-1].check) == (Verdict.REACHED_SERVICE, None, Check.SERVICE)
    without = Evaluator(replace(intent, virtual_networks={hub.id.key: network("hub", 1, ())}))
    assert without.evaluate(FLOW, nic).verdict is Verdict.DROPPED
