"""What can be asked of deployments: reading, writing, validation, what would change.

Source: Azure REST reference "Deployments" of Microsoft.Resources.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer, page
from podvnet.fabric.api.deployments import Deployments
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.target import Target
from podvnet.fabric.turn import Turn


class DeploymentActions:
    """The actions of deployments.

    Args:
        turn: of the engine.
        deployments: carries them out.
        operations: what clients poll.
    """

    def __init__(self, turn: Turn, deployments: Deployments, operations: Operations) -> None:
        self._turn = turn
        self._deployments = deployments
        self._operations = operations

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError, ArmErrorsError: there is no such deployment, or it or its template is refused.
        """
        take, deployments = self._turn.take, self._deployments
        if len(target.segments) == 1 and request.method != "GET":
            return None
        action = target.segments[2].lower() if len(target.segments) > 2 else ""
        match request.method, action:
            case "GET" | "HEAD", _:
                return await self._read(request, target, action)
            case "PUT", "":
                body = await read_body(request)
                carried = await take(lambda: deployments.put(target, body))
                failed = carried.error.document() if carried.error else None
                outcome = Outcome("Failed" if failed else "Succeeded", failed)
                extra = self._operations.headers(request, target.subscription, outcome, location=False)
                status = HTTPStatus.CREATED if carried.new else HTTPStatus.OK
                return answer(request, carried.document, status, extra)
            case "POST", "cancel":
                await take(lambda: deployments.cancel(_first(target)))
            case "POST", "validate":
                body = await read_body(request)
                return answer(request, await take(lambda: deployments.validate(_first(target), body)))
            case "POST", "whatif":
                body = await read_body(request)
                found = await take(lambda: deployments.what_if(_first(target), body))
                extra = self._operations.headers(
                    request, target.subscription, Outcome("Succeeded", body=found), location=True
                )
                del extra["Azure-AsyncOperation"]
                return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)
            case "DELETE", "":
                if not await take(lambda: deployments.delete(target)):
                    return answer(request, status=HTTPStatus.NO_CONTENT)
                extra = self._operations.headers(request, target.subscription, Outcome("Succeeded"), location=True)
                return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)
        return None

    async def _read(self, request: Request, target: Target, action: str) -> Response | None:
        take, deployments = self._turn.take, self._deployments
        match request.method, action:
            case "GET", "" if target.is_collection:
                return page(request, await take(lambda: deployments.every(target)))
            case "GET", "":
                return answer(request, await take(lambda: deployments.get(target)))
            case "GET", "operations" if target.is_collection:
                return page(request, await take(lambda: deployments.operations(_first(target))))
            case "GET", "operations":
                identity = target.segments[3]
                return answer(request, await take(lambda: deployments.operation(_first(target), identity)))
            case "HEAD", "":
                await take(lambda: deployments.get(target))
                return answer(request, status=HTTPStatus.NO_CONTENT)
        return None


def _first(target: Target) -> Target:
    """The resource an action is asked of."""
    return replace(target, segments=target.segments[:2])
