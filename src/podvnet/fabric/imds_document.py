"""The documents of the Instance Metadata Service, built from the intent: what Azure would tell this VM about itself.

A document is a tree of objects, arrays and texts: every JSON primitive is a string, and what a VM has not got is an
empty string rather than missing. A field appears from the api-version on that introduced it; in ``2017-03-01``, whose
own shape is not documented any more, documents have the shape of ``2017-04-02``.

``publicIpAddress`` is empty for every address: the service shows Basic public addresses there and nothing else, and
those of the Standard kind only under ``/metadata/loadbalancer``.

Source: Azure document "Azure Instance Metadata Service".
"""

from __future__ import annotations

from typing import TypeAlias

from podvnet.model.address import platform_mac
from podvnet.model.intent import Intent, NetworkInterface, VirtualMachine

Node: TypeAlias = "dict[str, Node] | list[Node] | str"
"""A part of a document."""

VERSIONS = (
    "2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01",
    "2018-02-01", "2018-04-02", "2018-10-01",
    "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01", "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01",
    "2020-06-01", "2020-07-15", "2020-09-01", "2020-10-01", "2020-12-01",
    "2021-01-01", "2021-02-01", "2021-03-01", "2021-05-01", "2021-08-01", "2021-10-01", "2021-11-01", "2021-11-15",
    "2021-12-13",
    "2023-07-01", "2023-11-15", "2024-03-15", "2024-07-17", "2025-04-07",
)  # fmt: skip
"""The api-versions that are answered, oldest first."""

NEWEST_VERSIONS = VERSIONS[:-4:-1]
"""What a request without a valid api-version is told, newest first."""

_OS_DISK: dict[str, Node] = {
    "caching": "",
    "createOption": "",
    "diffDiskSettings": {"option": ""},
    "diskSizeGB": "",
    "encryptionSettings": {"enabled": "false"},
    "image": {"uri": ""},
    "managedDisk": {"id": "", "storageAccountType": ""},
    "name": "",
    "osType": "Linux",
    "vhd": {"uri": ""},
    "writeAcceleratorEnabled": "false",
}


def instance_document(intent: Intent, machine: VirtualMachine, version: str) -> dict[str, Node]:
    """Build the answer of ``/metadata/instance``: ``{"compute": …, "network": …}``.

    Args:
        intent: where the VM's NICs and their subnets are found.
        machine: the VM that asks.
        version: one of :data:`VERSIONS`.
    """
    return {"compute": compute_document(machine, version), "network": network_document(intent, machine)}


def network_document(intent: Intent, machine: VirtualMachine) -> dict[str, Node]:
    """Build the answer of ``/metadata/instance/network``: the VM's NICs, the primary first.

    Each ``ipv4`` lists all addresses of the NIC, the primary first, and its subnet; each ``ipv6`` addresses only.
    The shape is the same in every api-version.
    """
    return {"interface": [_interface(intent, nic) for nic in intent.machine_nics(machine)]}


def compute_document(machine: VirtualMachine, version: str) -> dict[str, Node]:
    """Build the answer of ``/metadata/instance/compute`` with the fields that ``version`` has."""
    document: dict[str, Node] = {}
    for since, path, value in _compute_fields(machine):
        if since <= version:
            _place(document, path.split("."), value)
    return document


def walk(document: Node, path: tuple[str, ...]) -> Node | None:
    """Go down by keys and array indexes, as the route parameters of a request do; None when there is no such part.

    An index is a decimal number without leading zeros.
    """
    node = document
    for step in path:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step in map(str, range(len(node))):
            node = node[int(step)]
        else:
            return None
    return node


def text(node: Node) -> str:
    """Render a part as ``format=text``: a leaf by its value, else a line for each child, with a slash if it has own."""
    if isinstance(node, str):
        return node
    children = node.items() if isinstance(node, dict) else ((str(index), child) for index, child in enumerate(node))
    return "\n".join(name if isinstance(child, str) else f"{name}/" for name, child in children)


def _interface(intent: Intent, nic: NetworkInterface) -> Node:
    prefix = intent.subnet_of(nic).prefix_of(4)
    return {
        "ipv4": {
            "ipAddress": [{"privateIpAddress": address, "publicIpAddress": ""} for address in _addresses(nic, 4)],
            "subnet": []
            if prefix is None
            else [{"address": str(prefix.network_address), "prefix": str(prefix.prefixlen)}],
        },
        "ipv6": {"ipAddress": [{"privateIpAddress": address} for address in _addresses(nic, 6)]},
        "macAddress": platform_mac(nic.mac),
    }


