"""The BGP settings that gateways, local network gateways, circuits and sites have in common.

Source: Azure document "VPN Gateway FAQ" (BGP): autonomous systems that cannot be asked for.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from podvnet.fabric.arm.fields import Fields
from podvnet.model.address import Address
from podvnet.model.gateway import AZURE_ASN

_OF_AZURE = {8074, 8075, 12076, 65515, 65517, 65518, 65519, 65520}
_OF_IANA = (range(23456, 23457), range(64496, 64512), range(65535, 65552), range(429496729, 429496730))
_LARGEST = (1 << 32) - 1
_LINK_LOCAL = IPv4Network("169.254.0.0/16")


def read_asn(fields: Fields, key: str, default: int, *, azure: bool = False) -> int:
    """An autonomous system.

    Args:
        fields: where it stands, at ``key``.
        key: the member.
        default: what it is when nothing is said.
        azure: it is that of a gateway, which may have Azure's own default.

    Raises:
        ArmError: it is out of range, or reserved.
    """
    asn = fields.number(key, default, 1, _LARGEST)
    reserved = asn in _OF_AZURE or any(asn in each for each in _OF_IANA)
    if reserved and not (azure and asn == AZURE_ASN):
        raise fields.error("InvalidRequestFormat", f"{asn} is an ASN that Azure or IANA have reserved", key)
    return asn


def read_speaker(fields: Fields, key: str) -> Address | None:
    """The address at which a device on premises speaks BGP; None when nothing is said.

    Raises:
        ArmError: it is none that can be carried out.
    """
    text = fields.text(key)
    if not text:
        return None
    address = read_address(fields, key, text)
    if address in _LINK_LOCAL:
        what = f"this fabric has no custom addresses of BGP (APIPA), so it cannot speak with {address}"
        raise fields.error("UnsupportedProperty", what, key)
    return address


def read_address(fields: Fields, key: str, text: str) -> IPv4Address:
    """An IPv4 address of a host, whose text stands at ``key``.

    Raises:
        ArmError: it is none.
    """
    try:
        address = IPv4Address(text)
    except ValueError:
        raise fields.error("InvalidRequestFormat", f"{text!r} is no IPv4 address", key) from None
    if address.is_multicast or address.is_unspecified or address.is_loopback or int(address) == _LARGEST:
        raise fields.error("InvalidRequestFormat", f"{address} is no host's address", key)
    return address


def refuse_weight(fields: Fields) -> None:
    """Refuse a weight of routes that are learned: all have the same here.

    Raises:
        ArmError: it is not 0.
    """
    if fields.number("peerWeight", 0, 0, 100):
        raise fields.error("UnsupportedProperty", "this fabric does not weigh BGP peers", "peerWeight")
