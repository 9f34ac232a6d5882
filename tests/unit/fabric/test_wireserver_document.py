"""The wireserver's documents have the shapes that guest agents and the original plug-in read."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from podvnet.azure.inventory import Inventory, PlatformAddress, PlatformNic, PlatformSubnet
from podvnet.azure.wireserver import parse_interfaces
from podvnet.fabric.wireserver_document import (
    error_document,
    goal_state_digest,
    goal_state_document,
    interfaces_document,
    supported_apis_document,
    versions_document,
)
from podvnet.model.address import Mac
from podvnet.model.intent import Intent, VirtualMachine


def test_versions() -> None:
    root = ET.fromstring(versions_document())
    assert root.tag == "Versions"
    assert root.findtext("Preferred/Version") == "2012-11-30"
    assert [version.text for version in root.findall("Supported/Version")] == ["2012-11-30", "2010-12-15"]


@pytest.mark.parametrize(
    ("running", "path", "expected"),
    [
        (True, "Version", "2012-11-30"),
        (True, "Incarnation", "7"),
        (True, "Machine/ExpectedState", "Started"),
        (False, "Machine/ExpectedState", "Stopped"),
        (True, "Machine/LBProbePorts/Port", "16001"),
        (True, "Container/RoleInstanceList/RoleInstance/State", "Started"),
        (True, "Container/RoleInstanceList/RoleInstance/Configuration/HostingEnvironmentConfig", ""),
        (True, "Container/RoleInstanceList/RoleInstance/Configuration/Certificates", ""),
    ],
)
def test_goal_state(vm1: VirtualMachine, running: bool, path: str, expected: str) -> None:
    root = ET.fromstring(goal_state_document(replace(vm1, running=running), "2012-11-30", 7))
    assert root.tag == "GoalState"
    assert root.findtext(path) == expected


def test_ids_of_a_goal_state_are_stable_and_the_vms_own(vm1: VirtualMachine, vm2: VirtualMachine) -> None:
    def ids(machine: VirtualMachine, incarnation: int) -> tuple[str, str]:
        root = ET.fromstring(goal_state_document(machine, "2012-11-30", incarnation))
        instance = "Container/RoleInstanceList/RoleInstance/InstanceId"
        return root.findtext("Container/ContainerId", ""), root.findtext(instance, "")

    container, instance = ids(vm1, 1)
    assert str(uuid.UUID(container)) == container
    assert instance == f"{container}._vm1"
    assert ids(vm1, 2) == (container, instance)
    assert ids(vm2, 1)[0] != container


def test_interfaces(intent: Intent, vm1: VirtualMachine) -> None:
    root = ET.fromstring(interfaces_document(intent, vm1))
    shape = [
        (
            interface.attrib,
            [
                (subnet.attrib, [(entry.get("Address"), entry.get("IsPrimary")) for entry in subnet])
                for subnet in interface
            ],
        )
        for interface in root
    ]
    assert root.tag == "Interfaces"
    assert shape == [
        (
            {"MacAddress": "000D3AF806E1", "IsPrimary": "true"},
            [
                ({"Prefix": "10.1.0.0/24"}, [("10.1.0.4", "true"), ("10.1.0.5", "false"), ("10.1.0.6", "false")]),
                ({"Prefix": "fd00:1::/64"}, [("fd00:1::4", "true"), ("fd00:1::5", "false")]),
            ],
        ),
        (
            {"MacAddress": "000D3AF806E2", "IsPrimary": "false"},
            [({"Prefix": "10.1.8.0/22"}, [("10.1.8.4", "true")])],
        ),
    ]


def test_a_prefix_without_addresses_is_not_listed(intent: Intent, vm2: VirtualMachine) -> None:
    root = ET.fromstring(interfaces_document(intent, vm2))
    assert [subnet.get("Prefix") for subnet in root.iter("IPSubnet")] == ["10.1.0.0/24"]


def test_round_trip_of_the_interfaces(intent: Intent, vm1: VirtualMachine) -> None:
    expected = Inventory(
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
    assert parse_interfaces(interfaces_document(intent, vm1)) == expected


def test_supported_apis() -> None:
    root = ET.fromstring(supported_apis_document())
    assert [entry.text for entry in root.findall("type")] == ["GetSupportedApis", "GetInterfaceInfoV1"]


def test_error_escapes_what_it_quotes() -> None:
    root = ET.fromstring(error_document("Code1", "<a>&"))
    assert (root.tag, root.findtext("Code"), root.findtext("Message")) == ("Error", "Code1", "<a>&")


Change = Callable[[Intent, VirtualMachine], tuple[Intent, VirtualMachine]]


def _mac_changed(intent: Intent, machine: VirtualMachine) -> tuple[Intent, VirtualMachine]:
    key = machine.nics[0].key
    return replace(intent, nics={**intent.nics, key: replace(intent.nics[key], mac=Mac("00:22:48:00:00:01"))}), machine


def _addresses_removed(intent: Intent, machine: VirtualMachine) -> tuple[Intent, VirtualMachine]:
    key = machine.nics[0].key
    nic = intent.nics[key]
    return replace(
        intent, nics={**intent.nics, key: replace(nic, ip_configurations=nic.ip_configurations[:1])}
    ), machine


def _neighbour_removed(intent: Intent, machine: VirtualMachine) -> tuple[Intent, VirtualMachine]:
    return replace(
        intent, machines={machine.id.key: machine}, nics={nic.key: intent.nics[nic.key] for nic in machine.nics}
    ), machine


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda intent, machine: (intent, machine), False),
        (_neighbour_removed, False),
        (_mac_changed, True),
        (_addresses_removed, True),
        (lambda intent, machine: (intent, replace(machine, running=False)), True),
        (lambda intent, machine: (intent, replace(machine, nics=machine.nics[::-1])), True),
        (lambda intent, machine: (intent, replace(machine, tags=())), True),
    ],
)
def test_digest_follows_what_the_vm_is_told(intent: Intent, vm1: VirtualMachine, change: Change, differs: bool) -> None:
    assert (goal_state_digest(*change(intent, vm1)) != goal_state_digest(intent, vm1)) is differs
