"""The resource manager's HTTP application: who asks, what for, and how it is answered."""

from __future__ import annotations

import datetime as dt
import time
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from podvnet.fabric.api import resource_groups as frame
from podvnet.fabric.api.address_availability import check_availability
from podvnet.fabric.api.answers import answer, base_url, page, refusal
from podvnet.fabric.api.balancer_questions import BalancerQuestions
from podvnet.fabric.api.deployment_actions import DeploymentActions
from podvnet.fabric.api.deployments import Deployments
from podvnet.fabric.api.description import describe
from podvnet.fabric.api.gateway_actions import GatewayActions
from podvnet.fabric.api.locations import Locations
from podvnet.fabric.api.login import Login
from podvnet.fabric.api.machine_actions import MachineActions
from podvnet.fabric.api.metrics import Metrics
from podvnet.fabric.api.network_questions import NetworkQuestions
from podvnet.fabric.api.operations import Operations, Outcome
from podvnet.fabric.api.private_dns import is_polled, is_record_set
from podvnet.fabric.api.request_body import read_body
from podvnet.fabric.api.resource_groups import ResourceGroups
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.service_actions import ServiceActions, deletes_at_once, status_of_creation
from podvnet.fabric.api.target import Target, check_api_version, parse_path
from podvnet.fabric.api.usages import subnet_usages
from podvnet.fabric.api.writes import SupersededError, Writes
from podvnet.fabric.engine import Fabric
from podvnet.fabric.identity import managed
from podvnet.fabric.identity.principals import TENANT, Principals, Role
from podvnet.fabric.identity.tokens import Signer
from podvnet.fabric.metrics.sampler import Sampler
from podvnet.fabric.turn import Turn
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION

_log = structlog.get_logger()

_READS = {"GET", "HEAD"}


