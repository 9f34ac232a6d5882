"""Private endpoints: real clients reach an account and a server by their public names at private addresses, as whom."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.storage import StorageManagementClient

from podvnet.linux import namespace
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.lab import Lab, LabPod, laboratory, podvnet
from podvnet.testing.outage import kill_fabric, start_fabric

FILE = Path(__file__).parent / "private-endpoints.yaml"
GROUP, ACCOUNT, SERVER = "podvnet", "linkacct", "linksql"
BLOB, SQL = f"{ACCOUNT}.blob.core.windows.net", f"{SERVER}.database.windows.net"
ALIAS = f"{ACCOUNT}.privatelink.blob.core.windows.net."
BLOB_END, SQL_END = "10.40.9.40", "10.40.9.4"
PUBLIC = "20.60.0.5"
"""Of the account's blobs: those of the first account."""
STATE = Path(os.environ["PODVNET_STATE"]) / "fabric" / "services"
REFUSED = {"status": 403, "code": "AuthorizationFailure"}

UPLOAD = """
import json, sys
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
url, key, name = sys.argv[1:]
client = BlobServiceClient(url, credential=key, connection_verify="/etc/podvnet/ca.pem", retry_total=0)
try:
    if not client.get_container_client("pods").exists():
        client.create_container("pods")
    blob = client.get_blob_client("pods", name)
    blob.upload_blob(b"from a pod", overwrite=True)
    print(json.dumps({"read": blob.download_blob().readall().decode()}))
except HttpResponseError as error:
    print(json.dumps({"status": error.status_code, "code": error.error_code}))
"""


@dataclass
class World:
    lab: Lab
    cloud: Cloud
    network: Any
    key: str
    pod: LabPod

    def upload(self, vm: str, name: str, pod: LabPod | None = None) -> dict[str, str | int]:
        """What the data SDK says, run in a VM or in a pod of it."""
        argv = (*within(pod), sys.executable, "-c", UPLOAD, f"https://{BLOB}", self.key, name)
        found: dict[str, str | int] = json.loads(self.lab.inside(vm, *argv).stdout)
        return found

    def seen(self, vm: str, pod: LabPod | None = None) -> str:
        """Whom the server sees when psql asks it by its name; else what psql says."""
        where = f"host={SQL} port=1433 user=boss password=Correct-horse-7 dbname=postgres connect_timeout=5"
        tls = "sslmode=verify-full sslrootcert=/etc/podvnet/ca.pem"
        argv = (*within(pod), "psql", f"{where} {tls}", "-Atc", "select inet_client_addr()")
        done = self.lab.inside(vm, *argv, check=False)
        return done.stdout.strip() or done.stderr

    def asked(self, name: str) -> set[str]:
        """Whom the account's own log names as those who asked for a blob."""
        log = (STATE / f"storage-{ACCOUNT}" / "log").read_text(encoding="utf-8")
        return {line.split(" ", 1)[0] for line in log.splitlines() if f"/pods/{name}" in line}

    def dig(self, vm: str, name: str, pod: LabPod | None = None) -> list[str]:
        """The chain that a name leads along."""
        return self.lab.inside(vm, *within(pod), "dig", "+short", "+tries=1", name).stdout.split()

    def connects(self, vm: str, address: str, port: int) -> bool:
        """Whether a connection is taken in time."""
        with namespace.entered(self.lab.vm(vm)):
            try:
                socket.create_connection((address, port), 1.0).close()
            except TimeoutError:
                return False
        return True

    def trace(self, vm: str, target: str) -> dict[str, Any]:
        """What the evaluator says of the first packet."""
        found: dict[str, Any] = json.loads(podvnet("trace", "--json", vm, target, check=False).stdout)
        return found

    def ends(self, policies: str) -> None:
        """Write the endpoints' subnet anew, with these network policies."""
        subnet = self.network.subnets.get(GROUP, "hub", "ends")
        subnet.private_endpoint_network_policies = policies
        self.network.subnets.begin_create_or_update(GROUP, "hub", "ends", subnet).result()

    def routes(self, nic: str) -> dict[str, tuple[str, str]]:
        """By prefix, state and next hop of the routes to host addresses."""
        found = self.network.network_interfaces.begin_get_effective_route_table(GROUP, nic).result().value
        return {
            route.address_prefix[0]: (route.state, route.next_hop_type)
            for route in found
            if route.address_prefix[0].endswith("/32")
        }


def within(pod: LabPod | None) -> tuple[str, ...]:
    return ("nsenter", f"--net={pod.sandbox}", "--") if pod else ()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        azurite = Path(__file__).parents[2] / ".cache" / "azurite" / "node_modules" / ".bin" / "azurite"
        patch.setenv("PODVNET_AZURITE", str(azurite))
        with laboratory(FILE) as lab:
            cloud = cloud_for(lab, access_for())
            arguments = cloud.access.credential(), cloud.access.subscription
            storage: Any = StorageManagementClient(*arguments, **cloud.access.options())
            key = storage.storage_accounts.list_keys(GROUP, ACCOUNT).keys_property[0].value
            lab.install("near")
            yield World(lab, cloud, cloud.network, key, lab.run_pod("near", "near"))


