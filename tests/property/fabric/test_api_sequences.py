"""Whatever clients put, patch and delete next, right or wrong: every answer is one that Azure could give, the store
stays whole, and a restart changes no answer.

``PODVNET_FUZZ_EXAMPLES`` asks for more sequences than every run makes, and others each time.
"""

from __future__ import annotations

import itertools
import os
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from podvnet.fabric.arm.subnets import prefixes_of
from podvnet.fabric.arm.world import (
    APPLICATION_GROUPS,
    LOAD_BALANCERS,
    NAT_GATEWAYS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    PUBLIC_PREFIXES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    addresses_of,
    held_addresses,
)
from podvnet.fabric.intent import IntentReader
from podvnet.model.resource_id import Scope, make, parse
from podvnet.plan.parts import compile_fabric
from podvnet.testing.offline import OfflineApi

EXAMPLES = int(os.environ.get("PODVNET_FUZZ_EXAMPLES", "0"))
GROUP = "rg"
SCOPE = Scope(resource_group=GROUP)
NAMES = ("a", "b")
GROUP_PATH = f"/subscriptions/{SCOPE.subscription}/resourceGroups/{GROUP}"

name_of = st.sampled_from([*NAMES * 4, "A", "none"])


def ref(kind: str, *path: str) -> st.SearchStrategy[Document]:
    def made(name: str) -> Document:
        return {"id": "/".join((str(make(SCOPE, f"Microsoft.Network/{kind}", name)), *path))}

    return name_of.map(made)


def maybe(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=members)


def few(each: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, max_size=most)


def named(names: tuple[str, ...], properties: st.SearchStrategy[Document]) -> st.SearchStrategy[list[Document]]:
    each = st.fixed_dictionaries({"name": st.sampled_from(names), "properties": properties})
    return st.lists(each, max_size=len(names), unique_by=lambda part: part["name"])


subnet_refs = st.tuples(name_of, name_of).map(
    lambda pair: {"id": f"{make(SCOPE, VIRTUAL_NETWORKS, pair[0])}/subnets/{pair[1]}"}
)
subnets = st.fixed_dictionaries(
    {"addressPrefix": st.sampled_from(["10.0.0.0/29", "10.0.1.0/28", "10.0.1.8/29", "10.1.0.0/28", "10.1.1.0/28"])},
    optional={
        "networkSecurityGroup": ref("networkSecurityGroups"),
        "routeTable": ref("routeTables"),
        "natGateway": ref("natGateways"),
    },
)
peerings = st.fixed_dictionaries({"remoteVirtualNetwork": ref("virtualNetworks")})
security_rules = st.fixed_dictionaries(
    {
        "priority": st.integers(99, 102),
        "direction": st.sampled_from(["Inbound", "Outbound"]),
        "access": st.sampled_from(["Allow", "Deny"]),
        "protocol": st.just("Tcp"),
        "sourcePortRange": st.just("*"),
        "destinationPortRange": st.sampled_from(["80", "80,443"]),
        "destinationAddressPrefix": st.just("*"),
    },
    optional={
        "sourceAddressPrefix": st.just("*"),
        "sourceApplicationSecurityGroups": few(ref("applicationSecurityGroups")),
    },
)
routes = st.fixed_dictionaries(
    {"addressPrefix": st.sampled_from(["0.0.0.0/0", "10.9.0.0/16", "x"]), "nextHopType": st.just("None")}
)
own_frontend, own_pool = (
    ref("loadBalancers", "frontendIPConfigurations", "f"), ref("loadBalancers", "backendAddressPools", "a")
)  # fmt: skip
ip_configurations = st.fixed_dictionaries(
    {"subnet": subnet_refs},
    optional={
        "primary": st.booleans(),
        "privateIPAllocationMethod": st.just("Static"),
        "privateIPAddress": st.sampled_from(["10.0.0.4", "10.0.0.5", "10.0.1.9", "10.1.0.4", "10.0.0.1"]),
        "publicIPAddress": ref("publicIPAddresses"),
        "applicationSecurityGroups": few(ref("applicationSecurityGroups"), 1),
        "loadBalancerBackendAddressPools": few(own_pool, 1),
        "loadBalancerInboundNatRules": few(ref("loadBalancers", "inboundNatRules", "a"), 1),
    },
)
nat_rules = st.fixed_dictionaries(
    {"frontendIPConfiguration": own_frontend, "protocol": st.just("Tcp"), "frontendPort": st.integers(1, 2),
     "backendPort": st.just(22)}
)  # fmt: skip
balancing_rules = st.fixed_dictionaries(
    {"frontendIPConfiguration": own_frontend, "backendAddressPool": own_pool, "protocol": st.just("Tcp"),
     "frontendPort": st.integers(1, 2), "backendPort": st.integers(80, 81)}
)  # fmt: skip
frontends = st.one_of(
    st.fixed_dictionaries({"subnet": subnet_refs}),
    st.fixed_dictionaries({"publicIPAddress": ref("publicIPAddresses")}),
    st.fixed_dictionaries({"publicIPPrefix": ref("publicIPPrefixes")}),
)
versions = st.sampled_from(["IPv4", "IPv4", "IPv6"])
placed = st.tuples(ref("networkInterfaces"), st.booleans()).map(lambda t: t[0] | {"properties": {"primary": t[1]}})

