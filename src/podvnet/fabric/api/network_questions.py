"""Questions about packets: what holds at a NIC, and what a network watcher is asked.

Each is answered 202 and polled, as in Azure, though the answer is there at once.
Source: Azure REST references "Network Interfaces" and "Network Watchers" of Microsoft.Network.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api import effective, watcher
from podvnet.fabric.api.answers import answer
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.world import NETWORK_INTERFACES, NETWORK_WATCHERS
from podvnet.fabric.engine import Fabric
from podvnet.fabric.turn import Turn
from podvnet.model.intent import NetworkInterface
from podvnet.plan.evaluate import Evaluator

_OF_NIC: dict[str, Callable[[Evaluator, NetworkInterface], dict[str, Any]]] = {
    "effectiveroutetable": effective.effective_routes,
    "effectivenetworksecuritygroups": effective.effective_groups,
}
_OF_WATCHER: dict[str, Callable[[Evaluator, Fields], dict[str, Any]]] = {
    "ipflowverify": watcher.verify_ip_flow,
    "nexthop": watcher.next_hop,
    "connectivitycheck": watcher.check_connectivity,
}


class NetworkQuestions:
    """The questions of NICs and network watchers.

    Args:
        fabric, turn: the engine.
        resources: where NICs and watchers are found.
        operations: what clients poll.
    """

    def __init__(self, fabric: Fabric, turn: Turn, resources: Resources, operations: Operations) -> None:
        self._fabric = fabric
        self._turn = turn
        self._resources = resources
        self._operations = operations

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError: what is asked about is not there or does not run, or the question is malformed.
        """
        kind, _, question = target.full_type.lower().rpartition("/")
        if request.method != "POST" or len(target.segments) != 3:
            return None
        if kind == NETWORK_INTERFACES.lower() and question in _OF_NIC:
            found = await self._turn.take(lambda: self._ask_nic(target, question))
        elif kind == NETWORK_WATCHERS.lower() and question in _OF_WATCHER:
            body = await read_body(request)
            found = await self._turn.take(lambda: self._ask_watcher(target, question, body))
        else:
            return None
        extra = self._operations.headers(request, target.subscription, Outcome("Succeeded", body=found), location=True)
        del extra["Azure-AsyncOperation"]
        return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)

    def _ask_nic(self, target: Target, question: str) -> dict[str, Any]:
        key = self._resources.top(target)["id"].lower()
        nic = self._fabric.intent.nics[key]
        watcher.check_running(self._fabric.evaluator, nic)
        return _OF_NIC[question](self._fabric.evaluator, nic)

    def _ask_watcher(self, target: Target, question: str, body: Any) -> dict[str, Any]:
        identity = self._resources.top(target)["id"]
        return _OF_WATCHER[question](self._fabric.evaluator, Fields(body, "", identity))
