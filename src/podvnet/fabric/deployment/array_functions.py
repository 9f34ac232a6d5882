"""Functions on arrays and objects, and those that take arrays and strings alike.

Source: Azure documents "Array functions for ARM templates" and "Object functions for ARM templates".
"""

from __future__ import annotations

from typing import Any

from podvnet.fabric.deployment.argument import Arguments, check_count, lowered, plain
from podvnet.fabric.deployment.composite_format import shown
from podvnet.fabric.deployment.context import Context
from podvnet.fabric.deployment.expression import Call
from podvnet.fabric.deployment.json_value import LARGEST, Document, canonical, find
from podvnet.fabric.deployment.template_error import misused

_LONGEST_RANGE = 10_000
_HIGHEST = 2_147_483_647


def _concat(given: Arguments) -> Any:
    if isinstance(given.values[0], list):
        return [each for i in range(len(given)) for each in given.array(i)]
    parts = []
    for i, value in enumerate(given.values):
        if isinstance(value, list | dict) or value is None:
            raise given.wrong(i, "a string, a number or true or false, as the first is")
        parts.append(shown(value))
    return "".join(parts)


def _length(given: Arguments) -> int:
    value = given.values[0]
    if not isinstance(value, str | list | dict):
        raise given.wrong(0, "a string, an array or an object")
    return len(value)


def _contains(given: Arguments) -> bool:
    container, wanted = given.values
    if isinstance(container, list):
        key = canonical(wanted)
        return any(canonical(each) == key for each in container)
    if isinstance(wanted, str | int) and isinstance(container, dict):
        return find(container, shown(wanted)) is not None
    if isinstance(wanted, str | int) and isinstance(container, str):
        return shown(wanted) in container
    raise given.wrong(0, "an array, an object or a string, and the second what can be in it")


def _empty(given: Arguments) -> bool:
    value = given.values[0]
    if value is not None and not isinstance(value, str | list | dict):
        raise given.wrong(0, "a string, an array, an object or null")
    return not value


def _sequence(given: Arguments) -> Any:
    value = given.values[0]
    if not isinstance(value, str | list):
        raise given.wrong(0, "an array or a string")
    return value


def _end(given: Arguments, position: int) -> Any:
    value = _sequence(given)
    if value:
        return value[position]
    return "" if isinstance(value, str) else None


def _index_of(given: Arguments, *, last: bool) -> int:
    value = _sequence(given)
    if isinstance(value, str):
        text, wanted = value.lower(), given.text(1).lower()
        return text.rfind(wanted) if last else text.find(wanted)
    key = canonical(given.values[1])
    places = [i for i, each in enumerate(value) if canonical(each) == key]
    return places[-1 if last else 0] if places else -1


def _union(given: Arguments) -> Any:
    if isinstance(given.values[0], list):
        seen: dict[str, Any] = {}
        for i in range(len(given)):
            for each in given.array(i):
                seen.setdefault(canonical(each), each)
        return list(seen.values())
    result: Document = {}
    for i in range(len(given)):
        result = _merge(result, given.object(i), deep=True)
    return result


def _merge(one: Document, other: Document, *, deep: bool) -> Document:
    result = dict(one)
    for key, value in other.items():
        name = find(result, key) or key
        old = result.get(name)
        both = deep and isinstance(old, dict) and isinstance(value, dict)
        result[name] = _merge(old, value, deep=True) if both and old is not None else value
    return result


def _intersection(given: Arguments) -> Any:
    if isinstance(given.values[0], list):
        shared = {canonical(each): each for each in given.array(0)}
        for i in range(1, len(given)):
            keys = {canonical(each) for each in given.array(i)}
            shared = {key: value for key, value in shared.items() if key in keys}
        return list(shared.values())
    result = given.object(0)
    for i in range(1, len(given)):
        other = given.object(i)
        result = {
            key: value
            for key, value in result.items()
            if (name := find(other, key)) is not None and canonical(other[name]) == canonical(value)
        }
    return result


def _shallow_merge(given: Arguments) -> Document:
    result: Document = {}
    for each in given.array(0):
        if not isinstance(each, dict):
            raise given.wrong(0, "an array of objects")
        result = _merge(result, each, deep=False)
    return result


