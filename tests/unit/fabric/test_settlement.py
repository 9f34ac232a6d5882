from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.world import (
    INTERNET_HOSTS,
    NETWORK_INTERFACES,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.intent import IntentReader
from podvnet.fabric.settlement import Settlement, settle, settle_all
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


def settled(wanted: list[Document], world: World) -> Settlement:
    """Settle a file that declared everything there is."""
    return settle_all(wanted, world, set(world.documents))


def refused(wanted: list[Document], world: World, removable: set[str] | None = None) -> list[tuple[str, str]]:
    before = copy.deepcopy(world)
    with pytest.raises(ArmErrorsError) as caught:
        settle_all(wanted, world, set(world.documents) if removable is None else removable)
    assert world == before, "a refusal changes nothing"
    return [(error.code, error.target.rsplit("/", 1)[-1]) for error in caught.value.errors]


def without(documents: list[Document], *names: str) -> list[Document]:
    return [each for each in documents if each["name"] not in names]


def named(documents: list[Document], name: str) -> Document:
    return next(each for each in documents if each["name"] == name)


def actions(settlement: Settlement) -> list[tuple[str, str]]:
    return [(change.action, change.id.rsplit("/", 1)[-1]) for change in settlement.changes]


def addresses(world: World, nic: str) -> list[str]:
    configs = world.documents[key(NETWORK_INTERFACES, nic)]["properties"]["ipConfigurations"]
    return [each["properties"]["privateIPAddress"] for each in configs]


def nics(machine: Document, *names: str) -> None:
    machine["properties"]["networkProfile"]["networkInterfaces"] = [
        {"id": f"networkInterfaces/{name}", "properties": {"primary": position == 0}}
        for position, name in enumerate(names)
    ]


def test_everything_is_created(declared: list[Document]) -> None:
    settlement = settle_all(declared, World(), set())
    assert sorted(actions(settlement)) == sorted(("create", each["name"]) for each in declared)
    assert addresses(settlement.world, "web") == ["10.0.0.4", "10.0.0.5", "10.0.0.10"]


def test_the_order_of_the_file_does_not_matter_for_references(declared: list[Document]) -> None:
    backwards = settle_all(declared[::-1], World(), set()).world
    assert backwards.documents.keys() == settle_all(declared, World(), set()).world.documents.keys()


def test_the_same_file_again_changes_nothing(declared: list[Document], world: World) -> None:
    settlement = settled(declared, world)
    assert settlement.changes == ()
    assert settlement.world == world


def test_what_is_shown_changes_nothing(world: World) -> None:
    settlement = settled([shown(each) for each in world.documents.values()], world)
    assert settlement.changes == ()
    assert settlement.world == world


def test_ids_and_types_in_another_case_are_the_same_resources(declared: list[Document], world: World) -> None:
    for document in declared:
        document["type"] = document["type"].lower()
        document["id"] = document["id"].lower()
    again = settled(declared, world).world
    assert again.documents.keys() == world.documents.keys()
    assert again.holders.keys() == world.holders.keys()
    assert [addresses(again, name) for name in ("web", "db", "spare")] == [
        addresses(world, name) for name in ("web", "db", "spare")
    ]
    # The types are written as Azure does, so whoever reads them later finds them.
    assert {each["type"] for each in again.documents.values()} == {
        INTERNET_HOSTS, VIRTUAL_NETWORKS, NETWORK_INTERFACES, VIRTUAL_MACHINES,
    }  # fmt: skip
    assert IntentReader().read(again).nics.keys() == IntentReader().read(world).nics.keys()


def test_names_keep_the_case_they_were_created_with(declared: list[Document], world: World) -> None:
    hub = named(declared, "hub")
    hub["id"], hub["name"] = hub["id"].replace("/hub", "/HUB"), "HUB"
    for subnet in hub["properties"]["subnets"]:
        subnet["name"] = subnet["name"].upper()
    again = settled(declared, world)
    assert again.changes == ()
    assert again.world == world


def test_nothing_is_removed_that_another_declared(declared: list[Document], world: World) -> None:
    assert settle_all([], world, set()).changes == ()
    assert actions(settle_all([], world, {key(INTERNET_HOSTS, "example")})) == [("delete", "example")]
    assert settled(without(declared, "example"), world).world.get(make(Scope(), INTERNET_HOSTS, "example")) is None


def test_everything_is_removed(world: World) -> None:
    settlement = settled([], world)
    assert settlement.world == World()
    assert {change.action for change in settlement.changes} == {"delete"}


def test_a_vm_that_goes_lets_its_nic_go(declared: list[Document], world: World) -> None:
    after = settled(without(declared, "one"), world).world
    web = after.documents[key(NETWORK_INTERFACES, "web")]
    assert "virtualMachine" not in web["properties"]
    assert addresses(after, "web") == addresses(world, "web")
    assert addresses(settled(without(declared, "one", "web"), world).world, "db") == ["10.0.0.6"]


def test_a_nic_goes_in_the_same_change_in_which_its_vm_drops_it(declared: list[Document], world: World) -> None:
    nics(named(declared, "one"), "web", "spare")
    both = settled(declared, world).world
    nics(named(declared, "one"), "web")
    settlement = settled(without(declared, "spare"), both)
    assert ("delete", "spare") in actions(settlement)


def test_what_is_removed_frees_its_addresses_for_what_comes(declared: list[Document], world: World) -> None:
    replacement = copy.deepcopy(named(declared, "web"))
    replacement["name"], replacement["id"] = "next", replacement["id"].replace("/web", "/next")
    nics(named(declared, "one"), "next")
    after = settled([*without(declared, "web"), replacement], world).world
    assert addresses(after, "next") == ["10.0.0.4", "10.0.0.5", "10.0.0.10"]
    assert after.documents[key(NETWORK_INTERFACES, "next")]["_fabric"]["outbound"] == "203.0.113.1"


def test_a_nic_moves_from_one_vm_to_the_next(declared: list[Document], world: World) -> None:
    nics(named(declared, "one"), "spare")
    nics(named(declared, "two"), "web")
    after = settled(declared, world).world
    owners = {
        name: after.documents[key(NETWORK_INTERFACES, name)]["properties"].get("virtualMachine", {}).get("id", "")[-3:]
        for name in ("web", "db", "spare")
    }
    assert owners == {"web": "two", "db": "", "spare": "one"}


@pytest.mark.parametrize(
    ("gone", "removable", "expected"),
    [
        pytest.param(["hub"], None, [("InvalidResourceReference", name) for name in ("web", "db", "spare")], id="hub"),
        pytest.param(["web"], None, [("InvalidResourceReference", "one")], id="a NIC that a VM wants"),
        pytest.param(
            ["web"], [(NETWORK_INTERFACES, "web")], [("InvalidResourceReference", "one")], id="a NIC alone is removable"
        ),
    ],
)
def test_what_is_still_wanted_does_not_go(
    gone: list[str],
    removable: list[tuple[str, str]] | None,
    expected: list[tuple[str, str]],
    declared: list[Document],
    world: World,
) -> None:
    keys = None if removable is None else {key(*each) for each in removable}
    found = refused(without(declared, *gone), world, keys)
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("removable", "code"),
    [
        pytest.param((NETWORK_INTERFACES, "web"), "NicInUse", id="a NIC on somebody else's VM"),
        pytest.param((VIRTUAL_NETWORKS, "hub"), "InUseSubnetCannotBeDeleted", id="a network with others' NICs"),
    ],
)
def test_what_others_use_does_not_go(removable: tuple[str, str], code: str, world: World) -> None:
    # The file declares nothing any more; all but one resource belong to the API.
    assert [found for found, _ in refused([], world, {key(*removable)})] == [code]


