"""Which way packets between two pods of one VM take: through the fabric in the mode `tunnel`, and only there."""

from __future__ import annotations

import socket

import pytest

from podvnet.runtime.probe import frames, seen_as
from podvnet.testing.lab import Lab

PORT = "nic1"
"""The port of vm1's NIC in the namespace of the virtual network."""


def crossing(lab: Lab, caller: int, called: str, source: str) -> int:
    """How many frames from one address to another pass the NIC's port while one calls the other."""
    ends = socket.inet_aton(source) + socket.inet_aton(called)
    with frames(lab.network(), PORT) as wire:
        wire.setblocking(False)
        assert seen_as(caller, called) == source
        passed = 0
        while True:
            try:
                frame = wire.recv(2048)
            except BlockingIOError:
                return passed
            passed += frame[26:34] == ends


@pytest.mark.parametrize(("mode", "crosses"), [("tunnel", True), ("bridge", False), ("transparent", False)])
def test_pod_to_pod_on_one_vm(mode: str, crosses: bool, lab: Lab) -> None:
    lab.install("vm1", "--mode", mode)
    near, other = lab.run_pod(f"{mode}-near", "vm1"), lab.run_pod(f"{mode}-other", "vm1")
    assert (crossing(lab, near.descriptor, other.address, near.address) > 0) == crosses
    lab.delete_pod(near.name)
    lab.delete_pod(other.name)


@pytest.mark.parametrize("mode", ["tunnel", "bridge", "transparent"])
def test_pod_to_another_vm_always_crosses(mode: str, lab: Lab) -> None:
    """Shows that the watch above sees what crosses."""
    lab.install("vm1", "--mode", mode)
    near, far = lab.run_pod(f"{mode}-out", "vm1"), lab.run_pod(f"{mode}-far", "vm2")
    assert crossing(lab, near.descriptor, far.address, near.address) > 0
    lab.delete_pod(near.name)
    lab.delete_pod(far.name)
