"""All resources of the fabric as one consistent whole, with the indexes that checks need.

A *document* is a resource as ARM shows it, plus a member ``_fabric`` with what the fabric alone knows (numbers, MACs,
chosen public addresses); :func:`shown` leaves that out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from podvnet.model.address import Address
from podvnet.model.resource_id import ResourceId

Document = dict[str, Any]

VIRTUAL_NETWORKS = "Microsoft.Network/virtualNetworks"
SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
PEERINGS = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
NETWORK_INTERFACES = "Microsoft.Network/networkInterfaces"
SECURITY_GROUPS = "Microsoft.Network/networkSecurityGroups"
APPLICATION_GROUPS = "Microsoft.Network/applicationSecurityGroups"
ROUTE_TABLES = "Microsoft.Network/routeTables"
PUBLIC_PREFIXES = "Microsoft.Network/publicIPPrefixes"
PUBLIC_ADDRESSES = "Microsoft.Network/publicIPAddresses"
NAT_GATEWAYS = "Microsoft.Network/natGateways"
NETWORK_GATEWAYS = "Microsoft.Network/virtualNetworkGateways"
LOCAL_GATEWAYS = "Microsoft.Network/localNetworkGateways"
CONNECTIONS = "Microsoft.Network/connections"
CIRCUITS = "Microsoft.Network/expressRouteCircuits"
LOAD_BALANCERS = "Microsoft.Network/loadBalancers"
PRIVATE_ENDPOINTS = "Microsoft.Network/privateEndpoints"
ENDPOINT_POLICIES = "Microsoft.Network/serviceEndpointPolicies"
PRIVATE_ZONES = "Microsoft.Network/privateDnsZones"
NETWORK_WATCHERS = "Microsoft.Network/networkWatchers"
VIRTUAL_MACHINES = "Microsoft.Compute/virtualMachines"
STORAGE_ACCOUNTS = "Microsoft.Storage/storageAccounts"
SQL_SERVERS = "Microsoft.Sql/servers"
USER_ASSIGNED_IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
INTERNET_HOSTS = "Podvnet.Fabric/internetHosts"
SERVICE_TAGS = "Podvnet.Fabric/serviceTags"
ON_PREMISES_SITES = "Podvnet.Fabric/onPremisesSites"

OUTBOUND_POOL = IPv4Network("203.0.113.0/24")
"""Public addresses of default outbound access. Source: RFC 5737, a block that no real host has."""
PUBLIC_POOL = IPv4Network("192.0.2.0/24")
"""Public addresses and prefixes of the fabric. Source: RFC 5737."""
PUBLIC_POOL6 = IPv6Network("2001:db8:192:2::/116")
"""Those of IPv6, more than a region's limit of public addresses. Source: RFC 3849, a block that no real host has."""


