"""What can be asked of gateways, connections and circuits beyond reading and writing them.

Questions are answered 202 and polled, as in Azure, though the answer is there at once. What has become of a connection
is asked of whoever runs it, outside the engine's turn.

Sources: Azure REST references "Virtual Network Gateways", "Virtual Network Gateway Connections" and "Express Route
Circuits" of Microsoft.Network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.api import gateway_shapes as shapes
from podvnet.fabric.api.answers import answer, page
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target
from podvnet.fabric.api.writes import Writes
from podvnet.fabric.arm.connections import key_of, with_key
from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.shared_key import made_key, read_key
from podvnet.fabric.arm.world import CIRCUITS, CONNECTIONS, NETWORK_GATEWAYS, Document
from podvnet.fabric.engine import Fabric
from podvnet.fabric.gateways.states import CircuitLinkState
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import ResourceId, parse

T = TypeVar("T")

_CONNECTIONS, _GATEWAYS, _CIRCUITS = CONNECTIONS.lower(), NETWORK_GATEWAYS.lower(), CIRCUITS.lower()
_LINKS: dict[str, Callable[[CircuitLinkState], list[Document]]] = {
    "arptables": shapes.arp_table,
    "routetables": shapes.route_table,
    "routetablessummary": lambda link: [shapes.route_summary(link)],
}


class GatewayActions:
    """The actions and questions of gateways.

    Args:
        fabric, turn: the engine.
        resources: where gateways are found.
        writes: which a new key must not meet.
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

    async def answer(self, request: Request, target: Target) -> Response | None:
        """The answer; None for what is not here.

        Raises:
            ArmError, ArmErrorsError: what is asked about is not there, or the question is malformed.
        """
        kind = target.full_type.lower()
        if kind.startswith(f"{_CONNECTIONS}/"):
            return await self._of_connection(request, target, kind.removeprefix(f"{_CONNECTIONS}/"))
        if kind.startswith(f"{_GATEWAYS}/") and len(target.segments) == 3:
            return await self._of_gateway(request, target, kind.removeprefix(f"{_GATEWAYS}/"))
        if kind.startswith(f"{_CIRCUITS}/"):
            return await self._of_circuit(request, target, kind.removeprefix(f"{_CIRCUITS}/"))
        return None

    async def live(self, views: list[Document]) -> list[Document]:
        """Views, those of connections with what has become of them."""
        if not any(each["type"] == CONNECTIONS for each in views):
            return views
        return await asyncio.to_thread(lambda: [self._live(each) for each in views])

    def _live(self, view: Document) -> Document:
        if view["type"] != CONNECTIONS:
            return view
        return shapes.with_state(view, self._fabric.gateways.connection_state(parse(view["id"])))

    async def _of_connection(self, request: Request, target: Target, action: str) -> Response | None:
        match request.method, action, len(target.segments):
            case "GET", "sharedkey", 3:
                document = await self._top(target)
                return answer(request, {"value": key_of(document), "id": document["id"]})
            case "PUT", "sharedkey", 3:
                key = self._given(await read_body(request), target)
                document = await self._change_key(target, key)
                return answer(request, {"value": key_of(document), "id": document["id"]})
            case "POST", "sharedkey", 4 if target.segments[3].lower() == "reset":
                fields = Fields(await read_body(request), "", str(target.resource()))
                length = fields.integer("keyLength")
                await self._change_key(target, made_key(length))
                return self._polled(request, target, {"keyLength": length})
            case "POST", "resetconnection", 3:
                await self._reset(target, self._fabric.gateways.reset_connection)
                return self._polled(request, target, None)
        return None

    @staticmethod
    def _given(body: Any, target: Target) -> str:
        fields = Fields(body, "", str(target.resource()))
        fields.allow("id")
        key = read_key(fields, "value")
        fields.refuse_unread()
        if not key:
            raise fields.error("InvalidRequestFormat", "is required", "value")
        return key

    async def _change_key(self, target: Target, key: str) -> Document:
        def change() -> Document:
            document = self._resources.top(target)
            if not key_of(document):
                what = f"{document['id']} is an ExpressRoute connection, which has no shared key."
                raise ArmError("InvalidRequestFormat", what, target=document["id"])
            return self._fabric.put(with_key(document, key))

        resource = replace(target, segments=target.segments[:2]).resource()
        return await self._writes.change(resource, change)

    async def _of_gateway(self, request: Request, target: Target, action: str) -> Response | None:
        states = self._fabric.gateways
        match request.method, action:
            case "GET", "connections":
                views = await self._turn.take(lambda: self._connections(target))
                return page(request, await self.live(views))
            case "POST", "reset":
                document = await self._top(target)
                _check_instance(document, request.query_params.get("gatewayVip", ""))
                await self._reset(target, states.reset_gateway)
                view = await self._turn.take(
                    lambda: self._resources.get(replace(target, segments=target.segments[:2]))[0]
                )
                return self._polled(request, target, view)
            case "POST", "getbgppeerstatus":
                peer = request.query_params.get("peer", "")
                peers = await self._ask(target, states.bgp_peers)
                shown = [shapes.peer_document(each) for each in peers if not peer or str(each.neighbor) == peer]
                return self._polled(request, target, {"value": shown})
            case "POST", "getlearnedroutes":
                routes = await self._ask(target, states.learned)
                return self._polled(request, target, {"value": [shapes.route_document(each) for each in routes]})
            case "POST", "getadvertisedroutes":
                text = request.query_params.get("peer", "")
                try:
                    neighbor = ip_address(text)
                except ValueError:
                    what = f"peer must be the address of a BGP peer, not {text!r}"
                    raise ArmError("InvalidRequestFormat", what, target=str(target.resource())) from None
                routes = await self._ask(target, lambda gateway: states.advertised(gateway, neighbor))
                return self._polled(request, target, {"value": [shapes.route_document(each) for each in routes]})
        return None

    def _connections(self, target: Target) -> list[Document]:
        gateway = self._resources.top(target)["id"].lower()
        world = self._fabric.world
        found = (world.documents[user.lower()] for user in world.users(gateway, "connections"))
        return [
            self._resources.get(_target_of(parse(each["id"])))[0]
            for each in found
            if each["properties"]["virtualNetworkGateway1"]["id"].lower() == gateway
        ]

    async def _of_circuit(self, request: Request, target: Target, action: str) -> Response | None:
        match request.method, action.split("/"), len(target.segments):
            case "GET", ["stats"], 3:
                return answer(request, shapes.statistics(await self._links(target)))
            case "GET", ["peerings", "stats"], 5:
                await self._part(target)
                return answer(request, shapes.statistics(await self._links(target)))
            case "POST", ["authorizations", "listkeys"], 5:
                view = await self._part(target)
                return answer(request, {"authorizationKey": view["properties"]["authorizationKey"]})
            case "POST", ["peerings", question], 6 if question in _LINKS:
                await self._part(target)
                wanted = target.segments[5].lower()
                if wanted not in {"primary", "secondary"}:
                    what = f"the path of a device is primary or secondary, not {wanted!r}"
                    raise ArmError("InvalidRequestFormat", what, target=str(target.resource()))
                links = [each for each in await self._links(target) if each.name == wanted]
                shown = [row for each in links for row in _LINKS[question](each)]
                return self._polled(request, target, {"value": shown})
        return None

    async def _links(self, target: Target) -> tuple[CircuitLinkState, ...]:
        return await self._ask(target, self._fabric.gateways.circuit_links)

    async def _part(self, target: Target) -> Document:
        """The view of the peering or authorization that is asked about."""
        part = replace(target, segments=target.segments[:4])
        return await self._turn.take(lambda: self._resources.get(part)[0])

    async def _top(self, target: Target) -> Document:
        return await self._turn.take(lambda: self._resources.top(target))

    async def _ask(self, target: Target, question: Callable[[ResourceId], T]) -> T:
        document = await self._top(target)
        return await asyncio.to_thread(question, parse(document["id"]))

    async def _reset(self, target: Target, reset: Callable[[ResourceId], None]) -> None:
        await self._ask(target, reset)

    def _polled(self, request: Request, target: Target, body: Any) -> Response:
        extra = self._operations.headers(request, target.subscription, Outcome("Succeeded", body=body), location=True)
        del extra["Azure-AsyncOperation"]
        return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)


def _check_instance(gateway: Document, public: str) -> None:
    """Refuse the reset of one instance of several: a gateway is reset as a whole."""
    peers = gateway["properties"]["bgpSettings"]["bgpPeeringAddresses"]
    own = [address for each in peers for address in each["tunnelIpAddresses"]]
    if public and own != [public]:
        what = f"gatewayVip: this fabric resets gateways as a whole, not {public} of {', '.join(own) or 'none'}"
        raise ArmError("UnsupportedProperty", what, target=gateway["id"])


def _target_of(resource: ResourceId) -> Target:
    segments = tuple(part for pair in resource.path for part in pair)
    return Target(resource.subscription, resource.resource_group, resource.provider, segments)
