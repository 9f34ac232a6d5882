"""What is thought of one member, by its answers to one probe.

Source: Azure document "Load Balancer health probes": a member gets flows once a probe has succeeded for the first time
after its VM booted; from then on it takes ``probeThreshold`` failures in a row to lose them, and as many successes to
get them again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Opinion:
    """Whether a member is healthy, and how many answers in a row have said otherwise.

    Attributes:
        healthy: what is thought now.
        proven: it has been healthy before. One answer is enough of a member that is new.
        contrary: the answers in a row.
    """

    healthy: bool = False
    proven: bool = False
    contrary: int = 0

    def note(self, *, answered: bool, threshold: int) -> bool:
        """Take in that a member has answered or failed to; tell whether it is thought otherwise of now."""
        if answered is self.healthy:
            self.contrary = 0
            return False
        self.contrary += 1
        if self.contrary < threshold and (self.proven or not answered):
            return False
        self.healthy, self.contrary = answered, 0
        self.proven = True
        return True
