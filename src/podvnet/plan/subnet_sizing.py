"""How large a subnet must be for nodes and their pods, and which subnets of a virtual network are large enough.

Every pod has an address of the subnet, and so has every node; while node images are upgraded there are more nodes than
usual (surge), each with its pods. Sources: Azure documents "Virtual Network FAQ" (five addresses of every subnet are
Azure's own), "Container networking overview" (250 pods a VM, 16,000 a virtual network), "Azure networking limits";
AKS document "Customize node surge upgrade" (a percentage is rounded up).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from podvnet.model.address import Prefix
from podvnet.model.limits import (
    ADDRESSES_PER_BLOCK,
    ADDRESSES_PER_NIC,
    ADDRESSES_PER_VIRTUAL_NETWORK,
    IPV6_SUBNET,
    LARGEST_SUBNET,
    PODS_PER_VIRTUAL_NETWORK,
    PODS_PER_VM,
    SMALLEST_SUBNET,
)
from podvnet.model.subnet import capacity
from podvnet.plan.pool_target import Shape

_FIRST_BLOCK = ADDRESSES_PER_BLOCK - 4
"""Addresses for single use in the first sixteen of a subnet, of which four are Azure's: no block."""


class SizingError(ValueError):
    """What is asked for is more than Azure allows; the message names the limit."""


