"""What DHCP tells a VM of DNS.

Pure. Source: Azure document "Name resolution for resources in Azure virtual networks": the servers of the NIC go before
those of the virtual network, and both before the platform's; a VM learns of others when it renews its lease or boots;
where the servers are not the platform's, the suffix is a placeholder that does nothing.
"""

from __future__ import annotations

from podvnet.model.address import WIRESERVER_ADDRESS, Address
from podvnet.model.intent import Intent, VirtualMachine

PLACEHOLDER_SUFFIX = "reddog.microsoft.com"


def servers_of(intent: Intent, machine: VirtualMachine) -> tuple[Address, ...]:
    """The servers that a VM is told of: those of its primary NIC."""
    nic = intent.machine_nics(machine)[0]
    network = intent.virtual_networks[nic.virtual_network.key]
    own = network.dns_servers if nic.dns_servers is None else nic.dns_servers
    return own or (WIRESERVER_ADDRESS,)


def resolver_file(intent: Intent, machine: VirtualMachine) -> str:
    """The text of the ``resolv.conf`` of a VM."""
    servers = servers_of(intent, machine)
    network = intent.virtual_networks[intent.machine_nics(machine)[0].virtual_network.key]
    suffix = network.domain_suffix if servers == (WIRESERVER_ADDRESS,) else PLACEHOLDER_SUFFIX
    return "".join([f"search {suffix}\n", *(f"nameserver {each}\n" for each in servers)])