PROPERTIES: dict[str, st.SearchStrategy[Document]] = {
    APPLICATION_GROUPS: st.just({}),
    SECURITY_GROUPS: st.fixed_dictionaries({"securityRules": named(NAMES, security_rules)}),
    ROUTE_TABLES: st.fixed_dictionaries({"routes": named(NAMES, routes)}),
    PUBLIC_PREFIXES: maybe(prefixLength=st.sampled_from([30, 31, 32, 127]), publicIPAddressVersion=versions),
    PUBLIC_ADDRESSES: maybe(publicIPPrefix=ref("publicIPPrefixes"), publicIPAddressVersion=versions),
    NAT_GATEWAYS: maybe(publicIpAddresses=few(ref("publicIPAddresses")), publicIpPrefixes=few(ref("publicIPPrefixes"))),
    VIRTUAL_NETWORKS: st.fixed_dictionaries(
        {
            "addressSpace": st.fixed_dictionaries(
                {"addressPrefixes": st.sampled_from([["10.0.0.0/16"], ["10.1.0.0/16"], ["10.0.0.0/15"], []])}
            )
        },
        optional={"subnets": named(NAMES, subnets), "virtualNetworkPeerings": named(("a",), peerings)},
    ),
    LOAD_BALANCERS: st.fixed_dictionaries(
        {"frontendIPConfigurations": named(("f", "g"), frontends)},
        optional={
            "backendAddressPools": named(NAMES, st.just({})),
            "inboundNatRules": named(("a",), nat_rules),
            "loadBalancingRules": named(NAMES, balancing_rules),
        },
    ),
    NETWORK_INTERFACES: st.fixed_dictionaries({"ipConfigurations": named(("x", "y"), ip_configurations)}),
    VIRTUAL_MACHINES: st.fixed_dictionaries(
        {"networkProfile": st.fixed_dictionaries({"networkInterfaces": few(placed)})}
    ),
}
CHILDREN: dict[tuple[str, str], st.SearchStrategy[Document]] = {
    (VIRTUAL_NETWORKS, "subnets"): subnets,
    (VIRTUAL_NETWORKS, "virtualNetworkPeerings"): peerings,
    (SECURITY_GROUPS, "securityRules"): security_rules,
    (ROUTE_TABLES, "routes"): routes,
    (LOAD_BALANCERS, "backendAddressPools"): st.just({}),
    (LOAD_BALANCERS, "inboundNatRules"): nat_rules,
    (NETWORK_INTERFACES, "ipConfigurations"): st.just({}),
}
TYPES = list(PROPERTIES)
LINKS = {"subnet": {"id": f"{make(SCOPE, VIRTUAL_NETWORKS, 'a')}/subnets/a"}}
BALANCER = str(make(SCOPE, LOAD_BALANCERS, "a"))
FRONTEND = {"frontendIPConfiguration": {"id": f"{BALANCER}/frontendIPConfigurations/f"}}
BEGINNING: list[tuple[str, str, Document]] = [
    *((each, "a", {}) for each in (SECURITY_GROUPS, PUBLIC_ADDRESSES, ROUTE_TABLES, APPLICATION_GROUPS, NAT_GATEWAYS)),
    *((VIRTUAL_NETWORKS, name, {
        "addressSpace": {"addressPrefixes": [f"10.{number}.0.0/16"]},
        "subnets": [{"name": each, "properties": {"addressPrefix": f"10.{number}.{position}.0/28"}}
                    for position, each in enumerate(NAMES)],
    }) for number, name in enumerate(NAMES)),
    (LOAD_BALANCERS, "a", {
        "frontendIPConfigurations": [
            {"name": "f", "properties": {"publicIPAddress": {"id": str(make(SCOPE, PUBLIC_ADDRESSES, "a"))}}}],
        "backendAddressPools": [{"name": "a"}],
        "inboundNatRules": [
            {"name": "a", "properties": FRONTEND | {"protocol": "Tcp", "frontendPort": 1, "backendPort": 22}}],
    }),
    (NETWORK_INTERFACES, "a", {"ipConfigurations": [{"name": "x", "properties": LINKS | {
        "applicationSecurityGroups": [{"id": str(make(SCOPE, APPLICATION_GROUPS, "a"))}],
        "loadBalancerBackendAddressPools": [{"id": f"{BALANCER}/backendAddressPools/a"}]}}]}),
    (NETWORK_INTERFACES, "b", {"ipConfigurations": [{"name": "x", "properties": LINKS}]}),
    (VIRTUAL_MACHINES, "a", {"networkProfile": {"networkInterfaces": [
        {"id": str(make(SCOPE, NETWORK_INTERFACES, "a")), "properties": {"primary": True}},
        {"id": str(make(SCOPE, NETWORK_INTERFACES, "b"))}]}}),
]  # fmt: skip
"""Where sequences begin: resources that hold one another."""
weird = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "name", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


