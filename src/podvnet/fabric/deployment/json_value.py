"""JSON as templates use it: with comments, compared by value and type, members found without regard to case.

Source: Azure document "Understand the structure and syntax of ARM templates", "Comments and metadata" (``//`` and
``/* */``) and "Multi-line strings"; "Best practices", template limits (4 MB).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from podvnet.fabric.deployment.template_error import TemplateError, bounded

Document = dict[str, Any]

LARGEST = 4 * 1024 * 1024
"""Characters of a template, and of any one value computed from it."""

_COMMENT_OR_STRING = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_SPACE = re.compile(r"[^\n]")
_NAMES = {
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Integer",
    float: "Float",
    bool: "Boolean",
    type(None): "Null",
}


def kind_of(value: object) -> str:
    """What a value is, in the resource manager's words."""
    return _NAMES.get(type(value), type(value).__name__)


def read(text: str) -> Any:
    """Read JSON with comments; a string may go over several lines.

    Raises:
        TemplateError: naming the line and the position.
    """
    if len(text) > LARGEST:
        raise TemplateError(f"the text has {len(text)} characters, at most {LARGEST} are allowed")
    plain = _COMMENT_OR_STRING.sub(
        lambda found: found[0] if found[0].startswith('"') else _SPACE.sub(" ", found[0]), text
    )
    try:
        with bounded():
            value = json.loads(plain, strict=False, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise TemplateError(
            f"Error parsing the template: {error.msg}, at line '{error.lineno}' and column '{error.colno}'"
        ) from None
    except ValueError as error:
        raise TemplateError(f"Error parsing the template: {error}") from None
    measure(value)
    return value


def write(value: Any) -> str:
    """Write a value as compact JSON."""
    measure(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def canonical(value: Any) -> str:
    """A text that two values share exactly when they are equal: types count, the order of members does not."""
    measure(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def measure(value: Any) -> int:
    """Refuse a value that is too large to be written, however often its parts are shared.

    Returns:
        Its size: characters and values.

    Raises:
        TemplateError: it is too large.
    """
    left, waiting = LARGEST, [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            left -= sum(map(len, each))
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, str):
            left -= len(each)
        left -= 1
        if left < len(waiting):
            raise TemplateError(f"a value is larger than {LARGEST} characters")
    return LARGEST - left


def find(value: Mapping[str, Any], name: str) -> str | None:
    """The member called ``name``, in whatever case; None when there is none."""
    if name in value:
        return name
    lowered = name.lower()
    return next((key for key in value if key.lower() == lowered), None)


def member(value: Any, key: Any, place: str) -> Any:
    """``value.key`` or ``value[key]``.

    Raises:
        TemplateError: there is no such member; the ones there are are listed.
    """
    if isinstance(value, dict) and isinstance(key, str):
        name = find(value, key)
        if name is None:
            known = ", ".join(value) or "none"
            raise TemplateError(
                f"The language expression property '{key}' doesn't exist, available properties are '{known}' (in"
                f" '{place}')"
            )
        return value[name]
    if isinstance(value, list) and type(key) is int:
        if not 0 <= key < len(value):
            raise TemplateError(
                f"The language expression property array index '{key}' is out of bounds: the array has {len(value)}"
                f" elements (in '{place}')"
            )
        return value[key]
    raise TemplateError(
        f"The language expression property '{key}' can't be evaluated: a value of type {kind_of(value)} has no such"
        f" member (in '{place}')"
    )


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
