"""Whether the addresses of a VM are about to run out: said before they have, and taken back with a distance.

Kubernetes stops sending pods when kubelet's own limit is reached. As long as the pool can hold that many, a nearly full
VM is as it should be; only where kubelet would go on is a shortage of addresses an outage, and worth a word before.
"""

from __future__ import annotations

from dataclasses import dataclass

_FEWEST = 2
_PERCENT = 10


@dataclass(frozen=True, slots=True)
class AddressFigures:
    """A pool of IPv4.

    Attributes:
        limit: addresses that pods can have at most, as things stand.
        held: by pods.
        pods: that kubelet runs at most; 0 when nobody knows.
    """

    limit: int
    held: int
    pods: int = 0

    @property
    def left(self) -> int:
        """Addresses that pods to come can have."""
        return max(0, self.limit - self.held)


def low_mark(limit: int) -> int:
    """With as many addresses left, or fewer, they are about to run out: a tenth, and at least two."""
    return max(_FEWEST, -(-limit * _PERCENT // 100))


def is_low(figures: AddressFigures, before: bool) -> bool:
    """Tell whether addresses are about to run out.

    Args:
        figures: how the pool stands.
        before: what was said last: it holds until twice as many are left as made it so.
    """
    if 0 < figures.pods <= figures.limit:
        return False
    mark = low_mark(figures.limit)
    return figures.left <= (2 * mark if before else mark)
