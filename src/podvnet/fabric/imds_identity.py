"""``/metadata/identity`` of the Instance Metadata Service: access tokens for the identities of the VM that asks.

The checks, in the order in which they are made; the first that fails is the answer:

1. twenty requests a second for each VM, else 429 (counted by :mod:`podvnet.fabric.imds`);
2. GET only, else 405;
3. ``Metadata: true``, no ``X-Forwarded-For``, no parameter twice, a known ``api-version``, for a token a ``resource``:
   else 400 ``invalid_request``;
4. an identity: the one that ``client_id``, ``object_id`` and ``msi_res_id`` (or ``mi_res_id``) name; when they name
   none, the system-assigned one, or the only user-assigned one. Else 400 ``invalid_request``.

Sources: Azure documents "How to use managed identities for Azure resources on an Azure VM to acquire an access token"
(members, all strings; errors) and the service's own interface file (``/identity/info``); the texts of the refusals are
those that clients have recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.identity.tokens import LIFETIME
from podvnet.fabric.imds_document import VERSIONS
from podvnet.model.intent import ManagedIdentity, VirtualMachine

REQUESTS_PER_SECOND = 20
"""Requests for tokens that a VM may make each second, and the largest burst."""

Mint = Callable[[str, str, float], str | None]
"""Signs a token for a client id and a resource at a time in seconds since the epoch; None when the client is gone."""

_NOT_FOUND = "Identity not found"
_SEVERAL = (
    "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token"
    " request"
)


class UnknownIdentityError(Exception):
    """A VM has no such identity, or several; the text is what it is told."""


def is_identity(path: str) -> bool:
    """Tell whether a path is this part of the service."""
    return path.strip("/").split("/")[:2] == ["metadata", "identity"]


def answer(request: Request, machine: VirtualMachine, mint: Mint, now: Callable[[], float] = time.time) -> Response:
    """Decide what a VM gets: checks 2 to 4 of this module, then the token or the tenant.

    Args:
        request: the request.
        machine: the VM that asks.
        mint: signs the token.
        now: seconds since the epoch.
    """
    if request.method != "GET":
        return _json(
            {"error": "method_not_allowed", "error_description": f"Http method is not allowed: {request.method}"},
            HTTPStatus.METHOD_NOT_ALLOWED,
        )
    if request.headers.get("metadata", "").strip().lower() != "true":
        return _invalid("Required metadata header not specified")
    if "x-forwarded-for" in request.headers:
        return _invalid("A request with the header X-Forwarded-For is not for this service")
    pairs = [(name.lower(), value) for name, value in request.query_params.multi_items()]
    query = dict(pairs)
    if len(query) != len(pairs):
        return _invalid("A query parameter is given more than once")
    if not query.get("api-version"):
        return _invalid("Required query variable 'api-version' is missing")
    if query["api-version"] not in VERSIONS:
        return _invalid(f"The api-version {query['api-version']} is not supported")
    match request.scope["path"].strip("/").split("/")[2:]:
        case ["info"]:
            return _json({"tenantId": TENANT})
        case ["oauth2", "token"]:
            return _token(query, machine, mint, int(now()))
    return _json({"error": "not_found", "error_description": "Not found"}, HTTPStatus.NOT_FOUND)


def chosen(identities: tuple[ManagedIdentity, ...], query: dict[str, str]) -> ManagedIdentity:
    """The identity that a request means.

    Args:
        identities: those of the VM.
        query: the request's parameters; their names in lower case.

    Raises:
        UnknownIdentityError: there is none, or it is not said which.
    """
    wanted = {
        "client": query.get("client_id", "").lower(),
        "object": query.get("object_id", "").lower(),
        "resource": (query.get("msi_res_id") or query.get("mi_res_id", "")).lower(),
    }
    if any(wanted.values()):
        found = [
            each
            for each in identities
            if wanted["client"] in {"", each.client}
            and wanted["object"] in {"", each.object}
            and wanted["resource"] in {"", each.id.key}
        ]
    else:
        found = [each for each in identities if each.system_assigned] or list(identities)
    if len(found) == 1:
        return found[0]
    raise UnknownIdentityError(_SEVERAL if found else _NOT_FOUND)


def _token(query: dict[str, str], machine: VirtualMachine, mint: Mint, now: int) -> Response:
    resource = query.get("resource", "")
    if not resource:
        return _invalid("Required query variable 'resource' is missing")
    try:
        identity = chosen(machine.identities, query)
    except UnknownIdentityError as error:
        return _invalid(str(error))
    token = mint(identity.client, resource, now)
    if token is None:
        return _invalid(_NOT_FOUND)
    return _json(
        {
            "access_token": token,
            "client_id": identity.client,
            "expires_in": str(LIFETIME),
            "expires_on": str(now + LIFETIME),
            "ext_expires_in": str(LIFETIME),
            "not_before": str(now),
            "resource": resource,
            "token_type": "Bearer",
        }
    )


def _invalid(description: str) -> Response:
    return _json({"error": "invalid_request", "error_description": description}, HTTPStatus.BAD_REQUEST)


def _json(document: dict[str, str], status: int = HTTPStatus.OK) -> Response:
    headers = {"Allow": "GET"} if status == HTTPStatus.METHOD_NOT_ALLOWED else None
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json; charset=utf-8")
