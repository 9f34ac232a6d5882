"""The Instance Metadata Service of one VNet namespace, as an ASGI application; the caller opens the socket.

Which VM asks is told by the source address, through a lookup that belongs to the namespace, so a VM is shown its own
data and nothing else. In Azure a request from any address but the primary one of the primary NIC is never answered;
dropping it is the network's business, and a source that the lookup does not know gets a plain 404 here.

The checks, in the order in which they are made; the first that fails is the answer:

1. five requests a second for each VM, else 429 with ``Retry-After`` (every request counts, the refused ones too);
2. GET only, else 405;
3. no ``X-Forwarded-For``, and ``Metadata: true`` without regard to case, else 400;
4. no query parameter twice, else 400;
5. a known ``api-version`` (not for ``/metadata/versions``), else 400 with the newest ones;
6. a path that exists, else 404; JSON of a leaf, or a format other than ``json`` and ``text``: 400.

``/metadata/loadbalancer`` answers what a VM without a load balancer gets, which today is every VM. The categories
``attested`` and ``scheduledevents`` are absent: 404. ``/metadata/identity`` has checks and a rate of its own:
:mod:`podvnet.fabric.imds_identity`.

Sources: Azure documents "Azure Instance Metadata Service" and "Common error codes for Azure Instance Metadata
Service (IMDS)". Where these give no text for an error, the text is our own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from podvnet.fabric import imds_identity
from podvnet.fabric.imds_document import NEWEST_VERSIONS, VERSIONS, Node, instance_document, text, walk
from podvnet.model.intent import Intent, VirtualMachine

REQUESTS_PER_SECOND = 5
"""Requests that a VM may make each second, and the largest burst."""

_NO_LOAD_BALANCER = (
    "No load balancer metadata is found. Please check if your VM is using any non-basic SKU load balancer and retry"
    " later."
)


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A bucket that fills at a rate and holds what comes in a second; a request takes one token.

    Attributes:
        at: the time of the last request, in seconds of the caller's clock.
        tokens: what was left after it.
        rate: tokens a second.
    """

    at: float
    tokens: float = float(REQUESTS_PER_SECOND)
    rate: int = REQUESTS_PER_SECOND

    def take(self, now: float) -> tuple[TokenBucket, float]:
        """Return the bucket after a request at ``now``, and the seconds until a token is there: 0 when it had one."""
        filled = min(float(self.rate), self.tokens + max(0.0, now - self.at) * self.rate)
        if filled < 1:
            return replace(self, at=now, tokens=filled), (1 - filled) / self.rate
        return replace(self, at=now, tokens=filled - 1), 0.0


def imds_app(
    lookup: Callable[[str], VirtualMachine | None],
    intent: Callable[[], Intent],
    mint: imds_identity.Mint,
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """Make the service of one VNet namespace.

    Args:
        lookup: gives the VM whose primary address a request comes from, by the address's text; None when there is none.
        intent: gives the intent as it is now. The lookup's VM must be of the same state.
        mint: signs tokens for the identities of VMs.
        clock: seconds, never going back.
    """
    return Starlette(routes=[Route("/{path:path}", _Endpoint(lookup, intent, mint, clock))])


class _Endpoint:
    """Holds what outlives a request: the buckets, by the key of the VM's resource id and the rate."""

    def __init__(
        self,
        lookup: Callable[[str], VirtualMachine | None],
        intent: Callable[[], Intent],
        mint: imds_identity.Mint,
        clock: Callable[[], float],
    ) -> None:
        self._lookup = lookup
        self._intent = intent
        self._mint = mint
        self._clock = clock
        self._buckets: dict[tuple[str, int], TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        machine = self._lookup(request.client.host) if request.client else None
        identity = imds_identity.is_identity(scope["path"])
        if machine is None:
            response: Response = PlainTextResponse("Not found", 404)
        elif wait := self._wait(machine, imds_identity.REQUESTS_PER_SECOND if identity else REQUESTS_PER_SECOND):
            response = _error(429, "Too many requests", headers={"Retry-After": str(math.ceil(wait))})
        elif identity:
            response = imds_identity.answer(request, machine, self._mint)
        else:
            response = answer(request, machine, self._intent())
        await response(scope, receive, send)

    def _wait(self, machine: VirtualMachine, rate: int) -> float:
        """Take a token of the VM. Buckets of VMs that are gone are dropped whenever a new VM comes."""
        key, now = (machine.id.key, rate), self._clock()
        if key not in self._buckets:
            known = self._intent().machines
            self._buckets = {other: bucket for other, bucket in self._buckets.items() if other[0] in known}
        self._buckets[key], wait = self._buckets.get(key, TokenBucket(now, float(rate), rate)).take(now)
        return wait


def answer(request: Request, machine: VirtualMachine, intent: Intent) -> Response:
    """Decide what a VM gets for a request: checks 2 to 6 of this module, then the document."""
    if request.method != "GET":
        return _error(405, f"Http method is not allowed: {request.method}", headers={"Allow": "GET"})
    if "x-forwarded-for" in request.headers:
        return _error(400, "Bad request. A request with the header X-Forwarded-For is not for this service")
    if request.headers.get("metadata", "").strip().lower() != "true":
        return _error(400, "Bad request. Required metadata header not specified")
    pairs = [(name.lower(), value) for name, value in request.query_params.multi_items()]
    query = dict(pairs)
    if len(query) != len(pairs):
        return _error(400, "Bad request. A query parameter is given more than once")
    path = tuple(request.scope["path"].strip("/").split("/"))
    if path == ("metadata", "versions"):
        return _json({"apiVersions": list(VERSIONS)})
    version = query.get("api-version", "")
    if version not in VERSIONS:
        return _unknown_version()
    if path == ("metadata", "loadbalancer"):
        return _error(404, _NO_LOAD_BALANCER)
    if path[:2] != ("metadata", "instance"):
        return _error(404, "Not found")
    return _instance(path[2:], query.get("format", "json").lower(), instance_document(intent, machine, version))


def _instance(path: tuple[str, ...], form: str, document: Node) -> Response:
    if form not in {"json", "text"}:
        return _error(400, "Bad request. The format must be json or text")
    part = walk(document, path)
    if part is None:
        return _error(404, "Not found")
    if form == "text":
        return PlainTextResponse(text(part))
    if isinstance(part, str):
        return _error(400, "Bad request. This element is a single value: ask for it with format=text")
    return _json(part)


def _unknown_version() -> Response:
    return _json(
        {
            "error": "Bad request. api-version is invalid or was not specified in the request."
            " For more information refer to aka.ms/azureimds",
            "newest-versions": list(NEWEST_VERSIONS),
        },
        400,
    )


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return _json({"error": message}, status, headers)


def _json(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json; charset=utf-8")