class Api(RuleBasedStateMachine):
    """Clients of one fabric."""

    def __init__(self) -> None:
        super().__init__()
        self.api = OfflineApi()
        self.ask = self.api.ask

    def write(self, method: str, path: str, body: object = None, **headers: str) -> None:
        """A request whose answer is one that Azure could give; what is refused changes nothing."""
        before = dict(self.api.world.documents)
        status, answer = self.ask(method, path, body, **headers)
        if status < 400:
            assert status in {"PUT": {200, 201}, "PATCH": {200}, "DELETE": {202, 204}}[method]
            event(f"{method} taken: {parse(path).type.split('/')[-1]}")
            return
        assert status in {400, 404, 405, 409, 412}, (status, answer)
        assert set(answer) == {"error"}
        assert {"code", "message"} <= set(answer["error"]) <= {"code", "message", "target", "details"}
        assert self.api.world.documents == before
        event(f"{method} refused: {answer['error']['code']}")

    def place(self, full_type: str, name: str, *path: str) -> str:
        return "/".join((str(make(SCOPE, full_type, name)), *path))

    @initialize()
    def found(self) -> None:
        assert self.ask("PUT", GROUP_PATH, {"location": "local"})[0] == 201
        for full_type, name, properties in BEGINNING:
            body = {"location": "local", "properties": properties}
            assert self.ask("PUT", self.place(full_type, name), body)[0] == 201

    @rule(data=st.data(), full_type=st.sampled_from([*TYPES, *[NETWORK_INTERFACES, LOAD_BALANCERS] * 3]), name=name_of)
    def put(self, data: st.DataObject, full_type: str, name: str) -> None:
        body = {"location": "local", "properties": data.draw(PROPERTIES[full_type])}
        self.write("PUT", self.place(full_type, name), body)

    @rule(data=st.data(), child=st.sampled_from(list(CHILDREN)), name=name_of, part=name_of)
    def put_child(self, data: st.DataObject, child: tuple[str, str], name: str, part: str) -> None:
        full_type, kind = child
        self.write("PUT", self.place(full_type, name, kind, part), {"properties": data.draw(CHILDREN[child])})

    @rule(child=st.sampled_from(list(CHILDREN)), name=name_of, part=name_of)
    def delete_child(self, child: tuple[str, str], name: str, part: str) -> None:
        self.write("DELETE", self.place(child[0], name, child[1], part))

    @rule(full_type=st.sampled_from(TYPES), name=name_of)
    def delete(self, full_type: str, name: str) -> None:
        self.write("DELETE", self.place(full_type, name))

    @rule(full_type=st.sampled_from(TYPES), name=name_of, tags=st.dictionaries(st.text(max_size=3), weird, max_size=1))
    def patch(self, full_type: str, name: str, tags: Document) -> None:
        self.write("PATCH", self.place(full_type, name), {"tags": tags})

    @rule(full_type=st.sampled_from(TYPES), name=name_of, wrong=weird, member=st.sampled_from(["", "a", "properties"]))
    def put_nonsense(self, full_type: str, name: str, wrong: object, member: str) -> None:
        self.write("PUT", self.place(full_type, name), {"location": "local", member: wrong} if member else wrong)

    @rule(full_type=st.sampled_from(TYPES), name=name_of)
    def put_what_is_shown(self, full_type: str, name: str) -> None:
        status, shown = self.ask("GET", self.place(full_type, name))
        if status == 200:
            assert self.ask("PUT", self.place(full_type, name), shown, if_match=shown["etag"]) == (200, shown)
            self.write("PUT", self.place(full_type, name), shown, if_match='W/"of another state"')

    @invariant()
    def the_store_is_whole(self) -> None:
        world = self.api.world
        check_addresses(world)
        check_references(world)
        rebuilt = World()
        for document in world.documents.values():
            rebuilt.put(document)
        assert rebuilt == world, "the indexes are what the documents say"

    @invariant()
    def the_network_is_what_the_documents_say(self) -> None:
        wanted = compile_fabric(IntentReader().read(self.api.world))
        assert self.api.program == {label: set(objects) for label, objects in wanted.items()}

    def answers(self) -> list[tuple[int, Any]]:
        """What every GET and LIST says."""
        lists = [f"{GROUP_PATH}/providers/{full_type}" for full_type in TYPES]
        singles = [self.place(full_type, name) for full_type in TYPES for name in NAMES]
        parts = [f"{self.place(full_type, name)}/{kind}" for full_type, kind in CHILDREN for name in NAMES]
        return [self.ask("GET", path) for path in (GROUP_PATH, f"{GROUP_PATH}/resources", *lists, *singles, *parts)]

    def teardown(self) -> None:
        before = self.answers()
        self.api.restart()
        assert self.answers() == before, "a restart changes no answer"
        self.the_network_is_what_the_documents_say()
        self.api.close()


