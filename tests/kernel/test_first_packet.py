"""A rule holds from the first packet on, with traffic already flowing at what it guards."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.testing.cni import Runtime, configuration
from podvnet.testing.flood import Flood
from podvnet.testing.rule import deny
from podvnet.testing.stage import Resources, Stage, stage

TIMES = int(os.environ.get("PODVNET_ATTACHMENTS", "200"))
ALLOWED, FORBIDDEN = 7001, 7002
ADDRESSES = (5, 6, 7, 8)
"""Last bytes of what pods get: few, so that the flood is dense at each."""


@pytest.fixture(scope="module")
def net() -> Iterator[Stage]:
    """The example of two subnets; ``front`` denies a port to the members of a group, which all its pods are."""
    with stage(Path(__file__).parents[2] / "examples" / "two-subnets.yaml") as made:
        made.apply(guarded(made))
        yield made


def guarded(net: Stage) -> Resources:
    resources = net.declared
    scope, kind = resources["virtualNetworks/hub"]["id"].split("/providers/")[0], "Microsoft.Network"
    rules = [deny("x", 100, "Inbound", "Udp", destination=("pods",), ports=str(FORBIDDEN))]
    for each, name, properties in (
        ("networkSecurityGroups", "guard", {"securityRules": rules}),
        ("applicationSecurityGroups", "pods", {}),
    ):
        resources[f"{each}/{name}"] = {
            "id": f"{scope}/providers/{kind}/{each}/{name}",
            "type": f"{kind}/{each}",
            "name": name,
            "location": "local",
            "properties": properties,
        }
    subnets = resources["virtualNetworks/hub"]["properties"]["subnets"]
    subnets[0]["properties"]["networkSecurityGroup"] = {"id": "networkSecurityGroups/guard"}
    nic = resources["networkInterfaces/vm1-nic"]["properties"]
    nic["ipConfigurations"] = nic["ipConfigurations"][: 1 + len(ADDRESSES)]
    for config in nic["ipConfigurations"]:
        config["properties"]["applicationSecurityGroups"] = [{"id": "applicationSecurityGroups/pods"}]
    return resources


@contextmanager
def listening(descriptor: int) -> Iterator[socket.socket]:
    """Hears every frame of a namespace, of interfaces that come later as well."""
    with namespace.entered(descriptor):
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    with ear:
        ear.settimeout(5)
        yield ear


def ports(ear: socket.socket) -> Iterator[int]:
    """The destination port of each datagram that comes in; ends with the first that is allowed and all that wait."""
    came = False
    while True:
        try:
            packet, sender = ear.recvfrom(2048)
        except BlockingIOError:
            return
        if sender[2] == socket.PACKET_HOST and packet[9] == socket.IPPROTO_UDP:
            port = int.from_bytes(packet[22:24], "big")
            yield port
            came = came or port == ALLOWED
        ear.setblocking(False) if came else ear.settimeout(5)


@pytest.mark.parametrize("mode", ["transparent", "bridge", "tunnel"])
def test_a_pod_attached_under_a_deny_rule_gets_no_packet(net: Stage, mode: str) -> None:
    """It gets those of another port meanwhile, so there is a way, and the flood does come along it."""
    net.lab.install("vm1", "--mode", mode)
    attached = times(mode)
    targets = [(f"10.1.1.{last}", port) for last in ADDRESSES for port in (ALLOWED, FORBIDDEN)]
    came = {ALLOWED: 0, FORBIDDEN: 0}
    with Runtime(net.lab, "vm1") as runtime:
        runtime.end_agent()
        runtime.start_agent("--rest", "0")
        config = configuration(mode)
        with Flood(net.places["vm2"], targets) as flood:
            for _ in range(attached):
                pod = runtime.sandbox()
                with listening(pod.descriptor) as ear:
                    runtime.add(pod, config)
                    for port in ports(ear):
                        came[port] += 1
                    assert runtime.call("DEL", pod, config).silent
                runtime.unmake(pod)
        runtime.end_agent()
        net.lab.install("vm1")  # starts the agent that the next test expects
    assert came[FORBIDDEN] == 0
    assert came[ALLOWED] >= attached
    assert flood.sent > attached


def times(mode: str) -> int:
    """How often each mode is tried; together ``TIMES``."""
    return TIMES // 2 if mode == "transparent" else TIMES // 4
