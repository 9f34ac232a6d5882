"""The body of a request: a JSON object, of a size and depth that everybody who reads it can take."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from starlette.requests import Request

from podvnet.fabric.api import lenient_json
from podvnet.model.arm_error import ArmError

_LARGEST_BODY = 4 << 20
"""Bytes of a request body. Source: Azure document "Azure Resource Manager limits"."""

_DEEPEST = 128
"""Levels of objects and lists in a request body: what every reader of documents can follow on its stack."""


async def read_body(request: Request) -> Any:
    """Read it.

    Raises:
        ArmError: it is too large, too deep, or no JSON object.
    """
    raw = await request.body()
    if len(raw) > _LARGEST_BODY:
        raise ArmError(
            "RequestContentTooLarge",
            f"The request content is larger than {_LARGEST_BODY} bytes.",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    try:
        body = lenient_json.loads(raw.decode())
        # What reads as JSON and cannot be written as such again: half a surrogate pair, numbers beyond all bounds.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ArmError(
            "InvalidRequestContent", f"The request content was invalid and could not be read: {error}"
        ) from None
    if not isinstance(body, dict):
        raise ArmError("InvalidRequestContent", "The request content was invalid: it must be a JSON object.")
    if lenient_json.is_deeper(body, _DEEPEST):
        raise ArmError("InvalidRequestContent", f"The request content is nested more than {_DEEPEST} levels deep.")
    return body
