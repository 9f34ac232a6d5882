"""The addresses of what is asked for pods: taken before anything is asked, let go when nothing of it is left.

An address that was put on the NIC for one pod and taken off again stays reserved until the platform has listed it no
longer: in between the pool would give it to another pod, to which nothing is delivered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

from podvnet.agent.ledger_record import AddressNotToBeHadError
from podvnet.agent.reserved_addresses import ReservedAddresses
from podvnet.model.address import Address
from podvnet.model.nic_membership import NicMembership, Owner
from podvnet.model.pod_grant import GrantState, PodGrant
from podvnet.plugin.error import CniError, Code

LISTING_LIMIT = 60.0
"""Seconds within which the platform should list what was written."""


class GrantAddresses:
    """For the agent's one thread.

    Args:
        reserved: the ledger's.
        rest: seconds that a released address is left alone.
    """

    def __init__(self, reserved: ReservedAddresses, rest: float) -> None:
        self._reserved = reserved
        self._rest = rest
        self._listed: frozenset[Address] = frozenset()
        self._placed: set[Address] = set()
        self._going: dict[IPv4Address, float | None] = {}
        """Since when, or None once the platform has listed it: when it does no more, it will not again."""

    def list(self, addresses: frozenset[Address]) -> None:
        """Take note of what the platform lists for pods, and of the time."""
        now = time.monotonic()
        self._listed = addresses
        for address, since in [*self._going.items()]:
            if address in addresses:
                self._going[address] = None
            elif since is None or now >= since + LISTING_LIMIT:
                del self._going[address]
                self._reserved.give_back(address)

    def is_listed(self, address: Address) -> bool:
        """Tell whether the platform delivers to an address."""
        return address in self._listed

    def see(self, nic: NicMembership) -> None:
        """Take note of what is on the NIC for one pod."""
        self._placed.update(each.addresses[0] for each in nic.configurations if each.owner is Owner.POD)

    def take(self, address: IPv4Address, owner: PodGrant | None) -> IPv4Address:
        """Take an address, of the pool or not.

        Args:
            address: which.
            owner: the grant that has it.

        Raises:
            CniError: it cannot be had.
        """
        if address in self._going:
            del self._going[address]  # nothing of the pod before is left, and it is reserved
            return address
        if owner is not None and owner.state is GrantState.LEAVING:
            raise CniError(Code.TRY_AGAIN, f"{address} is still being given back", "try again")
        try:
            self._reserved.take(address)
        except AddressNotToBeHadError as error:
            kept = f", kept for {owner.pod}" if owner and owner.pod else ""
            raise CniError(
                Code.INVALID_CONFIG,
                f"the address asked for cannot be had: {error}{kept}",
                "ask for another, or for none; `podvnet pod asks` shows whose it is",
            ) from None
        return address

    def take_any(self, nic: NicMembership) -> IPv4Address:
        """Take an address of the pool that is alone on its ip-configuration.

        Raises:
            CniError: the pool is of another kind.
            NoFreeAddressError: none is free.
        """
        if not nic.has_singles:
            raise CniError(
                Code.INVALID_CONFIG,
                "what is asked for needs an ip-configuration of the pod's own, and the pool has none of one address",
                "ask for an address besides, or run the agent with --pool-shape batch",
            )
        return self._reserved.take_any(nic.shared, time.monotonic(), self._rest)

    @contextlib.contextmanager
    def being_granted(self, address: IPv4Address) -> Iterator[None]:
        """The block writes the grant of an address that was just taken; without one nobody would let go of it."""
        try:
            yield
        except CniError:
            self.give_back(address)
            raise

    def give_back(self, address: IPv4Address) -> None:
        """Let go of an address of which nothing was asked yet."""
        self._reserved.give_back(address)

    def let_go(self, address: IPv4Address, nic: NicMembership) -> None:
        """Let go of an address when nothing of what was asked for it is left on the NIC."""
        if nic.holding(address) or (address not in self._placed and address not in self._listed):
            self._reserved.give_back(address)
        else:
            self._going[address] = None if address in self._listed else time.monotonic()
        self._placed.discard(address)
