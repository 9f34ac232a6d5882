"""What is asked of the virtual network for one pod, beyond an address.

Each part is something an ip-configuration of a NIC has in Azure. A network security group is none of them: it is on a
NIC or a subnet, so a pod's *groups* are application security groups, which rules of security groups name.
Source: Azure REST reference "Network Interfaces - Create Or Update", ``ipConfigurations[].properties``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any

from podvnet.model.resource_id import ResourceId, Scope, make, parse

NEW = "new"
"""A public address that is made for the pod, and deleted after it."""

GROUP = "Microsoft.Network/applicationSecurityGroups"
PUBLIC_ADDRESS = "Microsoft.Network/publicIPAddresses"
BACKEND_POOL = "Microsoft.Network/loadBalancers/backendAddressPools"
NAT_RULE = "Microsoft.Network/loadBalancers/inboundNatRules"


class Egress(StrEnum):
    """As whom a pod's packets leave the virtual network."""

    VM = "vm"
    """As the VM: the VM translates their source to its primary address."""
    POD = "pod"
    """As the pod: what the subnet has for outbound traffic (a NAT gateway, an appliance) sees the pod's address."""


@dataclass(frozen=True, slots=True)
class Members:
    """What an ip-configuration belongs to, and what belongs to it."""

    groups: frozenset[ResourceId] = frozenset()
    public: ResourceId | None = None
    pools: frozenset[ResourceId] = frozenset()
    nat_rules: frozenset[ResourceId] = frozenset()


@dataclass(frozen=True, slots=True)
class PodAsk:
    """An ask. What is None is not asked for.

    Resources are ids, or names in the resource group of the VM's NIC: ``web``, and ``balancer/pool`` for a part of a
    load balancer.

    Attributes:
        groups: application security groups; the pod is in these and no others.
        public: a public address: an id or a name, or :data:`NEW`.
        idle_timeout: minutes that a new public address keeps idle flows.
        pools: backend pools of load balancers.
        nat_rules: inbound NAT rules of load balancers.
        address: a private address and no other.
        sticky: the address stays the pod's, by the pod's name, when the pod ends.
        keep_for: seconds that a sticky address is kept without a pod; None is until it is released.
        egress: as whom it leaves; None is as itself with a public address, else as the VM.
    """

    groups: tuple[str, ...] | None = None
    public: str | None = None
    idle_timeout: int | None = None
    pools: tuple[str, ...] | None = None
    nat_rules: tuple[str, ...] | None = None
    address: IPv4Address | None = None
    sticky: bool | None = None
    keep_for: int | None = None
    egress: Egress | None = None

    @property
    def leaves_as_itself(self) -> bool:
        """Whether the VM must not translate what the pod sends."""
        return self.egress is Egress.POD or (bool(self.public) and self.egress is None)

    @property
    def of_members(self) -> bool:
        """Whether the pod's ip-configuration must be its own: others would share what is asked for."""
        return bool(self.groups is not None or self.public or self.pools or self.nat_rules)

    def over(self, other: PodAsk) -> PodAsk:
        """This ask, and what it leaves open as ``other`` has it."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return PodAsk(**{name: getattr(other, name) if value is None else value for name, value in own.items()})

    def members(self, before: Members, scope: Scope, public_name: str) -> Members:
        """What an ip-configuration should have once this is carried out.

        Args:
            before: what it has.
            scope: where names are looked for.
            public_name: of the public address that is made.
        """
        public = public_name if self.public == NEW else self.public
        return Members(
            before.groups if self.groups is None else _ids(self.groups, GROUP, scope),
            resolve(public, PUBLIC_ADDRESS, scope) if public else before.public,
            before.pools if self.pools is None else _ids(self.pools, BACKEND_POOL, scope),
            before.nat_rules if self.nat_rules is None else _ids(self.nat_rules, NAT_RULE, scope),
        )

    def without(self, before: Members, groups: frozenset[ResourceId]) -> Members:
        """What an ip-configuration should have once this is undone.

        Args:
            before: what it has.
            groups: of an ip-configuration for which nothing is asked.
        """
        return Members(
            before.groups if self.groups is None else groups,
            None if self.public else before.public,
            frozenset() if self.pools else before.pools,
            frozenset() if self.nat_rules else before.nat_rules,
        )

    def values(self) -> dict[str, Any]:
        """The ask as JSON has it; what is not asked for is left out."""
        public = self.public if self.public != NEW else True
        found = {
            "groups": None if self.groups is None else list(self.groups),
            "publicAddress": public,
            "idleTimeout": self.idle_timeout,
            "backendPools": None if self.pools is None else list(self.pools),
            "inboundNatRules": None if self.nat_rules is None else list(self.nat_rules),
            "address": None if self.address is None else str(self.address),
            "sticky": self.sticky,
            "keepFor": self.keep_for,
            "egress": self.egress and str(self.egress),
        }
        return {name: value for name, value in found.items() if value is not None}


def resolve(text: str, full_type: str, scope: Scope) -> ResourceId:
    """The id that a text means.

    Args:
        text: an id, or the names of its path with slashes between.
        full_type: what it must be.
        scope: where names are looked for.

    Raises:
        ValueError: it is neither, or of another type.
    """
    if not text.startswith("/"):
        names = text.split("/")
        kinds = full_type.split("/")[1:]
        if len(names) != len(kinds) or not all(names):
            shape = "/".join(f"<{kind}>" for kind in kinds)
            msg = f"{text!r} is no name of the form {shape}, and no id"
            raise ValueError(msg)
        return make(scope, full_type, *names)
    found = parse(text)
    if found.type.lower() != full_type.lower():
        msg = f"{text!r} is of the type {found.type}, not {full_type}"
        raise ValueError(msg)
    return found


def _ids(texts: tuple[str, ...], full_type: str, scope: Scope) -> frozenset[ResourceId]:
    return frozenset(resolve(each, full_type, scope) for each in texts)