class ResourceManager:
    """The application's parts.

    Args:
        fabric: the engine, whose calls are made in ``turn``.
        turn: shared with everybody else who calls the engine.
        principals: who may log in.
        signer: signs and checks tokens.
        sampler: measures; one that measures only when it is asked unless another is given.
    """

    def __init__(
        self, fabric: Fabric, turn: Turn, principals: Principals, signer: Signer, sampler: Sampler | None = None
    ) -> None:
        self._fabric = fabric
        self._turn = turn
        self._principals = principals
        self._signer = signer
        self._groups = ResourceGroups(fabric.store)
        self._resources = Resources(fabric, self._groups)
        self._deployments = Deployments(fabric, self._groups, self._resources, lambda: dt.datetime.now(dt.UTC))
        self._operations = Operations()
        self._deployment_actions = DeploymentActions(turn, self._deployments, self._operations)
        self._writes = Writes(turn, self._operations)
        self._machines = MachineActions(fabric, turn, self._resources, self._writes, self._operations)
        self._questions = NetworkQuestions(fabric, turn, self._resources, self._operations)
        self._balancers = BalancerQuestions(fabric, turn, self._resources, self._operations)
        self._metrics = Metrics(turn, self._resources, sampler or Sampler(lambda: fabric.intent))
        self._services = ServiceActions(fabric, turn, self._resources)
        self._gateways = GatewayActions(fabric, turn, self._resources, self._writes, self._operations)
        self._locations = Locations(self._operations, lambda: fabric.world)

    def application(self) -> Starlette:
        """The ASGI application."""
        methods = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"]
        return Starlette(
            routes=[
                *Login(self._principals, self._signer).routes(),
                Route("/openapi.json", self._describe, methods=["GET"]),
                Route("/{path:path}", self._handle, methods=methods),
            ],
            exception_handlers={HTTPException: self._unserved},
        )

    @staticmethod
    async def _describe(request: Request) -> Response:
        """The description of the API; it holds no secret and takes no token, as the discovery documents."""
        return answer(request, describe())

    @staticmethod
    async def _unserved(request: Request, error: Exception) -> Response:
        """The answer where no route leads: to methods that there are not, and paths with a line's end in them."""
        found = _unknown(request)
        if isinstance(error, HTTPException):
            found.status = HTTPStatus(error.status_code)
        return refusal(request, found)

    async def _handle(self, request: Request) -> Response:
        try:
            self._authorize(request)
            check_api_version(request.query_params.get("api-version"))
            # The URL is no guide here: a path that came with %3F or %23 in a name would end there.
            target = parse_path(request.scope["path"])
            return await self._route(request, target)
        except ArmError as error:
            return refusal(request, error)
        except ClientDisconnect:
            # Nobody is there to be answered, and nothing was begun: a body is read before a turn is asked for.
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except ArmErrorsError as several:
            return refusal(request, several.errors[0])
        except Exception:  # noqa: BLE001 - the client is told, the log has the traceback, the others are served
            _log.exception("bug", method=request.method, path=request.url.path)
            bug = ArmError(
                "InternalServerError",
                "The fabric failed by a bug of its own; its log has the traceback.",
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
            )
            return refusal(request, bug)

    def _authorize(self, request: Request) -> None:
        here = base_url(request)
        audiences = (here, "https://management.azure.com", "https://management.core.windows.net")
        client = self._signer.client_of(request.headers.get("authorization"), audiences, time.time())
        principal = self._principals.find(client) or managed.find(self._fabric.world, client)
        if principal is None:
            raise ArmError(
                "InvalidAuthenticationToken", f"The client '{client}' is not known.", status=HTTPStatus.UNAUTHORIZED
            )
        if principal.role is Role.READER and request.method not in _READS:
            raise ArmError(
                "AuthorizationFailed",
                f"The client '{principal.client}' with object id '{principal.object}' does not have authorization to"
                f" perform action '{request.method}' over scope '{request.url.path}'.",
                status=HTTPStatus.FORBIDDEN,
            )

    async def _route(self, request: Request, target: Target) -> Response:
        if not target.subscription:
            return self._above_subscriptions(request, target)
        frame.subscription_document(target.subscription)
        if target.provider:
            if target.segments and target.segments[0].lower() == "locations":
                found = self._locations.answer(request, target)
                if found is None:
                    raise _unknown(request)
                return found
            if target.full_type.lower().startswith("microsoft.resources/deployments") and target.group:
                acted = await self._deployment_actions.answer(request, target)
                if acted is None:
                    raise _unknown(request)
                return acted
            if target.provider.lower() == "microsoft.resources" or not target.segments:
                return self._provider(request, target)
            return await self._resource(request, target)
        if target.group:
            return await self._group(request, target)
        return await self._subscription(request, target)

    @staticmethod
    def _above_subscriptions(request: Request, target: Target) -> Response:
        words = tuple(word.lower() for word in target.words)
        if request.method in _READS and words == ("subscriptions",):
            return page(request, [frame.subscription_document(DEFAULT_SUBSCRIPTION)])
        if request.method in _READS and words == ("tenants",):
            return page(request, [{"id": f"/tenants/{TENANT}", "tenantId": TENANT, "tenantCategory": "Home"}])
        raise _unknown(request)

    async def _subscription(self, request: Request, target: Target) -> Response:
        words = tuple(word.lower() for word in target.words)
        if request.method in _READS and not words:
            return answer(request, frame.subscription_document(target.subscription))
        if request.method in _READS and words == ("resourcegroups",):
            world = self._fabric.world
            return page(request, await self._turn.take(lambda: self._groups.every(target.subscription, world)))
        if request.method in _READS and words == ("providers",):
            return page(request, frame.provider_documents(target.subscription))
        if request.method in _READS and words == ("resources",):
            condition = request.query_params.get("$filter", "")
            return page(
                request, await self._turn.take(lambda: self._resources.in_group(target.subscription, "", condition))
            )
        if request.method in _READS and words == ("locations",):
            location = {"name": frame.LOCATION, "displayName": "Local", "id": f"/subscriptions/{target.subscription}"}
            return page(request, [location])
        if request.method in _READS and words[:1] == ("operationresults",):
            return answer(request)
        raise _unknown(request)

    @staticmethod
    def _provider(request: Request, target: Target) -> Response:
        rest = tuple(segment.lower() for segment in target.segments)
        if (request.method in _READS and not rest) or (request.method == "POST" and rest == ("register",)):
            return answer(request, frame.provider_document(target.subscription, target.provider))
        raise _unknown(request)

    async def _group(self, request: Request, target: Target) -> Response:
        subscription, name, world = target.subscription, target.group, self._fabric.world
        words = tuple(word.lower() for word in target.words)
        groups, take = self._groups, self._turn.take
        if words == ("resources",) and request.method in _READS:
            await take(lambda: groups.get(subscription, name, world))
            return page(request, await take(lambda: self._resources.in_group(subscription, name)))
        if words:
            raise _unknown(request)
        match request.method:
            case "GET":
                return answer(request, await take(lambda: groups.get(subscription, name, world)))
            case "HEAD":
                return answer(request, status=await take(lambda: self._head(subscription, name)))
            case "PUT":
                body = await read_body(request)
                new, document = await take(lambda: groups.put(subscription, name, body, world))
                return answer(request, document, HTTPStatus.CREATED if new else HTTPStatus.OK)
            case "PATCH":
                body = await read_body(request)
                return answer(request, await take(lambda: groups.tag(subscription, name, body, world)))
            case "DELETE":
                await take(lambda: self._delete_group(subscription, name))
                place = f"{base_url(request)}/subscriptions/{subscription}/operationresults/done"
                extra = {"Location": f"{place}?api-version=2021-04-01", "Retry-After": "1"}
                return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)
        raise _unknown(request)

    def _head(self, subscription: str, name: str) -> int:
        try:
            self._groups.get(subscription, name, self._fabric.world)
        except ArmError as error:
            return error.status
        return HTTPStatus.NO_CONTENT

    def _delete_group(self, subscription: str, name: str) -> None:
        self._groups.get(subscription, name, self._fabric.world)
        prefix = f"/subscriptions/{subscription}/resourcegroups/{name}/".lower()
        self._fabric.remove({key for key in self._fabric.world.documents if key.startswith(prefix)})
        self._deployments.forget_group(subscription, name)
        self._groups.remove(subscription, name)

    async def _resource(self, request: Request, target: Target) -> Response:
        resources, writes = self._resources, self._writes
        for actions in (
            self._machines, self._questions, self._balancers, self._metrics, self._services, self._gateways
        ):  # fmt: skip
            acted = await actions.answer(request, target)
            if acted is not None:
                return acted
        if_match = request.headers.get("if-match")
        if request.method in _READS:
            return await self._read(request, target)
        if target.is_collection:
            raise _unknown(request)
        match request.method:
            case "PUT":
                body = await read_body(request)
                synchronise = request.query_params.get("syncRemoteAddressSpace", "").lower() == "true"
                version = request.query_params["api-version"]
                new_only = request.headers.get("if-none-match") == "*"
                conditional = (if_match or "*") != "*" or new_only
                try:
                    written = await writes.put(
                        target.resource(),
                        lambda: resources.put(
                            target, body, if_match, version, synchronise=synchronise, new_only=new_only
                        ),
                        None
                        if conditional
                        else lambda: resources.is_acceptable(target, body, version, synchronise=synchronise),
                    )
                except SupersededError as error:
                    where = self._operations.pointer(request, target.subscription, error.operation)
                    return refusal(request, error, where)
                if is_polled(target.full_type):
                    extra = self._operations.headers(request, target.subscription, Outcome("Succeeded"), location=True)
                    return answer(request, {}, HTTPStatus.ACCEPTED, extra | {"ETag": written.etag})
                status = status_of_creation(target) if written.new else HTTPStatus.OK
                (view,) = await self._gateways.live([written.view])
                return answer(request, view, status, {"ETag": written.etag})
            case "PATCH":
                body = await read_body(request)
                written = await writes.change(target.resource(), lambda: resources.tag(target, body, if_match))
                (view,) = await self._gateways.live([written.view])
                return answer(request, view, extra={"ETag": written.etag})
            case "DELETE":
                if not await writes.change(target.resource(), lambda: resources.delete(target, if_match)):
                    return answer(request, status=HTTPStatus.NO_CONTENT)
                if deletes_at_once(target) or is_record_set(target.full_type):
                    return answer(request)
                extra = self._operations.headers(request, target.subscription, Outcome("Succeeded"), location=True)
                return answer(request, status=HTTPStatus.ACCEPTED, extra=extra)
        raise _unknown(request)

    async def _read(self, request: Request, target: Target) -> Response:
        take, resources = self._turn.take, self._resources
        match target.full_type.lower():
            case "microsoft.network/virtualnetworks/usages" if target.is_collection:
                return page(request, await take(lambda: subnet_usages(resources.top(target), self._fabric.world)))
            case "microsoft.network/virtualnetworks/checkipaddressavailability" if target.is_collection:
                parameters = {name.lower(): value for name, value in request.query_params.items()}
                address = parameters.get("ipaddress", "")
                found = await take(lambda: check_availability(resources.top(target), address, self._fabric.world))
                return answer(request, found)
        if target.is_collection:
            ending = request.query_params.get("$recordsetnamesuffix", "")
            return page(request, await self._gateways.live(await take(lambda: resources.every(target, ending))))
        view, etag = await take(lambda: resources.get(target))
        (live,) = await self._gateways.live([view])
        return answer(request, live, extra={"ETag": etag})


def _unknown(request: Request) -> ArmError:
    return ArmError(
        "InvalidResourceType",
        f"{request.method} {request.url.path} is nothing this fabric serves.",
        status=HTTPStatus.NOT_FOUND,
    )
