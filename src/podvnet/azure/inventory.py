"""What a VM's NICs own: the addresses that the platform delivers to this VM, as every source tells them.

The primary address of a NIC is the VM's own; the secondary addresses are what pods can have (Azure document
"Azure Virtual Network CNI": a pool of secondary ip-configurations). A mistake here gives a pod the node's address, or
two pods one address, so a document is refused as a whole unless all of the following holds (:func:`faults`):

- there is a NIC, no two have one MAC, and exactly one is the primary;
- a NIC's prefixes are distinct, and distinct prefixes of the VM do not overlap (two NICs may share a subnet);
- every address lies in the prefix it is listed under, and no address occurs twice;
- of each IP version that a NIC has addresses of, exactly one address is primary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from typing import TypeVar

from podvnet.model.address import Address, Mac, Prefix, disjoint, parse_mac, parse_prefix
from podvnet.model.limits import BLOCK_LENGTH

_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class PlatformAddress:
    """An address that the platform delivers to a NIC. ``primary``: the VM's own, never a pod's."""

    address: Address
    primary: bool = False


@dataclass(frozen=True, slots=True)
class PlatformSubnet:
    """The prefix of a subnet a NIC is in, and the NIC's addresses of it."""

    prefix: Prefix
    addresses: tuple[PlatformAddress, ...]


@dataclass(frozen=True, slots=True)
class PlatformNic:
    """A NIC. ``primary``: the one that the platform's own services are reached through."""

    mac: Mac
    primary: bool
    subnets: tuple[PlatformSubnet, ...]

    def addresses(self) -> tuple[PlatformAddress, ...]:
        """All addresses of the NIC, in the order of the source."""
        return tuple(address for subnet in self.subnets for address in subnet.addresses)

    def primary_address(self, version: int = 4) -> Address | None:
        """The VM's own address of IP ``version`` (4 or 6) on this NIC, or None when it has none."""
        own = (entry.address for entry in self.addresses() if entry.primary and entry.address.version == version)
        return next(own, None)

    def secondary_addresses(self) -> tuple[Address, ...]:
        """The addresses that pods can have."""
        return tuple(entry.address for entry in self.addresses() if not entry.primary)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The NICs of a VM."""

    nics: tuple[PlatformNic, ...]

    def primary_nic(self) -> PlatformNic:
        """The primary NIC. Any inventory that :func:`faults` finds nothing wrong with has one."""
        return next(nic for nic in self.nics if nic.primary)

    def nic(self, mac: Mac) -> PlatformNic | None:
        """The NIC with a MAC, or None."""
        return next((nic for nic in self.nics if nic.mac == mac), None)


def read_nic(mac: str, primary: bool, subnets: Iterable[tuple[str, Iterable[tuple[str, bool]]]]) -> PlatformNic:
    """Build a NIC from the texts of a document.

    Args:
        mac: in any spelling.
        primary: whether it is the VM's primary NIC.
        subnets: for each, the prefix in CIDR notation and its (address, is primary) pairs.

    Raises:
        ValueError: a text is not what it should be; the message names it. A ``*``, which the original plug-in takes
            for "the first interface there is" (usually the loopback), is refused: it names no NIC.
    """
    if mac.strip() == "*":
        raise ValueError("the MAC '*' names no NIC: each interface must carry the MAC of its NIC")
    return PlatformNic(
        mac=parse_mac(mac),
        primary=primary,
        subnets=tuple(
            PlatformSubnet(
                read_prefix(prefix),
                tuple(PlatformAddress(address, own) for text, own in addresses for address in read_addresses(text)),
            )
            for prefix, addresses in subnets
        ),
    )


def read_address(text: str) -> Address:
    """Read an address; ``ValueError`` for anything else, a zone (``%eth0``) included."""
    if "%" in text:
        msg = f"the address {text!r} has a zone, which no address of a virtual network has"
        raise ValueError(msg)
    return ip_address(text)


def read_addresses(text: str) -> tuple[Address, ...]:
    """Read an address, or all sixteen of an IPv4 block (``10.1.1.16/28``); ``ValueError`` for anything else.

    A platform may name a block in either way: address by address, or as the ip-configuration has it.
    """
    if not text.endswith(f"/{BLOCK_LENGTH}"):
        return (read_address(text),)
    return tuple(IPv4Network(text))


def read_prefix(text: str) -> Prefix:
    """Read a prefix, its length written out; ``ValueError`` for anything else."""
    if "/" not in text or "%" in text:
        msg = f"{text!r} is not a prefix (address/length)"
        raise ValueError(msg)
    return parse_prefix(text)


def faults(inventory: Inventory) -> tuple[str, ...]:
    """Name everything that contradicts the rules of this module; nothing for a sound inventory."""
    nics = inventory.nics
    if not nics:
        return ("no interface is listed, but every VM has one",)
    found = [f"the MAC {mac} is listed twice" for mac in _repeated(nic.mac for nic in nics)]
    if (primaries := sum(nic.primary for nic in nics)) != 1:
        found.append(f"{primaries} of {len(nics)} interfaces are primary, but exactly one must be")
    for nic in nics:
        found += _nic_faults(nic)
    every = [entry.address for nic in nics for entry in nic.addresses()]
    found += [f"the address {address} is listed twice" for address in _repeated(every)]
    distinct = list(dict.fromkeys(subnet.prefix for nic in nics for subnet in nic.subnets))
    if pair := disjoint(distinct):
        found.append(f"the prefixes {pair[0]} and {pair[1]} overlap")
    return tuple(found)


def _nic_faults(nic: PlatformNic) -> list[str]:
    found = [
        f"the prefix {prefix} is listed twice for interface {nic.mac}"
        for prefix in _repeated(subnet.prefix for subnet in nic.subnets)
    ]
    found += [
        f"the address {entry.address} of interface {nic.mac} is not in its prefix {subnet.prefix}"
        for subnet in nic.subnets
        for entry in subnet.addresses
        if entry.address not in subnet.prefix
    ]
    for version in (4, 6):
        family = [entry for entry in nic.addresses() if entry.address.version == version]
        own = sum(entry.primary for entry in family)
        if family and own != 1:
            found.append(f"interface {nic.mac} has {own} primary IPv{version} addresses, but exactly one is the VM's")
    return found


def _repeated(values: Iterable[_T]) -> list[_T]:
    return [value for value, count in Counter(values).items() if count > 1]