def _addresses(nic: NetworkInterface, version: int) -> list[str]:
    family = [config for config in nic.ip_configurations if config.address.version == version]
    return [str(config.address) for config in sorted(family, key=lambda config: not config.primary)]


def _place(document: dict[str, Node], path: list[str], value: Node) -> None:
    for key in path[:-1]:
        inner = document.setdefault(key, {})
        if not isinstance(inner, dict):
            msg = f"the field {key} is a value and cannot have fields of its own"
            raise TypeError(msg)
        document = inner
    document[path[-1]] = value


def _compute_fields(machine: VirtualMachine) -> tuple[tuple[str, str, Node], ...]:
    """List the fields in the order of the document: the api-version that introduced each, its path, its value."""
    name, tags = machine.id.name, machine.tags
    tags_list: list[Node] = [{"name": key, "value": value} for key, value in tags]
    return (
        ("2021-11-01", "additionalCapabilities.hibernationEnabled", "false"),
        ("2018-10-01", "azEnvironment", "AzurePublicCloud"),
        ("2019-02-01", "customData", ""),
        ("2020-12-01", "evictionPolicy", ""),
        ("2021-03-01", "extendedLocation.name", ""),
        ("2021-03-01", "extendedLocation.type", ""),
        ("2021-11-15", "host.id", ""),
        ("2021-11-15", "hostGroup.id", ""),
        ("2020-06-01", "isHostCompatibilityLayerVm", "false"),
        ("2020-09-01", "licenseType", ""),
        ("2017-03-01", "location", machine.location),
        ("2017-03-01", "name", name),
        ("2017-03-01", "offer", ""),
        ("2020-07-15", "osProfile.adminUsername", ""),
        ("2020-07-15", "osProfile.computerName", name),
        ("2020-10-01", "osProfile.disablePasswordAuthentication", ""),
        ("2017-03-01", "osType", "Linux"),
        ("2023-11-15", "physicalZone", ""),
        ("2017-08-01", "placementGroupId", ""),
        ("2018-04-02", "plan.name", ""),
        ("2018-04-02", "plan.product", ""),
        ("2018-04-02", "plan.publisher", ""),
        ("2017-03-01", "platformFaultDomain", "0"),
        ("2021-10-01", "platformSubFaultDomain", ""),
        ("2017-03-01", "platformUpdateDomain", "0"),
        ("2020-12-01", "priority", ""),
        ("2018-10-01", "provider", "Microsoft.Compute"),
        ("2018-04-02", "publicKeys", []),
        ("2017-03-01", "publisher", ""),
        ("2017-08-01", "resourceGroupName", machine.id.resource_group),
        ("2019-03-11", "resourceId", str(machine.id)),
        ("2021-11-01", "securityProfile.encryptionAtHost", "false"),
        ("2020-06-01", "securityProfile.secureBootEnabled", "false"),
        ("2021-12-13", "securityProfile.securityType", ""),
        ("2020-06-01", "securityProfile.virtualTpmEnabled", "false"),
        ("2017-03-01", "sku", ""),
        ("2019-06-01", "storageProfile.dataDisks", []),
        ("2023-07-01", "storageProfile.imageReference.communityGalleryImageId", ""),
        ("2023-07-01", "storageProfile.imageReference.exactVersion", ""),
        ("2019-06-01", "storageProfile.imageReference.id", ""),
        ("2019-06-01", "storageProfile.imageReference.offer", ""),
        ("2019-06-01", "storageProfile.imageReference.publisher", ""),
        ("2023-07-01", "storageProfile.imageReference.sharedGalleryImageId", ""),
        ("2019-06-01", "storageProfile.imageReference.sku", ""),
        ("2019-06-01", "storageProfile.imageReference.version", ""),
        ("2019-06-01", "storageProfile.osDisk", _OS_DISK),
        ("2021-02-01", "storageProfile.resourceDisk.size", "0"),
        ("2017-08-01", "subscriptionId", machine.id.subscription),
        ("2017-08-01", "tags", ";".join(f"{key}:{value}" for key, value in tags)),
        ("2019-06-04", "tagsList", tags_list),
        ("2021-01-01", "userData", ""),
        ("2017-03-01", "version", ""),
        ("2021-03-01", "virtualMachineScaleSet.id", ""),
        ("2017-03-01", "vmId", machine.vm_id),
        ("2017-12-01", "vmScaleSetName", ""),
        ("2017-03-01", "vmSize", machine.size),
        ("2017-12-01", "zone", ""),
    )
