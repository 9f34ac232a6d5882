"""Links of Docker's containers without Docker: what a hostile one reaches, datagrams over a restart, lost files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from podvnet.linux import namespace
from podvnet.linux.conntrack import ConntrackSocket
from podvnet.model.flow import UDP
from podvnet.runtime.probe import frames
from podvnet.testing.cni import Runtime, Sandbox, address_of, eventually
from podvnet.testing.docker_calls import DockerCalls, Guest
from podvnet.testing.forgery import ip_frame, listen
from podvnet.testing.lab import Lab

LINK_MAC = "aa:aa:aa:aa:aa:aa"
ANSWERS = 5300
"""The port of the containers."""


@pytest.fixture(scope="module")
def runtime(lab: Lab) -> Iterator[Runtime]:
    """The larger VM, whose agent serves Docker."""
    lab.install("vm1", "--docker")
    with Runtime(lab, "vm1") as made:
        yield made


@pytest.fixture
def docker(runtime: Runtime) -> Iterator[DockerCalls]:
    """Docker with a network; what is left of it ends with the test."""
    made = DockerCalls(runtime)
    made.create_network()
    yield made
    made.call("NetworkDriver.DeleteNetwork", NetworkID=made.network)
    made.call("Plugin.Activate")
    runtime.clear()
    assert runtime.held() == {}


def refused_frames(lab: Lab) -> int:
    return int(lab.agent_status("vm1")["dropped"]["loopback_refused"])


def setting(runtime: Runtime, name: str) -> str:
    return runtime.run("cat", f"/proc/sys/net/ipv4/conf/{name}/route_localnet").strip()


# -- 127.0.0.1


@pytest.fixture(params=["container", "pod"])
def hostile(request: pytest.FixtureRequest, runtime: Runtime, docker: DockerCalls) -> Guest:
    """A container of Docker's; and a pod whose link somebody has opened to 127.0.0.1."""
    if request.param == "container":
        guest = docker.run()
    else:
        pod = runtime.sandbox()
        result = runtime.add(pod)
        host, inside = result["interfaces"]
        guest = Guest({}, pod, address_of(result), inside["mac"], host["name"])
        runtime.run("sysctl", "-w", f"net.ipv4.conf.{guest.link}.route_localnet=1")
    assert setting(runtime, guest.link) == "1"
    return guest


@pytest.mark.parametrize("destination", ["127.0.0.1", "127.200.0.53"])
def test_nobodys_frame_reaches_a_server_of_the_vms_own_loopback(
    hostile: Guest, destination: str, runtime: Runtime, lab: Lab
) -> None:
    """Nothing is published and no network is internal: the drop does not depend on the rules of containers."""
    assert "podvnet_docker" not in runtime.run("nft", "list", "tables")
    ear = listen(lab.vm("vm1"), destination)
    frame = ip_frame(LINK_MAC, hostile.mac, hostile.address, destination)
    with ear.socket, frames(hostile.sandbox.descriptor, "eth0") as wire:
        before = refused_frames(lab)
        wire.send(frame)
        assert refused_frames(lab) == before + 1
        assert ear.heard(0.2) == b""
        # The frame is one that would arrive: nothing but the rule is in its way.
        chain = ("inet", "podvnet", "from_pod")
        runtime.run("nft", "insert", "rule", *chain, "ip", "daddr", "127.0.0.0/8", "accept")
        wire.send(frame)
        heard = ear.heard(2.0)
        listed = runtime.run("nft", "-a", "list", "chain", *chain)
        handle = next(line.split()[-1] for line in listed.splitlines() if "127.0.0.0/8 accept" in line)
        runtime.run("nft", "delete", "rule", *chain, "handle", handle)
        assert heard == b"forged"
        wire.send(frame)
        assert refused_frames(lab) == before + 2
        assert ear.heard(0.2) == b""


def test_the_vm_reaches_a_published_port_by_its_own_loopback(docker: DockerCalls, runtime: Runtime, lab: Lab) -> None:
    guest = docker.run()
    docker.publish(guest, 6, 8080, 80)
    with namespace.entered(guest.sandbox.descriptor):
        server = socket.create_server((guest.address, 80))
    with server:
        before = refused_frames(lab)
        with namespace.entered(lab.vm("vm1")):
            caller = socket.create_connection(("127.0.0.1", 8080), 2.0)
        accepted, peer = server.accept()
        with caller, accepted:
            accepted.sendall(peer[0].encode())
            assert caller.recv(64) == b"10.1.1.4"
        assert refused_frames(lab) == before


# -- datagrams


class Server:
    """Answers datagrams in a container, when told to, with a name."""

    def __init__(self, guest: Guest, name: bytes) -> None:
        with namespace.entered(guest.sandbox.descriptor):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((guest.address, ANSWERS))
        self._socket.settimeout(2.0)
        self._name = name

    def serve(self) -> None:
        _, caller = self._socket.recvfrom(64)
        self._socket.sendto(self._name, caller)

    def close(self) -> None:
        self._socket.close()


