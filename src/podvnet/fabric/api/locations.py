"""What providers have by location: operations to poll, usages, and whether a domain name label is free.

Source: Azure document "Track asynchronous Azure operations"; Azure REST references "Usages - List" of Microsoft.Network
and Microsoft.Compute.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer, page
from podvnet.fabric.api.operations import Operations
from podvnet.fabric.api.target import Target
from podvnet.fabric.api.usages import compute_usages, network_usages
from podvnet.fabric.arm.public_ip_addresses import is_label_free
from podvnet.fabric.arm.world import World
from podvnet.model.arm_error import ArmError


class Locations:
    """The paths ``…/providers/{provider}/locations/{location}/…``.

    Args:
        operations: to be polled.
        world: the resources as they are; a world in use is never changed, so it is read outside the engine's turn.
    """

    def __init__(self, operations: Operations, world: Callable[[], World]) -> None:
        self._operations = operations
        self._world = world

    def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError: the operation is not known, or what is asked about is malformed.
        """
        if request.method not in {"GET", "HEAD"}:
            return None
        match target.provider.lower(), tuple(segment.lower() for segment in target.segments[2:]):
            case "microsoft.network", ("usages",):
                return page(request, network_usages(self._world(), target.subscription, target.segments[1]))
            case "microsoft.network", ("checkdnsnameavailability",):
                parameters = {name.lower(): value for name, value in request.query_params.items()}
                label = parameters.get("domainnamelabel", "")
                return answer(request, {"available": is_label_free(label, target.segments[1], self._world())})
            case "microsoft.compute", ("usages",):
                return page(request, compute_usages(self._world(), target.subscription, target.segments[1]))
            case _, ("operations" | "operationresults" as kind, identity):
                return self._operation(request, kind, identity)
        return None

    def _operation(self, request: Request, kind: str, identity: str) -> Response:
        outcome = self._operations.find(identity)
        if outcome is None:
            raise ArmError("NotFound", f"Operation {identity} was not found.", status=HTTPStatus.NOT_FOUND)
        if kind == "operations":
            return answer(request, {"status": outcome.status} | ({"error": outcome.error} if outcome.error else {}))
        if outcome.body is None:
            return answer(request, status=HTTPStatus.NO_CONTENT)
        return answer(request, outcome.body)
