"""The resource manager's document of a NIC: what of it is for pods, and the document with more or less of that.

An ip-configuration that an agent made is known by its name (:data:`OWN`); no other is ever removed. A block is an
ip-configuration with ``privateIPAddressPrefixLength``: its address stands with or without the length.
Source: Azure REST reference "Network Interfaces - Create Or Update" (a PUT replaces the whole list).
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_network
from itertools import count, islice
from typing import Any

from podvnet.azure.error import bad_document
from podvnet.azure.inventory import read_address
from podvnet.model.address import Address, Mac, parse_mac
from podvnet.model.limits import BLOCK_LENGTH
from podvnet.model.nic_pool import NicPool, PoolConfiguration

Document = dict[str, Any]

OWN = "podvnet-pool-"
"""How the names of ip-configurations begin that an agent made."""


def read_pool(document: Document, source: str) -> NicPool:
    """Read what of a NIC is for pods: its secondary ip-configurations of IPv4.

    Raises:
        SourceError: it is no document of a NIC.
    """
    found: list[PoolConfiguration] = []
    try:
        every = document["properties"]["ipConfigurations"]
        for each in every:
            properties = each["properties"]
            if properties.get("primary") or properties.get("privateIPAddressVersion", "IPv4") != "IPv4":
                continue
            found.append(PoolConfiguration(each["name"], read_addresses(properties), each["name"].startswith(OWN)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise bad_document(source, f"{type(error).__name__}: {error}") from error
    return NicPool(tuple(found), len(every) - len(found))


def read_mac(document: Document) -> Mac | None:
    """The MAC of a NIC, or None while it is on no running VM."""
    text = document.get("properties", {}).get("macAddress")
    return parse_mac(text) if text else None


def changed(document: Document, add: int, remove: Collection[str], *, block: bool) -> Document:
    """The document to write.

    Args:
        document: as the resource manager gave it.
        add: how many ip-configurations to add, in the subnet and the application security groups of the primary one.
        remove: the names of those to leave out.
        block: whether those added are blocks.
    """
    properties = document["properties"]
    every = properties["ipConfigurations"]
    staying = [each for each in every if each["name"] not in remove]
    taken = {each["name"] for each in every}
    primary = next((each for each in every if each["properties"].get("primary")), every[0])["properties"]
    wanted: Document = {
        "primary": False,
        "privateIPAllocationMethod": "Dynamic",
        "privateIPAddressVersion": "IPv4",
        "subnet": {"id": primary["subnet"]["id"]},
    }
    if block:
        wanted["privateIPAddressPrefixLength"] = BLOCK_LENGTH
    elif primary.get("applicationSecurityGroups"):
        wanted["applicationSecurityGroups"] = primary["applicationSecurityGroups"]
    names = (name for number in count(1) if (name := f"{OWN}{number}") not in taken)
    fresh = [{"name": name, "properties": dict(wanted)} for name in islice(names, add)]
    return document | {"properties": properties | {"ipConfigurations": staying + fresh}}


def read_addresses(properties: Document) -> tuple[Address, ...]:
    """The addresses of an ip-configuration: one, or the sixteen of a block."""
    text = properties["privateIPAddress"]
    length = properties.get("privateIPAddressPrefixLength")
    if length and "/" not in text:
        text = f"{text}/{length}"
    return tuple(ip_network(text)) if "/" in text else (read_address(text),)
