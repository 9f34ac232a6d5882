"""The fabric's control socket: what ``podvnet up``, ``plan``, ``status`` and ``down`` speak to.

HTTP over a Unix socket that root alone may open. The resource manager's own API is a separate thing, in front of the
same engine.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from podvnet.fabric.arm.world import shown
from podvnet.fabric.engine import Change, Fabric
from podvnet.fabric.gate import Gate
from podvnet.fabric.trace import trace_of
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmErrorsError
from podvnet.model.kernel import Ruleset, Step
from podvnet.plan import names

Handler = Callable[[Request], Awaitable[Response]]


def application(fabric: Fabric, gate: Gate, turn: Turn, stop: Callable[[], None]) -> Starlette:
    """The control application.

    Args:
        fabric: the engine.
        gate: the resource manager's door, which new principals are let in by.
        turn: whose calls are made in turn.
        stop: ends the process, once the answer is sent.
    """

    async def plan(request: Request) -> Response:
        wanted = json.loads(await request.body())
        return JSONResponse(_change(await turn.take(lambda: fabric.plan(wanted))))

    async def apply(request: Request) -> Response:
        wanted = json.loads(await request.body())
        return JSONResponse(_change(await turn.take(lambda: fabric.apply(wanted))))

    async def down(_: Request) -> Response:
        outcome = _change(await turn.take(fabric.down))
        asyncio.get_running_loop().call_later(0.05, stop)
        return JSONResponse(outcome)

    async def status(_: Request) -> Response:
        return JSONResponse(await turn.take(lambda: _status(fabric)))

    async def agreement(_: Request) -> Response:
        steps = await turn.take(fabric.disagreement)
        return JSONResponse({"resources": len(fabric.documents), "steps": [describe(step) for step in steps]})

    async def reboot(request: Request) -> Response:
        name = request.path_params["name"]
        await turn.take(lambda: fabric.machines.reboot(fabric.machines.find(name)))
        return JSONResponse({"rebooted": name})

    async def command(request: Request) -> Response:
        machine = fabric.machines.find(request.path_params["name"])
        return JSONResponse({"command": fabric.machines.command(machine)})

    async def trace(request: Request) -> Response:
        wanted = json.loads(await request.body())
        return JSONResponse(await turn.take(lambda: trace_of(fabric.evaluator, fabric.hop_counters, **wanted)))

    async def access(_: Request) -> Response:
        return JSONResponse(await turn.take(gate.describe))

    async def principal(request: Request) -> Response:
        wanted = json.loads(await request.body())
        return JSONResponse(await turn.take(lambda: gate.new_principal(wanted["name"], wanted["role"])))

    return Starlette(
        routes=[
            Route("/access", _refusals(access), methods=["GET"]),
            Route("/principals", _refusals(principal), methods=["POST"]),
            Route("/plan", _refusals(plan), methods=["POST"]),
            Route("/apply", _refusals(apply), methods=["POST"]),
            Route("/down", _refusals(down), methods=["POST"]),
            Route("/status", _refusals(status), methods=["GET"]),
            Route("/trace", _refusals(trace), methods=["POST"]),
            Route("/agreement", _refusals(agreement), methods=["GET"]),
            Route("/machines/{name}/reboot", _refusals(reboot), methods=["POST"]),
            Route("/machines/{name}/command", _refusals(command), methods=["GET"]),
        ]
    )


def _refusals(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ArmErrorsError as refusal:
            errors = [error.document() for error in refusal.errors]
            return JSONResponse({"errors": errors}, status_code=refusal.errors[0].status)

    return answer


def _change(change: Change) -> dict[str, Any]:
    return {
        "resources": [asdict(each) for each in change.resources],
        "steps": [describe(step) for step in change.steps],
    }


def describe(step: Step) -> str:
    """A step on one line, as a person reads it."""
    item = step.object
    if isinstance(item, Ruleset):
        text = "rules of " + ", ".join(" ".join(table) for table in item.tables)
    else:
        fields = getattr(item, "__dataclass_fields__", {})
        values = ((name, getattr(item, name)) for name in fields)
        text = type(item).__name__ + "".join(
            f" {name}={value.hex() if isinstance(value, bytes) else value}"
            for name, value in values
            if value not in {0, "", None}
        )
    return f"{'+' if step.add else '-'} {step.namespace}: {text}"


def _status(fabric: Fabric) -> dict[str, Any]:
    intent = fabric.intent
    machines = []
    for machine in intent.machines.values():
        nics = intent.machine_nics(machine)
        machines.append(
            {
                "name": machine.id.name,
                "namespace": names.machine_namespace(machine.id),
                "running": machine.running,
                "up": fabric.machines.namespaces(machine).is_up,
                "nics": [
                    {
                        "name": nic.id.name,
                        "mac": nic.mac,
                        "subnet": nic.subnet.name,
                        "virtualNetwork": nic.virtual_network.name,
                        "primary": str(nic.primary().address),
                        "secondary": [str(each.address) for each in nic.ip_configurations if not each.primary],
                        "outbound": str(nic.primary().outbound or ""),
                        "ipForwarding": nic.ip_forwarding,
                    }
                    for nic in nics
                ],
            }
        )
    counters = fabric.counters()
    return {
        "virtualNetworks": [
            {
                "name": network.id.name,
                "namespace": names.network_namespace(network.id),
                "prefixes": [str(prefix) for prefix in network.prefixes],
                "subnets": {subnet.id.name: [str(prefix) for prefix in subnet.prefixes] for subnet in network.subnets},
                "dropped": counters.get(network.id.name, {}),
            }
            for network in intent.virtual_networks.values()
        ],
        "virtualMachines": machines,
        "sites": [
            {
                "name": site.id.name,
                "namespace": names.site_namespace(site.id),
                "publicAddress": str(site.public or ""),
                "prefixes": [str(prefix) for prefix in site.prefixes],
                "hosts": [
                    {
                        "name": host.name,
                        "address": str(host.address),
                        "namespace": names.site_host_namespace(site.id, host.name),
                    }
                    for host in site.hosts
                ],
            }
            for site in intent.sites.values()
        ],
        "internetHosts": {host.id.name: str(host.address) for host in intent.internet_hosts.values()},
        "resources": [shown(document) for document in fabric.documents],
    }
