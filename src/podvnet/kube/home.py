"""Where a cluster's load balancers are, and what the resource manager has there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from podvnet.kube.part_names import PartNames
from podvnet.model.address import Address, Prefix
from podvnet.model.resource_id import ResourceId, Scope, make, parse

Document = dict[str, Any]
BALANCERS = "Microsoft.Network/loadBalancers"
PUBLIC_ADDRESSES = "Microsoft.Network/publicIPAddresses"


@dataclass(frozen=True, slots=True)
class Home:
    """Where things are made.

    Attributes:
        subnet: that internal frontends get their addresses from unless a Service says otherwise; its virtual network is
            that of the pods.
        balancers: the names of the load balancers, the public one's first.
    """

    names: PartNames
    scope: Scope
    location: str
    subnet: ResourceId
    balancers: tuple[str, str]

    def balancer(self, *, internal: bool) -> ResourceId:
        """The id of a load balancer."""
        return make(self.scope, BALANCERS, self.balancers[internal])

    def public(self, name: str, group: str = "") -> ResourceId:
        """The id of a public address; ``group`` is another resource group."""
        return make(Scope(self.scope.subscription, group or self.scope.resource_group), PUBLIC_ADDRESSES, name)


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet; ``group`` is its security group."""

    id: ResourceId
    prefixes: tuple[Prefix, ...]
    group: ResourceId | None

    def holds(self, address: Address) -> bool:
        """Tell whether an address is of the subnet."""
        return any(address in prefix for prefix in self.prefixes)


@dataclass(frozen=True)
class Estate:
    """What the resource manager has, as it was last read. Documents are not changed.

    Attributes:
        network: the virtual network of the pods.
        balancers: whether internal: the load balancer; one that is not there is left out.
        groups: by id key, the security groups of the network's subnets.
        publics: by id key, the public addresses of the resource groups in question.
        unreadable: resource groups in question, in lower case, whose public addresses may not be read.
    """

    network: Document
    balancers: Mapping[bool, Document] = field(default_factory=dict)
    groups: Mapping[str, Document] = field(default_factory=dict)
    publics: Mapping[str, Document] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()

    @cached_property
    def subnets(self) -> tuple[Subnet, ...]:
        """The subnets of the network."""
        return tuple(_subnets(self.network))

    @cached_property
    def space(self) -> tuple[Prefix, ...]:
        """The addresses of the network."""
        return tuple(map(ip_network, self.network["properties"]["addressSpace"]["addressPrefixes"]))

    def subnet_of(self, address: Address) -> Subnet | None:
        """The subnet that an address is of."""
        return next((each for each in self.subnets if each.holds(address)), None)

    def holds(self, address: Address) -> bool:
        """Tell whether an address is of the network."""
        return any(address in prefix for prefix in self.space)

    def parts(self, kind: str, *, internal: bool) -> list[Document]:
        """The parts of a load balancer, of a kind; none when it is not there."""
        return list(self.balancers.get(internal, {}).get("properties", {}).get(kind) or [])


def _subnets(network: Document) -> Iterator[Subnet]:
    for each in network["properties"].get("subnets") or ():
        inner = each["properties"]
        prefixes = inner.get("addressPrefixes") or [inner["addressPrefix"]]
        group = inner.get("networkSecurityGroup")
        yield Subnet(parse(each["id"]), tuple(map(ip_network, prefixes)), parse(group["id"]) if group else None)
