"""Functions on address ranges.

Source: Azure document "CIDR functions for ARM templates"; its examples say that host 0 of an IPv4 range is the first
address after the network's own, and that of an IPv6 range every address counts.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from podvnet.fabric.deployment.argument import Arguments, lowered, plain
from podvnet.fabric.deployment.json_value import Document

_Network = IPv4Network | IPv6Network


def _network(given: Arguments) -> _Network:
    text = given.text(0)
    try:
        if "/" not in text:
            raise ValueError(text)
        return ip_network(text, strict=False)
    except ValueError:
        raise given.error(f"'{text[:60]}' is no address range in CIDR notation") from None


def _usable(network: _Network) -> tuple[int, int]:
    """The first and the last address a host may have; the last is before the first when there is none."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first, last) if network.version == 6 else (first + 1, last - 1)


def _subnet(given: Arguments) -> str:
    network, length, index = _network(given), given.whole(1), given.whole(2)
    if not network.prefixlen <= length <= network.max_prefixlen:
        raise given.error(
            f"the new CIDR must be from {network.prefixlen} to {network.max_prefixlen} for {network}, not {length}"
        )
    count = 1 << (length - network.prefixlen)
    if not 0 <= index < count:
        raise given.error(f"the subnet index {index} is out of range: {network} has {count} subnets of /{length}")
    start = network.network_address + (index << (network.max_prefixlen - length))
    return f"{start}/{length}"


def _host(given: Arguments) -> str:
    network, index = _network(given), given.whole(1)
    first, last = _usable(network)
    if index < 0 or first + index > last:
        raise given.error(
            f"the host index {index} is out of range: {network} has {max(0, last - first + 1)} usable addresses"
        )
    return str(network.network_address + (first + index - int(network.network_address)))


def _parse(given: Arguments) -> Document:
    network = _network(given)
    first, last = _usable(network)
    if first > last:
        first = last = int(network.network_address)
    start = int(network.network_address)
    found: Document = {"network": str(network.network_address), "netmask": str(network.netmask)}
    if network.version == 4:
        found["broadcast"] = str(network.broadcast_address)
    return found | {
        "firstUsable": str(network.network_address + (first - start)),
        "lastUsable": str(network.network_address + (last - start)),
        "cidr": network.prefixlen,
    }


CIDR_FUNCTIONS = lowered(
    {"cidrHost": plain(2, 2, _host), "cidrSubnet": plain(3, 3, _subnet), "parseCidr": plain(1, 1, _parse)}
)
