"""The NICs of private endpoints: each comes and goes with its endpoint, and shows the address that the endpoint holds.

It can be read as any NIC; it cannot be written, put on a VM, or deleted by itself.
Sources: Azure document "What is a private endpoint?" ("a read-only network interface is also created for the lifecycle
of the resource"); recorded NICs of private endpoints, and a recorded refusal to write one.
"""

from __future__ import annotations

from podvnet.fabric.arm.internal_names import domain_suffix
from podvnet.fabric.arm.resource_type import stable_guid
from podvnet.fabric.arm.world import NETWORK_INTERFACES, PRIVATE_ENDPOINTS, Document, World
from podvnet.model.address import derived_mac
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, parse

_OUI = bytes.fromhex("000d3a")


def follow_endpoints(world: World) -> None:
    """Make the NIC of every private endpoint as its endpoint says, and take out those whose endpoints are gone."""
    endpoints = list(world.of_type(PRIVATE_ENDPOINTS))
    wanted = {each["properties"]["networkInterfaces"][0]["id"].lower(): each for each in endpoints}
    for nic in list(world.of_type(NETWORK_INTERFACES)):
        key = nic["id"].lower()
        if endpoint_of(nic) and (key not in wanted or endpoint_of(nic) != wanted[key]["id"]):
            world.remove(key)
    for key, endpoint in wanted.items():
        nic = _nic(endpoint, world)
        if world.documents.get(key) != nic:
            world.put(nic)


def endpoint_of(nic: Document) -> str:
    """The id of the private endpoint that a NIC is of; empty for any other."""
    found: str = nic["properties"].get("privateEndpoint", {}).get("id", "")
    return found


def refuse_write(nic: Document | None) -> None:
    """Refuse to write a NIC that is a private endpoint's.

    Raises:
        ArmError: it is one.
    """
    if nic and endpoint_of(nic):
        raise ArmError(
            "CannotModifyNicAttachedToPrivateEndpoint",
            f"Network interface {nic['id']} is attached to private endpoint {endpoint_of(nic)}. It can not be modified"
            " by user.",
            target=nic["id"],
        )


def refuse_removal(nic: ResourceId, world: World) -> None:
    """Refuse to delete the NIC of a private endpoint that stays.

    Raises:
        ArmError: the endpoint stays.
    """
    for endpoint in world.of_type(PRIVATE_ENDPOINTS):
        if endpoint["properties"]["networkInterfaces"][0]["id"].lower() == nic.key:
            raise ArmError(
                "NicInUse",
                f"Network Interface {nic} is used by existing resource {endpoint['id']}. In order to delete the network"
                " interface, it must be dissociated from the resource.",
                target=str(nic),
            )


def _nic(endpoint: Document, world: World) -> Document:
    properties, own = endpoint["properties"], endpoint["_fabric"]
    resource = parse(properties["networkInterfaces"][0]["id"])
    holder = parse(own["holder"])
    (part,) = properties["privateLinkServiceConnections"][0]["properties"]["groupIds"]
    subnet = properties["subnet"]["id"]
    previous = world.get(resource)
    number = previous["_fabric"]["number"] if previous else world.free_number(NETWORK_INTERFACES)
    configuration = {
        "name": holder.name,
        "id": str(holder),
        "type": holder.type,
        "properties": {
            "provisioningState": "Succeeded",
            "privateIPAddress": own["address"],
            "privateIPAllocationMethod": "Static" if own["static"] else "Dynamic",
            "subnet": {"id": subnet},
            "primary": True,
            "privateIPAddressVersion": "IPv4",
            "privateLinkConnectionProperties": {
                "groupId": part,
                "requiredMemberName": part,
                "fqdns": [own["host"]],
            },
        },
    }
    document: Document = {
        "name": resource.name,
        "id": str(resource),
        "type": NETWORK_INTERFACES,
        "location": endpoint["location"],
    }
    if "tags" in endpoint:
        document["tags"] = endpoint["tags"]
    document["properties"] = {
        "provisioningState": "Succeeded",
        "resourceGuid": stable_guid(resource, "resource"),
        "ipConfigurations": [configuration],
        "dnsSettings": {
            "dnsServers": [],
            "appliedDnsServers": [],
            "internalDomainNameSuffix": domain_suffix(parse(subnet).parent),
        },
        "macAddress": "",
        "enableAcceleratedNetworking": False,
        "vnetEncryptionSupported": False,
        "enableIPForwarding": False,
        "disableTcpStateTracking": False,
        "privateEndpoint": {"id": endpoint["id"]},
        "hostedWorkloads": [],
        "tapConfigurations": [],
        "nicType": "Standard",
        "allowPort25Out": True,
        "defaultOutboundConnectivityEnabled": False,
        "auxiliaryMode": "None",
        "auxiliarySku": "None",
    }
    return document | {"kind": "Regular", "_fabric": {"number": number, "mac": derived_mac(_OUI, resource.key)}}
