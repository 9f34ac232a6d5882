"""Private endpoints and service endpoint policies as kernel objects, routes and verdicts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from podvnet.model.address import Mac
from podvnet.model.endpoint_policy import EndpointPolicy
from podvnet.model.flow import TCP, UDP, Flow
from podvnet.model.intent import Intent, IpConfiguration, NetworkInterface, VirtualMachine, VirtualNetwork
from podvnet.model.kernel import LOOPBACK, MAIN_TABLE, Chain, Dispatch, KernelObject, Route
from podvnet.model.private_endpoint import PrivateEndpoint
from podvnet.model.resource_id import ResourceId, Scope, make
from podvnet.model.routing import NextHop, Peering, RouteTable, UserRoute
from podvnet.model.security import Direction, Protocol, SecurityGroup, SecurityRule, Side
from podvnet.model.service import Service, ServiceKind
from podvnet.model.subnet import Subnet
from podvnet.model.verdict import Check, Verdict
from podvnet.plan import names
from podvnet.plan.evaluate import Evaluator
from podvnet.plan.parts import PartCompiler, compile_fabric

END, BLOB, HOST = IPv4Address("10.0.9.4"), IPv4Address("20.60.0.5"), "acct.blob.core.windows.net"
FLOW = Flow(TCP, ip_address("10.0.0.4"), END, 40_000, 443)


def identity(kind: str, name: str) -> ResourceId:
    return make(Scope(), kind, name)


HUB, SPOKE = (identity("Microsoft.Network/virtualNetworks", name) for name in ("hub", "spoke"))
TABLE, GROUP = (identity(f"Microsoft.Network/{kind}", "x") for kind in ("routeTables", "networkSecurityGroups"))
POLICY = identity("Microsoft.Network/serviceEndpointPolicies", "p")
ACCOUNT = Service(
    identity("Microsoft.Storage/storageAccounts", "acct"), 1, ServiceKind.STORAGE, ((HOST, BLOB),), open=True
)
ENDPOINT = PrivateEndpoint(
    identity("Microsoft.Network/privateEndpoints", "end"), HUB.child("subnets", "ends"), END, ACCOUNT.id, HOST
)


def nic(name: str, network: ResourceId, number: int, address: str) -> NetworkInterface:
    own = (IpConfiguration("c", ip_address(address), primary=True),)
    mac = Mac(f"00:0d:3a:00:00:0{number}")
    return NetworkInterface(
        identity("Microsoft.Network/networkInterfaces", name),
        number,
        mac,
        network,
        network.child("subnets", "work"),
        own,
    )


def intent(prefix: str = "", *, filters: bool = False, reroutes: bool = False, policies: int = 0) -> Intent:
    """A hub with an endpoint and a peered spoke, a VM in each; a route of the hub's to ``prefix``, if there is one."""
    ends = Subnet(
        ENDPOINT.subnet, (ip_network("10.0.9.0/24"),), security_group=GROUP, filters_endpoints=filters,
        reroutes_endpoints=reroutes,
    )  # fmt: skip
    work = Subnet(
        HUB.child("subnets", "work"), (ip_network("10.0.0.0/24"),), route_table=TABLE if prefix else None,
        service_endpoints=("Microsoft.Storage",), endpoint_policies=(POLICY,) * policies,
    )  # fmt: skip
    far = Subnet(SPOKE.child("subnets", "work"), (ip_network("10.1.0.0/24"),))
    spaces = {HUB: ip_network("10.0.0.0/16"), SPOKE: ip_network("10.1.0.0/16")}
    peerings = {
        here: (Peering(here.child("virtualNetworkPeerings", "p"), there, (spaces[there],)),)
        for here, there in ((HUB, SPOKE), (SPOKE, HUB))
    }
    networks = (
        VirtualNetwork(HUB, 1, (spaces[HUB],), (work, ends), peerings=peerings[HUB]),
        VirtualNetwork(SPOKE, 2, (spaces[SPOKE],), (far,), peerings=peerings[SPOKE]),
    )
    nics = (nic("near", HUB, 1, "10.0.0.4"), nic("far", SPOKE, 2, "10.1.0.4"))
    machines = [
        VirtualMachine(identity("Microsoft.Compute/virtualMachines", each.id.name), "id", "local", "size", (each.id,))
        for each in nics
    ]
    deny = SecurityRule(
        "securityRules/no", 100, Direction.INBOUND, False, Protocol.TCP, Side(), Side(ports=((443, 443),))
    )
    rest = SecurityRule("defaultSecurityRules/all", 65000, Direction.INBOUND, True, Protocol.ANY, Side(), Side())
    routes = (UserRoute("r", NextHop.NONE, ip_network(prefix)),) if prefix else ()
    return Intent(
        {each.id.key: each for each in networks},
        {each.id.key: each for each in nics},
        {each.id.key: each for each in machines},
        security_groups={GROUP.key: SecurityGroup(GROUP, (deny, rest))},
        route_tables={TABLE.key: RouteTable(TABLE, 1, routes)} if prefix else {},
        services={ACCOUNT.id.key: ACCOUNT},
        private_endpoints={ENDPOINT.id.key: ENDPOINT},
        endpoint_policies={POLICY.key: EndpointPolicy(POLICY, ())},
    )