@dataclass(frozen=True, slots=True)
class Surge:
    """Nodes beyond the usual number while images are upgraded: so many, or percent of the nodes, rounded up."""

    count: int
    percent: bool = False

    def of(self, nodes: int) -> int:
        """How many nodes that is."""
        return -(-nodes * self.count // 100) if self.percent else self.count


@dataclass(frozen=True, slots=True)
class Need:
    """Nodes that are to be in one subnet.

    Attributes:
        nodes: of which each is one VM.
        pods: for each node at most, those with an address of their own.
        surge: nodes beyond that for a while.
        shape: what a node's pool is made of.
        ipv6: each node and pod has an IPv6 address as well.
        others: addresses for what else is in the subnet: load balancers, private endpoints.
    """

    nodes: int
    pods: int
    surge: Surge = Surge(10, percent=True)
    shape: Shape = Shape.BATCH
    ipv6: bool = False
    others: int = 0

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.pods < 1 or self.others < 0 or self.surge.count < 0:
            raise SizingError("there is at least one node with one pod, and nothing is less than none")
        if self.pods > PODS_PER_VM:
            raise SizingError(f"a VM has up to {PODS_PER_VM} pods, not {self.pods}")
        if self.configurations > ADDRESSES_PER_NIC:
            raise SizingError(
                f"the NIC of a node with {self.pods} pods of both IP versions needs {self.configurations} private"
                f" addresses (a block is one), and has up to {ADDRESSES_PER_NIC}"
            )
        check_together((self,))

    @property
    def every_node(self) -> int:
        """Nodes at most, with surge."""
        return self.nodes + self.surge.of(self.nodes)

    @property
    def blocks(self) -> int:
        """Blocks of a node."""
        return -(-self.pods // ADDRESSES_PER_BLOCK) if self.shape is Shape.BLOCK else 0

    @property
    def configurations(self) -> int:
        """Private addresses that a node's NIC counts: a block is one; IPv6 is never in blocks here."""
        four = 1 + (self.blocks or self.pods)
        return four + (1 + self.pods if self.ipv6 else 0)

    @property
    def singles(self) -> int:
        """Addresses that are in no block, of all nodes."""
        return self.every_node * (1 + (0 if self.blocks else self.pods)) + self.others

    @property
    def addresses(self) -> int:
        """Addresses of IPv4 that nodes, pods and others hold at most."""
        return self.singles + self.every_node * self.blocks * ADDRESSES_PER_BLOCK

    def fits(self, prefix: Prefix) -> bool:
        """Tell whether an empty subnet of this prefix is large enough; IPv6 always is."""
        if prefix.version == 6:
            return True
        if not self.blocks:
            return self.singles <= capacity(prefix)
        return self.every_node * self.blocks <= _blocks_beside(self.singles, prefix)

    @property
    def length(self) -> int:
        """The longest IPv4 prefix of an empty subnet that is large enough."""
        lengths = range(SMALLEST_SUBNET, LARGEST_SUBNET - 1, -1)
        return next(length for length in lengths if self.fits(IPv4Network((0, length))))


def _blocks_beside(singles: int, prefix: Prefix) -> int:
    """How many blocks an empty subnet has room for, once addresses are taken one by one from its lowest ones.

    The first sixteen addresses and the last are no block, since some of them are Azure's. Single ones go into the first
    sixteen; each sixteen more cost a block, for they are taken in order. The last sixteen are left to chance.
    """
    whole = prefix.num_addresses // ADDRESSES_PER_BLOCK - 2
    spoiled = -(-max(0, singles - _FIRST_BLOCK) // ADDRESSES_PER_BLOCK)
    return max(0, whole - spoiled)


@dataclass(frozen=True, slots=True)
class SubnetUse:
    """A subnet as it is.

    Attributes:
        name: in its virtual network.
        prefixes: its own.
        used: addresses of IPv4 that are held.
        delegated: it belongs to a service of Azure's, or is one of those with a name of its own: no VMs there.
    """

    name: str
    prefixes: tuple[Prefix, ...]
    used: int
    delegated: bool = False

    @property
    def size(self) -> int:
        """Addresses of IPv4 that can be held."""
        return sum(capacity(each) for each in self.prefixes if each.version == 4)

    @property
    def free(self) -> int:
        """Those that are not."""
        return max(0, self.size - self.used)


@dataclass(frozen=True, slots=True)
class SubnetVerdict:
    """Whether a need that is still to come fits into a subnet beside what is there.

    Attributes:
        lacking: addresses too few; 0 when it fits.
        why: what stands in the way, for people; empty when nothing does.
    """

    subnet: SubnetUse
    lacking: int
    why: str

    @property
    def fits(self) -> bool:
        """Whether it does."""
        return not self.why


def judge(need: Need, subnet: SubnetUse) -> SubnetVerdict:
    """Tell whether nodes to come fit into a subnet beside what it holds.

    What is held counts as taken one by one, so of blocks there may be less room than the number of addresses says.
    """
    four = [each for each in subnet.prefixes if each.version == 4]
    lacking = max(0, need.addresses - subnet.free)
    why = ""
    if subnet.delegated:
        why = "it is no subnet for VMs"
    elif lacking:
        why = f"{lacking} addresses are lacking"
    elif need.blocks and (
        need.every_node * need.blocks > sum(_blocks_beside(need.singles + subnet.used, each) for each in four)
    ):
        why = "it has not as many whole blocks of sixteen"
    elif need.ipv6 and not any(each.version == 6 for each in subnet.prefixes):
        why = "it has no IPv6 prefix"
    return SubnetVerdict(subnet, lacking, why)


def room(spaces: Iterable[Prefix], taken: Iterable[Prefix], length: int) -> Prefix | None:
    """The lowest free prefix of a length in the address space of a virtual network, or None.

    Args:
        spaces: the virtual network's prefixes.
        taken: the subnets' prefixes.
        length: 64 is of IPv6, which has no other subnets; all else of IPv4.
    """
    version = 6 if length == IPV6_SUBNET else 4
    held = [(int(each.network_address), int(each.broadcast_address)) for each in taken if each.version == version]
    for space in sorted((each for each in spaces if each.version == version), key=lambda each: int(each[0])):
        size = 1 << (space.max_prefixlen - length)
        start = int(space.network_address)
        while start + size - 1 <= int(space.broadcast_address):
            ends = [last for first, last in held if first < start + size and last >= start]
            if not ends:
                return type(space)((start, length))
            start = -(-(max(ends) + 1) // size) * size
    return None


def check_together(needs: Iterable[Need]) -> None:
    """See whether one virtual network may hold all of these.

    Raises:
        SizingError: it may not.
    """
    every = [*needs]
    pods = sum(each.every_node * each.pods for each in every)
    if pods > PODS_PER_VIRTUAL_NETWORK:
        raise SizingError(
            f"with surge these are {pods} pods, and a virtual network has up to {PODS_PER_VIRTUAL_NETWORK}"
        )
    counted = sum(each.every_node * each.configurations + each.others for each in every)
    if counted > ADDRESSES_PER_VIRTUAL_NETWORK:
        raise SizingError(
            f"these are {counted} private addresses (a block is one), and a virtual network has up to"
            f" {ADDRESSES_PER_VIRTUAL_NETWORK}"
        )
