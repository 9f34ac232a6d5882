"""Numbers, comparisons, truth.

Source: Azure documents "Numeric functions", "Comparison functions" and "Logical functions for ARM templates": division
cuts off towards zero; ``if``, ``and`` and ``or`` evaluate no more than they need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from podvnet.fabric.deployment.argument import HIGH, LOW, Arguments, check_count, lowered, plain
from podvnet.fabric.deployment.context import Context, Function
from podvnet.fabric.deployment.expression import Call
from podvnet.fabric.deployment.json_value import canonical, kind_of
from podvnet.fabric.deployment.template_error import misused


def _arithmetic(operation: Callable[[int, int], int]) -> Function:
    return plain(2, 2, lambda given: given.bounded(operation(given.whole(0), given.whole(1))))


def _div(given: Arguments) -> int:
    number, by = given.whole(0), given.whole(1)
    if by == 0:
        raise given.error("division by zero")
    quotient = abs(number) // abs(by)
    return given.bounded(quotient if (number < 0) == (by < 0) else -quotient)


def _mod(given: Arguments) -> int:
    number, by = given.whole(0), given.whole(1)
    if by == 0:
        raise given.error("division by zero")
    rest = abs(number) % abs(by)
    return -rest if number < 0 else rest


def _int(given: Arguments) -> int:
    value = given.values[0]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise given.wrong(0, "a string or a number")
    if isinstance(value, str):
        digits = value.strip()
        if not digits.removeprefix("-").removeprefix("+").isascii() or len(digits) > 20:
            raise given.error(f"'{value[:40]}' is no integer")
        try:
            value = int(digits.replace("_", "x"))
        except ValueError:
            raise given.error(f"'{value[:40]}' is no integer") from None
    elif isinstance(value, float) and not LOW <= value <= HIGH:
        raise given.error("the number does not fit in 64 bits")
    return given.bounded(int(value))


def _float(given: Arguments) -> float:
    value = given.values[0]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise given.wrong(0, "a string or a number")
    try:
        number = float(value)
    except ValueError:
        raise given.error(f"'{str(value)[:40]}' is no number") from None
    if number - number != 0:  # neither infinite nor no number at all: JSON has neither
        raise given.error(f"'{str(value)[:40]}' is no finite number")
    return number


def _bool(given: Arguments) -> bool:
    value = given.values[0]
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false", "1", "0"}:
        return value.lower() in {"true", "1"}
    if isinstance(value, int):
        return value != 0
    raise given.wrong(0, "'true', 'false' or an integer")


def _ordered(verdict: Callable[[Any, Any], bool]) -> Function:
    def body(given: Arguments) -> bool:
        one, other = given.values
        if isinstance(one, str) and isinstance(other, str):
            return verdict(one, other)
        if type(one) in {int, float} and type(other) in {int, float}:
            return verdict(one, other)
        raise given.error(f"{kind_of(one)} and {kind_of(other)} are not compared; two numbers or two strings are")

    return plain(2, 2, body)


def _flag(call: Call, context: Context, position: int) -> bool:
    value = context.evaluate(call.arguments[position])
    if not isinstance(value, bool):
        raise misused(call.name, f"argument {position + 1} must be true or false, not {kind_of(value)}")
    return value


def _if(call: Call, context: Context) -> Any:
    check_count(call, 3, 3)
    return context.evaluate(call.arguments[1 if _flag(call, context, 0) else 2])


def _and(call: Call, context: Context) -> bool:
    check_count(call, 2, None)
    return all(_flag(call, context, i) for i in range(len(call.arguments)))


def _or(call: Call, context: Context) -> bool:
    check_count(call, 2, None)
    return any(_flag(call, context, i) for i in range(len(call.arguments)))


LOGIC_FUNCTIONS = lowered(
    {
        "add": _arithmetic(lambda one, other: one + other),
        "and": _and,
        "bool": plain(1, 1, _bool),
        "div": plain(2, 2, _div),
        "equals": plain(2, 2, lambda given: canonical(given.values[0]) == canonical(given.values[1])),
        "false": plain(0, 0, lambda _: False),
        "float": plain(1, 1, _float),
        "greater": _ordered(lambda one, other: one > other),
        "greaterOrEquals": _ordered(lambda one, other: one >= other),
        "if": _if,
        "int": plain(1, 1, _int),
        "less": _ordered(lambda one, other: one < other),
        "lessOrEquals": _ordered(lambda one, other: one <= other),
        "mod": plain(2, 2, _mod),
        "mul": _arithmetic(lambda one, other: one * other),
        "not": plain(1, 1, lambda given: not given.flag(0)),
        "or": _or,
        "sub": _arithmetic(lambda one, other: one - other),
        "true": plain(0, 0, lambda _: True),
    }
)
