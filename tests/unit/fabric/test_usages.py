"""Counts beside limits, and whether an address is free."""

from __future__ import annotations

import pytest

from podvnet.fabric.api.address_availability import check_availability
from podvnet.fabric.api.usages import compute_usages, network_usages, subnet_usages
from podvnet.fabric.arm.world import Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION


@pytest.fixture
def hub(world: World) -> Document:
    return next(document for document in world.documents.values() if document["name"] == "hub")


def counts(usages: list[Document]) -> dict[str, tuple[int, int]]:
    return {each["name"]["value"]: (each["currentValue"], each["limit"]) for each in usages}


def test_a_location_counts_what_is_in_it(world: World) -> None:
    usages = network_usages(world, DEFAULT_SUBSCRIPTION, "LOCAL")
    found = counts(usages)
    assert found["VirtualNetworks"] == (2, 1_000)
    assert found["NetworkInterfaces"] == (3, 65_536)
    assert found["LoadBalancers"] == (0, 1_000)
    assert {each["unit"] for each in usages} == {"Count"}
    assert usages[0]["id"].endswith("/providers/Microsoft.Network/locations/LOCAL/usages/VirtualNetworks")
    assert counts(compute_usages(world, DEFAULT_SUBSCRIPTION, "local")) == {"virtualMachines": (2, 25_000)}


@pytest.mark.parametrize(
    ("subscription", "location"),
    [(DEFAULT_SUBSCRIPTION, "elsewhere"), ("11111111-2222-3333-4444-555555555555", "local")],
)
def test_what_is_elsewhere_is_not_counted(world: World, subscription: str, location: str) -> None:
    usages = network_usages(world, subscription, location) + compute_usages(world, subscription, location)
    assert {count for count, _ in counts(usages).values()} == {0}


def test_subnets_count_addresses_held_and_to_be_had(world: World, hub: Document) -> None:
    usages = {each["id"].rsplit("/", 1)[1]: each for each in subnet_usages(hub, world)}
    assert {name: (each["currentValue"], each["limit"]) for name, each in usages.items()} == {
        "front": (5, 251),
        "tiny": (0, 3),
        "dual": (0, 251),
        "quiet": (0, 251),
    }
    assert usages["front"]["name"] == {"value": "SubnetSpace", "localizedValue": "Subnet size and usage"}


def test_a_free_address_is_available(world: World, hub: Document) -> None:
    assert check_availability(hub, "10.0.0.8", world) == {"available": True, "isPlatformReserved": False}
    assert check_availability(hub, "fd00::9", world)["available"]


def test_of_a_taken_address_five_others_are_named(world: World, hub: Document) -> None:
    assert check_availability(hub, "10.0.0.4", world) == {
        "available": False,
        "availableIPAddresses": ["10.0.0.8", "10.0.0.9", "10.0.0.11", "10.0.0.12", "10.0.0.13"],
        "isPlatformReserved": False,
    }


@pytest.mark.parametrize("address", ["10.0.1.0", "10.0.1.1", "10.0.1.3", "10.0.1.7"])
def test_of_a_reserved_address_as_many_as_there_are(world: World, hub: Document, address: str) -> None:
    assert check_availability(hub, address, world) == {
        "available": False,
        "availableIPAddresses": ["10.0.1.4", "10.0.1.5", "10.0.1.6"],
        "isPlatformReserved": True,
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("10.9.0.4", "PrivateIPAddressNotInAnySubnet"),
        ("10.0.200.4", "PrivateIPAddressNotInAnySubnet"),
        ("fd01::1", "PrivateIPAddressNotInAnySubnet"),
        ("", "InvalidRequestFormat"),
        ("front", "InvalidRequestFormat"),
        ("10.0.0.0/24", "InvalidRequestFormat"),
    ],
)
def test_what_is_in_no_subnet_or_no_address_is_refused(world: World, hub: Document, text: str, code: str) -> None:
    with pytest.raises(ArmError) as refused:
        check_availability(hub, text, world)
    assert refused.value.code == code
    assert refused.value.status == 400
