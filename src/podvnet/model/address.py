"""Addresses as Azure writes them: prefixes, and the three spellings of a MAC.

Sources: Azure document "Virtual Network FAQ"; the MAC spellings are those of ARM responses
(``00-0D-3A-1B-C7-21``), of IMDS and of the wireserver (``000D3A1BC721``), and of Linux.
"""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_network
from itertools import pairwise
from typing import NewType

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

Mac = NewType("Mac", str)
"""A MAC in the form of the kernel: six lower-case octets with colons."""

PLATFORM_MAC = Mac("12:34:56:78:9a:bc")
"""What every ARP request on an Azure NIC is answered with: the host routes all traffic."""

GATEWAY6 = IPv6Address("fe80::1234:5678:9abc")
"""The gateway of every IPv6 subnet: link-local, and made of :data:`PLATFORM_MAC`."""

IMDS_ADDRESS = IPv4Address("169.254.169.254")
WIRESERVER_ADDRESS = IPv4Address("168.63.129.16")

MANAGEMENT_ADDRESS = IPv4Address("198.51.100.254")
MANAGEMENT_NAME = "management.azure.com"
"""Where the internet of the fabric has the resource manager. Source of the address: RFC 5737, a block without hosts."""

_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-]?)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}")


def parse_mac(text: str) -> Mac:
    """Read a MAC in any of its spellings; raise ``ValueError`` for anything else."""
    if not _MAC.fullmatch(text):
        msg = f"{text!r} is not a MAC address"
        raise ValueError(msg)
    digits = re.sub("[^0-9A-Fa-f]", "", text).lower()
    return Mac(":".join(digits[i : i + 2] for i in range(0, 12, 2)))


def mac_bytes(mac: Mac) -> bytes:
    """Give the six octets."""
    return bytes.fromhex(mac.replace(":", ""))


def arm_mac(mac: Mac) -> str:
    """Spell a MAC as ARM does: ``00-0D-3A-1B-C7-21``."""
    return mac.replace(":", "-").upper()


def platform_mac(mac: Mac) -> str:
    """Spell a MAC as IMDS and the wireserver do: ``000D3A1BC721``."""
    return mac.replace(":", "").upper()


def derived_mac(oui: bytes, *parts: str) -> Mac:
    """Derive a stable unicast MAC from names: the first octets given, the rest a hash of ``parts``."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return Mac((oui + digest)[:6].hex(":"))


def link_local(mac: Mac) -> IPv6Address:
    """The link-local address that Linux gives an interface by its MAC. Source: RFC 4291, appendix A."""
    octets = mac_bytes(mac)
    identifier = bytes([octets[0] ^ 0x02]) + octets[1:3] + b"\xff\xfe" + octets[3:6]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


def parse_prefix(text: str) -> Prefix:
    """Read a CIDR strictly: host bits set are a ``ValueError`` that names the prefix meant."""
    loose = ip_network(text, strict=False)
    try:
        return ip_network(text, strict=True)
    except ValueError:
        msg = f"{text} has host bits set; {loose} is meant?"
        raise ValueError(msg) from None


def disjoint(prefixes: list[Prefix]) -> tuple[Prefix, Prefix] | None:
    """Return a pair of prefixes that overlap, or None when all are disjoint. Linear after a sort."""
    for version in (4, 6):
        family = sorted(
            (p for p in prefixes if p.version == version), key=lambda p: (int(p.network_address), p.prefixlen)
        )
        for earlier, later in pairwise(family):
            if int(later.network_address) <= int(earlier.broadcast_address):
                return earlier, later
    return None