def check_addresses(world: World) -> None:
    """No subnets of a network overlap, and no address is held twice."""
    for network in world.of_type(VIRTUAL_NETWORKS):
        space = [ip_network(text) for text in network["properties"]["addressSpace"]["addressPrefixes"]]
        prefixes = [prefix for each in network["properties"]["subnets"] for prefix in prefixes_of(each)]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(prefixes, 2))
        assert all(any(part.supernet_of(prefix) for part in space) for prefix in prefixes)  # type: ignore[arg-type]
    held = [place[:2] for document in world.documents.values() for place in held_addresses(document)]
    assert len(set(held)) == len(held), "no private address twice"
    for subnet, address in held:
        found = world.find(parse(subnet))
        assert found is not None
        assert any(address in prefix for prefix in prefixes_of(found)), "an address is in its subnet"
    runs = [ip_network(each["properties"]["ipAddress"]) for each in world.of_type(PUBLIC_ADDRESSES)]
    assert len(set(runs)) == len(runs), "no public address twice"
    for document in world.of_type(PUBLIC_ADDRESSES):
        for user in world.users(document["id"].lower(), "ipConfigurations"):
            holder = world.find(parse(user))
            assert holder is not None
            (private,) = addresses_of(holder)
            assert private.version == ip_address(document["properties"]["ipAddress"]).version, user


def check_references(world: World) -> None:
    """What is referred to is there; only a peering whose other side has gone leads nowhere, and says so."""
    for target, users in world.referrers.items():
        for user in users if world.find(parse(target)) is None else ():
            peering = world.find(parse(user))
            assert peering is not None
            assert peering["properties"]["peeringState"] == "Disconnected", f"{user} refers to {target}"
    for machine in world.of_type(VIRTUAL_MACHINES):
        nics = [
            world.documents[each["id"].lower()] for each in machine["properties"]["networkProfile"]["networkInterfaces"]
        ]
        assert all(nic["properties"]["virtualMachine"]["id"] == machine["id"] for nic in nics)
        networks = {
            parse(nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]).parent for nic in nics
        }
        assert len(networks) == 1, "the NICs of a VM are in one virtual network"


TestApi = Api.TestCase
TestApi.settings = settings(
    max_examples=EXAMPLES or 25,
    stateful_step_count=30,
    derandomize=not EXAMPLES,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
