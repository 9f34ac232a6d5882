from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from podvnet.fabric.arm import references
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
    shown,
)
from podvnet.fabric.settlement import settle, settle_all, settle_removal
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]


def document_of(world: World, full_type: str, name: str) -> Document:
    return world.documents[make(Scope(), full_type, name).key]


def view(world: World, full_type: str, name: str) -> Document:
    return references.view(document_of(world, full_type, name), world)


def etag(world: World, full_type: str, name: str) -> str:
    return references.etag(document_of(world, full_type, name), world)


def at(value: Any, *path: str | int) -> Any:
    for step in path:
        value = value[step]
    return value


def ids(value: Any) -> list[str]:
    """The ids without what they have in common."""
    values = value if isinstance(value, list) else [value]
    return [each["id"].split("/providers/Microsoft.Network/")[-1] for each in values]


BACK: list[tuple[str, str, tuple[str | int, ...], list[str]]] = [
    (SECURITY_GROUPS, "guard", ("subnets",), ["virtualNetworks/one/subnets/a"]),
    (SECURITY_GROUPS, "guard", ("networkInterfaces",), ["networkInterfaces/nic"]),
    (ROUTE_TABLES, "ways", ("subnets",), ["virtualNetworks/one/subnets/a"]),
    (NAT_GATEWAYS, "exit", ("subnets",), ["virtualNetworks/one/subnets/a"]),
    (PUBLIC_ADDRESSES, "own", ("ipConfiguration",), ["networkInterfaces/nic/ipConfigurations/x"]),
    (PUBLIC_ADDRESSES, "front", ("ipConfiguration",), ["loadBalancers/public/frontendIPConfigurations/f"]),
    (PUBLIC_ADDRESSES, "way", ("natGateway",), ["natGateways/exit"]),
    (PUBLIC_PREFIXES, "run", ("natGateway",), ["natGateways/exit"]),
    (
        VIRTUAL_NETWORKS,
        "one",
        ("subnets", 0, "properties", "ipConfigurations"),
        [
            "loadBalancers/inner/frontendIPConfigurations/f",
            "networkInterfaces/nic/ipConfigurations/x",
            "networkInterfaces/nic/ipConfigurations/y",
        ],
    ),
    (
        LOAD_BALANCERS,
        "public",
        ("backendAddressPools", 0, "properties", "backendIPConfigurations"),
        ["networkInterfaces/nic/ipConfigurations/x"],
    ),
    *(
        (LOAD_BALANCERS, "public", (kind, 0, "properties", member), [f"loadBalancers/public/{member}/{name}"])
        for kind, member, name in (
            ("backendAddressPools", "loadBalancingRules", "r"),
            ("backendAddressPools", "outboundRules", "out"),
            ("frontendIPConfigurations", "loadBalancingRules", "r"),
            ("frontendIPConfigurations", "inboundNatRules", "ssh"),
            ("frontendIPConfigurations", "outboundRules", "out"),
            ("probes", "loadBalancingRules", "r"),
        )
    ),
    (
        LOAD_BALANCERS,
        "public",
        ("backendAddressPools", 0, "properties", "outboundRule"),
        ["loadBalancers/public/outboundRules/out"],
    ),
    (
        LOAD_BALANCERS,
        "public",
        ("inboundNatRules", 0, "properties", "backendIPConfiguration"),
        ["networkInterfaces/nic/ipConfigurations/x"],
    ),
]


@pytest.mark.parametrize("row", BACK, ids=[f"{row[1]} {row[2][-1]} {row[2][0]}" for row in BACK])
def test_back_references(row: tuple[str, str, tuple[str | int, ...], list[str]], stocked: World) -> None:
    full_type, name, path, expected = row
    assert ids(at(view(stocked, full_type, name)["properties"], *path)) == expected


def test_who_is_on_a_vm_says_so(stocked: World) -> None:
    machine = view(stocked, NETWORK_INTERFACES, "nic")["properties"]["virtualMachine"]
    assert machine == {"id": str(make(Scope(), VIRTUAL_MACHINES, "vm"))}


@pytest.mark.parametrize(
    ("full_type", "name"),
    [(PUBLIC_ADDRESSES, "spare"), (APPLICATION_GROUPS, "web"), (APPLICATION_GROUPS, "db")],
)
def test_what_nobody_refers_to_is_shown_as_it_is(full_type: str, name: str, stocked: World) -> None:
    found = view(stocked, full_type, name)
    found.pop("etag")
    assert found == shown(document_of(stocked, full_type, name))


def parts(value: Any) -> Iterator[Document]:
    """Whatever has an id and a name."""
    if isinstance(value, dict):
        if "id" in value and "name" in value:
            yield value
        for each in value.values():
            yield from parts(each)
    elif isinstance(value, list):
        for each in value:
            yield from parts(each)