def test_every_refusal_is_named_at_once(declared: list[Document], world: World, document: Make) -> None:
    broken: list[Document] = [
        document(VIRTUAL_NETWORKS, "n1", {}),
        document(NETWORK_INTERFACES, "n2", {}),
        document(VIRTUAL_MACHINES, "n3", {}),
        document(INTERNET_HOSTS, "n4", {}),
        document("Microsoft.Network/bastionHosts", "n5", {}),
    ]
    assert refused([*declared, *broken], world) == [
        ("InvalidRequestFormat", "n4"),
        ("InvalidRequestFormat", "n1"),
        ("InvalidRequestFormat", "n2"),
        ("InvalidParameter", "n3"),
        ("InvalidResourceType", "n5"),
    ]


def test_an_id_that_is_none(document: Make) -> None:
    with pytest.raises(ArmErrorsError, match="InvalidRequestContent: '/hub' is not a resource id"):
        settle_all([document(VIRTUAL_NETWORKS, "hub", {}) | {"id": "/hub"}], World(), set())


def test_the_known_types_are_named(document: Make) -> None:
    with pytest.raises(ArmErrorsError, match=r"not a type this fabric knows \(.*Microsoft.Network/virtualNetworks"):
        settle_all([document("Microsoft.Network/bastionHosts", "bastion", {})], World(), set())


def change_front(properties: Document) -> None:
    properties["subnets"][1]["properties"]["addressPrefix"] = "10.0.1.0/28"


