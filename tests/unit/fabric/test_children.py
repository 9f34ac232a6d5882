from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import pytest

from podvnet.fabric.arm import children, references
from podvnet.fabric.arm.world import (
    LOAD_BALANCERS,
    NETWORK_INTERFACES,
    PUBLIC_ADDRESSES,
    ROUTE_TABLES,
    SECURITY_GROUPS,
    VIRTUAL_NETWORKS,
    Document,
    World,
)
from podvnet.fabric.settlement import complete, settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

WRITABLE = [
    (VIRTUAL_NETWORKS, "one", "subnets", "b", {"addressPrefix": "10.1.7.0/24"}),
    (
        VIRTUAL_NETWORKS,
        "one",
        "virtualNetworkPeerings",
        "to-two",
        {"remoteVirtualNetwork": {"id": "virtualNetworks/two"}},
    ),
    (
        SECURITY_GROUPS,
        "guard",
        "securityRules",
        "in",
        {
            "priority": 200,
            "direction": "Outbound",
            "access": "Deny",
            "protocol": "*",
            "sourceAddressPrefix": "*",
            "sourcePortRange": "*",
            "destinationAddressPrefix": "*",
            "destinationPortRange": "*",
        },
    ),
    (ROUTE_TABLES, "ways", "routes", "out", {"addressPrefix": "0.0.0.0/0", "nextHopType": "None"}),
    (LOAD_BALANCERS, "inner", "backendAddressPools", "free", {}),
    (
        LOAD_BALANCERS,
        "public",
        "inboundNatRules",
        "more",
        {
            "frontendIPConfiguration": {"id": "loadBalancers/public/frontendIPConfigurations/f"},
            "protocol": "Tcp",
            "frontendPort": 3333,
            "backendPort": 33,
        },
    ),
]
READ_ONLY = [
    (SECURITY_GROUPS, "guard", "defaultSecurityRules", "DenyAllInBound"),
    (LOAD_BALANCERS, "public", "frontendIPConfigurations", "f"),
    (LOAD_BALANCERS, "public", "probes", "p"),
    (LOAD_BALANCERS, "public", "loadBalancingRules", "r"),
    (LOAD_BALANCERS, "public", "outboundRules", "out"),
    (NETWORK_INTERFACES, "nic", "ipConfigurations", "x"),
]


def view(world: World, full_type: str, name: str) -> Document:
    return references.view(world.documents[make(Scope(), full_type, name).key], world)


def put(world: World, wanted: Document) -> None:
    world.put(settle(wanted, world))
    complete(world)


@pytest.mark.parametrize("row", WRITABLE, ids=[row[2] for row in WRITABLE])
def test_written_and_removed(row: tuple[str, str, str, str, Document], stocked: World) -> None:
    full_type, parent, kind, name, body = row
    path = ((kind.upper(), name.upper()),)
    before = view(stocked, full_type, parent)
    beside = [each["name"] for each in children.list_children(before, (), kind)]
    was_there = children.has_child(before, path)
    put(stocked, children.put_child(before, path, {"properties": body}))
    found = children.read_child(view(stocked, full_type, parent), path)
    # One that is there keeps its name's case and its place.
    expected = name if was_there else name.upper()
    assert found["name"] == expected
    assert found["id"] == f"{make(Scope(), full_type, parent)}/{kind}/{expected}"
    assert found["etag"] == references.etag(stocked.documents[make(Scope(), full_type, parent).key], stocked)
    for key, value in body.items():
        if not isinstance(value, dict):
            assert found["properties"][key] == value
    listed = [each["name"] for each in children.list_children(view(stocked, full_type, parent), (), kind)]
    assert listed == (beside if was_there else [*beside, expected])
    put(stocked, children.remove_child(view(stocked, full_type, parent), path))
    assert not children.has_child(view(stocked, full_type, parent), path)
    with pytest.raises(ArmError, match=f"NotFound: Resource .*/{kind}/{name.upper()} not found.") as caught:
        children.read_child(view(stocked, full_type, parent), path)
    assert caught.value.status == HTTPStatus.NOT_FOUND
    with pytest.raises(ArmError, match="NotFound"):
        children.remove_child(view(stocked, full_type, parent), path)


