"""A VM that forges reaches nobody, and a counter says so; IP forwarding lifts the check of addresses, not of MACs."""

from __future__ import annotations

from pathlib import Path

import pytest

from podvnet.linux import namespace
from podvnet.linux.nfnetlink import SetSocket
from podvnet.runtime.probe import frames, seen_as
from podvnet.testing.forgery import BROADCAST, arp_frame, ip_frame, listen
from podvnet.testing.lab import Lab, podvnet

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-subnets.yaml"
FORGED_MAC = "02:66:6f:72:67:65"


def network_counter(lab: Lab, family: str) -> int:
    with_sockets = namespace.run_inside(lab.network(), SetSocket)
    try:
        return with_sockets.counters(family, "podvnet")["spoofed"]
    finally:
        with_sockets.close()


@pytest.mark.parametrize("forged", ["mac", "address"])
def test_a_vm_that_forges_reaches_nobody(forged: str, lab: Lab) -> None:
    nic = lab.status()["virtualMachines"][0]["nics"][0]
    mac, source = {"mac": (FORGED_MAC, "10.1.1.4"), "address": (nic["mac"], "10.1.2.77")}[forged]
    before = network_counter(lab, "inet")
    ear = listen(lab.vm("vm2"), "10.1.2.4")
    with ear.socket, frames(lab.vm("vm1"), "eth0") as wire:
        wire.send(ip_frame("12:34:56:78:9a:bc", nic["mac"], "10.1.1.4", "10.1.2.4"))
        assert ear.heard(2.0) == b"forged", "an honest frame must arrive"
        wire.send(ip_frame("12:34:56:78:9a:bc", mac, source, "10.1.2.4"))
        assert network_counter(lab, "inet") == before + 1
        assert ear.heard(0.2) == b""


def test_a_vm_that_forges_arp_is_counted(lab: Lab) -> None:
    nic = lab.status()["virtualMachines"][0]["nics"][0]
    before = network_counter(lab, "arp")
    with frames(lab.vm("vm1"), "eth0") as wire:
        wire.send(arp_frame(BROADCAST, nic["mac"], 2, (nic["mac"], "10.1.2.4"), (BROADCAST, "10.1.1.1")))
        wire.send(arp_frame(BROADCAST, FORGED_MAC, 1, (FORGED_MAC, "10.1.1.4"), (BROADCAST, "10.1.1.1")))
    assert network_counter(lab, "arp") == before + 2
    assert seen_as(lab.vm("vm1"), "10.1.2.4") == ""  # nobody serves there
    lab.servers.listen(lab.vm("vm2"), "10.1.2.4")
    assert seen_as(lab.vm("vm1"), "10.1.2.4") == "10.1.1.4"


def test_with_ip_forwarding_a_vm_may_send_for_others_but_not_with_another_mac(lab: Lab, tmp_path: Path) -> None:
    head = "name: vm1-nic\n    properties:\n"
    text = EXAMPLE.read_text(encoding="utf-8")
    assert head in text
    file = tmp_path / "forwarding.yaml"
    file.write_text(text.replace(head, head + "      enableIPForwarding: true\n"), encoding="utf-8")
    podvnet("up", str(file))
    nic = lab.status()["virtualMachines"][0]["nics"][0]
    assert nic["ipForwarding"]
    before = network_counter(lab, "inet")
    ear = listen(lab.vm("vm2"), "10.1.2.4")
    with ear.socket, frames(lab.vm("vm1"), "eth0") as wire:
        wire.send(ip_frame("12:34:56:78:9a:bc", nic["mac"], "192.0.2.7", "10.1.2.4"))
        assert ear.heard(2.0) == b"forged"
        wire.send(ip_frame("12:34:56:78:9a:bc", FORGED_MAC, "192.0.2.7", "10.1.2.4"))
        assert network_counter(lab, "inet") == before + 1
