"""The metadata documents say what Azure's say, in every api-version."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from podvnet.azure.imds import Instance, parse_instance, parse_network
from podvnet.azure.inventory import Inventory, PlatformAddress, PlatformNic, PlatformSubnet
from podvnet.fabric.imds_document import (
    NEWEST_VERSIONS,
    VERSIONS,
    Node,
    compute_document,
    instance_document,
    network_document,
    text,
    walk,
)
from podvnet.model.intent import Intent, VirtualMachine

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


def leaves(node: Node) -> Iterator[object]:
    if isinstance(node, dict):
        for child in node.values():
            yield from leaves(child)
    elif isinstance(node, list):
        for child in node:
            yield from leaves(child)
    else:
        yield node


def paths(node: Node, prefix: str = "") -> Iterator[str]:
    """Every path that ends in a value or an empty array."""
    children: list[tuple[str, Node]] = []
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, list):
        children = [(str(index), child) for index, child in enumerate(node)]
    for name, child in children:
        yield from paths(child, f"{prefix}.{name}".strip("."))
    if not children:
        yield prefix


def test_network_document_has_azures_shape(intent: Intent, vm1: VirtualMachine) -> None:
    assert network_document(intent, vm1) == {
        "interface": [
            {
                "ipv4": {
                    "ipAddress": [
                        {"privateIpAddress": "10.1.0.4", "publicIpAddress": ""},
                        {"privateIpAddress": "10.1.0.5", "publicIpAddress": ""},
                        {"privateIpAddress": "10.1.0.6", "publicIpAddress": ""},
                    ],
                    "subnet": [{"address": "10.1.0.0", "prefix": "24"}],
                },
                "ipv6": {"ipAddress": [{"privateIpAddress": "fd00:1::4"}, {"privateIpAddress": "fd00:1::5"}]},
                "macAddress": "000D3AF806E1",
            },
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": "10.1.8.4", "publicIpAddress": ""}],
                    "subnet": [{"address": "10.1.8.0", "prefix": "22"}],
                },
                "ipv6": {"ipAddress": []},
                "macAddress": "000D3AF806E2",
            },
        ]
    }


def test_primary_configuration_comes_first_wherever_it_stands(intent: Intent, vm2: VirtualMachine) -> None:
    key = vm2.nics[0].key
    nic = intent.nics[key]
    turned = replace(intent, nics={key: replace(nic, ip_configurations=nic.ip_configurations[::-1])})
    first = walk(network_document(turned, vm2), ("interface", "0", "ipv4", "ipAddress", "0", "privateIpAddress"))
    assert first == "10.1.0.7"


def test_order_of_nics_is_that_of_the_network_profile(intent: Intent, vm1: VirtualMachine) -> None:
    turned = replace(vm1, nics=vm1.nics[::-1])
    assert walk(network_document(intent, turned), ("interface", "0", "macAddress")) == "000D3AF806E2"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_primitive_is_a_string(intent: Intent, vm1: VirtualMachine, version: str) -> None:
    document = instance_document(intent, vm1, version)
    assert {type(leaf) for leaf in leaves(document)} == {str}
    assert msgspec.json.decode(msgspec.json.encode(document)) == document


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("azEnvironment", "AzurePublicCloud"),
        ("location", "westeurope"),
        ("name", "vm1"),
        ("osProfile.computerName", "vm1"),
        ("osType", "Linux"),
        ("platformFaultDomain", "0"),
        ("platformUpdateDomain", "0"),
        ("provider", "Microsoft.Compute"),
        ("resourceGroupName", "rg1"),
        (
            "resourceId",
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1/providers/Microsoft.Compute/virtualMachines/vm1",
        ),
        ("subscriptionId", SUBSCRIPTION),
        ("tags", "role:node;pool:blue"),
        ("tagsList.0.name", "role"),
        ("tagsList.1.value", "blue"),
        ("vmId", "5c08b38e-4d57-4c23-ac45-000000000001"),
        ("vmScaleSetName", ""),
        ("vmSize", "Standard_D4s_v5"),
        ("zone", ""),
        ("storageProfile.resourceDisk.size", "0"),
        ("plan.publisher", ""),
    ],
)
def test_compute_fields(vm1: VirtualMachine, path: str, expected: str) -> None:
    assert walk(compute_document(vm1, "2021-02-01"), tuple(path.split("."))) == expected


@pytest.mark.parametrize(
    ("since", "path"),
    [
        ("2017-08-01", "resourceGroupName"),
        ("2017-08-01", "tags"),
        ("2017-12-01", "zone"),
        ("2018-04-02", "publicKeys"),
        ("2018-10-01", "azEnvironment"),
        ("2019-03-11", "resourceId"),
        ("2019-06-01", "storageProfile.dataDisks"),
        ("2019-06-04", "tagsList"),
        ("2020-07-15", "osProfile.adminUsername"),
        ("2020-10-01", "osProfile.disablePasswordAuthentication"),
        ("2021-01-01", "userData"),
        ("2021-02-01", "storageProfile.resourceDisk.size"),
        ("2021-11-15", "hostGroup.id"),
        ("2023-11-15", "physicalZone"),
    ],
)
def test_field_appears_in_the_version_that_introduced_it(vm1: VirtualMachine, since: str, path: str) -> None:
    with_field = {v for v in VERSIONS if walk(compute_document(vm1, v), tuple(path.split("."))) is not None}
    assert with_field == {v for v in VERSIONS if v >= since}


def test_versions_only_ever_add_fields(vm1: VirtualMachine) -> None:
    bare = replace(vm1, tags=())
    told = [set(paths(compute_document(bare, version))) for version in VERSIONS]
    assert all(earlier <= later for earlier, later in pairwise(told))


def test_the_original_plugins_document(vm1: VirtualMachine) -> None:
    assert list(compute_document(vm1, "2017-08-01")) == [
        "location",
        "name",
        "offer",
        "osType",
        "placementGroupId",
        "platformFaultDomain",
        "platformUpdateDomain",
        "publisher",
        "resourceGroupName",
        "sku",
        "subscriptionId",
        "tags",
        "version",
        "vmId",
        "vmSize",
    ]


def test_versions_are_in_order() -> None:
    assert list(VERSIONS) == sorted(set(VERSIONS))
    assert NEWEST_VERSIONS == ("2025-04-07", "2024-07-17", "2024-03-15")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", True),
        ("interface", True),
        ("interface.0", True),
        ("interface.0.macAddress", True),
        ("interface.1", True),
        ("interface.2", False),
        ("interface.-1", False),
        ("interface.00", False),
        ("interface.x", False),
        ("Interface", False),
        ("interface.0.macAddress.0", False),
        ("interface.0.ipv4.subnet.0.prefix", True),
    ],
)
def test_walk(intent: Intent, vm1: VirtualMachine, path: str, expected: bool) -> None:
    steps = tuple(path.split(".")) if path else ()
    assert (walk(network_document(intent, vm1), steps) is not None) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "compute/\nnetwork/"),
        ("network", "interface/"),
        ("network.interface", "0/\n1/"),
        ("network.interface.0", "ipv4/\nipv6/\nmacAddress"),
        ("network.interface.0.ipv4.ipAddress.0", "privateIpAddress\npublicIpAddress"),
        ("network.interface.0.ipv4.ipAddress.0.publicIpAddress", ""),
        ("network.interface.1.ipv6.ipAddress", ""),
        ("compute.plan", "name\nproduct\npublisher"),
        ("compute.name", "vm1"),
    ],
)
def test_text(intent: Intent, vm1: VirtualMachine, path: str, expected: str) -> None:
    node = walk(instance_document(intent, vm1, "2021-02-01"), tuple(path.split(".")) if path else ())
    assert node is not None
    assert text(node) == expected


def test_round_trip_of_the_network(intent: Intent, vm1: VirtualMachine) -> None:
    inventory = parse_network(msgspec.json.encode(network_document(intent, vm1)))
    assert inventory == Inventory(
        tuple(
            PlatformNic(
                nic.mac,
                primary=nic.number == 1,
                subnets=tuple(
                    PlatformSubnet(
                        prefix,
                        tuple(
                            PlatformAddress(config.address, primary=config == nic.primary(prefix.version))
                            for config in nic.ip_configurations
                            if config.address.version == prefix.version
                        ),
                    )
                    for prefix in intent.subnet_of(nic).prefixes
                ),
            )
            for nic in intent.machine_nics(vm1)
        )
    )


def test_round_trip_of_the_instance(vm1: VirtualMachine) -> None:
    assert parse_instance(msgspec.json.encode(compute_document(vm1, "2021-02-01"))) == Instance(
        name="vm1",
        resource_id=vm1.id,
        vm_id=vm1.vm_id,
        location="westeurope",
        size="Standard_D4s_v5",
        environment="AzurePublicCloud",
        tags=vm1.tags,
    )
