"""The security groups that a NIC's packets meet."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Prefix
from podvnet.model.security import SecurityGroup


@dataclass(frozen=True, slots=True)
class NicSecurity:
    """What filters a NIC.

    Attributes:
        nic: the group of the NIC itself, if it has one.
        subnet: the group of its subnet, if that has one.
        virtual_network: what the service tag VirtualNetwork means there; empty only without a group.
    """

    nic: SecurityGroup | None = None
    subnet: SecurityGroup | None = None
    virtual_network: tuple[Prefix, ...] = ()
