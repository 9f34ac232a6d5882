"""Functions that take a ``lambda``.

Source: Azure document "Lambda functions for ARM templates": ``lambda('x', expression)``, ``lambdaVariables('x')``; a
lambda of ``filter``, ``map`` and ``reduce`` may take the index as one variable more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cmp_to_key
from typing import Any

from podvnet.fabric.deployment.argument import Arguments, check_count, lowered, plain
from podvnet.fabric.deployment.context import Context, Function
from podvnet.fabric.deployment.expression import Call, Expression
from podvnet.fabric.deployment.json_value import Document, kind_of, measure
from podvnet.fabric.deployment.template_error import TemplateError, misused


class _Lambda:
    """A lambda with the surroundings it was written in."""

    def __init__(self, function: str, node: Expression, context: Context, counts: tuple[int, ...]) -> None:
        self.function = function
        if not isinstance(node, Call) or node.name.lower() != "lambda" or not node.arguments:
            raise misused(function, "a lambda is needed")
        names = [context.evaluate(each) for each in node.arguments[:-1]]
        if len(names) not in counts or not all(isinstance(name, str) for name in names):
            wanted = " or ".join(map(str, counts))
            raise misused(function, f"its lambda must have {wanted} variable name(s)")
        self._names = [name.lower() for name in names]
        self._body = node.arguments[-1]
        self._context = context

    def __call__(self, *values: Any) -> Any:
        bound = dict(zip(self._names, values, strict=False))
        return replace(self._context, bound={**self._context.bound, **bound}).evaluate(self._body)

    def flag(self, *values: Any) -> bool:
        """Call it; it must say true or false."""
        value = self(*values)
        if not isinstance(value, bool):
            raise misused(self.function, f"its lambda must return true or false, not {kind_of(value)}")
        return value

    def text(self, *values: Any) -> str:
        """Call it; it must return a string."""
        value = self(*values)
        if not isinstance(value, str):
            raise misused(self.function, f"its lambda must return a string, not {kind_of(value)}")
        return value


def _over(kind: type, most: int, body: Callable[[Any, Call, Context], Any], least: int = 2) -> Function:
    """A function whose first argument is an array or object."""

    def function(call: Call, context: Context) -> Any:
        check_count(call, least, most)
        value = context.evaluate(call.arguments[0])
        if not isinstance(value, kind):
            wanted = "an array" if kind is list else "an object"
            raise misused(call.name, f"argument 1 must be {wanted}, not {kind_of(value)}")
        return body(value, call, context)

    return function


def _filter(values: list[Any], call: Call, context: Context) -> list[Any]:
    keep = _Lambda(call.name, call.arguments[1], context, (1, 2))
    return [each for i, each in enumerate(values) if keep.flag(each, i)]


def _map(values: list[Any], call: Call, context: Context) -> list[Any]:
    change = _Lambda(call.name, call.arguments[1], context, (1, 2))
    return [change(each, i) for i, each in enumerate(values)]


def _reduce(values: list[Any], call: Call, context: Context) -> Any:
    join = _Lambda(call.name, call.arguments[2], context, (2, 3))
    total = context.evaluate(call.arguments[1])
    for i, each in enumerate(values):
        total = join(total, each, i)
        context.work.charge(measure(total))
    return total


def _sort(values: list[Any], call: Call, context: Context) -> list[Any]:
    before = _Lambda(call.name, call.arguments[1], context, (2,))

    def compare(one: Any, other: Any) -> int:
        return -1 if before.flag(one, other) else int(before.flag(other, one))

    return sorted(values, key=cmp_to_key(compare))


def _to_object(values: list[Any], call: Call, context: Context) -> Document:
    key = _Lambda(call.name, call.arguments[1], context, (1,))
    value = _Lambda(call.name, call.arguments[2], context, (1,)) if len(call.arguments) > 2 else None
    return {key.text(each): value(each) if value else each for each in values}


def _group_by(values: list[Any], call: Call, context: Context) -> Document:
    key = _Lambda(call.name, call.arguments[1], context, (1,))
    groups: Document = {}
    for each in values:
        groups.setdefault(key.text(each), []).append(each)
    return groups


def _map_values(values: Document, call: Call, context: Context) -> Document:
    change = _Lambda(call.name, call.arguments[1], context, (1,))
    return {key: change(value) for key, value in values.items()}


def _variable(given: Arguments) -> Any:
    name = given.text(0).lower()
    if name not in given.context.bound:
        raise given.error(f"there is no lambda variable '{given.text(0)}' here")
    return given.context.bound[name]


def _misplaced(call: Call, _context: Context) -> Any:
    raise TemplateError(f"The template function '{call.name}' is not expected at this location")


LAMBDA_FUNCTIONS = lowered(
    {
        "filter": _over(list, 2, _filter),
        "groupBy": _over(list, 2, _group_by),
        "lambda": _misplaced,
        "lambdaVariables": plain(1, 1, _variable),
        "map": _over(list, 2, _map),
        "mapValues": _over(dict, 2, _map_values),
        "reduce": _over(list, 3, _reduce, 3),
        "sort": _over(list, 2, _sort),
        "toObject": _over(list, 3, _to_object),
    }
)
