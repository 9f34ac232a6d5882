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

from podvnet.fabric.api.answers import RETRY_AFTER, base_url

_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an operation stands.

    Attributes:
        status: ``InProgress`` until it has ended, then ``Succeeded``, ``Failed`` or ``Canceled``.
        error: of one that failed or was cancelled.
        body: what its result URL gives.
    """

    status: str
    error: dict[str, Any] | None = None
    body: Any = None


class Operations:
    """The outcomes of the latest operations. For the event loop's thread."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

    def begin(self) -> str:
        """Open an operation; return its id."""
        identity = str(uuid.uuid4())
        self.finish(identity, Outcome("InProgress"))
        return identity

    def finish(self, identity: str, outcome: Outcome) -> None:
        """Keep how an operation ended."""
        self._outcomes[identity] = outcome
        while len(self._outcomes) > _KEPT:
            self._outcomes.popitem(last=False)

    def find(self, identity: str) -> Outcome | None:
        """How an operation stands; None when there is none."""
        return self._outcomes.get(identity)

    def headers(self, request: Request, subscription: str, outcome: Outcome, *, location: bool) -> dict[str, str]:
        """The headers that tell a client where to poll an operation that has ended."""
        identity = self.begin()
        self.finish(identity, outcome)
        place = _place(request, subscription)
        version = request.query_params.get("api-version", "")
        found = self.pointer(request, subscription, identity) | {"Retry-After": RETRY_AFTER}
        if location:
            found["Location"] = f"{place}/operationResults/{identity}?api-version={version}"
        return found

    @staticmethod
    def pointer(request: Request, subscription: str, identity: str) -> dict[str, str]:
        """The headers that name an operation, without asking a client to come again."""
        version = request.query_params.get("api-version", "")
        return {
            "Azure-AsyncOperation": f"{_place(request, subscription)}/operations/{identity}?api-version={version}",
            "Azure-AsyncNotification": "Enabled",
        }


def _place(request: Request, subscription: str) -> str:
    return f"{base_url(request)}/subscriptions/{subscription}/providers/Microsoft.Network/locations/local"
