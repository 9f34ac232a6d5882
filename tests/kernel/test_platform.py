"""What VMs and pods see of the platform: IMDS and the wireserver, served only to whom Azure serves them."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.testing.lab import PODVNET, Lab, podvnet

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-subnets.yaml"
IMDS = "169.254.169.254"
WIRESERVER = "168.63.129.16"
INTERFACES = "/machine/plugins?comp=nmagent&type=getinterfaceinfov1"
NETWORK = "/metadata/instance/network?api-version=2021-02-01"


@dataclass(frozen=True)
class Answer:
    status: int
    body: str


def get(
    descriptor: int, host: str, path: str, *, source: str = "", port: int = 80, timeout: float = 2.0
) -> Answer | None:
    """Ask over HTTP from a namespace; None when nobody answers."""
    with namespace.entered(descriptor):
        caller = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    caller.settimeout(timeout)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = caller
    try:
        if source:
            caller.setsockopt(socket.IPPROTO_IP, socket.IP_TRANSPARENT, 1)
            caller.bind((source, 0))
        caller.connect((host, port))
        connection.request("GET", path, headers={"Metadata": "true"})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    except OSError:
        return None
    finally:
        connection.close()


def test_a_vm_sees_its_own_nic_and_no_other(lab: Lab) -> None:
    for machine in lab.status()["virtualMachines"]:
        nic = machine["nics"][0]
        own = get(lab.vm(machine["name"]), WIRESERVER, INTERFACES)
        assert own is not None
        assert own.status == 200
        assert nic["mac"].replace(":", "").upper() in own.body
        assert all(f'"{address}"' in own.body for address in (nic["primary"], *nic["secondary"]))
        metadata = get(lab.vm(machine["name"]), IMDS, NETWORK)
        assert metadata is not None
        interface = json.loads(metadata.body)["interface"][0]
        listed = [each["privateIpAddress"] for each in interface["ipv4"]["ipAddress"]]
        assert listed == [nic["primary"], *nic["secondary"]]
        others = [each for each in lab.status()["virtualMachines"] if each["name"] != machine["name"]]
        assert all(each["nics"][0]["primary"] not in own.body + metadata.body for each in others)


def test_wireserver_also_at_its_second_port(lab: Lab) -> None:
    answer = get(lab.vm("vm1"), WIRESERVER, "/?comp=versions", port=32526)
    assert answer is not None
    assert answer.status == 200


def test_imds_answers_the_primary_address_only(lab: Lab) -> None:
    lab.inside("vm1", "ip", "addr", "add", "10.1.1.250/32", "dev", "lo")
    try:
        assert get(lab.vm("vm1"), IMDS, NETWORK, source="10.1.1.250", timeout=0.5) is None
        assert get(lab.vm("vm1"), WIRESERVER, INTERFACES, source="10.1.1.250") is not None
    finally:
        lab.inside("vm1", "ip", "addr", "del", "10.1.1.250/32", "dev", "lo")


@pytest.mark.parametrize("mode", ["transparent", "bridge", "tunnel"])
def test_a_pod_cannot_ask_the_platform_and_a_counter_says_so(mode: str, lab: Lab) -> None:
    lab.install("vm1", "--mode", mode)
    pod = lab.run_pod(f"curious-{mode}", "vm1")
    before = lab.agent_status("vm1")["dropped"]["metadata_refused"]
    assert get(pod.descriptor, IMDS, NETWORK, timeout=0.5) is None
    assert get(pod.descriptor, WIRESERVER, INTERFACES, timeout=0.5) is None
    assert lab.agent_status("vm1")["dropped"]["metadata_refused"] >= before + 2
    lab.delete_pod(pod.name)


def test_nothing_else_listens_there(lab: Lab) -> None:
    for host, port in ((IMDS, 22), (WIRESERVER, 8080), (IMDS, 32526)):
        assert get(lab.vm("vm1"), host, "/", port=port, timeout=0.3) is None


@pytest.mark.parametrize("wanted", [20, 3])
def test_the_pool_follows_the_nics_ip_configurations(wanted: int, lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "resources.yaml"
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("copy: 16", f"copy: {wanted}"), encoding="utf-8")
    podvnet("up", str(file))
    lab.inside("vm2", *PODVNET, "doctor", "--repair")
    assert eventually(lambda: lab.agent_status("vm2")["pool"]["total"] == wanted)


def eventually(condition: Callable[[], bool]) -> bool:
    """Ask until a condition holds; each question takes a process start, so no pause is needed between them."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
    return False
