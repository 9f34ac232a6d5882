"""The ip-configurations of a VM's NIC, and what each is a member of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address

from podvnet.model.address import Address
from podvnet.model.pod_ask import Members
from podvnet.model.resource_id import ResourceId, Scope


class Owner(StrEnum):
    """Who made an ip-configuration."""

    POOL = "pool"
    """An agent, for pods in general."""
    POD = "pod"
    """An agent, for the address that was asked for one pod."""
    OTHER = "other"
    """Somebody else."""
    PRIMARY = "primary"
    """It is the VM's own."""


@dataclass(frozen=True, slots=True)
class MemberConfiguration:
    """An ip-configuration of IPv4.

    Attributes:
        name: unique on the NIC.
        addresses: one, or those of a block.
    """

    name: str
    addresses: tuple[Address, ...]
    owner: Owner
    members: Members


@dataclass(frozen=True, slots=True)
class NicMembership:
    """A NIC.

    Attributes:
        nic: its id.
        groups: the application security groups of its primary ip-configuration, which every other starts with.
        configurations: all of IPv4.
        publics: the public addresses of pods, as far as they are known, by id.
    """

    nic: ResourceId
    groups: frozenset[ResourceId]
    configurations: tuple[MemberConfiguration, ...]
    publics: Mapping[ResourceId, Address] = field(default_factory=dict, compare=False)

    @property
    def scope(self) -> Scope:
        """Where names in asks are looked for."""
        return Scope(self.nic.subscription, self.nic.resource_group)

    def holding(self, address: Address) -> MemberConfiguration | None:
        """The ip-configuration with an address."""
        return next((each for each in self.configurations if address in each.addresses), None)

    def public_of(self, address: Address) -> Address | None:
        """The public address that leads to a pod's, if it is known."""
        found = self.holding(address)
        return None if found is None or found.members.public is None else self.publics.get(found.members.public)

    @property
    def shared(self) -> frozenset[Address]:
        """The addresses whose ip-configuration is not one pod's alone, or not ours."""
        return frozenset(
            address
            for each in self.configurations
            if each.owner is not Owner.POOL or len(each.addresses) > 1
            for address in each.addresses
        )

    @property
    def has_singles(self) -> bool:
        """Whether the pool has ip-configurations of one address."""
        return any(each.owner is Owner.POOL and len(each.addresses) == 1 for each in self.configurations)


@dataclass(frozen=True, slots=True)
class NewPublicAddress:
    """A public address to be made.

    Attributes:
        name: in the NIC's resource group.
        pod: whom it is for, for people.
        idle_timeout: minutes; None is Azure's own.
    """

    name: str
    pod: str
    idle_timeout: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """An ip-configuration as it should be; one with the address that is not there is made.

    Attributes:
        address: which.
        members: what it is to have.
        public: to be made before.
    """

    address: IPv4Address
    members: Members
    public: NewPublicAddress | None = None
