"""What Azure's own clients send that is not quite JSON."""

from __future__ import annotations

from typing import Any

import pytest

from podvnet.fabric.api.lenient_json import is_deeper, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (
            '{"properties": {"mode": "x", template:{"a": [1, 2]}}}',
            {"properties": {"mode": "x", "template": {"a": [1, 2]}}},
        ),
        ('{"a": 1, // one\n "b": 2}', {"a": 1, "b": 2}),
        ('{"a": /* two\nlines */ 2}', {"a": 2}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{"a": [1, // last\n ]}', {"a": [1]}),
        ('{"url": "https://x/*y*/", // c\n "k:v": "a, ]"}', {"url": "https://x/*y*/", "k:v": "a, ]"}),
        ('{"a": "say \\"// no\\"", b: true}', {"a": 'say "// no"', "b": True}),
    ],
)
def test_what_is_read(text: str, value: object) -> None:
    assert loads(text) == value


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "{a b: 1}", '{"a": }', "nonsense", "{/* open"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize(
    ("value", "levels", "deeper"),
    [({}, 1, False), ({"a": 1}, 1, False), ({"a": {}}, 1, True), ([[{"a": [1]}]], 4, False), ([[{"a": [1]}]], 3, True)],
)
def test_levels_are_counted(value: Any, levels: int, deeper: bool) -> None:
    assert is_deeper(value, levels) is deeper
