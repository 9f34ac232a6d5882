"""Whatever is put and deleted next, and refused or not, the references between resources hold.

Unlike a file, which wants everything at once, this goes one resource at a time, as the API does.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from podvnet.fabric.arm import children, references
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
    shown,
)
from podvnet.fabric.settlement import TYPES, complete, settle, settle_all, settle_removal
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import Scope, make, parse

NAMES = ("a", "b")


def mostly(likely: st.SearchStrategy[Any], unlikely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda number: unlikely if number == 9 else likely)


name_of = mostly(st.sampled_from(NAMES), st.sampled_from(["A", "none"]))


def ref(kind: str, *path: str) -> st.SearchStrategy[Document]:
    tail = "/".join(path)
    return name_of.map(lambda name: {"id": f"{kind}/{name}" + (f"/{tail}" if tail else "")})


def few(each: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, max_size=most)


def maybe(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries({}, optional=members)


def named(properties: st.SearchStrategy[Document]) -> st.SearchStrategy[Document]:
    return st.tuples(st.sampled_from(["x", "y", "X"]), properties).map(lambda t: {"name": t[0], "properties": t[1]})


prefixes = mostly(st.sampled_from(["10.0.0.0/8", "Internet", "*"]), st.sampled_from(["10.0.0.1/8", "Nowhere"]))

security_rules = named(
    st.fixed_dictionaries(
        {
            "priority": mostly(st.integers(100, 103), st.just(99)),
            "direction": st.sampled_from(["Inbound", "Outbound"]),
            "access": st.sampled_from(["Allow", "Deny"]),
            "protocol": st.sampled_from(["Tcp", "*"]),
            "sourcePortRange": st.just("*"),
            "destinationPortRange": st.sampled_from(["80", "1-9"]),
            "destinationAddressPrefix": st.just("*"),
        }
    ).flatmap(
        lambda fixed: st.one_of(
            prefixes.map(lambda text: fixed | {"sourceAddressPrefix": text}),
            ref("applicationSecurityGroups").map(lambda each: fixed | {"sourceApplicationSecurityGroups": [each]}),
        )
    )
)
routes = named(
    st.one_of(
        st.fixed_dictionaries({"addressPrefix": prefixes, "nextHopType": st.sampled_from(["None", "Internet"])}),
        st.just({"addressPrefix": "10.9.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.9"}),
    )
)


@st.composite
def networks(draw: st.DrawFn) -> Document:
    number = draw(st.integers(0, 2))
    subnets = [
        {
            "name": name,
            "properties": {"addressPrefix": f"10.{number}.{position}.0/{draw(st.sampled_from([26, 26, 27]))}"}
            | draw(
                maybe(
                    networkSecurityGroup=ref("networkSecurityGroups"),
                    routeTable=ref("routeTables"),
                    natGateway=ref("natGateways"),
                )
            ),
        }
        for position, name in enumerate(NAMES)
        if draw(st.integers(0, 4))
    ]
    peerings = draw(few(named(ref("virtualNetworks").map(lambda each: {"remoteVirtualNetwork": each})), 1))
    space = {"addressPrefixes": [f"10.{number}.0.0/16"]}
    return {"addressSpace": space, "subnets": subnets, "virtualNetworkPeerings": peerings}


subnet_refs = st.tuples(name_of, name_of).map(lambda pair: {"id": f"virtualNetworks/{pair[0]}/subnets/{pair[1]}"})


@st.composite
def balancers(draw: st.DrawFn, name: str) -> Document:
    def own(kind: str, part: str) -> Document:
        return {"id": f"loadBalancers/{name}/{kind}/{part}"}

    frontend = draw(
        st.one_of(
            ref("publicIPAddresses").map(lambda each: {"publicIPAddress": each}),
            subnet_refs.map(lambda each: {"subnet": each}),
        )
    )
    rules = [
        {
            "name": f"r{port}",
            "properties": {
                "frontendIPConfiguration": own("frontendIPConfigurations", "f"),
                "backendAddressPool": own("backendAddressPools", pool),
                "protocol": "Tcp",
                "frontendPort": port,
                "backendPort": draw(st.sampled_from([80, 81])),
            },
        }
        for port, pool in draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(NAMES)), max_size=2))
    ]
    nats = [
        {
            "name": "n",
            "properties": {
                "frontendIPConfiguration": own("frontendIPConfigurations", "f"),
                "protocol": "Tcp",
                "frontendPort": draw(st.sampled_from([3, 22])),
                "backendPort": 22,
            },
        }
        for _ in range(draw(st.integers(0, 1)))
    ]
    pools = [{"name": each} for each in NAMES if draw(st.integers(0, 5))]
    return {
        "frontendIPConfigurations": [{"name": "f", "properties": frontend}],
        "backendAddressPools": pools,
        "loadBalancingRules": rules,
        "inboundNatRules": nats,
    }


@st.composite
def nics(draw: st.DrawFn) -> Document:
    subnet = draw(subnet_refs)
    configs = []
    for position in range(draw(st.integers(1, 3))):
        links = draw(
            maybe(
                publicIPAddress=ref("publicIPAddresses"),
                loadBalancerBackendAddressPools=few(ref("loadBalancers", "backendAddressPools", "a"), 1),
                loadBalancerInboundNatRules=few(ref("loadBalancers", "inboundNatRules", "n"), 1),
                applicationSecurityGroups=few(ref("applicationSecurityGroups"), 1),
            )
        )
        if position and draw(st.booleans()):
            links = {"privateIPAddressPrefixLength": 28}
        configs.append({"name": f"c{position}", "properties": {"subnet": subnet, "primary": not position} | links})
    return {"ipConfigurations": configs} | draw(maybe(networkSecurityGroup=ref("networkSecurityGroups")))


BODIES: dict[str, Any] = {
    APPLICATION_GROUPS: lambda _: st.just({}),
    SECURITY_GROUPS: lambda _: st.fixed_dictionaries({"securityRules": few(security_rules)}),
    ROUTE_TABLES: lambda _: st.fixed_dictionaries({"routes": few(routes)}),
    PUBLIC_PREFIXES: lambda _: st.just({"prefixLength": 31}),
    PUBLIC_ADDRESSES: lambda _: maybe(publicIPPrefix=ref("publicIPPrefixes")),
    NAT_GATEWAYS: lambda _: maybe(
        publicIpAddresses=few(ref("publicIPAddresses"), 1), publicIpPrefixes=few(ref("publicIPPrefixes"), 1)
    ),
    VIRTUAL_NETWORKS: lambda _: networks(),
    LOAD_BALANCERS: balancers,
    NETWORK_INTERFACES: lambda _: nics(),
    VIRTUAL_MACHINES: lambda _: ref("networkInterfaces").map(
        lambda each: {"networkProfile": {"networkInterfaces": [each]}}
    ),
}


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, Any]:
    """Something to do: put a resource, delete one, or put or delete a child."""
    full_type, name = draw(st.sampled_from(sorted(BODIES))), draw(st.sampled_from(NAMES))
    resource = make(Scope(), full_type, name)
    what = draw(st.sampled_from(["put"] * 6 + ["delete", "child"]))
    if what == "delete":
        return "delete", resource
    if what == "child":
        kind, part = draw(
            st.sampled_from(
                [
                    ("subnets", "a"),
                    ("securityRules", "x"),
                    ("backendAddressPools", "a"),
                    ("virtualNetworkPeerings", "x"),
                ]
            )
        )
        return "child", (resource, ((kind, part),))
    properties = draw(BODIES[full_type](name))
    return "put", {"id": str(resource), "type": full_type, "location": "local", "properties": properties}


# Everything first, so that what comes next finds what it refers to.
START: list[tuple[str, Any]] = [
    (
        "put",
        {
            "id": str(make(Scope(), full_type, name)),
            "type": full_type,
            "location": "local",
            "properties": {"prefixLength": 31} if full_type == PUBLIC_PREFIXES else {},
        },
    )
    for full_type in (
        APPLICATION_GROUPS, SECURITY_GROUPS, ROUTE_TABLES, PUBLIC_PREFIXES, PUBLIC_ADDRESSES, NAT_GATEWAYS
    )
    for name in NAMES
] + [
    (
        "put",
        {
            "id": str(make(Scope(), VIRTUAL_NETWORKS, name)),
            "type": VIRTUAL_NETWORKS,
            "location": "local",
            "properties": {
                "addressSpace": {"addressPrefixes": [f"10.{number}.0.0/16"]},
                "subnets": [
                    {"name": each, "properties": {"addressPrefix": f"10.{number}.{position}.0/26"}}
                    for position, each in enumerate(NAMES)
                ],
            },
        },
    )
    for number, name in enumerate(NAMES)
]  # fmt: skip


def step(world: World, what: str, target: Any) -> World:
    """The world after a step; the same one when it is refused."""
    try:
        if what == "delete":
            found = world.get(target)
            if found:
                TYPES[found["type"].lower()].check_removal(target, world)
            return settle_removal({target.key}, world).world
        if what == "child":
            resource, path = target
            found = world.get(resource)
            if found is None:
                return world
            target = children.remove_child(references.view(found, world), path)
        draft = world.copy()
        draft.put(settle(target, draft))
        complete(draft)
    except (ArmError, ArmErrorsError) as refusal:
        code = refusal.code if isinstance(refusal, ArmError) else refusal.errors[0].code
        event(f"refused: {code}")
        return world
    event(f"taken: {what} {target['type'].rsplit('/', 1)[-1]}")
    return draft


def lived(history: list[tuple[str, Any]]) -> World:
    world = World()
    for what, target in [*START, *history]:
        before = json.dumps([shown(each) for each in world.documents.values()])
        after = step(world, what, target)
        assert json.dumps([shown(each) for each in world.documents.values()]) == before
        world = after
    return world


HISTORIES = st.lists(steps(), min_size=4, max_size=30)
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def check_references(world: World) -> None:
    for target, users in world.referrers.items():
        if world.find(parse(target)) is not None:
            continue
        # Only a peering whose other side has gone leads nowhere, and says so.
        for user in users:
            peering = world.find(parse(user))
            assert peering is not None
            assert peering["properties"]["peeringState"] == "Disconnected", f"{user} refers to {target}"
    rebuilt = World()
    for each in world.documents.values():
        rebuilt.put(each)
    assert rebuilt == world, "the indexes agree with the documents"


def check_addresses(world: World) -> None:
    held: dict[str, set[Any]] = {}
    holders = [
        each
        for document in world.documents.values()
        for key in ("ipConfigurations", "frontendIPConfigurations")
        for each in document["properties"].get(key, [])
        if "subnet" in each["properties"]
    ]
    for each in holders:
        there = held.setdefault(each["properties"]["subnet"]["id"].lower(), set())
        for address in addresses_of(each):
            assert address not in there, "no private address twice"
            there.add(address)
    publics = [each["properties"]["ipAddress"] for each in world.of_type(PUBLIC_ADDRESSES)]
    assert len(set(publics)) == len(publics), "no public address twice"
    for each in world.of_type(PUBLIC_ADDRESSES):
        assert len(world.users(each["id"].lower())) <= 1, "a public address has one user"
    for subnet, hints in world.lowest.items():
        for lowest in hints.values():
            assert all(int(address) >= lowest or address in held[subnet] for address in held.get(subnet, set()))


def check_peerings(world: World) -> None:
    for network in world.of_type(VIRTUAL_NETWORKS):
        for peering in network["properties"]["virtualNetworkPeerings"]:
            properties = peering["properties"]
            remote = world.documents.get(properties["remoteVirtualNetwork"]["id"].lower())
            back = [
                each["properties"]["peeringState"]
                for each in (remote["properties"]["virtualNetworkPeerings"] if remote else [])
                if each["properties"]["remoteVirtualNetwork"]["id"].lower() == network["id"].lower()
            ]
            expected = {"Initiated": ([], ["Disconnected"]), "Connected": (["Connected"],)}
            if properties["peeringState"] in expected:
                assert back in expected[properties["peeringState"]]


@unhurried
@given(HISTORIES)
def test_references_hold(history: list[tuple[str, Any]]) -> None:
    world = lived(history)
    check_references(world)
    check_addresses(world)
    check_peerings(world)


@unhurried
@given(HISTORIES)
def test_what_is_shown_can_be_put_back(history: list[tuple[str, Any]]) -> None:
    world = lived(history)
    views = [references.view(each, world) for each in world.documents.values()]
    for view, document in zip(views, world.documents.values(), strict=True):
        assert settle(view, world) == document
        assert view["etag"] == references.etag(document, world)
    again = settle_all(views, world, set(world.documents))
    assert again.changes == ()
    # And a restart, which reads the documents in any order, shows the same.
    rebuilt = World()
    for document in sorted(world.documents.values(), key=lambda each: str(each["id"]), reverse=True):
        rebuilt.put(json.loads(json.dumps(document)))
    assert [references.view(rebuilt.documents[view["id"].lower()], rebuilt) for view in views] == views
