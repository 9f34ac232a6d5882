"""Names and numbers of things in the kernel, derived from those of Azure: the same at every start.

Namespaces are found by people with ``ip netns``; interface names may have 15 characters, so they come from numbers.
"""

from __future__ import annotations

from podvnet.model.address import Mac
from podvnet.model.resource_id import DEFAULT_RESOURCE_GROUP, ResourceId

PREFIX = "podvnet-"
INTERNET = PREFIX + "internet"
MACHINE_PREFIX = PREFIX + "vm-"

GUEST_NIC_INDEX = 2
"""The index of a VM's first NIC inside the VM; the others follow."""

UPLINK = "internet"
"""The interface of a virtual network's namespace that leads to the internet namespace."""
UPLINK_INDEX = 2
_FIRST_PORT = 1000
_FIRST_INTERNET_LINK = 1000


def network_namespace(network: ResourceId) -> str:
    """The namespace of a virtual network, e.g. ``podvnet-vnet-hub``."""
    return PREFIX + "vnet-" + _qualified(network)


def machine_namespace(machine: ResourceId) -> str:
    """The namespace of a VM, e.g. ``podvnet-vm-web``."""
    return MACHINE_PREFIX + _qualified(machine)


def _qualified(resource: ResourceId) -> str:
    # Names are unique in a resource group only. Two dots cannot come from a name, which ends in a word character.
    group = resource.resource_group.lower()
    return resource.name.lower() if group == DEFAULT_RESOURCE_GROUP else f"{group}..{resource.name.lower()}"


def port_index(nic_number: int) -> int:
    """The index of a NIC's port in its virtual network's namespace."""
    return _FIRST_PORT + nic_number


def port_name(nic_number: int) -> str:
    """The name of a NIC's port."""
    return f"nic{nic_number}"


def internet_link_index(network_number: int) -> int:
    """The index, in the internet namespace, of the link to a virtual network."""
    return _FIRST_INTERNET_LINK + network_number


def internet_link_name(network_number: int) -> str:
    """The name of that link."""
    return f"vnet{network_number}"


INTERNET_MAC = Mac("12:34:56:78:9a:01")
EDGE_MAC = Mac("12:34:56:78:9a:02")
"""The two ends of the link between a virtual network and the internet."""
