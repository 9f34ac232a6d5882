"""The Instance Metadata Service: which VM this is, and what its NICs own.

``GET /metadata/instance/network`` and ``/metadata/instance/compute`` with the header ``Metadata: true`` and an
``api-version``. Every JSON primitive is a string; what is absent is an empty string::

    {"interface":[{"ipv4":{"ipAddress":[{"privateIpAddress":"10.1.0.4","publicIpAddress":""}],
                           "subnet":[{"address":"10.1.0.0","prefix":"24"}]},
                   "ipv6":{"ipAddress":[]},"macAddress":"000D3AF806EC"}]}

The document marks nothing as primary. The first address of each IP version of a NIC is the primary one. The order of
NICs is not promised, so on a VM with several the caller should say which is the primary: the NIC that the metadata
service is reached through. IPv6 subnets are not told either, but each is a /64. The service allows a VM five requests
a second, and whether an error is worth another try is in the error (``retryable``, ``retry_after``, ``retry_limit``).

Source: Azure document "Azure Instance Metadata Service".
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Network

import msgspec

from podvnet.azure.error import bad_document, check_size
from podvnet.azure.http_source import HttpSource
from podvnet.azure.inventory import (
    Inventory,
    PlatformAddress,
    PlatformNic,
    PlatformSubnet,
    faults,
    read_addresses,
    read_prefix,
)
from podvnet.model.address import IMDS_ADDRESS, Address, Mac, Prefix, parse_mac
from podvnet.model.limits import IPV6_SUBNET
from podvnet.model.resource_id import ResourceId, parse

BASE_URL = f"http://{IMDS_ADDRESS}"
API_VERSION = "2021-02-01"
NETWORK = f"/metadata/instance/network?api-version={API_VERSION}"
COMPUTE = f"/metadata/instance/compute?api-version={API_VERSION}"

_REMEDY = (
    "Ask from the primary address of the VM's primary NIC (a pod's requests must be source-NATed to it), and check the"
    f" route to {IMDS_ADDRESS}/32 and the VM's firewall rules"
)


@dataclass(frozen=True, slots=True)
class Instance:
    """The VM that asks. Texts are empty where the platform has nothing to say.

    Attributes:
        vm_id: the VM's unique id, a GUID.
        environment: the Azure cloud, e.g. ``AzurePublicCloud``.
        scale_set: the name of the scale set the VM belongs to, or empty.
        tags: pairs of name and value.
    """

    name: str
    resource_id: ResourceId
    vm_id: str
    location: str
    size: str
    zone: str = ""
    environment: str = ""
    scale_set: str = ""
    tags: tuple[tuple[str, str], ...] = ()


class _IpAddress(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="privateIpAddress")


class _Subnet(msgspec.Struct, frozen=True):
    address: str
    prefix: str


class _Ipv4(msgspec.Struct, frozen=True):
    addresses: tuple[_IpAddress, ...] = msgspec.field(name="ipAddress", default=())
    subnets: tuple[_Subnet, ...] = msgspec.field(name="subnet", default=())


class _Ipv6(msgspec.Struct, frozen=True):
    addresses: tuple[_IpAddress, ...] = msgspec.field(name="ipAddress", default=())


class _Interface(msgspec.Struct, frozen=True):
    mac: str = msgspec.field(name="macAddress")
    ipv4: _Ipv4 = _Ipv4()
    ipv6: _Ipv6 = _Ipv6()


class _Network(msgspec.Struct, frozen=True):
    interfaces: tuple[_Interface, ...] = msgspec.field(name="interface")


class _Tag(msgspec.Struct, frozen=True):
    name: str
    value: str


class _Compute(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    resource_id: str
    vm_id: str
    location: str
    vm_size: str
    zone: str = ""
    az_environment: str = ""
    vm_scale_set_name: str = ""
    tags_list: tuple[_Tag, ...] = ()


def fetch_network(base_url: str = BASE_URL, timeout: float = 5.0, *, primary: Mac | None = None) -> Inventory:
    """Ask the metadata service what this VM's NICs own.

    Args:
        base_url: where the service is.
        timeout: seconds.
        primary: the MAC of the primary NIC; None takes the first NIC listed for it.

    Raises:
        SourceError: it is out of reach, refuses, or sends something else.
    """
    return parse_network(_source(base_url, timeout).get(NETWORK), base_url.rstrip("/") + NETWORK, primary=primary)


def fetch_instance(base_url: str = BASE_URL, timeout: float = 5.0) -> Instance:
    """Ask the metadata service which VM this is; arguments and errors as :func:`fetch_network`."""
    return parse_instance(_source(base_url, timeout).get(COMPUTE), base_url.rstrip("/") + COMPUTE)


def parse_network(json: bytes, source: str = "the network metadata", *, primary: Mac | None = None) -> Inventory:
    """Read the network document; see :func:`fetch_network` for ``primary``.

    Raises:
        SourceError: it is not this document, it contradicts itself (see :mod:`podvnet.azure.inventory`), or no NIC
            has the MAC ``primary``.
    """
    check_size(json, source)
    try:
        document = msgspec.json.decode(json, type=_Network)
        nics = tuple(_nic(interface, index, primary) for index, interface in enumerate(document.interfaces))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise bad_document(source, str(error)) from error
    inventory = Inventory(nics)
    if found := faults(inventory):
        raise bad_document(source, "; ".join(found))
    return inventory


def parse_instance(json: bytes, source: str = "the compute metadata") -> Instance:
    """Read the compute document.

    Raises:
        SourceError: it is not this document, or its resource id is none.
    """
    check_size(json, source)
    try:
        compute = msgspec.json.decode(json, type=_Compute)
        resource_id = parse(compute.resource_id)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise bad_document(source, str(error)) from error
    return Instance(
        name=compute.name,
        resource_id=resource_id,
        vm_id=compute.vm_id,
        location=compute.location,
        size=compute.vm_size,
        zone=compute.zone,
        environment=compute.az_environment,
        scale_set=compute.vm_scale_set_name,
        tags=tuple((tag.name, tag.value) for tag in compute.tags_list),
    )


def _source(base_url: str, timeout: float) -> HttpSource:
    return HttpSource(base_url, headers=(("Metadata", "true"),), timeout=timeout, remedy=_REMEDY)


def _nic(interface: _Interface, index: int, primary: Mac | None) -> PlatformNic:
    mac = parse_mac(interface.mac)
    ipv4 = _addresses(interface.ipv4.addresses)
    ipv6 = _addresses(interface.ipv6.addresses)
    prefixes: list[Prefix] = [read_prefix(f"{subnet.address}/{subnet.prefix}") for subnet in interface.ipv4.subnets]
    stray = [entry.address for entry in ipv4 if not any(entry.address in prefix for prefix in prefixes)]
    if stray:
        msg = f"the address {stray[0]} of interface {mac} is in none of its subnets"
        raise ValueError(msg)
    prefixes += dict.fromkeys(_subnet_of(entry.address) for entry in ipv6)
    return PlatformNic(
        mac=mac,
        primary=mac == primary if primary else index == 0,
        subnets=tuple(
            PlatformSubnet(prefix, tuple(entry for entry in (*ipv4, *ipv6) if entry.address in prefix))
            for prefix in prefixes
        ),
    )


def _addresses(entries: tuple[_IpAddress, ...]) -> tuple[PlatformAddress, ...]:
    """Read one family of a NIC. An empty text stands for an address that is not there."""
    present = [address for entry in entries if entry.address for address in read_addresses(entry.address)]
    return tuple(PlatformAddress(address, primary=index == 0) for index, address in enumerate(present))


def _subnet_of(address: Address) -> Prefix:
    if address.version != 6:
        msg = f"{address} is listed as an IPv6 address"
        raise ValueError(msg)
    return IPv6Network((int(address), IPV6_SUBNET), strict=False)
