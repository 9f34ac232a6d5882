"""Podvnet.Fabric/internetHosts: hosts of the simulated internet. Azure has no such type; the real internet does."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_address, ip_network

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.public_ip_prefixes import given_out, public_hosts
from podvnet.fabric.arm.resource_type import head
from podvnet.fabric.arm.service_addresses import is_given_out
from podvnet.fabric.arm.world import INTERNET_HOSTS, OUTBOUND_POOL, Document, World
from podvnet.model.address import MANAGEMENT_ADDRESS, MANAGEMENT_NAME, WIRESERVER_ADDRESS, Address
from podvnet.model.intent import InternetHost
from podvnet.model.resource_id import ResourceId, parse

_DOCUMENTATION = tuple(map(ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
"""Blocks without real hosts, which hosts here may have. Source: RFC 5737, RFC 3849."""
_UNICAST6 = IPv6Network("2000::/3")
"""What of IPv6 the internet routes. Source: RFC 4291, section 2.4, and the registry of global unicast addresses."""


class InternetHosts:
    """The type."""

    full_type = INTERNET_HOSTS

    def settle(self, resource: ResourceId, body: Fields, world: World) -> Document:
        """Check a host: its address must be one that the internet can have, and its own."""
        document = head(resource, body)
        properties = body.fields("properties")
        text = properties.required("address")
        properties.allow("provisioningState")
        dns = properties.flag("dns", default=False)
        properties.refuse_unread()
        body.refuse_unread()
        try:
            address = ip_address(text)
        except ValueError:
            raise properties.error("InvalidRequestFormat", f"{text!r} is no address", "address") from None
        if dns and address.version == 6:
            what = "this fabric has resolvers of IPv4 addresses only"
            raise properties.error("UnsupportedProperty", what, "dns")
        check_public(properties, "address", address, resource, world)
        document["properties"] = {"provisioningState": "Succeeded", "address": str(address)}
        if dns:
            document["properties"]["dns"] = True
        document["_fabric"] = {}
        return document

    def check_removal(self, resource: ResourceId, world: World) -> None:
        """A host may always go."""


def check_public(properties: Fields, key: str, address: Address, resource: ResourceId, world: World) -> None:
    """Refuse an address of the internet, at ``key``, that the internet cannot have or that another has.

    Raises:
        ArmError: whose it is.
    """
    if not _is_public(address):
        raise properties.error("InvalidRequestFormat", f"{address} is no public address", key)
    if address in OUTBOUND_POOL:
        raise properties.error("InvalidRequestFormat", f"{OUTBOUND_POOL} is the fabric's own", key)
    if address == MANAGEMENT_ADDRESS:
        raise properties.error("InvalidRequestFormat", f"{address} is {MANAGEMENT_NAME}'s", key)
    for other, taken in public_hosts(world):
        if taken == address and other["id"].lower() != resource.key:
            raise properties.error("InvalidRequestFormat", f"{address} is already {other['name']}'s", key)
    if any(address in run for run in given_out(world)):
        raise properties.error("InvalidRequestFormat", f"{address} is a public address of the fabric's", key)
    if is_given_out(address, world):
        raise properties.error("InvalidRequestFormat", f"{address} is the address of an Azure service", key)


def _is_public(address: Address) -> bool:
    """Whether the internet can have an address."""
    if address.version == 6 and (address not in _UNICAST6 or address.scope_id):
        return False
    documentation = any(address in block for block in _DOCUMENTATION)
    return (address.is_global or documentation) and not address.is_multicast and address != WIRESERVER_ADDRESS


def intent_of(document: Document) -> InternetHost:
    """The host as the compilers see it."""
    properties = document["properties"]
    return InternetHost(parse(document["id"]), ip_address(properties["address"]), properties.get("dns", False))
