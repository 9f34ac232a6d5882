"""Composite formatting: ``{0}``, ``{1,10}``, ``{2:D4}``, ``{{``; and how a value looks inside a string.

Source: Azure document "String functions for ARM templates", ``format``, which refers to .NET's "Composite formatting",
"Standard numeric format strings" (D, X, N, F) and "Custom date and time format strings".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from podvnet.fabric.deployment.json_value import LARGEST, write

_PLACE = re.compile(r"\{\{|\}\}|\{(?P<index>[0-9]{1,4})(?:,(?P<width>-?[0-9]{1,4}))?(?::(?P<style>[^{}]*))?\}|[{}]")
_STANDARD = re.compile(r"(?P<letter>[DdXxNnFf])(?P<digits>[0-9]{0,2})")
_ZEROS = re.compile(r"0+")
_MOMENT = re.compile(
    r"yyyy|yy|MMMM|MMM|MM|M|dddd|ddd|dd|d|HH|H|hh|h|mm|m|ss|s|f{1,6}|tt|zzz|K|'[^']*'|\\.|.", re.DOTALL
)


def shown(value: Any) -> str:
    """A value as it looks in a string: ``True``, ``12``, ``["a"]``; null is empty."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value) if isinstance(value, bool | int) else write(value)


def formatted(pattern: str, values: list[Any]) -> str:
    """Fill a pattern.

    Raises:
        ValueError: the pattern is wrong, or asks for a value that is not there.
    """
    total = len(pattern)

    def fill(found: re.Match[str]) -> str:
        nonlocal total
        if found[0] in {"{{", "}}"}:
            return found[0][0]
        if found["index"] is None:
            raise ValueError(f"'{pattern[:80]}' has a lone brace at position {found.start()}; write it twice")
        index = int(found["index"])
        if index >= len(values):
            raise ValueError(f"the format asks for argument {index}, but {len(values)} are given")
        text = _styled(values[index], found["style"] or "")
        width = int(found["width"] or 0)
        padded = text.rjust(width) if width >= 0 else text.ljust(-width)
        total += len(padded)
        if total > LARGEST:
            raise ValueError(f"the result is longer than {LARGEST} characters")
        return padded

    return _PLACE.sub(fill, pattern)


def _styled(value: Any, style: str) -> str:
    if not style or isinstance(value, bool) or not isinstance(value, int | float):
        return shown(value)
    standard = _STANDARD.fullmatch(style)
    if standard:
        return _standard(value, standard["letter"], standard["digits"])
    if _ZEROS.fullmatch(style):
        sign = "-" if value < 0 else ""
        return sign + f"{abs(value):.0f}".rjust(len(style), "0")
    raise ValueError(f"the number format '{style}' is not carried out (D, X, N, F and zeros are)")


def _standard(value: float, letter: str, digits: str) -> str:
    if letter in "Nn":
        return f"{value:,.{int(digits or 2)}f}"
    if letter in "Ff":
        return f"{value:.{int(digits or 2)}f}"
    if not isinstance(value, int):
        raise ValueError(f"the number format '{letter}' is for whole numbers")  # noqa: TRY004 - wrong only for this format
    if letter in "Dd":
        return ("-" if value < 0 else "") + str(abs(value)).rjust(int(digits or 1), "0")
    return format(value & ((1 << 64) - 1) if value < 0 else value, letter).rjust(int(digits or 1), "0")


def moment(now: datetime, style: str) -> str:
    """A moment in .NET's custom format, or ``d``, ``D``… of one letter: ``o``, ``s`` and ``u`` are known.

    Raises:
        ValueError: the format of one letter is not known.
    """
    if len(style) == 1:
        known = {"d": "MM/dd/yyyy", "o": "yyyy-MM-ddTHH:mm:ss.ffffff0Z", "s": "yyyy-MM-ddTHH:mm:ss"}
        known |= {"u": "yyyy-MM-dd HH:mm:ssZ", "O": known["o"]}
        if style not in known:
            raise ValueError(f"the date format '{style}' is not carried out")
        style = known[style]
    return _MOMENT.sub(lambda found: _part(now, found[0]), style)


def _part(now: datetime, part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] == "\\" and len(part) == 2:
        return part[1]
    if part[0] == "f":
        return f"{now.microsecond:06d}"[: len(part)]
    parts = {
        "yyyy": f"{now.year:04d}",
        "yy": f"{now.year % 100:02d}",
        "MMMM": f"{now:%B}",
        "MMM": f"{now:%b}",
        "MM": f"{now.month:02d}",
        "M": str(now.month),
        "dddd": f"{now:%A}",
        "ddd": f"{now:%a}",
        "dd": f"{now.day:02d}",
        "d": str(now.day),
        "HH": f"{now.hour:02d}",
        "H": str(now.hour),
        "hh": f"{(now.hour + 11) % 12 + 1:02d}",
        "h": str((now.hour + 11) % 12 + 1),
        "mm": f"{now.minute:02d}",
        "m": str(now.minute),
        "ss": f"{now.second:02d}",
        "s": str(now.second),
        "tt": "AM" if now.hour < 12 else "PM",
        "zzz": "+00:00",
        "K": "Z",
    }
    return parts.get(part, part)
