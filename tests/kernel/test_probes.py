"""Health probes: who is asked from where, what security groups make of it, and what a restart leaves as it was.

Intervals are the shortest that Azure takes, 5 seconds, so one test goes through several changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.testing.cloud import access_for, cloud_for
from podvnet.testing.cni import eventually
from podvnet.testing.outage import kill_fabric, start_fabric
from podvnet.testing.stage import Stage, stage

_HEALTH = Path("/run/podvnet/fabric/health.json")
_VM1, _VM1_SIX, _VM2, _POD, _DRAINED = "10.1.1.4", "fd00:1:0:1::4", "10.1.2.4", "10.1.2.5", "10.1.2.6"
_FRONTEND = "10.1.1.200"
_WITHIN = 7.0
"""Seconds: one interval, and the time that two cores take to get to it."""


class _Ready(BaseHTTPRequestHandler):
    """Answers ``/ready`` with the status that the server has."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Web)
        server.callers.add((self.client_address[0], self.path, self.headers["User-Agent"]))
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Web(ThreadingHTTPServer):
    """A web server at an address of a namespace."""

    def __init__(self, descriptor: int, address: str) -> None:
        self.callers: set[tuple[str, str, str]] = set()
        self.status = HTTPStatus.OK
        with namespace.entered(descriptor):
            super().__init__((address, 8080), _Ready)
        threading.Thread(target=self.serve_forever, name="web", daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The file beside this one."""
    with stage(Path(__file__).with_name("probes.yaml")) as made:
        yield made


def healthy() -> set[str]:
    """``probe address`` of all that answer, as the fabric keeps it."""
    if not _HEALTH.exists():
        return set()
    return {f"{probe.rsplit('/', 1)[1]} {address}" for probe, address in json.loads(_HEALTH.read_text())}


def becomes(*expected: str) -> None:
    """Wait until exactly these answer."""
    assert eventually(lambda: healthy() == set(expected), _WITHIN), healthy()


def answered(caller: socket.socket) -> bool:
    """Whether a datagram to the frontend is answered."""
    caller.sendto(b" " * 64, (_FRONTEND, 7070))
    try:
        return caller.recv(64).decode().strip("\0 ") == _POD
    except TimeoutError:
        return False


def flips(address: str) -> list[bool]:
    """What was thought of a member by each change of it, in order."""
    log = (Path(os.environ["PODVNET_STATE"]) / "fabric" / "fabric.log").read_text(encoding="utf-8")
    events = [json.loads(line) for line in log.splitlines() if '"probed"' in line]
    return [each["healthy"] for each in events if each["member"] == address]


def test_members_go_and_come_with_their_servers_and_their_groups(net: Stage) -> None:
    lab = net.lab
    with contextlib.ExitStack() as running:
        web = Web(lab.vm("vm1"), _VM1)
        running.callback(web.stop)
        for name, address in (("vm1", _VM1), ("vm1", _VM1_SIX), ("vm2", _VM2)):
            lab.servers.listen(lab.vm(name), address)
            running.callback(lab.servers.forget, address)
        lab.install("vm2")
        pods = [lab.run_pod(name, "vm2") for name in ("one", "two")]
        assert [each.address for each in pods] == [_POD, _DRAINED]

        # The group of vm2's subnet denies probes.
        becomes("http " + _VM1, "tcp " + _VM1, "tcp " + _VM1_SIX)
        assert web.callers == {("168.63.129.16", "/ready", "Load Balancer Agent")}
        assert (_VM1, "168.63.129.16") in lab.servers.callers
        assert (_VM1_SIX, "fe80::1234:5678:9abc") in lab.servers.callers
        assert {asked for asked, _ in lab.servers.callers} == {_VM1, _VM1_SIX}
        with namespace.entered(pods[0].descriptor):
            caller = running.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        caller.settimeout(0.2)
        assert answered(caller)
        assert (_VM1, _POD) in lab.servers.callers

        web.status = HTTPStatus.SERVICE_UNAVAILABLE
        lab.servers.forget(_VM1)
        resources = net.declared
        resources["networkSecurityGroups/guard"]["properties"] = {}
        net.apply(resources)
        behind = {f"tcp {each}" for each in (_VM2, _POD, _DRAINED)}
        becomes("tcp " + _VM1_SIX, *behind)
        assert {(each, "168.63.129.16") for each in (_VM2, _POD, _DRAINED)} <= set(lab.servers.callers)
        # The UDP flow to the member that went down goes on with another.
        assert eventually(lambda: answered(caller), _WITHIN)
        assert (_VM2, _POD) in lab.servers.callers

        # What was found before the process was killed is what the next one starts with.
        kill_fabric()
        assert healthy() == {"tcp " + _VM1_SIX, *behind}
        web.status = HTTPStatus.OK
        lab.servers.listen(lab.vm("vm1"), _VM1)
        start_fabric()
        becomes("http " + _VM1, "tcp " + _VM1, "tcp " + _VM1_SIX, *behind)
        assert flips(_VM1_SIX) == flips(_VM2) == [True]

        cloud = cloud_for(lab, access_for())
        cloud.compute.virtual_machines.begin_power_off("podvnet", "vm2").result()
        becomes("http " + _VM1, "tcp " + _VM1, "tcp " + _VM1_SIX)
        found = {each["subject"]: each["state"] for each in lab.findings()}
        assert found["kernel"] == "ok", "kernel and store agree, health included"
