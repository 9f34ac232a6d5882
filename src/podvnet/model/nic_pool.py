"""The pool of a VM as its NIC has it: which ip-configurations hold addresses for pods."""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.address import Address


@dataclass(frozen=True, slots=True)
class PoolConfiguration:
    """A secondary ip-configuration of IPv4.

    Attributes:
        name: unique on the NIC.
        addresses: one, or the sixteen of a block.
        own: an agent made it, so an agent may remove it.
    """

    name: str
    addresses: tuple[Address, ...]
    own: bool


@dataclass(frozen=True, slots=True)
class NicPool:
    """What of a NIC is for pods.

    Attributes:
        configurations: in the NIC's order.
        others: how many further ip-configurations the NIC has: the primary one, and those of IPv6.
    """

    configurations: tuple[PoolConfiguration, ...]
    others: int

    @property
    def addresses(self) -> frozenset[Address]:
        """Every address for pods."""
        return frozenset(address for each in self.configurations for address in each.addresses)