def test_a_pod_reaches_an_account_without_public_access_by_its_public_name(world: World) -> None:
    assert world.upload("near", "by-pod", world.pod) == {"read": "from a pod"}
    assert world.asked("by-pod") == {world.pod.address}


def test_a_server_sees_the_private_address_of_a_pod(world: World) -> None:
    assert world.seen("near", world.pod) == world.pod.address
    assert world.seen("near") == "10.40.1.4"


def test_a_peered_network_comes_by_the_endpoint_as_well(world: World) -> None:
    assert world.upload("peer", "by-peer") == {"read": "from a pod"}
    assert world.asked("by-peer") == {"10.41.1.4"}
    assert world.seen("peer") == "10.41.1.4"


def test_names_lead_by_an_alias_to_the_private_address_where_the_zone_is_linked(world: World) -> None:
    assert world.dig("near", BLOB, world.pod) == [ALIAS, BLOB_END]
    assert world.dig("peer", BLOB) == [ALIAS, BLOB_END]
    assert world.dig("stranger", BLOB) == [ALIAS, PUBLIC]
    assert world.dig("near", f"{ACCOUNT}.queue.core.windows.net") == ["20.60.0.6"]


def test_who_is_not_peered_has_the_public_way_alone_and_is_refused(world: World) -> None:
    assert world.upload("stranger", "by-stranger") == REFUSED
    assert world.asked("by-stranger") == set()
    assert not world.connects("stranger", BLOB_END, 443)
    assert "47073" in world.seen("stranger")


def test_an_endpoint_takes_the_port_of_its_service_alone(world: World) -> None:
    assert not world.connects("near", BLOB_END, 1433)
    assert not world.connects("near", SQL_END, 443)
    assert world.connects("near", SQL_END, 1433)


def test_the_routes_say_so_in_the_network_and_its_peers(world: World) -> None:
    wanted = {f"{address}/32": ("Active", "InterfaceEndpoint") for address in (BLOB_END, SQL_END)}
    assert world.routes("near") == wanted
    assert world.routes("peer") == wanted
    assert world.routes("stranger") == {}


def test_the_evaluator_says_the_same(world: World) -> None:
    for vm, source in (("near", "10.40.1.4"), ("peer", "10.41.1.4")):
        found = world.trace(vm, f"{BLOB_END}:443")
        assert (found["verdict"], found["hops"][-1]["check"]) == ("ReachedService", "Service")
        assert found["summary"] == f"reaches the service as {source}, by private endpoint blob-end"
    assert world.trace("stranger", f"{BLOB_END}:443")["verdict"] == "Dropped"


def test_routes_and_groups_hold_for_endpoints_only_where_their_subnet_says_so(world: World) -> None:
    assert world.connects("near", BLOB_END, 443)
    try:
        world.ends("RouteTableEnabled")
        assert world.routes("near") == {f"{each}/32": ("Invalid", "InterfaceEndpoint") for each in (BLOB_END, SQL_END)}
        assert not world.connects("near", BLOB_END, 443)
        assert world.trace("near", f"{BLOB_END}:443")["hops"][-1]["check"] == "Appliance"
        assert world.connects("peer", BLOB_END, 443)
        world.ends("NetworkSecurityGroupEnabled")
        assert not world.connects("near", BLOB_END, 443)
        assert not world.connects("peer", BLOB_END, 443)
        found = world.trace("peer", f"{BLOB_END}:443")
        assert found["hops"][-1]["place"] == "private endpoint blob-end"
        assert (found["hops"][-1]["rule"], found["verdict"]) == ("securityRules/no-blobs", "Dropped")
        # It is asked about the port of the server too, and lets that pass.
        assert world.seen("near") == "10.40.1.4"
    finally:
        world.ends("Disabled")
    assert world.connects("near", BLOB_END, 443)


def test_a_fabric_that_is_killed_has_its_endpoints_again(world: World) -> None:
    kill_fabric()
    start_fabric()
    assert world.upload("near", "again", world.pod) == {"read": "from a pod"}
    assert world.asked("again") == {world.pod.address}
    assert world.dig("near", BLOB) == [ALIAS, BLOB_END]


def test_without_the_endpoint_the_name_is_public_again_and_the_account_refuses(world: World) -> None:
    world.network.private_endpoints.begin_delete(GROUP, "blob-end").result()
    assert world.dig("near", BLOB) == [PUBLIC]
    assert world.upload("near", "late", world.pod) == REFUSED
    assert world.asked("late") == set()
    assert not world.connects("near", BLOB_END, 443)
    assert world.routes("near") == {f"{SQL_END}/32": ("Active", "InterfaceEndpoint")}
    assert world.seen("near", world.pod) == world.pod.address
