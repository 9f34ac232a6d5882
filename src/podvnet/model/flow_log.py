"""Flow logs: which flows are written down, for whom.

Source: Azure document "Flow logging for network security groups".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class FlowLog:
    """A flow log that is enabled.

    Attributes:
        id: its own.
        target: what it logs: a security group wherever it is used, or every group of a network, a subnet or a NIC.
        storage: the storage account that its files stand in for.
        version: of the format, 1 or 2.
    """

    id: ResourceId
    target: ResourceId
    storage: ResourceId
    version: int = 2

    def covers(self, group: ResourceId, network: ResourceId, subnet: ResourceId, nic: ResourceId) -> bool:
        """Tell whether the flows of a NIC that a group decides about are logged."""
        return self.target in {group, network, subnet, nic}
