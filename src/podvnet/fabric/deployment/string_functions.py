"""Functions on strings.

Source: Azure document "String functions for ARM templates": ``contains`` and ``replace`` mind the case, ``indexOf``,
``lastIndexOf``, ``startsWith`` and ``endsWith`` do not. Functions that also take arrays are in ``array_functions``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import uuid
from typing import Any
from urllib.parse import quote, unquote, urljoin

from podvnet.fabric.deployment.argument import Arguments, lowered, plain
from podvnet.fabric.deployment.composite_format import formatted, shown
from podvnet.fabric.deployment.json_value import LARGEST, read
from podvnet.fabric.deployment.template_error import TemplateError

_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_DATA_URI = "data:text/plain;charset=utf8;base64,"


def _format(given: Arguments) -> str:
    try:
        return formatted(given.text(0), given.values[1:])
    except ValueError as problem:
        raise given.error(str(problem)) from None


def _substring(given: Arguments) -> str:
    text = given.text(0)
    start = given.whole(1)
    length = given.whole(2, len(text) - start)
    if start < 0 or length < 0 or start + length > len(text):
        raise given.error(
            "The index and length parameters must refer to a location within the string. The index parameter:"
            f" '{start}', the length parameter: '{length}', the length of the string parameter: '{len(text)}'"
        )
    return text[start : start + length]


def _split(given: Arguments) -> list[str]:
    separators = given.values[1]
    if isinstance(separators, str):
        separators = [separators]
    if not isinstance(separators, list) or not all(isinstance(each, str) for each in separators):
        raise given.wrong(1, "a string or an array of strings")
    # The longest that fits counts where two begin.
    pattern = "|".join(re.escape(each) for each in sorted(separators, key=len, reverse=True) if each)
    return re.split(pattern, given.text(0)) if pattern else [given.text(0)]


def _join(given: Arguments) -> str:
    return given.text(1).join(shown(each) for each in given.array(0))


def _replace(given: Arguments) -> str:
    if not given.text(1):
        raise given.error("the string to replace may not be empty")
    text, old, new = given.texts()
    if len(text) + text.count(old) * len(new) > LARGEST:
        raise given.error(f"the result is longer than {LARGEST} characters")
    return text.replace(old, new)


def _pad_left(given: Arguments) -> str:
    value, width, fill = given.values[0], given.whole(1), given.text(2, " ")
    if type(value) not in {int, str}:
        raise given.wrong(0, "a string or an integer")
    if len(fill) != 1:
        raise given.error("the padding is one character")
    if not 0 <= width <= LARGEST:
        raise given.error(f"the length must be from 0 to {LARGEST}")
    return str(value).rjust(width, fill)


def _unique_string(given: Arguments) -> str:
    """Thirteen letters and digits, always the same for the same strings; not the ones that Azure would give."""
    digest = hashlib.sha256("\0".join(given.texts()).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest).decode().lower()[:13]


def _guid(given: Arguments) -> str:
    return str(uuid.uuid5(_GUIDS, "-".join(given.texts()).encode("utf-8", "replace").decode()))


def _decoded(given: Arguments, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        raise given.error("the string is not UTF-8 text in base64") from None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


def _from_data_uri(given: Arguments) -> str:
    head, comma, data = given.text(0).partition(",")
    if not comma or not head.startswith("data:"):
        raise given.error("the string is no data URI")
    return _decoded(given, data) if head.endswith(";base64") else unquote(data)


def _json(given: Arguments) -> Any:
    try:
        return read(given.text(0))
    except TemplateError as error:
        raise given.error(error.reason) from None


def _as_text(given: Arguments) -> Arguments:
    return Arguments(given.function, [_decoded(given, given.text(0))], given.context)


def _uri(given: Arguments) -> str:
    try:
        return urljoin(given.text(0), given.text(1))
    except ValueError as problem:
        raise given.error(str(problem)) from None


STRING_FUNCTIONS = lowered(
    {
        "base64": plain(1, 1, lambda given: _encoded(given.text(0))),
        "base64ToJson": plain(1, 1, lambda given: _json(_as_text(given))),
        "base64ToString": plain(1, 1, lambda given: _decoded(given, given.text(0))),
        "dataUri": plain(1, 1, lambda given: _DATA_URI + _encoded(given.text(0))),
        "dataUriToString": plain(1, 1, _from_data_uri),
        "endsWith": plain(2, 2, lambda given: given.text(0).lower().endswith(given.text(1).lower())),
        "format": plain(1, None, _format),
        "guid": plain(1, None, _guid),
        "join": plain(2, 2, _join),
        "json": plain(1, 1, _json),
        "padLeft": plain(2, 3, _pad_left),
        "replace": plain(3, 3, _replace),
        "split": plain(2, 2, _split),
        "startsWith": plain(2, 2, lambda given: given.text(0).lower().startswith(given.text(1).lower())),
        "string": plain(1, 1, lambda given: shown(given.values[0])),
        "substring": plain(2, 3, _substring),
        "toLower": plain(1, 1, lambda given: given.text(0).lower()),
        "toUpper": plain(1, 1, lambda given: given.text(0).upper()),
        "trim": plain(1, 1, lambda given: given.text(0).strip()),
        "uniqueString": plain(1, None, _unique_string),
        "uri": plain(2, 2, _uri),
        "uriComponent": plain(1, 1, lambda given: quote(given.text(0).encode("utf-8", "replace"), safe="-_.~")),
        "uriComponentToString": plain(1, 1, lambda given: unquote(given.text(0))),
    }
)