def test_a_caller_that_goes_on_sending_reaches_every_container_that_takes_the_port(
    docker: DockerCalls, runtime: Runtime, lab: Lab
) -> None:
    with namespace.entered(lab.vm("vm2")):
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with namespace.entered(lab.vm("vm1")):
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with far, near:
        callers = [(far, ("10.1.1.4", 53)), (near, ("10.1.1.4", 53)), (near, ("127.0.0.1", 53))]
        for caller, where in callers:
            caller.settimeout(2.0)
            caller.sendto(b"too early", where)
        assert eventually(lambda: remembered(lab) >= len(callers))
        for name in (b"first", b"second"):
            guest = docker.run()
            docker.publish(guest, UDP, 53, ANSWERS)
            with closing(Server(guest, name)) as server:
                for caller, where in callers:
                    caller.sendto(b"who?", where)
                    server.serve()
                    assert caller.recv(64) == name
            docker.remove(guest)
            for caller, where in callers:
                caller.sendto(b"nobody?", where)


def remembered(lab: Lab) -> int:
    """How many callers of the port the VM's kernel remembers."""
    with namespace.entered(lab.vm("vm1")), ConntrackSocket() as table:
        found = [each.original for each in table.connections()]
    return sum(each.protocol == UDP and each.destination_port == 53 for each in found)


# -- over a start of the agent


def test_what_was_published_is_published_again_after_the_agent_was_killed(docker: DockerCalls, lab: Lab) -> None:
    guest = docker.run()
    docker.publish(guest, 6, 8080, 80)
    docker.runtime.end_agent(signal.SIGKILL)
    lab.install("vm1", "--docker")
    docker.publish(guest, 6, 8080, 80)
    docker.publish(guest, 6, 8080, 81)
    assert f"tcp dport 8080 dnat ip to {guest.address}:81" in docker.runtime.run("nft", "list", "ruleset")
    docker.remove(guest)


def test_an_agent_whose_file_of_networks_is_spoilt_serves_pods_and_makes_a_new_one(
    docker: DockerCalls, runtime: Runtime, lab: Lab
) -> None:
    guest = docker.run()
    runtime.end_agent(signal.SIGKILL)
    runtime.run("sh", "-c", "rm /var/lib/podvnet/docker.db-*; echo spoilt >/var/lib/podvnet/docker.db")
    lab.install("vm1", "--docker")
    assert runtime.add(runtime.sandbox())
    kept = runtime.run("sh", "-c", "cat /var/lib/podvnet/docker.db.unreadable-*")
    assert kept == "spoilt\n"
    refused = docker.ask("NetworkDriver.Join", **guest.endpoint, SandboxKey="/x")
    assert "is not known here" in refused["Err"]
    docker.create_network()
    docker.remove(guest)
    docker.remove(docker.run())
    runtime.run("sh", "-c", "rm /var/lib/podvnet/docker.db.unreadable-*")


def test_an_agent_that_can_have_no_file_of_networks_serves_pods(runtime: Runtime, lab: Lab) -> None:
    runtime.end_agent(signal.SIGTERM)
    runtime.run("sh", "-c", "rm /var/lib/podvnet/docker.db*; mkdir /var/lib/podvnet/docker.db")
    lab.install("vm1", "--docker")
    try:
        assert runtime.add(runtime.sandbox())
        assert "docker_not_served" in runtime.run("tail", "-n", "50", "/var/log/podvnet-agent.log")
    finally:
        runtime.clear()
        runtime.run("rmdir", "/var/lib/podvnet/docker.db")
        lab.install("vm1", "--docker")
    DockerCalls(runtime).create_network()


# -- addresses of networks of another driver


@contextmanager
def process_in(pod: Sandbox) -> Iterator[None]:
    """A process in a namespace for the block."""
    where = f"/proc/{os.getpid()}/fd/{pod.descriptor}"
    with subprocess.Popen(
        ["/usr/bin/nsenter", f"--net={where}", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"I am here\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"I am here\n"
        yield  # it ends with its input


def test_an_address_that_a_container_of_another_driver_has_outlives_a_start_of_docker(
    docker: DockerCalls, runtime: Runtime
) -> None:
    held = docker.reserve()
    docker.reserve()
    pod = runtime.sandbox()
    inside = ("ip", "-n", pod.name)
    runtime.run(*inside, "link", "set", "lo", "up")
    runtime.run(*inside, "addr", "add", f"{held}/32", "dev", "lo")
    with process_in(pod):
        docker.call("Plugin.Activate")
        assert set(runtime.held()) == {held}
        assert "in use by" in docker.ask("IpamDriver.RequestAddress", PoolID=docker.pool, Address=held)["Err"]
    docker.call("Plugin.Activate")
    assert runtime.held() == {}
