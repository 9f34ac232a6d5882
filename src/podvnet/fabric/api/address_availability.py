"""Whether a private address of a virtual network is free, and which others are.

Pure. Source: Azure REST reference "Virtual Networks - Check IP Address Availability".
"""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from itertools import islice

from podvnet.fabric.arm.subnets import prefixes_of
from podvnet.fabric.arm.world import Document, World
from podvnet.model.arm_error import ArmError
from podvnet.model.subnet import is_reserved, usable

_OTHERS = 5
"""Free addresses that are named when the one asked for is taken."""


def check_availability(network: Document, text: str, world: World) -> Document:
    """The answer about an address.

    Args:
        network: the virtual network's document.
        text: the address asked about.
        world: who holds what.

    Raises:
        ArmError: there is no address, it is none, or it is in no subnet of the network.
    """
    if not text:
        raise _malformed(
            "Private IP address is null or empty in the CheckIpAddressAvailability call. Specify ipAddress=<address> as"
            " a query parameter in the request URI.",
            network,
        )
    try:
        address = ip_address(text)
    except ValueError:
        raise _malformed(f"{text!r} is no IP address.", network) from None
    for subnet in network["properties"]["subnets"]:
        for prefix in prefixes_of(subnet):
            if address not in prefix:
                continue
            held = world.holders.get(subnet["id"].lower(), {})
            reserved = is_reserved(prefix, address)
            if not reserved and address not in held:
                return {"available": True, "isPlatformReserved": False}
            others = islice((each for each in usable(prefix) if each not in held), _OTHERS)
            return {
                "available": False,
                "availableIPAddresses": [str(each) for each in others],
                "isPlatformReserved": reserved,
            }
    raise ArmError(
        "PrivateIPAddressNotInAnySubnet",
        f"Private static IP address {address} does not belong to the range of any subnet in virtual network"
        f" {network['id']}.",
        status=HTTPStatus.BAD_REQUEST,
        target=network["id"],
    )


def _malformed(message: str, network: Document) -> ArmError:
    return ArmError("InvalidRequestFormat", message, status=HTTPStatus.BAD_REQUEST, target=network["id"])