def program(made: Intent, network: ResourceId = HUB) -> frozenset[KernelObject]:
    return compile_fabric(made)[names.network_namespace(network)]


def firewall(made: Intent, number: int = 1) -> list[str]:
    """The rules for what comes by the link of a virtual network."""
    objects = compile_fabric(made)[names.SERVICES]
    index = names.internet_link_index(number)
    chain = next(
        each.chain for each in objects if isinstance(each, Dispatch) and (each.map, each.index) == ("firewall", index)
    )
    text = next(each.text for each in objects if isinstance(each, Chain) and each.name == chain)
    return [line.strip() for line in text.splitlines()]


def routes(objects: frozenset[KernelObject], table: int) -> dict[str, Route]:
    return {str(each.destination): each for each in objects if isinstance(each, Route) and each.table == table}


def test_the_address_is_delivered_by_the_link_to_the_services_and_becomes_the_services() -> None:
    objects = program(intent())
    assert routes(objects, MAIN_TABLE)[f"{END}/32"].index == names.SERVICES_INDEX
    assert firewall(intent())[0] == f"ip daddr {END} tcp dport 443 dnat ip to {BLOB}"
    answered = Dispatch(names.TABLE, "route_table", names.SERVICES_INDEX, f"table-{names.PLAIN_TABLE}")
    assert answered in objects
    closed = replace(ACCOUNT, public_access=False)
    assert firewall(replace(intent(), services={ACCOUNT.id.key: closed}))[0].endswith(f"dnat ip to {BLOB}")


def test_in_the_network_the_route_says_nothing_and_in_a_peered_one_it_leads_there() -> None:
    own = routes(program(intent()), names.PLAIN_TABLE)[f"{END}/32"]
    assert (own.throw, own.index) == (True, LOOPBACK)
    far = routes(program(intent(), SPOKE), names.PLAIN_TABLE)[f"{END}/32"]
    assert (far.throw, far.index) == (False, names.peer_link_index(1))


def test_an_endpoint_whose_service_is_gone_leads_nowhere() -> None:
    assert firewall(replace(intent(), services={})) == []
    trace = Evaluator(replace(intent(), services={})).evaluate(FLOW)
    assert (trace.verdict, trace.hops[-1].check) == (Verdict.DROPPED, Check.SERVICE)
    assert trace.hops[-1].remedy == "Make storage account acct anew, or delete private endpoint end."