def test_every_part_has_its_head(stocked: World) -> None:
    kinds = set()
    for document in stocked.documents.values():
        found = references.view(document, stocked)
        for part in parts(found):
            assert part["etag"] == references.etag(document, stocked), part["id"]
            assert part["id"].endswith(f"/{part['type'].rsplit('/', 1)[-1]}/{part['name']}")
            kinds.add(part["type"].rsplit("/", 1)[-1])
        assert "_fabric" not in found
    assert len(kinds) == 23


def test_an_etag_is_as_azure_writes_it(stocked: World) -> None:
    assert etag(stocked, PUBLIC_ADDRESSES, "own").startswith('W/"')
    assert len(etag(stocked, PUBLIC_ADDRESSES, "own")) == 40


def test_a_view_is_a_copy(stocked: World) -> None:
    found = view(stocked, NETWORK_INTERFACES, "nic")
    before = etag(stocked, NETWORK_INTERFACES, "nic")
    found["properties"]["ipConfigurations"].clear()
    assert etag(stocked, NETWORK_INTERFACES, "nic") == before


def test_settling_what_is_shown_changes_nothing(stocked: World) -> None:
    for document in stocked.documents.values():
        assert settle(references.view(document, stocked), stocked) == document
    views = [references.view(document, stocked) for document in stocked.documents.values()]
    assert settle_all(views, stocked, set(stocked.documents)).changes == ()


def test_an_etag_changes_with_who_refers(stocked: World, document: Make) -> None:
    names = [
        (PUBLIC_ADDRESSES, "spare"),
        (SECURITY_GROUPS, "guard"),
        (LOAD_BALANCERS, "public"),
        (LOAD_BALANCERS, "inner"),
        (VIRTUAL_NETWORKS, "one"),
        (VIRTUAL_NETWORKS, "two"),
        (APPLICATION_GROUPS, "web"),
        (NETWORK_INTERFACES, "nic"),
    ]
    before = {name: etag(stocked, *name) for name in names}
    config = {
        "name": "a",
        "properties": {
            "subnet": {"id": "virtualNetworks/one/subnets/a"},
            "publicIPAddress": {"id": "publicIPAddresses/spare"},
            "loadBalancerBackendAddressPools": [{"id": "loadBalancers/public/backendAddressPools/nics"}],
            "applicationSecurityGroups": [{"id": "applicationSecurityGroups/web"}],
        },
    }
    properties = {"ipConfigurations": [config], "networkSecurityGroup": {"id": "networkSecurityGroups/guard"}}
    stocked.put(settle(document(NETWORK_INTERFACES, "new", properties), stocked))
    after = {name: etag(stocked, *name) for name in names}
    assert [name for _, name in (key for key in names if before[key] != after[key])] == [
        "spare", "guard", "public", "one",
    ]  # fmt: skip
    stocked.remove(make(Scope(), NETWORK_INTERFACES, "new").key)
    assert {name: etag(stocked, *name) for name in names} == before


def test_an_etag_does_not_depend_on_the_order_of_creation(stocked: World) -> None:
    again = World()
    for document in reversed(stocked.documents.values()):
        again.put(document)
    assert again == stocked
    for document in stocked.documents.values():
        assert references.etag(document, again) == references.etag(document, stocked)


def test_16_000_ip_configurations(document: Make) -> None:
    """A NIC's view costs the same however many there are beside it; that of the network grows with what it shows."""
    world = World()
    subnets = [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/16"}}]
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    world.put(settle(document(VIRTUAL_NETWORKS, "net", {"addressSpace": space, "subnets": subnets}), world))
    seconds = []
    for number in range(64):
        configs = [
            {
                "name": f"c{each}",
                "properties": {"primary": not each, "subnet": {"id": "virtualNetworks/net/subnets/a"}},
            }
            for each in range(250)
        ]
        started = time.process_time()
        world.put(settle(document(NETWORK_INTERFACES, f"n{number}", {"ipConfigurations": configs}), world))
        view(world, NETWORK_INTERFACES, f"n{number}")
        seconds.append(time.process_time() - started)
    assert sum(sorted(seconds[32:])[:16]) < 3 * sum(sorted(seconds[:32])[:16])
    started = time.process_time()
    found = view(world, VIRTUAL_NETWORKS, "net")
    assert time.process_time() - started < 2
    assert len(found["properties"]["subnets"][0]["properties"]["ipConfigurations"]) == 16_000


def test_everything_goes_at_once(stocked: World) -> None:
    after = settle_removal(set(stocked.documents), stocked).world
    assert (after.documents, after.holders, after.referrers) == ({}, {}, {})
