from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podvnet.model.resource_id import DEFAULT_RESOURCE_GROUP, ResourceId, Scope, make
from podvnet.plan import names

NUMBERS = st.integers(1, 65_536)


def network(name: str, group: str = DEFAULT_RESOURCE_GROUP) -> ResourceId:
    return make(Scope(resource_group=group), "Microsoft.Network/virtualNetworks", name)


def machine(name: str, group: str = DEFAULT_RESOURCE_GROUP) -> ResourceId:
    return make(Scope(resource_group=group), "Microsoft.Compute/virtualMachines", name)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        pytest.param(names.network_namespace(network("hub")), "podvnet-vnet-hub", id="network"),
        pytest.param(names.machine_namespace(machine("web")), "podvnet-vm-web", id="machine"),
        pytest.param(names.network_namespace(network("HUB")), "podvnet-vnet-hub", id="case does not count"),
        pytest.param(
            names.network_namespace(network("hub", "Shop")), "podvnet-vnet-shop..hub", id="another resource group"
        ),
        pytest.param(
            names.network_namespace(network("hub", DEFAULT_RESOURCE_GROUP.upper())),
            "podvnet-vnet-hub",
            id="the default group in another case",
        ),
    ],
)
def test_namespaces(made: str, name: str) -> None:
    assert made == name


def test_a_network_and_a_machine_of_one_name_are_apart() -> None:
    made = {names.network_namespace(network("a")), names.machine_namespace(machine("a")), names.INTERNET}
    assert len(made) == 3
    assert all(name.startswith(names.PREFIX) for name in made)
    assert names.machine_namespace(machine("a")).startswith(names.MACHINE_PREFIX)
    assert not names.network_namespace(network("vm-a")).startswith(names.MACHINE_PREFIX)


@given(NUMBERS)
def test_interface_names_fit_the_kernel(number: int) -> None:
    for name in (names.port_name(number), names.internet_link_name(number), names.UPLINK):
        assert 0 < len(name) <= 15


@given(st.sets(NUMBERS, min_size=2))
def test_numbers_tell_links_apart(numbers: set[int]) -> None:
    for made in (names.port_index, names.internet_link_index, names.port_name, names.internet_link_name):
        assert len({made(number) for number in numbers}) == len(numbers)
    assert all(names.port_index(number) > names.UPLINK_INDEX for number in numbers)


@given(NUMBERS)
def test_the_rules_know_ports_by_their_names(number: int) -> None:
    assert names.port_name(number).startswith("nic")
    assert not names.UPLINK.startswith("nic")
