"""Azure's own names of VMs, and what a NIC shows of names and DNS servers.

Source: Azure document "Name resolution for resources in Azure virtual networks"; the label is as long as recorded ones.
"""

from __future__ import annotations

import base64
import uuid

from podvnet.fabric.arm.resource_type import stable_guid
from podvnet.fabric.arm.world import Document, World
from podvnet.model.resource_id import ResourceId

AZURE_DNS = "AzureProvidedDNS"
"""What stands in a NIC's list of DNS servers for those of the platform, whatever the virtual network says."""


def domain_suffix(network: ResourceId) -> str:
    """What Azure's own names of a virtual network end with: one label for each network."""
    label = base64.b32encode(uuid.UUID(stable_guid(network, "names")).bytes).decode().rstrip("=").lower()
    return f"{label}.bx.internal.cloudapp.net"


def complete_dns_settings(nic: Document, world: World) -> None:
    """Add to the view of a NIC the servers that its VM is told of: its own, or its virtual network's.

    The list is empty where these are the platform's.
    """
    settings = nic["properties"]["dnsSettings"]
    subnet = nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"].lower()
    network = world.documents[subnet.rsplit("/", 2)[0]]
    servers = settings["dnsServers"] or network["properties"].get("dhcpOptions", {}).get("dnsServers", [])
    settings["appliedDnsServers"] = [each for each in servers if each != AZURE_DNS]
