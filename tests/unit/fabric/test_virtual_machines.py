from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm import virtual_machines
from podvnet.fabric.arm.virtual_machines import VirtualMachines, place_nics
from podvnet.fabric.arm.world import (
    NETWORK_INTERFACES,
    OUTBOUND_POOL,
    VIRTUAL_MACHINES,
    VIRTUAL_NETWORKS,
    Document,
    World,
    shown,
)
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]


def on(nic: str, **properties: object) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": f"networkInterfaces/{nic}"}
    return entry | ({"properties": properties} if properties else {})


def machine(*nics: object, **properties: object) -> Document:
    return {"networkProfile": {"networkInterfaces": list(nics)}, **properties}


def key(full_type: str, name: str) -> str:
    return make(Scope(), full_type, name).key


@pytest.fixture
def add_nic(world: World, document: Make) -> Callable[..., None]:
    """``add_nic(name, subnet)`` puts a NIC with one dynamic address into the world."""

    def add(name: str, subnet: str = "hub/subnets/front") -> None:
        configs = [{"name": "a", "properties": {"subnet": {"id": f"virtualNetworks/{subnet}"}}}]
        world.put(settle(document(NETWORK_INTERFACES, name, {"ipConfigurations": configs}), world))

    return add


ROWS: list[tuple[str, Any, str, str]] = [
    ("no NIC", machine(), "InvalidParameter", "networkProfile.networkInterfaces: a VM needs at least one NIC"),
    ("no profile", {}, "InvalidParameter", "a VM needs at least one NIC"),
    ("NIC without an id", machine({}), "InvalidRequestFormat", "networkInterfaces[0].id: is required"),
    ("no id at all", machine({"id": "spare"}), "LinkedInvalidPropertyId", "'spare' is not a resource id"),
    ("unknown NIC", machine(on("none")), "InvalidResourceReference", "networkInterfaces/none referenced by"),
    (
        "the id of something else",
        machine({"id": "virtualNetworks/hub"}),
        "InvalidResourceReference",
        "virtualNetworks/hub is not a Microsoft.Network/networkInterfaces",
    ),
    ("NIC of another VM", machine(on("web")), "NicInUse", "networkInterfaces/web is used by existing VM"),
    ("a NIC twice", machine(on("spare", primary=True), on("SPARE")), "InvalidParameter", "a NIC is listed twice"),
    ("two primaries", machine(on("spare", primary=True), on("more", primary=True)), "InvalidParameter", "not 2"),
    ("no primary of two", machine(on("spare"), on("more")), "InvalidParameter", "exactly one NIC must be primary"),
    (
        "two virtual networks",
        machine(on("spare", primary=True), on("far")),
        "SubnetsNotInSameVnet",
        "must be in one virtual network",
    ),
    (
        "misspelt member of the NIC",
        machine(on("spare", Primary=True)),
        "InvalidRequestFormat",
        "networkInterfaces[0].properties: could not find member 'Primary'; 'primary' is meant?",
    ),
    (
        "misspelt member of the NIC's entry",
        machine(on("spare") | {"primary": True}),
        "InvalidRequestFormat",
        "properties.networkProfile.networkInterfaces[0]: could not find member 'primary'",
    ),
    (
        "misspelt member of the profile",
        {"networkProfile": {"networkInterfaces": [on("spare")], "nics": []}},
        "InvalidRequestFormat",
        "properties.networkProfile: could not find member 'nics'",
    ),
    (
        "misspelt member of the hardware",
        machine(on("spare"), hardwareProfile={"vmsize": "x"}),
        "InvalidRequestFormat",
        "could not find member 'vmsize'; 'vmSize' is meant?",
    ),
    (
        "misspelt member of the properties",
        machine(on("spare"), extensions=[]),
        "InvalidRequestFormat",
        "could not find member 'extensions'",
    ),
    (
        "size not a text",
        machine(on("spare"), hardwareProfile={"vmSize": 4}),
        "InvalidRequestFormat",
        "properties.hardwareProfile.vmSize: must be a string, not a number",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_refused(
    row: tuple[str, Any, str, str], world: World, document: Make, refusal: Refusal, add_nic: Callable[..., None]
) -> None:
    _, properties, code, says = row
    add_nic("more", "hub/subnets/quiet")
    add_nic("far", "spoke/subnets/front")
    error = refusal(document(VIRTUAL_MACHINES, "new", properties), world)
    assert error.code == code
    assert says in error.message
    assert error.status == 400


def test_refused_member_of_the_whole(world: World, document: Make, refusal: Refusal) -> None:
    error = refusal(document(VIRTUAL_MACHINES, "new", machine(on("spare")), tag={}), world)
    assert (error.code, error.message) == ("InvalidRequestFormat", "could not find member 'tag'")


def test_a_nic_is_taken_as_soon_as_another_vm_lists_it(world: World, document: Make, refusal: Refusal) -> None:
    # Both VMs are in one file: the NIC itself does not say yet whose it is.
    world.put(settle(document(VIRTUAL_MACHINES, "first", machine(on("spare"))), world))
    error = refusal(document(VIRTUAL_MACHINES, "second", machine(on("spare"))), world)
    assert (error.code, "virtualMachines/first" in error.message) == ("NicInUse", True)


def test_a_nic_is_free_as_soon_as_its_vm_has_dropped_it(world: World, document: Make) -> None:
    world.put(settle(document(VIRTUAL_MACHINES, "one", machine(on("spare"))), world))
    world.put(settle(document(VIRTUAL_MACHINES, "new", machine(on("web"))), world))
    place_nics(world)
    web = world.documents[key(NETWORK_INTERFACES, "web")]
    assert web["properties"]["virtualMachine"]["id"].endswith("/new")


def test_the_primary_nic_comes_first(world: World, document: Make, add_nic: Callable[..., None]) -> None:
    add_nic("more", "hub/subnets/quiet")
    world.put(settle(document(VIRTUAL_MACHINES, "new", machine(on("spare"), on("more", primary=True))), world))
    place_nics(world)
    settled = virtual_machines.intent_of(world.documents[key(VIRTUAL_MACHINES, "new")])
    assert [nic.name for nic in settled.nics] == ["more", "spare"]
    shown_primary = {
        name: world.documents[key(NETWORK_INTERFACES, name)]["properties"]["primary"] for name in ("more", "spare")
    }
    assert shown_primary == {"more": True, "spare": False}


def test_a_single_nic_is_the_primary(world: World) -> None:
    one = world.documents[key(VIRTUAL_MACHINES, "one")]
    assert one["properties"]["networkProfile"]["networkInterfaces"][0]["properties"] == {"primary": True}


@pytest.mark.parametrize("name", ["one", "two"])
def test_settling_what_is_shown_changes_nothing(name: str, world: World) -> None:
    held = world.documents[key(VIRTUAL_MACHINES, name)]
    assert settle(shown(held), world) == held
    before = world.copy()
    place_nics(world)
    assert world == before


def test_intent(world: World, document: Make) -> None:
    wanted = document(
        VIRTUAL_MACHINES,
        "new",
        machine(
            on("spare"),
            hardwareProfile={"vmSize": "Standard_D4s_v5"},
            osProfile={"computerName": "new", "adminPassword": "secret", "customData": "c2VjcmV0"},
        ),
        location="Local",
        tags={"b": "2", "a": "1"},
    )
    settled = settle(wanted, world)
    found = virtual_machines.intent_of(settled)
    assert (found.location, found.size, found.running) == ("Local", "Standard_D4s_v5", True)
    assert found.tags == (("a", "1"), ("b", "2"))
    assert found.vm_id == virtual_machines.intent_of(settle(wanted, world)).vm_id
    assert settled["properties"]["osProfile"] == {"computerName": "new"}


def test_what_a_vm_is_given_beside_its_network_is_kept_and_shown(world: World, document: Make) -> None:
    beside = {
        "storageProfile": {"osDisk": {"createOption": "FromImage"}},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        "securityProfile": {"securityType": "TrustedLaunch"},
        "priority": "Spot",
        "licenseType": "Windows_Server",
    }
    around = {"zones": ["2"], "plan": {"name": "n", "publisher": "p", "product": "q"}}
    settled = settle(document(VIRTUAL_MACHINES, "new", machine(on("spare"), **beside), **around), world)
    assert settled["properties"].items() >= beside.items()
    assert settled.items() >= around.items()
    assert settle(shown(settled), world) == settled
    # What is null asks for nothing.
    nothing = machine(on("spare"), **dict.fromkeys(beside))
    assert not settle(document(VIRTUAL_MACHINES, "new", nothing), world)["properties"].keys() & beside.keys()


def outbound(world: World) -> dict[str, str | None]:
    return {
        each["name"]: each["_fabric"].get("outbound")
        for each in world.documents.values()
        if each["type"] == NETWORK_INTERFACES
    }


def test_default_outbound_addresses(world: World) -> None:
    assert outbound(world) == {"web": "203.0.113.1", "db": "203.0.113.2", "spare": None}


def test_only_the_primary_nic_has_default_outbound(world: World, document: Make, add_nic: Callable[..., None]) -> None:
    add_nic("more")
    world.put(settle(document(VIRTUAL_MACHINES, "one", machine(on("web", primary=True), on("more"))), world))
    place_nics(world)
    assert outbound(world)["more"] is None
    world.put(settle(document(VIRTUAL_MACHINES, "one", machine(on("web"), on("more", primary=True))), world))
    place_nics(world)
    assert (outbound(world)["web"], outbound(world)["more"]) == (None, "203.0.113.1")


def test_a_quiet_subnet_has_no_default_outbound(world: World, document: Make, add_nic: Callable[..., None]) -> None:
    add_nic("still", "hub/subnets/quiet")
    world.put(settle(document(VIRTUAL_MACHINES, "new", machine(on("still"))), world))
    place_nics(world)
    assert outbound(world)["still"] is None


def test_default_outbound_is_switched_off_and_on_again(world: World, document: Make) -> None:
    hub = shown(world.documents[key(VIRTUAL_NETWORKS, "hub")])["properties"]

    def switch(on_: bool) -> None:
        hub["subnets"][0]["properties"]["defaultOutboundAccess"] = on_
        world.put(settle(document(VIRTUAL_NETWORKS, "hub", hub), world))
        place_nics(world)

    switch(False)
    assert outbound(world) == {"web": None, "db": None, "spare": None}
    switch(True)
    assert set(outbound(world).values()) == {"203.0.113.1", "203.0.113.2", None}


def test_a_vm_that_goes_gives_its_outbound_address_back(world: World, document: Make) -> None:
    world.remove(key(VIRTUAL_MACHINES, "one"))
    world.put(settle(document(VIRTUAL_MACHINES, "new", machine(on("spare"))), world))
    place_nics(world)
    assert outbound(world) == {"web": None, "db": "203.0.113.2", "spare": "203.0.113.1"}
    web = world.documents[key(NETWORK_INTERFACES, "web")]["properties"]
    assert not {"virtualMachine", "macAddress", "primary"} & web.keys()


def fill_outbound(world: World, document: Make) -> int:
    """Put a VM for every outbound address that is left."""
    subnets = [{"name": "wide", "properties": {"addressPrefix": "11.0.0.0/16"}}]
    space = {"addressSpace": {"addressPrefixes": ["11.0.0.0/16"]}, "subnets": subnets}
    world.put(settle(document(VIRTUAL_NETWORKS, "wide", space), world))
    subnet = {"id": "virtualNetworks/wide/subnets/wide"}
    left = OUTBOUND_POOL.num_addresses - 2 - 2
    for number in range(left):
        configs = [{"name": "a", "properties": {"subnet": subnet}}]
        nic = document(NETWORK_INTERFACES, f"n{number}", {"ipConfigurations": configs})
        world.put(settle(nic, world))
        world.put(settle(document(VIRTUAL_MACHINES, f"v{number}", machine(on(f"n{number}"))), world))
    place_nics(world)
    return left


def test_outbound_addresses_come_to_an_end(world: World, document: Make) -> None:
    fill_outbound(world, document)
    world.put(settle(document(VIRTUAL_MACHINES, "last", machine(on("spare"))), world))
    with pytest.raises(ArmError, match=r"PublicIPCountLimitReached: all 254 .* set defaultOutboundAccess: false"):
        place_nics(world)


def test_an_address_that_is_given_back_is_given_out_in_the_same_change(world: World, document: Make) -> None:
    fill_outbound(world, document)
    wide = shown(world.documents[key(VIRTUAL_NETWORKS, "wide")])["properties"]
    wide["subnets"][0]["properties"]["defaultOutboundAccess"] = False
    world.put(settle(document(VIRTUAL_NETWORKS, "wide", wide), world))
    world.put(settle(document(VIRTUAL_MACHINES, "last", machine(on("spare"))), world))
    place_nics(world)
    assert outbound(world)["spare"] == "203.0.113.3"


def test_a_vm_may_always_go(world: World) -> None:
    VirtualMachines().check_removal(make(Scope(), VIRTUAL_MACHINES, "one"), world)
