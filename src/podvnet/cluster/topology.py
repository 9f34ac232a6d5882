"""The network and VMs that a cluster gets when there are none: resources as a file for ``podvnet up`` has them."""

from __future__ import annotations

from typing import Any

CONTROL = "control"
NETWORK = "cluster"
ADDRESSES, CONTROL_SUBNET, NODE_SUBNET = "10.1.0.0/16", "10.1.0.0/24", "10.1.16.0/20"


def node_names(count: int) -> tuple[str, ...]:
    """The names of nodes that nobody has named."""
    return tuple(f"node{number}" for number in range(1, count + 1))


def topology(control: str, nodes: tuple[str, ...], pods_per_node: int) -> list[dict[str, Any]]:
    """A virtual network with a subnet for the control plane and one for nodes, whose NICs have addresses for pods.

    Args:
        control: the name of the control plane's VM.
        nodes: the names of nodes.
        pods_per_node: how many addresses for pods each has.
    """
    subnets = [
        {"name": "control", "properties": {"addressPrefix": CONTROL_SUBNET}},
        {"name": "nodes", "properties": {"addressPrefix": NODE_SUBNET}},
    ]
    network = {"addressSpace": {"addressPrefixes": [ADDRESSES]}, "subnets": subnets}
    return [
        {"type": "Microsoft.Network/virtualNetworks", "name": NETWORK, "properties": network},
        *_vm(control, "control", 0),
        *(resource for name in nodes for resource in _vm(name, "nodes", pods_per_node)),
        {
            "type": "Podvnet.Fabric/internetHosts",
            "name": "example-host",
            "properties": {"address": "198.51.100.10"},
        },
    ]


def _vm(name: str, subnet: str, pods: int) -> list[dict[str, Any]]:
    place = {"subnet": {"id": f"virtualNetworks/{NETWORK}/subnets/{subnet}"}}
    configurations: list[dict[str, Any]] = [{"name": "primary", "properties": {"primary": True, **place}}]
    if pods:
        configurations.append({"name": "pod", "copy": pods, "properties": place})
    return [
        {
            "type": "Microsoft.Network/networkInterfaces",
            "name": f"{name}-nic",
            "properties": {"ipConfigurations": configurations},
        },
        {
            "type": "Microsoft.Compute/virtualMachines",
            "name": name,
            "properties": {"networkProfile": {"networkInterfaces": [{"id": f"networkInterfaces/{name}-nic"}]}},
        },
    ]
