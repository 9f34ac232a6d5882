"""Service endpoint policies: which accounts a subnet reaches by its service endpoint.

Source: Azure document "Virtual network service endpoint policies for Azure Storage".
"""

from __future__ import annotations

from dataclasses import dataclass

from podvnet.model.resource_id import ResourceId


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """A policy. ``resources`` are ids in lower case: of accounts, of resource groups, of subscriptions."""

    id: ResourceId
    resources: tuple[str, ...]

    def allows(self, service: ResourceId) -> bool:
        """Tell whether a service, or what it is in, is named."""
        return any(service.key == each or service.key.startswith(f"{each}/") for each in self.resources)