def test_both_networks_reach_the_service_with_their_private_sources() -> None:
    for source in ("10.0.0.4", "10.1.0.4"):
        trace = Evaluator(intent()).evaluate(replace(FLOW, source=ip_address(source)))
        assert (trace.verdict, trace.hops[-1].where, trace.outbound) == (Verdict.REACHED_SERVICE, ENDPOINT.id, None)
        assert trace.arrival.source == ip_address(source)


def test_an_endpoint_carries_tcp_alone() -> None:
    trace = Evaluator(intent()).evaluate(replace(FLOW, protocol=UDP))
    assert (trace.verdict, trace.hops[-1].reason) == (Verdict.DROPPED, "a private endpoint carries TCP alone, no UDP")


@pytest.mark.parametrize(
    ("prefix", "reroutes", "taken"),
    [
        ("10.0.9.0/24", False, False),
        ("10.0.9.0/24", True, True),
        ("10.0.0.0/16", True, True),
        ("10.0.0.0/15", True, False),
        ("0.0.0.0/0", True, False),
        ("10.0.9.4/32", False, True),
    ],
)
def test_a_route_of_a_user_goes_first_when_it_is_the_same_or_may(prefix: str, reroutes: bool, taken: bool) -> None:
    made = intent(prefix, reroutes=reroutes)
    evaluator = Evaluator(made)
    found = evaluator.topology.vantage(made.nics[identity("Microsoft.Network/networkInterfaces", "near").key]).routes
    (route,) = [each for each in found if each.next_hop is NextHop.INTERFACE_ENDPOINT]
    assert route.active is not taken
    assert (evaluator.evaluate(FLOW).verdict is Verdict.DROPPED) is taken
    table = routes(program(made), names.routing_table(1, (0,)))
    assert (f"{END}/32" in table and table[f"{END}/32"].throw) is not taken


def test_a_group_is_asked_only_where_the_subnet_says_so() -> None:
    def asked(made: Intent) -> list[str]:
        return [
            line.strip()
            for each in program(made)
            if isinstance(each, Chain) and each.name.startswith("endpoints-")
            for line in each.text.splitlines()
        ]

    assert asked(intent()) == []
    assert asked(intent(filters=True)) == [
        f'ip daddr {{ {END} }} meta l4proto tcp th dport {{ 443 }} counter drop comment "securityRules/no"',
        f'ip daddr {{ {END} }} counter return comment "defaultSecurityRules/all"',
    ]
    trace = Evaluator(intent(filters=True)).evaluate(FLOW)
    assert (trace.verdict, trace.hops[-1].check, trace.hops[-1].where) == (
        Verdict.DROPPED,
        Check.SECURITY_RULE,
        ENDPOINT.id,
    )
    allowed = Evaluator(intent(filters=True)).evaluate(replace(FLOW, destination_port=80))
    assert allowed.verdict is Verdict.REACHED_SERVICE


def test_a_new_endpoint_makes_only_what_knows_it_anew() -> None:
    compiler, made = PartCompiler(), intent()
    before = compiler.compile(replace(made, private_endpoints={}))
    after = compiler.compile(made)
    changed = {key.split(" /")[0] for key, part in after.items() if before.get(key) is not part}
    assert changed == {"routing", "firewalls", "private endpoints"}


def test_a_policy_refuses_what_it_does_not_name() -> None:
    assert firewall(replace(intent(), private_endpoints={})) == []
    closed = replace(intent(policies=1), private_endpoints={})
    assert firewall(closed) == [f"ip daddr {{ {BLOB} }} ip saddr {{ 10.0.0.0/24 }} tcp dport 443 dnat to :10444"]
    for scope in (ACCOUNT.id.key, ACCOUNT.id.key.split("/providers")[0], ACCOUNT.id.key.split("/resourcegroups")[0]):
        policy = EndpointPolicy(POLICY, (scope,))
        assert firewall(replace(closed, endpoint_policies={POLICY.key: policy})) == []
    near = EndpointPolicy(POLICY, (ACCOUNT.id.key[:-1],))
    assert firewall(replace(closed, endpoint_policies={POLICY.key: near})) != []