@pytest.mark.parametrize("row", READ_ONLY, ids=[row[2] for row in READ_ONLY])
def test_read_only(row: tuple[str, str, str, str], stocked: World) -> None:
    full_type, parent, kind, name = row
    path = ((kind, name),)
    shown = view(stocked, full_type, parent)
    assert children.read_child(shown, path)["type"] == f"{full_type}/{kind}"
    assert name in [each["name"] for each in children.list_children(shown, (), kind.lower())]
    writes: tuple[Callable[[], object], ...] = (
        lambda: children.put_child(shown, path, {}),
        lambda: children.remove_child(shown, path),
    )
    for write in writes:
        with pytest.raises(ArmError, match="MethodNotAllowed") as caught:
            write()
        assert caught.value.status == HTTPStatus.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("full_type", "parent", "path"),
    [
        (VIRTUAL_NETWORKS, "one", (("routes", "x"),)),
        (VIRTUAL_NETWORKS, "one", (("subnets", "a"), ("ipConfigurations", "x"))),
        (PUBLIC_ADDRESSES, "own", (("ipConfigurations", "x"),)),
        (LOAD_BALANCERS, "public", (("inboundNatPools", "x"),)),
    ],
)
def test_no_such_children(full_type: str, parent: str, path: children.Path, stocked: World) -> None:
    shown = view(stocked, full_type, parent)
    reads: tuple[Callable[[], object], ...] = (
        lambda: children.read_child(shown, path),
        lambda: children.has_child(shown, path),
        lambda: children.put_child(shown, path, {}),
        lambda: children.list_children(shown, path[:-1], path[-1][0]),
    )
    for read in reads:
        with pytest.raises(ArmError, match="InvalidResourceType") as caught:
            read()
        assert caught.value.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("full_type", "parent", "step", "code"),
    [
        (VIRTUAL_NETWORKS, "one", ("subnets", "a"), "InUseSubnetCannotBeDeleted"),
        (LOAD_BALANCERS, "inner", ("backendAddressPools", "nics"), "InUseLoadBalancerChildCannotBeDeleted"),
        (LOAD_BALANCERS, "public", ("inboundNatRules", "ssh"), "InUseLoadBalancerChildCannotBeDeleted"),
        (LOAD_BALANCERS, "inner", ("backendAddressPools", "pods"), "InvalidResourceReference"),
    ],
)
def test_what_is_in_use_does_not_go(
    full_type: str, parent: str, step: tuple[str, str], code: str, stocked: World
) -> None:
    with pytest.raises(ArmError, match=code):
        settle(children.remove_child(view(stocked, full_type, parent), (step,)), stocked)


def test_a_refused_child_is_refused_as_its_parent_is(stocked: World) -> None:
    shown = view(stocked, SECURITY_GROUPS, "guard")
    same = children.read_child(shown, (("securityRules", "in"),))
    with pytest.raises(ArmError, match="SecurityRuleConflict"):
        settle(children.put_child(shown, (("securityRules", "again"),), same), stocked)


def test_a_missing_parent() -> None:
    error = children.parent_not_found(f"{VIRTUAL_NETWORKS}/subnets", "net")
    assert (error.code, error.status) == ("ParentResourceNotFound", HTTPStatus.NOT_FOUND)


@pytest.mark.parametrize(
    ("properties", "subnets", "peerings"),
    [
        ({}, ["a", "b"], ["to-two"]),
        ({"Subnets": [], "virtualNetworkPeerings": []}, [], []),
        ({"subnets": [{"name": "a", "properties": {"addressPrefix": "10.1.0.0/24"}}]}, ["a"], ["to-two"]),
        ({"subnets": None}, ["a", "b"], ["to-two"]),
    ],
)
def test_a_network_keeps_the_children_it_is_put_without_a_word_of(
    properties: Document, subnets: list[str], peerings: list[str]
) -> None:
    there = {
        "type": VIRTUAL_NETWORKS,
        "properties": {"subnets": [{"name": "a"}, {"name": "b"}], "virtualNetworkPeerings": [{"name": "to-two"}]},
    }
    found = children.keep_unnamed({"location": "local", "properties": properties}, there)["properties"]
    lists = {key.lower(): [each["name"] for each in value or []] for key, value in found.items()}
    assert lists["subnets"] == subnets
    assert lists["virtualnetworkpeerings"] == peerings


def test_other_parents_are_put_whole(stocked: World) -> None:
    shown = view(stocked, LOAD_BALANCERS, "inner")
    body = {"location": "local", "properties": {}}
    assert children.keep_unnamed(body, shown) == body
