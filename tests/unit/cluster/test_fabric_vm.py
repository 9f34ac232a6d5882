"""What the fabric says of VMs, as a cluster needs it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from podvnet.cluster.fabric_vm import VmFacts, vms


def facts(*secondary: str, subnets: tuple[str, ...] = ("10.1.1.0/24", "fd00:1::/64")) -> VmFacts:
    """Those of a VM whose NIC has these addresses besides its primary one."""
    nic = {"primary": "10.1.1.4", "secondary": [*secondary], "virtualNetwork": "hub", "subnet": "nodes"}
    status: dict[str, Any] = {
        "resources": [{"type": "Microsoft.Compute/virtualMachines", "name": "vm1", "id": "/vm1", "properties": {}}],
        "virtualNetworks": [{"name": "hub", "subnets": {"nodes": [*subnets]}}],
        "virtualMachines": [{"name": "vm1", "running": True, "nics": [nic]}],
    }
    return vms(status)["vm1"]


def test_the_first_address_of_ipv6_is_the_vms_own_and_further_ones_are_for_pods() -> None:
    found = facts("fd00:1::4", "10.1.1.5", "10.1.1.6", "fd00:1::5")
    assert found.address6 == ip_address("fd00:1::4")
    assert (found.pool, found.pool6) == (2, 1)
    assert found.subnets == (ip_network("10.1.1.0/24"), ip_network("fd00:1::/64"))
    assert found.speaks_ipv6


def test_without_ipv6_for_itself_and_for_pods_a_vm_does_not_speak_it() -> None:
    assert not facts("10.1.1.5", subnets=("10.1.1.0/24",)).speaks_ipv6
    only_its_own = facts("fd00:1::4", "10.1.1.5")
    assert (only_its_own.pool, only_its_own.pool6) == (1, 0)
    assert not only_its_own.speaks_ipv6
