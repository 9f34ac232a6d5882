"""Storage and Sql with and without service endpoints: who is let in, as whom, which way; real clients, from pods."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.sql import SqlManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.mgmt.storage.models import IPRule

from podvnet.linux import namespace
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.cni import eventually
from podvnet.testing.lab import Lab, LabPod, laboratory
from podvnet.testing.outage import kill, kill_fabric, start_fabric

FILE = Path(__file__).parent / "service-endpoints.yaml"
GROUP, ACCOUNT, SERVER = "podvnet", "podacct", "podsql"
BLOB, SQL = f"{ACCOUNT}.blob.core.windows.net", f"{SERVER}.database.windows.net"
ADDRESS = "20.60.0.5"
"""Of the account's blobs: those of the first account."""
REFUSED = {"status": 403, "code": "AuthorizationFailure"}
SERVICES = ("20.60.0.0/16", "40.79.128.0/21")
STATE = Path(os.environ["PODVNET_STATE"]) / "fabric" / "services"
PRIMARY = {"taken": "10.30.1.4", "unnamed": "10.30.2.4", "plain": "10.30.3.4", "twin": "10.30.1.4"}

UPLOAD = """
import json, sys
from azure.core.exceptions import HttpResponseError, ServiceRequestError
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
except ServiceRequestError as error:
    print(json.dumps({"code": str(error)}))
"""


@dataclass
class World:
    lab: Lab
    cloud: Cloud
    network: Any
    storage: Any
    sql: Any
    key: str
    taken: LabPod
    plain: LabPod

    def upload(self, vm: str, name: str, pod: LabPod | None = None) -> dict[str, str | int]:
        """What the data SDK says, run in a VM or in a pod of it."""
        found: dict[str, str | int] = json.loads(
            self.lab.inside(vm, *within(pod), sys.executable, "-c", UPLOAD, f"https://{BLOB}", self.key, name).stdout
        )
        return found

    def query(self, vm: str, statement: str, pod: LabPod | None = None) -> subprocess.CompletedProcess[str]:
        """What psql says."""
        where = f"host={SQL} port=1433 user=boss password=Correct-horse-7 dbname=postgres connect_timeout=5"
        tls = "sslmode=verify-full sslrootcert=/etc/podvnet/ca.pem"
        return self.lab.inside(vm, *within(pod), "psql", f"{where} {tls}", "-Atc", statement, check=False)

    def asked(self, name: str) -> set[str]:
        """Whom the account's own log names as those who asked for a blob."""
        log = (STATE / f"storage-{ACCOUNT}" / "log").read_text(encoding="utf-8")
        return {line.split(" ", 1)[0] for line in log.splitlines() if f"/pods/{name}" in line}


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
            pods = {}
            for vm in ("taken", "plain"):
                # Of the pods only those by an endpoint keep their own addresses; the others have no public ones.
                kept = SERVICES if vm == "taken" else ()
                lab.install(vm, *(word for each in kept for word in ("--non-masquerade", each)))
                pods[vm] = lab.run_pod(vm, vm)
            sql: Any = SqlManagementClient(*arguments, **cloud.access.options())
            own = {"administratorLogin": "boss", "administratorLoginPassword": "Correct-horse-7"}
            sql.servers.begin_create_or_update(GROUP, "by-api", {"location": "local", "properties": own}).result()
            yield World(lab, cloud, cloud.network, storage, sql, key, pods["taken"], pods["plain"])
            assert programs("sql-by-api")
        # What the file does not declare has not gone, yet it runs no more than the rest.
        assert programs() == []


def test_a_pod_of_the_named_subnet_is_let_in_with_its_own_address(world: World) -> None:
    assert world.upload("taken", "endpoint", world.taken) == {"read": "from a pod"}
    assert world.asked("endpoint") == {world.taken.address}
    done = world.query(
        "taken", "select inet_client_addr(), ssl from pg_stat_ssl where pid = pg_backend_pid()", world.taken
    )
    assert done.stdout.strip() == f"{world.taken.address}|t", done.stderr


def let_in(world: World, *addresses: str, default: str = "Deny") -> None:
    """Let these public addresses into the account, beside the subnet that is named."""
    rules = world.storage.storage_accounts.get_properties(GROUP, ACCOUNT).network_rule_set
    rules.ip_rules = [IPRule(ip_address_or_range=each) for each in addresses]
    rules.default_action = default
    world.storage.storage_accounts.update(GROUP, ACCOUNT, {"properties": {"networkAcls": rules}})


