"""What is where."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from podvnet.model.intent import Intent, NetworkInterface
from podvnet.model.resource_id import Scope, make
from podvnet.plan.topology import Topology

GROUP = make(Scope(), "Microsoft.Network/applicationSecurityGroups", "web")


def joined(nic: NetworkInterface) -> NetworkInterface:
    """The NIC with its first address in the group."""
    first, *others = nic.ip_configurations
    return replace(nic, ip_configurations=(replace(first, groups=(GROUP,)), *others))


def test_members_of_a_group_are_addresses_of_running_vms_in_one_virtual_network(intent: Intent) -> None:
    everybody = replace(intent, nics={key: joined(nic) for key, nic in intent.nics.items()})
    topology = Topology(everybody)
    hub = next(iter(intent.virtual_networks.values())).id
    elsewhere = make(Scope(), "Microsoft.Network/virtualNetworks", "elsewhere")
    assert topology.members(GROUP, hub) == {ip_address(text) for text in ("10.0.0.4", "10.0.1.4", "10.0.0.7")}
    assert topology.members(GROUP, elsewhere) == frozenset()
