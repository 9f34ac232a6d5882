"""The wireserver of one VNet namespace, as an ASGI application; the caller opens the socket.

Which VM asks is told by the source address, through a lookup that belongs to the namespace, so a VM is shown its own
data and nothing else. Unlike the metadata service the wireserver answers every address of a VM: the lookup decides.

==== ========================================================= ===================================================
verb request                                                   answer
==== ========================================================= ===================================================
GET  ``/?comp=versions``                                       versions of the wire protocol
GET  ``/machine?comp=goalstate``                               goal state; needs ``x-ms-version``, else 400
GET  ``/machine/plugins?comp=nmagent&type=getinterfaceinfov1`` addresses of the VM's NICs
GET  ``/machine/plugins?comp=nmagent&type=GetSupportedApis``   what may stand for ``type``
POST ``/machine?comp=health``                                  200; nothing is kept
POST ``/machine?comp=roleProperties``                          200; nothing is kept
POST ``/machine?comp=telemetrydata``                           200; nothing is kept
==== ========================================================= ===================================================

A slash may end each path; ``comp``, ``type`` and their values have no case. Any other path is 404; a path with a
parameter it does not know, or with the wrong verb, is 400. Errors are XML.

The incarnation of a VM's goal state is counted here, by the application: it starts at 1 and grows by one whenever a
goal state is asked for and its digest is not that of the last answer. Changes that no request fell between count as
one, which an agent cannot tell apart.

Sources: WALinuxAgent, azurelinuxagent/common/protocol/wire.py; azure-container-networking, ipam/azure.go and nmagent/.
The texts of errors are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from podvnet.fabric.wireserver_document import (
    PREFERRED_VERSION,
    SUPPORTED_VERSIONS,
    error_document,
    goal_state_digest,
    goal_state_document,
    interfaces_document,
    supported_apis_document,
    versions_document,
)
from podvnet.model.intent import Intent, VirtualMachine

_REPORTS = frozenset({"health", "roleproperties", "telemetrydata"})
"""What a guest agent posts."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """How often a VM's goal state has changed. ``number`` starts at 1; ``digest`` is of the state it counts."""

    digest: str
    number: int = 1

    def follow(self, digest: str) -> Incarnation:
        """The incarnation of a state: this one when nothing changed, else the next."""
        return self if digest == self.digest else Incarnation(digest, self.number + 1)


def wireserver_app(lookup: Callable[[str], VirtualMachine | None], intent: Callable[[], Intent]) -> ASGIApp:
    """Make the wireserver of one VNet namespace.

    Args:
        lookup: gives the VM that an address belongs to, by the address's text; None when there is none.
        intent: gives the intent as it is now. The lookup's VM must be of the same state.
    """
    return Starlette(routes=[Route("/{path:path}", _Endpoint(lookup, intent))])


class _Endpoint:
    """Holds what outlives a request: the incarnations, by the key of the VM's resource id."""

    def __init__(self, lookup: Callable[[str], VirtualMachine | None], intent: Callable[[], Intent]) -> None:
        self._lookup = lookup
        self._intent = intent
        self._incarnations: dict[str, Incarnation] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        machine = self._lookup(request.client.host) if request.client else None
        if machine is None:
            response: Response = PlainTextResponse("Not found", 404)
        else:
            response = answer(request, machine, self._intent(), self._incarnation)
        await response(scope, receive, send)

    def _incarnation(self, machine: VirtualMachine, intent: Intent) -> int:
        """Count the goal state of a VM. The count of a VM that is gone is dropped whenever a new VM comes."""
        key, digest = machine.id.key, goal_state_digest(intent, machine)
        if key not in self._incarnations:
            known = intent.machines
            self._incarnations = {other: kept for other, kept in self._incarnations.items() if other in known}
        self._incarnations[key] = self._incarnations.get(key, Incarnation(digest)).follow(digest)
        return self._incarnations[key].number


def answer(
    request: Request,
    machine: VirtualMachine,
    intent: Intent,
    incarnation: Callable[[VirtualMachine, Intent], int],
) -> Response:
    """Decide what a VM gets for a request.

    ``incarnation`` gives the number of the VM's goal state; it is called for a goal state only.
    """
    path = request.scope["path"].rstrip("/").lower()
    query = {name.lower(): value.lower() for name, value in request.query_params.multi_items()}
    match request.method, path, query.get("comp", ""):
        case "GET", "", "versions":
            return _xml(versions_document())
        case "GET", "/machine", "goalstate":
            version = request.headers.get("x-ms-version")
            return _version_error(version) or _xml(
                goal_state_document(machine, version or PREFERRED_VERSION, incarnation(machine, intent))
            )
        case "GET", "/machine/plugins", "nmagent":
            return _nmagent(query.get("type", ""), machine, intent)
        case "POST", "/machine", comp if comp in _REPORTS:
            return _xml(b"")
        case method, ("" | "/machine" | "/machine/plugins"), comp:
            return _error(400, "InvalidQueryParameterValue", f"{method} {path or '/'} does not know comp={comp!r}")
        case _:
            return _error(404, "ResourceNotFound", f"there is nothing at {path!r}")


def _nmagent(kind: str, machine: VirtualMachine, intent: Intent) -> Response:
    match kind:
        case "getinterfaceinfov1":
            return _xml(interfaces_document(intent, machine))
        case "getsupportedapis":
            return _xml(supported_apis_document())
        case _:
            return _error(400, "InvalidQueryParameterValue", f"comp=nmagent does not know type={kind!r}")


def _version_error(version: str | None) -> Response | None:
    if version is None:
        return _error(400, "MissingRequiredHeader", "the header x-ms-version is required")
    if version not in SUPPORTED_VERSIONS:
        known = ", ".join(SUPPORTED_VERSIONS)
        return _error(400, "InvalidHeaderValue", f"x-ms-version {version!r} is none of {known}")
    return None


def _error(status: int, code: str, message: str) -> Response:
    return _xml(error_document(code, message), status)


def _xml(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="text/xml; charset=utf-8")