def test_an_endpoint_of_a_subnet_that_is_not_named_is_refused_whatever_public_addresses_are(world: World) -> None:
    let_in(world, "203.0.113.0/24")
    assert world.upload("unnamed", "unnamed") == REFUSED
    done = world.query("unnamed", "select 1")
    assert done.returncode
    assert "FATAL:  40914: Cannot open server 'podsql' requested by the login. Client is not allowed" in done.stderr
    let_in(world)


def test_the_same_address_in_another_virtual_network_is_another(world: World) -> None:
    assert world.upload("taken", "of-the-vm") == {"read": "from a pod"}
    assert world.asked("of-the-vm") == {PRIMARY["taken"]}
    assert world.upload("twin", "of-the-twin") == REFUSED
    assert world.asked("of-the-twin") == set()


def test_flows_that_are_alike_but_for_the_virtual_network_are_told_apart(world: World) -> None:
    let_in(world, default="Allow")
    context = ssl.create_default_context(cafile=world.cloud.access.ca)
    with ExitStack() as open_sockets:
        for vm in ("taken", "twin"):
            with namespace.entered(world.lab.vm(vm)):
                connection = socket.create_connection((ADDRESS, 443), 5, (PRIMARY[vm], 40_000))
            greeted = open_sockets.enter_context(context.wrap_socket(connection, server_hostname=BLOB))
            assert greeted.getsockname() == (PRIMARY[vm], 40_000)
    let_in(world)


def test_without_an_endpoint_the_public_address_decides(world: World) -> None:
    done = world.query("plain", "select 1", world.plain)
    found = re.search(r"FATAL:  40615: .* Client with IP address '([\d.]+)' is not allowed", done.stderr)
    assert found, done.stderr
    public = found[1]
    assert public.startswith("203.0.113.")
    assert world.upload("plain", "public", world.plain) == REFUSED
    let_in(world, public)
    world.sql.firewall_rules.create_or_update(
        GROUP, SERVER, "plain", {"properties": {"startIpAddress": public, "endIpAddress": public}}
    )
    assert world.upload("plain", "public", world.plain) == {"read": "from a pod"}
    assert world.asked("public") == {public}
    assert world.query("plain", "select inet_client_addr()", world.plain).stdout.strip() == public
    let_in(world)


def test_the_routes_say_so_and_win_over_the_one_to_the_appliance(world: World) -> None:
    interfaces = world.network.network_interfaces
    for name, endpoints in (("taken", set(SERVICES)), ("plain", set())):
        routes = interfaces.begin_get_effective_route_table(GROUP, name).result().value
        found = {
            prefix
            for route in routes
            if route.next_hop_type == "VirtualNetworkServiceEndpoint"
            for prefix in route.address_prefix
        }
        assert endpoints <= found if endpoints else not found
    routes = interfaces.begin_get_effective_route_table(GROUP, "taken").result().value
    assert {
        route.next_hop_type for route in routes if "0.0.0.0/0" in route.address_prefix and route.state == "Active"
    } == {"VirtualAppliance"}


def test_connections_are_reset_when_an_endpoint_is_turned_on(world: World) -> None:
    let_in(world, default="Allow")
    with namespace.entered(world.lab.vm("plain")):
        connection = socket.create_connection((ADDRESS, 443), 5)
    with connection:
        body = {"properties": {"addressPrefix": "10.30.3.0/24", "serviceEndpoints": [{"service": "Microsoft.Storage"}]}}
        world.network.subnets.begin_create_or_update(GROUP, "hub", "plain", body).result()
        connection.sendall(b"\x16")  # a TLS record begins, so that the server has nothing to say yet
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    let_in(world)


def programs(name: str = "") -> list[int]:
    """The processes whose files are those of a service, or of any."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{STATE / name}/" in (entry / "cmdline").read_bytes().decode():
                found.append(int(entry.name))
    return found


def test_a_program_that_ends_is_begun_again_with_its_data(world: World) -> None:
    assert world.query("taken", "create table kept as select 7 as seven").returncode == 0
    first = min(programs(f"sql-{SERVER}"))
    kill(first)
    assert eventually(lambda: world.query("taken", "select seven from kept").stdout == "7\n")
    assert first not in programs(f"sql-{SERVER}")


def test_a_fabric_that_is_killed_finds_its_programs_again(world: World) -> None:
    kill_fabric()
    start_fabric()
    assert len(programs(f"storage-{ACCOUNT}")) == 1
    assert len(programs(f"sql-{SERVER}")) == 1
    assert world.query("taken", "select seven from kept").stdout == "7\n"
    assert world.upload("taken", "endpoint") == {"read": "from a pod"}
