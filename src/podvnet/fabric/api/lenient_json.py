"""JSON as the resource manager reads it: with comments, with member names that have no quotes, with trailing commas.

Azure's own command line sends templates so ("JSON with comments"), and puts them into its request under a bare name.
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""
      (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<name>[A-Za-z_$][\w$-]*)(?=\s*:)
    | (?P<comma>,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]]))
    """,
    re.VERBOSE | re.DOTALL,
)


def loads(text: str) -> Any:
    """Read a text.

    Raises:
        ValueError: it is not JSON, not even so.
    """
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_TOKEN.sub(_strict, text))


def is_deeper(value: Any, levels: int) -> bool:
    """Tell whether objects and lists are nested deeper than so many levels."""
    here = [value]
    for _ in range(levels):
        here = [each for each in here if isinstance(each, dict | list)]
        here = [inner for each in here for inner in (each.values() if isinstance(each, dict) else each)]
        if not here:
            return False
    return any(isinstance(each, dict | list) for each in here)


def _strict(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "string":
            return token.group()
        case "name":
            return f'"{token.group()}"'
    return " "