CHANGES: list[tuple[str, str, Callable[[Any], object], dict[str, list[str]]]] = [
    (
        "a member",
        "web",
        lambda properties: properties.update(enableIPForwarding=True),
        {"web": ["~ properties.enableIPForwarding: False → True"]},
    ),
    (
        "a member of a named one of a list",
        "hub",
        change_front,
        {"hub": ["~ properties.subnets.tiny.properties.addressPrefix: 10.0.1.0/29 → 10.0.1.0/28"]},
    ),
    (
        "one of a list goes",
        "hub",
        lambda properties: properties["subnets"].pop(),
        {"hub": ["- properties.subnets.quiet"]},
    ),
    (
        "one of a list comes",
        "spoke",
        lambda properties: properties["subnets"].append({"name": "n", "properties": {"addressPrefix": "10.9.9.0/24"}}),
        {"spoke": ["+ properties.subnets.n"]},
    ),
    (
        "a plain list",
        "hub",
        lambda properties: properties.update(dhcpOptions={"dnsServers": ["10.0.0.9"]}),
        {"hub": ["+ properties.dhcpOptions"]},
    ),
    (
        "what changes with it",
        "two",
        lambda properties: properties.update(networkProfile={"networkInterfaces": [{"id": "networkInterfaces/spare"}]}),
        {
            "db": [
                "~ properties.defaultOutboundConnectivityEnabled: True → False",
                "- properties.macAddress",
                "- properties.primary",
                "- properties.virtualMachine",
            ],
            "spare": [
                "~ properties.defaultOutboundConnectivityEnabled: False → True",
                "+ properties.macAddress",
                "+ properties.primary",
                "+ properties.virtualMachine",
            ],
            "two": ["~ properties.networkProfile.networkInterfaces: "],
        },
    ),
]


@pytest.mark.parametrize("row", CHANGES, ids=[row[0] for row in CHANGES])
def test_details(
    row: tuple[str, str, Callable[[Any], object], dict[str, list[str]]], declared: list[Document], world: World
) -> None:
    _, name, edit, expected = row
    edit(named(declared, name)["properties"])
    changes = settled(declared, world).changes
    assert {change.action for change in changes} == {"update"}
    found = {change.id.rsplit("/", 1)[-1]: list(change.details) for change in changes}
    assert found.keys() == expected.keys()
    for changed, details in expected.items():
        assert len(found[changed]) == len(details)
        assert all(line.startswith(start) for line, start in zip(found[changed], details, strict=True))
        assert all(len(line) < 200 for line in found[changed])


def test_deletions_come_first(declared: list[Document], world: World, document: Make) -> None:
    new = document(INTERNET_HOSTS, "new", {"address": "8.8.8.8"})
    assert actions(settled([*without(declared, "example"), new], world)) == [("delete", "example"), ("create", "new")]


def test_an_unchanged_document_is_the_same_object(declared: list[Document], world: World) -> None:
    # The intent of what has not changed is not computed again.
    reader = IntentReader()
    before = reader.read(world)
    after = reader.read(world)
    assert all(after.nics[each] is before.nics[each] for each in before.nics)
    assert all(after.machines[each] is before.machines[each] for each in before.machines)


def test_the_reader_sees_what_changed(declared: list[Document], world: World) -> None:
    reader = IntentReader()
    before = reader.read(world)
    named(declared, "web")["properties"]["enableIPForwarding"] = True
    after = reader.read(settled(declared, world).world)
    web = key(NETWORK_INTERFACES, "web")
    assert (before.nics[web].ip_forwarding, after.nics[web].ip_forwarding) == (False, True)
    assert after.machines == before.machines


def test_shown_documents_are_copies(world: World) -> None:
    held = world.documents[key(NETWORK_INTERFACES, "web")]
    shown(held)["properties"]["ipConfigurations"].clear()
    assert len(held["properties"]["ipConfigurations"]) == 3


def test_one_document_settles_by_itself(world: World, document: Make) -> None:
    host = document("podvnet.fabric/INTERNETHOSTS", "new", {"address": "8.8.8.8"})
    assert settle(host, world)["type"] == INTERNET_HOSTS


def test_a_static_address_is_taken_from_one_that_stands_later(declared: list[Document], world: World) -> None:
    """web asks for spare's address, and spare, which the file has after it, moves away."""
    changed = copy.deepcopy(declared)
    static = {"privateIPAllocationMethod": "Static"}
    named(changed, "web")["properties"]["ipConfigurations"][2]["properties"]["privateIPAddress"] = "10.0.0.7"
    named(changed, "spare")["properties"]["ipConfigurations"][0]["properties"] |= {
        **static, "privateIPAddress": "10.0.0.99",
    }  # fmt: skip
    after = settled(changed, world).world
    assert addresses(after, "web") == ["10.0.0.4", "10.0.0.5", "10.0.0.7"]
    assert addresses(after, "spare") == ["10.0.0.99"]


def test_a_nic_is_taken_from_a_machine_that_stands_later(declared: list[Document], world: World) -> None:
    changed = copy.deepcopy(declared)
    nics(named(changed, "one"), "db")
    nics(named(changed, "two"), "spare")
    after = settled(changed, world).world
    assert after.documents[key(NETWORK_INTERFACES, "db")]["properties"]["virtualMachine"]["id"].endswith("/one")


def test_two_that_want_what_the_other_has_are_refused(declared: list[Document], world: World) -> None:
    changed = copy.deepcopy(declared)
    nics(named(changed, "one"), "db")
    nics(named(changed, "two"), "web")
    assert refused(changed, world) == [("NicInUse", "one"), ("NicInUse", "two")]