@dataclass(slots=True)
class World:
    """Documents by id key, who holds which private address, and who refers to what.

    Attributes:
        public_pool, public_pool6: where public addresses and prefixes are taken from.
    """

    documents: dict[str, Document] = field(default_factory=dict)
    holders: dict[str, dict[Address, str]] = field(default_factory=dict)
    """By subnet id key: private address to the id of the ip-configuration or frontend that holds it."""
    referrers: dict[str, dict[str, str]] = field(default_factory=dict)
    """By id key of a resource or sub-resource: whatever names it by ``{"id": …}``, its key to its id."""
    public_pool: IPv4Network = PUBLIC_POOL
    public_pool6: IPv6Network = PUBLIC_POOL6
    lowest: dict[str, dict[str, int]] = field(default_factory=dict, compare=False)
    """By subnet id key and prefix: an address below which none is free. A hint that saves a search."""

    def copy(self) -> World:
        """A copy whose changes do not reach this one. Documents themselves are never changed in place."""
        return World(
            dict(self.documents),
            {subnet: dict(held) for subnet, held in self.holders.items()},
            {target: dict(found) for target, found in self.referrers.items()},
            self.public_pool,
            self.public_pool6,
            {subnet: dict(hints) for subnet, hints in self.lowest.items()},
        )

    def get(self, resource: ResourceId) -> Document | None:
        """The document of a top-level resource."""
        return self.documents.get(resource.key)

    def find(self, resource: ResourceId) -> Document | None:
        """The document of a top-level resource, or the part of one that is a sub-resource."""
        found = self.documents.get(resource.top.key)
        for kind, name in resource.path[1:]:
            if found is None:
                return None
            members = found["properties"].items()
            parts: list[Document] = next((value for key, value in members if key.lower() == kind.lower()), [])
            found = next((part for part in parts if part["name"].lower() == name.lower()), None)
        return found

    def of_type(self, full_type: str) -> Iterator[Document]:
        """All documents of a type."""
        return (document for document in self.documents.values() if document["type"].lower() == full_type.lower())

    def users(self, key: str, *kinds: str) -> list[str]:
        """The ids of whatever refers to an id key, of the kinds wanted (``ipConfigurations``), in order of ids."""
        wanted = {kind.lower() for kind in kinds}
        found = [
            user for user in self.referrers.get(key, {}).items() if not wanted or user[0].rsplit("/", 2)[1] in wanted
        ]
        return [identity for _, identity in sorted(found)]

    def put(self, document: Document) -> None:
        """Add or replace a settled document."""
        key = document["id"].lower()
        freed = self._release(key)
        self.documents[key] = document
        for subnet, address, holder in held_addresses(document):
            self.holders.setdefault(subnet, {})[address] = holder
            freed.discard((subnet, address))
        self._forget_hints(freed)
        for user, target in _references(document):
            self.referrers.setdefault(target.lower(), {})[user.lower()] = user

    def remove(self, key: str) -> None:
        """Take a document out."""
        self._forget_hints(self._release(key))
        del self.documents[key]

    def _release(self, key: str) -> set[tuple[str, Address]]:
        freed: set[tuple[str, Address]] = set()
        document = self.documents.get(key)
        if document is None:
            return freed
        for subnet, address, _ in held_addresses(document):
            freed.add((subnet, address))
            del self.holders[subnet][address]
            if not self.holders[subnet]:
                del self.holders[subnet]
        for user, target in _references(document):
            found = self.referrers.get(target.lower(), {})
            found.pop(user.lower(), None)
            if not found:
                self.referrers.pop(target.lower(), None)
        return freed

    def _forget_hints(self, freed: set[tuple[str, Address]]) -> None:
        for subnet, address in freed:
            hints = self.lowest.get(subnet, {})
            for prefix, lowest in hints.items():
                if (":" in prefix) == (address.version == 6):
                    hints[prefix] = min(lowest, int(address))

    def free_number(self, full_type: str) -> int:
        """The smallest positive number no resource of the type has."""
        taken = {document["_fabric"]["number"] for document in self.of_type(full_type)}
        return next(number for number in range(1, len(taken) + 2) if number not in taken)

    def machine_of(self, nic: ResourceId, but: ResourceId | None = None) -> Document | None:
        """The VM a NIC is on; ``but`` one that does not count."""
        for machine in self.of_type(VIRTUAL_MACHINES):
            if (but is None or machine["id"].lower() != but.key) and any(
                each["id"].lower() == nic.key for each in machine["properties"]["networkProfile"]["networkInterfaces"]
            ):
                return machine
        return None


def shown(document: Document) -> Document:
    """The document as clients see it, less what others' references add to it."""
    return {key: copy.deepcopy(value) for key, value in document.items() if key != "_fabric"}


def addresses_of(configuration: Document) -> tuple[Address, ...]:
    """The private addresses of an ip-configuration: one, or the sixteen of a block."""
    text = configuration["properties"]["privateIPAddress"]
    return tuple(ip_network(text)) if "/" in text else (_address(text),)


@lru_cache(maxsize=1 << 17)
def _address(text: str) -> Address:
    """Each address is read several times a write; kept, it is read once, and is one object wherever it is held."""
    return ip_address(text)


def held_addresses(document: Document) -> Iterator[tuple[str, Address, str]]:
    """The private addresses that a document holds: subnet id key, address, id of the holder."""
    properties = document["properties"]
    if document["type"] == PRIVATE_ENDPOINTS:
        own = document["_fabric"]
        yield properties["subnet"]["id"].lower(), _address(own["address"]), own["holder"]
        return
    if document["type"] == NETWORK_GATEWAYS:
        # It does not show them but as addresses of BGP.
        for each in properties["ipConfigurations"]:
            yield (
                each["properties"]["subnet"]["id"].lower(),
                _address(document["_fabric"]["addresses"][each["name"]]),
                each["id"],
            )
        return
    if document["type"] == NETWORK_INTERFACES:
        # That of a private endpoint shows what the endpoint holds.
        holders = [] if "privateEndpoint" in properties else properties["ipConfigurations"]
    elif document["type"] == LOAD_BALANCERS:
        holders = [each for each in properties["frontendIPConfigurations"] if "subnet" in each["properties"]]
    else:
        return
    for holder in holders:
        subnet = holder["properties"]["subnet"]["id"].lower()
        for address in addresses_of(holder):
            yield subnet, address, holder["id"]


_UNFOLLOWED = {
    "virtualMachine", "osProfile", "storageProfile", "diagnosticsProfile", "securityProfile", "networkAcls", "tunnels",
}  # fmt: skip
"""Members that refer to nothing: one states what another resource says already, two name subnets and public addresses
that may go while they are named, the others are kept as they come."""


def _references(document: Document) -> Iterator[tuple[str, str]]:
    """Who refers to what in a document: the id of the nearest resource or sub-resource around, and the id named."""

    def within(value: Any, owner: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, list):
            for each in value:
                yield from within(each, owner)
        elif isinstance(value, dict):
            if "id" in value and "name" not in value:
                yield owner, value["id"]
                return
            owner = value.get("id", owner)
            for key, each in value.items():
                if type(each) in {dict, list} and key not in _UNFOLLOWED:
                    yield from within(each, owner)

    return within(document["properties"], document["id"])
