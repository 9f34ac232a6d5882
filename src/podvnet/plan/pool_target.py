"""How large a VM's pool should be, and which ip-configurations make it so: one decision, one write.

The pool follows the pods in batches. While the free addresses are within two thresholds nothing happens; beyond either,
the pool is to have the size that the original's second pool monitor computes, ``batch * ceil(minimum + used / batch)``,
whatever the distance: a burst of a hundred pods is one write and not seven.
Source: azure-container-networking, cns/ipampool (thresholds in percent of a batch: 50 and 150, batch 16) and its v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from podvnet.model.address import Address
from podvnet.model.limits import ADDRESSES_PER_BLOCK, ADDRESSES_PER_NIC, PODS_PER_VM
from podvnet.model.nic_pool import NicPool, PoolConfiguration


class Shape(StrEnum):
    """What the pool grows by: ip-configurations of one address, or of a block of sixteen (a /28)."""

    BATCH = "batch"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a pool follows its use.

    Attributes:
        shape: what an ip-configuration holds.
        batch: the sizes that are aimed for are multiples of it.
        minimum_free: percent of a batch; with fewer free addresses the pool grows.
        maximum_free: percent of a batch; with more the pool shrinks.
        limit: addresses at most; rounded up to whole blocks.

    Raises:
        ValueError: a value is out of range; ``maximum_free`` is at least a batch above ``minimum_free``, or the pool
            would shrink right after it grew.
    """

    shape: Shape = Shape.BATCH
    batch: int = 16
    minimum_free: int = 50
    maximum_free: int = 150
    limit: int = PODS_PER_VM

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= PODS_PER_VM:
            msg = f"a batch has 1 to {PODS_PER_VM} addresses, not {self.batch}"
            raise ValueError(msg)
        if self.shape is Shape.BLOCK and self.batch % ADDRESSES_PER_BLOCK:
            msg = f"a batch of blocks is a multiple of {ADDRESSES_PER_BLOCK} addresses, not {self.batch}"
            raise ValueError(msg)
        if self.minimum_free < 0 or self.maximum_free < self.minimum_free + 100:
            msg = (
                f"the most free addresses ({self.maximum_free} %) must be a batch (100 %) or more above the fewest"
                f" ({self.minimum_free} %), and that not below 0"
            )
            raise ValueError(msg)
        if not 1 <= self.limit < ADDRESSES_PER_NIC:
            msg = f"a pool has 1 to {ADDRESSES_PER_NIC - 1} addresses, not {self.limit}"
            raise ValueError(msg)

    @property
    def step(self) -> int:
        """Addresses of one ip-configuration."""
        return ADDRESSES_PER_BLOCK if self.shape is Shape.BLOCK else 1

    @property
    def ceiling(self) -> int:
        """The size that is never aimed above."""
        return -(-self.limit // self.step) * self.step


@dataclass(frozen=True, slots=True)
class Usage:
    """What is done with the addresses.

    Attributes:
        held: by pods.
        resting: released too recently to be given out.
        withdrawn: given out no more, because a removal has begun.
        waiting: pods that wait for an address.
    """

    held: frozenset[Address] = frozenset()
    resting: frozenset[Address] = frozenset()
    withdrawn: frozenset[Address] = frozenset()
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class PoolChange:
    """A write of the NIC: how many ip-configurations to add, and the names of those to remove."""

    add: int = 0
    remove: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def target(used: int, size: int, policy: PoolPolicy) -> int:
    """The size a pool should have.

    Args:
        used: addresses that cannot be given out, and pods that wait.
        size: addresses it has.
        policy: see there.
    """
    free = (size - used) * 100
    wanted = -(-(policy.minimum_free * policy.batch + 100 * used) // (100 * policy.batch)) * policy.batch
    if free < policy.minimum_free * policy.batch:
        return max(size, min(wanted, policy.ceiling))
    if free > policy.maximum_free * policy.batch:
        return wanted
    return size


def pool_change(pool: NicPool, usage: Usage, policy: PoolPolicy) -> PoolChange:
    """What to write to the NIC; nothing to write is a false value.

    A removal that has begun is finished. Beyond that, only ip-configurations that an agent made and of which every
    address is free and rested are removed, the last of the NIC first, and never more than leaves the target.
    """
    begun = frozenset(
        each.name for each in pool.configurations if _removable(each, usage.held) and _meets(each, usage.withdrawn)
    )
    staying = [each for each in pool.configurations if each.name not in begun]
    addresses = {address for each in staying for address in each.addresses}
    busy = usage.held | usage.resting
    size = len(addresses)
    aim = target(len(addresses & busy) + usage.waiting, size, policy)
    if aim > size:
        room = ADDRESSES_PER_NIC - pool.others - len(staying)
        return PoolChange(max(0, min(-(-(aim - size) // policy.step), room)), begun)
    surplus, spare = size - aim, []
    for each in reversed(staying):
        if len(each.addresses) <= surplus and _removable(each, busy):
            spare.append(each.name)
            surplus -= len(each.addresses)
    return PoolChange(0, begun.union(spare))


def _meets(configuration: PoolConfiguration, addresses: frozenset[Address]) -> bool:
    return not addresses.isdisjoint(configuration.addresses)


def _removable(configuration: PoolConfiguration, busy: frozenset[Address]) -> bool:
    return configuration.own and not _meets(configuration, busy)
