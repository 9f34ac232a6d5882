"""The interface file: the wireserver's document as JSON on disk, for nodes whose addresses somebody else arranges.

The environment names ``mas`` and ``fileIpam`` of the original plug-in mean this file::

    {"Interfaces":[{"MacAddress":"000D3A0A0B0C","IsPrimary":true,
                    "IPSubnets":[{"Prefix":"10.20.0.0/16",
                                  "IPAddresses":[{"Address":"10.20.0.4","IsPrimary":true},
                                                 {"Address":"10.20.0.5","IsPrimary":false}]}]}]}

Source of the shape: azure-container-networking, ipam/fileIpam.go.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError, bad_document, check_size
from podvnet.azure.inventory import Inventory, faults, read_nic

INTERFACE_FILE = Path("/etc/kubernetes/interfaces.json")


class _IpAddress(msgspec.Struct, frozen=True, rename="pascal"):
    address: str
    is_primary: bool = False


class _IpSubnet(msgspec.Struct, frozen=True):
    prefix: str = msgspec.field(name="Prefix")
    addresses: tuple[_IpAddress, ...] = msgspec.field(name="IPAddresses", default=())


class _Interface(msgspec.Struct, frozen=True):
    mac: str = msgspec.field(name="MacAddress")
    is_primary: bool = msgspec.field(name="IsPrimary", default=False)
    subnets: tuple[_IpSubnet, ...] = msgspec.field(name="IPSubnets", default=())


class _Interfaces(msgspec.Struct, frozen=True):
    interfaces: tuple[_Interface, ...] = msgspec.field(name="Interfaces")


def read_interfaces(path: Path = INTERFACE_FILE) -> Inventory:
    """Read the interface file.

    Raises:
        SourceError: the file is not there or cannot be read, or does not hold this document.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_DOCUMENT + 1)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror or error}",
            "Write the interface file and let the user of this process read it, or choose another source of addresses",
            retryable=False,
        ) from error
    return parse_interfaces(data, str(path))


def parse_interfaces(json: bytes, source: str = "the interface file") -> Inventory:
    """Read the interface document.

    Keys have exactly the case shown in this module; keys that are not known are passed over; ``IsPrimary`` is false
    when absent. MACs may have any spelling but ``*``.

    Args:
        json: UTF-8, at most :data:`~podvnet.azure.error.LARGEST_DOCUMENT` bytes.
        source: what to call it in an error.

    Raises:
        SourceError: it is not this document, or it contradicts itself (see :mod:`podvnet.azure.inventory`).
    """
    check_size(json, source)
    try:
        document = msgspec.json.decode(json, type=_Interfaces)
        inventory = Inventory(
            tuple(
                read_nic(
                    interface.mac,
                    interface.is_primary,
                    (
                        (subnet.prefix, [(entry.address, entry.is_primary) for entry in subnet.addresses])
                        for subnet in interface.subnets
                    ),
                )
                for interface in document.interfaces
            )
        )
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise bad_document(source, str(error)) from error
    if found := faults(inventory):
        raise bad_document(source, "; ".join(found))
    return inventory
