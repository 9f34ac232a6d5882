"""``podvnet plan subnets`` of virtual networks that are there: of the fabric by name, of any resource manager by id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podvnet.testing.cloud import Cloud, access_for
from podvnet.testing.lab import PODVNET, execute, podvnet

NETWORK: Any = {
    "location": "local",
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.60.0.0/20"]},
        "subnets": [
            {"name": "nodes", "properties": {"addressPrefix": "10.60.0.0/24"}},
            {"name": "small", "properties": {"addressPrefix": "10.60.1.0/26"}},
            {"name": "GatewaySubnet", "properties": {"addressPrefix": "10.60.8.0/22"}},
        ],
    },
}


@pytest.fixture(scope="module")
def network(cloud: Cloud) -> str:
    """The id of a network, in whose subnet ``nodes`` 32 addresses are held: sixteen single ones, and a block."""
    made = cloud.network.virtual_networks.begin_create_or_update("podvnet", "sized", NETWORK).result()
    subnet = {"id": f"{made.id}/subnets/nodes"}
    configurations: list[Any] = [{"name": "primary", "properties": {"primary": True, "subnet": subnet}}]
    configurations += [{"name": f"pod{n}", "properties": {"subnet": subnet}} for n in range(15)]
    configurations += [{"name": "block", "properties": {"subnet": subnet, "privateIPAddressPrefixLength": 28}}]
    body: Any = {"location": "local", "properties": {"ipConfigurations": configurations}}
    cloud.network.network_interfaces.begin_create_or_update("podvnet", "sized-nic", body).result()
    return str(made.id)


@pytest.fixture(scope="module", autouse=True)
def group(cloud: Cloud) -> None:
    """The group that names mean."""
    cloud.resources.resource_groups.create_or_update("podvnet", {"location": "local"})


def test_a_network_of_the_fabric_is_checked_by_its_name(network: str) -> None:
    done = podvnet("plan", "subnets", "--nodes", "1", "--pods", "60", "--network", "sized", "--json")
    answer = json.loads(done.stdout)
    assert answer["pools"][0] | {"smallestSubnet": ["/25"], "addresses": 122} == answer["pools"][0]
    assert [(each["name"], each["held"], each["free"]) for each in answer["subnets"]] == [
        ("nodes", 32, 219), ("small", 0, 59), ("GatewaySubnet", 0, 1019),
    ]  # fmt: skip
    (placement,) = answer["placements"]
    assert placement["subnets"] == ["nodes"]
    assert placement["refusals"]["small"] == "63 addresses are lacking"
    assert placement["refusals"]["GatewaySubnet"] == "it is no subnet for VMs"


def test_a_network_without_room_fails_and_says_what_would_have_it(network: str) -> None:
    done = podvnet("plan", "subnets", "--nodes", "4", "--pods", "110", "--network", "sized", check=False)
    assert done.returncode == 1
    assert "no subnet has room for nodes" in done.stderr
    assert "make a subnet nodes with 10.60.4.0/22, which is free" in done.stdout
    done = podvnet("plan", "subnets", "--nodes", "60", "--pods", "110", "--network", "sized", check=False)
    assert "no /19 is free in the virtual network: add an address prefix to it first" in done.stdout


def test_a_network_is_checked_by_its_id_as_whom_the_environment_says(network: str) -> None:
    access = access_for("--reader", "--name", "planner")
    environment = {
        "AZURE_TENANT_ID": access.tenant,
        "AZURE_CLIENT_ID": access.client,
        "AZURE_CLIENT_SECRET": access.secret,
        "AZURE_AUTHORITY_HOST": access.endpoint,
    }
    argv = (
        *PODVNET,
        "plan",
        "subnets",
        "--nodes",
        "1",
        "--pods",
        "50",
        "--network",
        network,
        "--subnet",
        "nodes",
        "--json",
    )
    done = execute(
        "env",
        *(f"{name}={value}" for name, value in environment.items()),
        *argv,
        "--arm-endpoint",
        access.endpoint,
        "--arm-ca",
        access.ca,
    )
    assert [each["name"] for each in json.loads(done.stdout)["subnets"]] == ["nodes"]
    nobody = execute("env", "AZURE_AUTHORITY_HOST=https://localhost:1", *argv, check=False)
    assert (nobody.returncode, "nobody is logged in" in nobody.stdout) == (1, True), nobody.stderr
    missing = podvnet("plan", "subnets", "--nodes", "1", "--network", "nowhere", "--json", check=False)
    assert (missing.returncode, "404" in json.loads(missing.stdout)["error"]["message"]) == (1, True)
