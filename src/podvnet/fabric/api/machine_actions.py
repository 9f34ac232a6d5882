"""What can be asked of a VM beyond reading and writing it: start, stop, restart, the instance view.

Source: Azure REST reference "Virtual Machines" of Microsoft.Compute: actions are answered 202 and polled; a VM that is
deallocated cannot be restarted (``OperationNotAllowed``).
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api.answers import answer, page
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.api.writes import Writes
from podvnet.fabric.arm.power_state import PowerState, instance_view, power_state
from podvnet.fabric.arm.world import VIRTUAL_MACHINES, Document
from podvnet.fabric.engine import Fabric
from podvnet.fabric.turn import Turn

_TYPE = VIRTUAL_MACHINES.lower()
_VIEW = "instanceview"


class MachineActions:
    """The actions of VMs.

    Args:
        fabric, turn: the engine.
        resources: where VMs are found.
        writes: which an action must not meet.
        operations: what clients poll.
    """

    def __init__(
        self, fabric: Fabric, turn: Turn, resources: Resources, writes: Writes, operations: Operations
    ) -> None:
        self._fabric = fabric
        self._turn = turn
        self._resources = resources
        self._writes = writes
        self._operations = operations
        self._actions = {
            "start": self._start,
            "poweroff": self._power_off,
            "deallocate": self._deallocate,
            "restart": self._restart,
        }

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError, ArmErrorsError: there is no such VM, the action is refused, or the VM did not come up.
        """
        kind, method = target.full_type.lower(), request.method
        if kind == _TYPE:
            wanted = request.query_params.get("$expand", "").lower().split(",")
            return await self._expanded(request, target) if method == "GET" and _VIEW in wanted else None
        action = kind.removeprefix(f"{_TYPE}/") if len(target.segments) == 3 else ""
        if method == "GET" and action == _VIEW:
            return answer(request, await self._turn.take(lambda: instance_view(self._resources.top(target))))
        if method != "POST" or action not in self._actions:
            return None
        act = self._actions[action]
        await self._writes.change(target.resource(), lambda: act(self._resources.top(target)))
        extra = self._operations.headers(request, target.subscription, Outcome("Succeeded"), location=True)
        return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)

    async def _expanded(self, request: Request, target: Target) -> Response:
        if target.is_collection:
            views = await self._turn.take(lambda: [self._with_view(each) for each in self._resources.every(target)])
            return page(request, views)
        view, etag = await self._turn.take(lambda: self._resources.get(target))
        return answer(request, self._with_view(view), extra={"ETag": etag})

    def _with_view(self, view: Document) -> Document:
        document = self._fabric.world.documents[view["id"].lower()]
        return view | {"properties": view["properties"] | {"instanceView": instance_view(document)}}

    def _start(self, machine: Document) -> None:
        self._fabric.set_power(machine, PowerState.RUNNING)

    def _power_off(self, machine: Document) -> None:
        # One that is deallocated is off already; the compute it gave back does not return by this.
        if power_state(machine) is PowerState.RUNNING:
            self._fabric.set_power(machine, PowerState.STOPPED)

    def _deallocate(self, machine: Document) -> None:
        self._fabric.set_power(machine, PowerState.DEALLOCATED)

    def _restart(self, machine: Document) -> None:
        self._fabric.machines.reboot(self._fabric.intent.machines[machine["id"].lower()])
