"""Service endpoint policies: which accounts a subnet reaches by its service endpoint; real clients, from VMs, a pod."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.storage import StorageManagementClient

from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.lab import Lab, LabPod, laboratory, podvnet

FILE = Path(__file__).parent / "endpoint-policies.yaml"
GROUP = "podvnet"
REFUSED = (403, "AuthorizationFailure")
TAKEN = (200, "")

LIST = """
import json, sys
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
url, key = sys.argv[1:]
client = BlobServiceClient(url, credential=key, connection_verify="/etc/podvnet/ca.pem", retry_total=0)
try:
    list(client.list_containers())
    print(json.dumps([200, ""]))
except HttpResponseError as error:
    print(json.dumps([error.status_code, error.error_code]))
"""


@dataclass
class World:
    lab: Lab
    cloud: Cloud
    network: Any
    keys: dict[str, str]
    pod: LabPod

    def ask(self, vm: str, account: str, pod: LabPod | None = None) -> tuple[int, str]:
        """What an account answers, asked in a VM or in a pod of it."""
        place = ("nsenter", f"--net={pod.sandbox}", "--") if pod else ()
        url = f"https://{account}.blob.core.windows.net"
        done = self.lab.inside(vm, *place, sys.executable, "-c", LIST, url, self.keys[account])
        status, code = json.loads(done.stdout)
        return status, code

    def name(self, *resources: str) -> None:
        """Let the policy name these."""
        body = {"properties": {"service": "Microsoft.Storage", "serviceResources": list(resources)}}
        definitions = self.network.service_endpoint_policy_definitions
        definitions.begin_create_or_update(GROUP, "only-ours", "ours", body).result()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        azurite = Path(__file__).parents[2] / ".cache" / "azurite" / "node_modules" / ".bin" / "azurite"
        patch.setenv("PODVNET_AZURITE", str(azurite))
        with laboratory(FILE) as lab:
            cloud = cloud_for(lab, access_for())
            arguments = cloud.access.credential(), cloud.access.subscription
            storage: Any = StorageManagementClient(*arguments, **cloud.access.options())
            accounts = storage.storage_accounts
            keys = {each: accounts.list_keys(GROUP, each).keys_property[0].value for each in ("ours", "theirs")}
            lab.install("bound", "--non-masquerade", "20.60.0.0/16")
            yield World(lab, cloud, cloud.network, keys, lab.run_pod("bound", "bound"))


def test_a_subnet_with_a_policy_reaches_what_that_names_and_nothing_else(world: World) -> None:
    for pod in (None, world.pod):
        assert world.ask("bound", "ours", pod) == TAKEN
        assert world.ask("bound", "theirs", pod) == REFUSED


def test_other_subnets_are_not_asked(world: World) -> None:
    for vm in ("free", "plain"):
        assert world.ask(vm, "ours") == TAKEN
        assert world.ask(vm, "theirs") == TAKEN


def test_the_evaluator_says_why(world: World) -> None:
    def reason(address: str) -> str:
        found = json.loads(podvnet("trace", "--json", "bound", f"{address}:443").stdout)
        assert found["verdict"] == "ReachedService"
        return str(found["hops"][-1]["reason"])

    assert "policy" not in reason("20.60.0.5")
    assert reason("20.60.0.9").endswith(
        "it is refused there, for service endpoint policy only-ours does not name storage account theirs"
    )


def test_a_policy_can_name_a_group_or_a_subscription(world: World) -> None:
    own = f"/subscriptions/{world.cloud.access.subscription}"
    for scope, taken in (
        (f"{own}/resourceGroups/PodVNet", TAKEN),
        (f"{own}/resourceGroups/pod", REFUSED),
        (own, TAKEN),
    ):
        world.name(scope)
        assert world.ask("bound", "theirs") == taken


def test_without_a_definition_nothing_is_reached_and_without_the_policy_all(world: World) -> None:
    definitions = world.network.service_endpoint_policy_definitions
    definitions.begin_delete(GROUP, "only-ours", "ours").result()
    assert world.ask("bound", "ours") == REFUSED
    subnet = world.network.subnets.get(GROUP, "hub", "bound")
    subnet.service_endpoint_policies = []
    world.network.subnets.begin_create_or_update(GROUP, "hub", "bound", subnet).result()
    assert world.ask("bound", "ours") == TAKEN
    assert world.ask("bound", "theirs") == TAKEN
