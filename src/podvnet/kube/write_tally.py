"""How many requests the resource manager was asked to carry out for Services, and what became of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from podvnet.azure.error import SourceError
from podvnet.azure.resource_manager import RefusedError
from podvnet.model.resource_id import ResourceId


@dataclass
class WriteTally:
    """Since the start.

    Attributes:
        writes: requests that write, by the type they are about, e.g. ``loadBalancers/backendAddressPools``.
        refusals: those that were refused, by status; ``none`` for no answer.
    """

    writes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    def wrote(self, resource: ResourceId) -> None:
        """A request is made."""
        self.writes[resource.type.partition("/")[2]] += 1

    def failed(self, error: SourceError) -> None:
        """It did not succeed."""
        self.refusals[str(error.status) if isinstance(error, RefusedError) else "none"] += 1
