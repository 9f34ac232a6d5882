"""What a template knows of itself: parameters, variables, loops, the deployment, the moment it began.

Source: Azure documents "Deployment functions", "Numeric functions" (``copyIndex``), "Date functions" (``utcNow``) and
"String functions for ARM templates" (``newGuid``).
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from podvnet.fabric.deployment.argument import Arguments, lowered, plain
from podvnet.fabric.deployment.composite_format import moment
from podvnet.fabric.deployment.json_value import Document
from podvnet.fabric.deployment.template_error import TemplateError

_GUIDS = uuid.UUID("5a3f7c0e-6f0b-5d57-9f0b-3d6c5a0b7e11")


def _copy_index(given: Arguments) -> int:
    context = given.context
    named = len(given) > 0 and isinstance(given.values[0], str)
    loop = given.text(0).lower() if named else context.loop
    offset = given.whole(1 if named else 0, 0)
    if len(given) > 1 and not named:
        raise given.wrong(0, "the name of a copy loop")
    if loop not in context.loops:
        called = f" '{given.text(0)}'" if named else ""
        raise TemplateError(
            f"The template function 'copyIndex' is not expected at this location. The function can only be used inside"
            f" the copy loop{called} it counts. Please see https://aka.ms/arm-copy for usage details"
        )
    return context.loops[loop] + offset


def _only_default(given: Arguments) -> str:
    if not given.context.moment:
        raise TemplateError(
            f"The template function '{given.function}' is not expected at this location. It can only be used in the"
            " default value of a parameter"
        )
    return given.context.moment


def _utc_now(given: Arguments) -> str:
    _only_default(given)
    try:
        return moment(given.context.now, given.text(0, "yyyyMMddTHHmmssZ"))
    except ValueError as problem:
        raise given.error(str(problem)) from None


def _new_guid(given: Arguments) -> str:
    """Another one for every deployment and parameter: it follows from the moment the deployment began."""
    where = _only_default(given)
    scope = given.context.scope
    return str(uuid.uuid5(_GUIDS, f"{scope.deployment_id}|{given.context.now.isoformat()}|{where}"))


def _deployment(given: Arguments) -> Document:
    context = given.context
    template = context.template
    found: Document = {
        "name": context.scope.deployment,
        "properties": {
            "template": {
                key: copy.deepcopy(template.get(key, [] if key == "resources" else {}))
                for key in ("$schema", "contentVersion", "parameters", "variables", "resources", "outputs")
            },
            "parameters": {},
            "mode": context.scope.mode,
            "provisioningState": "Accepted",
        },
    }
    if not context.scope.resource_group:
        found["location"] = context.scope.location
    return found


def _fail(given: Arguments) -> Any:
    raise TemplateError(given.text(0))


DEPLOYMENT_FUNCTIONS = lowered(
    {
        "copyIndex": plain(0, 2, _copy_index),
        "deployment": plain(0, 0, _deployment),
        "environment": plain(0, 0, lambda given: copy.deepcopy(dict(given.context.scope.environment))),
        "fail": plain(1, 1, _fail),
        "newGuid": plain(0, 0, _new_guid),
        "parameters": plain(1, 1, lambda given: given.context.parameters.get(given.text(0))),
        "utcNow": plain(0, 1, _utc_now),
        "variables": plain(1, 1, lambda given: given.context.variables.get(given.text(0))),
    }
)
