"""Writes of resources that meet: which waits, which is refused, which a newer one supersedes.

The engine carries one write out at a time; the others wait for their turn. Of those, a PUT is superseded by a newer PUT
to the same resource: it would replace all that the older one says, so the older is never carried out. Two conditions,
for in Azure a request that is refused outright supersedes nothing: the newer one would be accepted at that moment, and
it carries no If-Match, since an older one's acceptance has changed the etag already. And what is not a PUT of the whole
top-level resource does not wait for a write that is being carried out to the same one: it is told to come again.

Source: Azure documents "Resource Manager request limits and throttling" (``AnotherOperationInProgress``) and
"Troubleshoot common Azure deployment errors with Azure Load Balancer" (``CanceledAndSupersededDueToAnotherOperation``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import ResourceId

T = TypeVar("T")

_SUPERSEDED = "CanceledAndSupersededDueToAnotherOperation"


class SupersededError(ArmError):
    """A PUT that a newer one took the place of; it had no effect.

    Attributes:
        operation: its operation, whose status is Canceled.
    """

    def __init__(self, resource: ResourceId, operation: str, newer: str) -> None:
        super().__init__(
            _SUPERSEDED,
            f"Operation {operation}, a PUT of {resource}, was canceled and superseded by operation {newer}.",
            status=HTTPStatus.CONFLICT,
            target=str(resource),
        )
        self.operation = operation


@dataclass(frozen=True, slots=True, eq=False)
class _Put:
    """A PUT under way. ``acceptable`` is asked in the engine's turn; None for one that supersedes nothing."""

    operation: str
    acceptable: Callable[[], bool] | None


class Writes:
    """The writes under way. For the event loop's thread.

    Args:
        turn: the engine's.
        operations: where each PUT is an operation.
    """

    def __init__(self, turn: Turn, operations: Operations) -> None:
        self._turn = turn
        self._operations = operations
        self._puts: dict[str, list[_Put]] = {}
        """By id key, the PUTs that wait or are carried out, oldest first."""
        self._begun: dict[object, str] = {}
        """The id keys of the top-level resources that are being written to, from the write's turn until its answer."""

    async def put(self, resource: ResourceId, action: Callable[[], T], acceptable: Callable[[], bool] | None) -> T:
        """Carry a PUT out when it is its turn.

        Args:
            resource: what is put, top-level or child.
            action: the write, for the engine's turn.
            acceptable: tells, in the engine's turn, whether ``action`` would be accepted now; None when the PUT is
                conditional and supersedes nothing.

        Raises:
            SupersededError: a newer one took its place.
            ArmError: ``AnotherOperationInProgress``, for a child; or what ``action`` raises.
        """
        if len(resource.path) > 1:
            self._refuse_beside(resource)
        own = _Put(self._operations.begin(), acceptable)
        puts = self._puts.setdefault(resource.key, [])
        puts.append(own)
        outcome = Outcome("Failed")
        try:
            found = await self._turn.take(lambda: self._replace(resource, own, action))
            outcome = Outcome("Succeeded")
        except SupersededError as error:
            outcome = Outcome("Canceled", _canceled(error))
            raise
        except ArmError as error:
            outcome = Outcome("Failed", error.document())
            raise
        except ArmErrorsError as several:
            outcome = Outcome("Failed", several.errors[0].document())
            raise
        finally:
            self._begun.pop(own, None)
            puts.remove(own)
            if not puts:
                del self._puts[resource.key]
            self._operations.finish(own.operation, outcome)
        return found

    async def change(self, resource: ResourceId, action: Callable[[], T]) -> T:
        """Carry a PATCH or DELETE out when it is its turn.

        Raises:
            ArmError: ``AnotherOperationInProgress``, or what ``action`` raises.
        """
        self._refuse_beside(resource)
        own = object()
        try:
            return await self._turn.take(lambda: self._begin(resource, own, action))
        finally:
            self._begun.pop(own, None)

    def _refuse_beside(self, resource: ResourceId) -> None:
        if resource.top.key in self._begun.values():
            raise ArmError(
                "AnotherOperationInProgress",
                f"Another operation on this or dependent resource is in progress: {resource.top}. Try again after the"
                " time that the header Retry-After gives.",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                target=str(resource),
            )

    def _replace(self, resource: ResourceId, own: _Put, action: Callable[[], T]) -> T:
        puts = list(self._puts[resource.key])
        for newer in reversed(puts[puts.index(own) + 1 :]):
            if newer.acceptable and newer.acceptable():
                raise SupersededError(resource, own.operation, newer.operation)
        return self._begin(resource, own, action)

    def _begin(self, resource: ResourceId, own: object, action: Callable[[], T]) -> T:
        self._begun[own] = resource.top.key
        return action()


def _canceled(error: SupersededError) -> dict[str, Any]:
    """The error of the operation, as Azure nests it."""
    detail = {"code": error.code, "message": error.message}
    return {"code": "Canceled", "message": "Operation was canceled.", "details": [detail]}
