"""The arguments of a call: evaluated, counted and typed, with the function named in every complaint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from podvnet.fabric.deployment.context import Context, Function
from podvnet.fabric.deployment.expression import Call
from podvnet.fabric.deployment.json_value import Document, kind_of
from podvnet.fabric.deployment.template_error import TemplateError, misused

LOW, HIGH = -(1 << 63), (1 << 63) - 1
"""Whole numbers of the template language have 64 bits."""


class Arguments:
    """The evaluated arguments of one call."""

    def __init__(self, function: str, values: list[Any], context: Context) -> None:
        self.function = function
        self.values = values
        self.context = context

    def __len__(self) -> int:
        return len(self.values)

    def error(self, why: str) -> TemplateError:
        """The error of this call."""
        return misused(self.function, why)

    def wrong(self, position: int, wanted: str) -> TemplateError:
        """An argument is of a wrong type."""
        return self.error(f"argument {position + 1} must be {wanted}, not {kind_of(self.values[position])}")

    def text(self, position: int, default: str | None = None) -> str:
        """A string."""
        value = self._at(position, default)
        if not isinstance(value, str):
            raise self.wrong(position, "a string")
        return value

    def whole(self, position: int, default: int | None = None) -> int:
        """A whole number."""
        value = self._at(position, default)
        if type(value) is not int:
            raise self.wrong(position, "an integer")
        return value

    def flag(self, position: int) -> bool:
        """A boolean."""
        value = self.values[position]
        if not isinstance(value, bool):
            raise self.wrong(position, "true or false")
        return value

    def array(self, position: int) -> list[Any]:
        """An array."""
        value = self.values[position]
        if not isinstance(value, list):
            raise self.wrong(position, "an array")
        return value

    def object(self, position: int) -> Document:
        """An object."""
        value = self.values[position]
        if not isinstance(value, dict):
            raise self.wrong(position, "an object")
        return value

    def texts(self) -> list[str]:
        """All of them, strings."""
        return [self.text(position) for position in range(len(self.values))]

    def bounded(self, number: int) -> int:
        """A result that must fit in 64 bits."""
        if not LOW <= number <= HIGH:
            raise self.error("the result does not fit in 64 bits")
        return number

    def _at(self, position: int, default: Any) -> Any:
        return self.values[position] if position < len(self.values) else default


def check_count(call: Call, low: int, high: int | None) -> None:
    """Refuse a wrong number of arguments; ``high`` None is no limit."""
    count = len(call.arguments)
    if count < low or (high is not None and count > high):
        wanted = str(low) if low == high else f"at least {low}" if high is None else f"{low} to {high}"
        raise misused(call.name, f"it takes {wanted} argument(s), not {count}")


def plain(low: int, high: int | None, body: Callable[[Arguments], Any]) -> Function:
    """A function all of whose arguments are evaluated first."""

    def function(call: Call, context: Context) -> Any:
        check_count(call, low, high)
        return body(Arguments(call.name, [context.evaluate(each) for each in call.arguments], context))

    return function


def lowered(functions: Mapping[str, Function]) -> dict[str, Function]:
    """Functions by name in lower case."""
    return {name.lower(): function for name, function in functions.items()}


def merged(tables: Iterable[Mapping[str, Function]]) -> dict[str, Function]:
    """Several tables as one."""
    return {name: function for table in tables for name, function in table.items()}