def _create_object(given: Arguments) -> Document:
    if len(given) % 2:
        raise given.error("names and values must come in pairs")
    return {given.text(i): given.values[i + 1] for i in range(0, len(given), 2)}


def _range(given: Arguments) -> list[int]:
    start, count = given.whole(0), given.whole(1)
    if not 0 <= count <= _LONGEST_RANGE or start + count > _HIGHEST:
        raise given.error(f"the count must be from 0 to {_LONGEST_RANGE}, and the sum at most {_HIGHEST}")
    return list(range(start, start + count))


def _flatten(given: Arguments) -> list[Any]:
    if not all(isinstance(each, list) for each in given.array(0)):
        raise given.wrong(0, "an array of arrays")
    if sum(map(len, given.array(0))) > LARGEST:
        raise given.error("the result is too large")
    return [each for inner in given.array(0) for each in inner]


def _items(given: Arguments) -> list[Document]:
    return [{"key": key, "value": value} for key, value in sorted(given.object(0).items())]


def _extreme(given: Arguments, *, largest: bool) -> int:
    one = given.array(0) if len(given) == 1 and isinstance(given.values[0], list) else given.values
    if not one or any(type(each) is not int for each in one):
        raise given.error("integers are needed, at least one, or an array of them")
    numbers: list[int] = one
    return max(numbers) if largest else min(numbers)


def _try_get(given: Arguments) -> Any:
    value = given.values[0]
    for key in given.values[1:]:
        if isinstance(value, dict) and isinstance(key, str):
            name = find(value, key)
            value = None if name is None else value[name]
        elif isinstance(value, list) and type(key) is int:
            value = value[key] if 0 <= key < len(value) else None
        elif value is not None:
            raise given.wrong(0, "an object or an array")
        if value is None:
            return None
    return value


def _index_from_end(given: Arguments) -> Any:
    values, place = given.array(0), given.whole(1)
    if not 1 <= place <= len(values):
        raise given.error(f"the index {place} is out of bounds: the array has {len(values)} elements")
    return values[-place]


def _coalesce(call: Call, context: Context) -> Any:
    check_count(call, 1, None)
    for argument in call.arguments:
        value = context.evaluate(argument)
        if value is not None:
            return value
    return None


def _null(call: Call, _context: Context) -> None:
    if call.arguments:
        raise misused(call.name, "it takes no argument")


ARRAY_FUNCTIONS = lowered(
    {
        "array": plain(1, 1, lambda given: given.values[0] if isinstance(given.values[0], list) else [given.values[0]]),
        "coalesce": _coalesce,
        "concat": plain(1, None, _concat),
        "contains": plain(2, 2, _contains),
        "createArray": plain(0, None, lambda given: given.values),
        "createObject": plain(0, None, _create_object),
        "empty": plain(1, 1, _empty),
        "first": plain(1, 1, lambda given: _end(given, 0)),
        "flatten": plain(1, 1, _flatten),
        "indexFromEnd": plain(2, 2, _index_from_end),
        "indexOf": plain(2, 2, lambda given: _index_of(given, last=False)),
        "intersection": plain(2, None, _intersection),
        "items": plain(1, 1, _items),
        "last": plain(1, 1, lambda given: _end(given, -1)),
        "lastIndexOf": plain(2, 2, lambda given: _index_of(given, last=True)),
        "length": plain(1, 1, _length),
        "max": plain(1, None, lambda given: _extreme(given, largest=True)),
        "min": plain(1, None, lambda given: _extreme(given, largest=False)),
        "null": _null,
        "objectKeys": plain(1, 1, lambda given: sorted(given.object(0))),
        "range": plain(2, 2, _range),
        "shallowMerge": plain(1, 1, _shallow_merge),
        "skip": plain(2, 2, lambda given: _sequence(given)[max(0, given.whole(1)) :]),
        "take": plain(2, 2, lambda given: _sequence(given)[: max(0, given.whole(1))]),
        "tryGet": plain(2, None, _try_get),
        "union": plain(2, None, _union),
    }
)
