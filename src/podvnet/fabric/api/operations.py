"""Long-running operations: what a client polls after a write that was accepted.

The engine carries a write out before it is answered, so an operation's outcome is known when its id is handed out.
Clients poll all the same, by the headers that Azure sends.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from podvnet.fabric.api.answers import base_url

_KEPT = 10_000
RETRY_AFTER = "1"
"""Seconds; clients take 0 or nothing as 30."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation ended: ``Succeeded`` or ``Failed``, its error, and the body its result URL gives."""

    status: str
    error: dict[str, Any] | None = None
    body: Any = None


class Operations:
    """The outcomes of the latest operations."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def record(self, outcome: Outcome) -> str:
        """Keep an outcome; return the operation's id."""
        identity = str(uuid.uuid4())
        self._outcomes[identity] = outcome
        while len(self._outcomes) > _KEPT:
            self._outcomes.popitem(last=False)
        return identity

    def find(self, identity: str) -> Outcome | None:
        """The outcome of an operation."""
        return self._outcomes.get(identity)

    def headers(self, request: Request, subscription: str, outcome: Outcome, *, location: bool) -> dict[str, str]:
        """The headers that tell a client where to poll."""
        identity = self.record(outcome)
        version = request.query_params.get("api-version", "")
        place = f"{base_url(request)}/subscriptions/{subscription}/providers/Microsoft.Network/locations/local"
        found = {
            "Azure-AsyncOperation": f"{place}/operations/{identity}?api-version={version}",
            "Azure-AsyncNotification": "Enabled",
            "Retry-After": RETRY_AFTER,
        }
        if location:
            found["Location"] = f"{place}/operationResults/{identity}?api-version={version}"
        return found
