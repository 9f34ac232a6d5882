"""Responses as the resource manager gives them: headers, envelopes, pages.

Sources: Azure documents "Azure REST API reference: common parameters and headers" and "Track asynchronous Azure
operations".
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from podvnet.model.arm_error import ArmError

PAGE = 100
"""Resources a page of a list."""
_LONGEST_TOKEN = 9
"""Digits of a ``$skiptoken``."""
RETRY_AFTER = "1"
"""Seconds; clients take 0 or nothing as 30."""


def headers_for(request: Request) -> dict[str, str]:
    """The headers of every answer: ids to trace it by, and no caching."""
    identity = str(uuid.uuid4())
    found = {
        "x-ms-request-id": identity,
        "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", identity),
        "x-ms-routing-request-id": f"LOCAL:{identity}",
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
    }
    client = request.headers.get("x-ms-client-request-id")
    if client and request.headers.get("x-ms-return-client-request-id", "").lower() == "true":
        found["x-ms-client-request-id"] = client
    return found


def answer(
    request: Request, body: Any = None, status: int = HTTPStatus.OK, extra: Mapping[str, str] | None = None
) -> Response:
    """An answer with the common headers; without a body when ``body`` is None."""
    headers = headers_for(request) | dict(extra or {})
    if body is None:
        return Response(status_code=status, headers=headers)
    return JSONResponse(body, status_code=status, headers=headers)


def refusal(request: Request, error: ArmError, more: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that is refused; ``more`` are further headers."""
    extra = dict(more or {})
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        extra["Retry-After"] = RETRY_AFTER
    if error.status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = (
            f'Bearer authorization_uri="{base_url(request)}/common", error="invalid_token",'
            f' error_description="{error.code}"'
        )
    return answer(request, {"error": error.document()}, error.status, extra)


def page(request: Request, values: Sequence[Any]) -> Response:
    """A page of a list, with the link to the next one."""
    text = request.query_params.get("$skiptoken", "0")
    start = int(text) if text.isdecimal() and len(text) <= _LONGEST_TOKEN else 0
    body: dict[str, Any] = {"value": list(values[start : start + PAGE])}
    if len(values) > start + PAGE:
        query = {**request.query_params, "$skiptoken": str(start + PAGE)}
        body["nextLink"] = str(request.url.replace(query="").replace_query_params(**query))
    return answer(request, body)


def base_url(request: Request) -> str:
    """The address the client reached us by."""
    return f"{request.url.scheme}://{request.url.netloc}"
