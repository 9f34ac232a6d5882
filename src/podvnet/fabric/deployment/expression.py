"""The template language: ``[concat(parameters('prefix'), '-nic')]`` read into a small tree.

Source: Azure document "Syntax and expressions in ARM templates": a string that starts with ``[`` and ends with ``]`` is
an expression, ``[[`` stands for a bracket, ``''`` in a string for a quote, function names are not case-sensitive;
"Best practices" (24,576 characters an expression).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from podvnet.fabric.deployment.template_error import TemplateError, bounded

LONGEST = 24_576
DEEPEST = 100

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<number>-?[0-9]+(?![\w.]))
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<sign>[()\[\],.])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A string or a whole number."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments; ``name`` as it is written, with a dot for a function of the template's own."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """``of.key`` or ``of[key]``; ``place`` is the text up to here, for a person to read."""

    of: Expression
    key: Expression
    place: str


Expression = Literal | Call | Index


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    end: int


def is_expression(text: str) -> bool:
    """Tell whether a template's string is to be evaluated."""
    return len(text) > 1 and text[0] == "[" and text[-1] == "]" and text[1] != "["


def literal_text(text: str) -> str:
    """What a string that is no expression stands for: ``[[x]`` is ``[x]``."""
    return text[1:] if text.startswith("[[") and text.endswith("]") else text


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Parse what stands between the outer brackets.

    Raises:
        TemplateError: it is no expression; the position is named.
    """
    if len(text) > LONGEST:
        raise TemplateError(f"the expression has {len(text)} characters, at most {LONGEST} are allowed")
    with bounded():
        return _Parser(text).whole()


class _Parser:
    """Recursive descent with one token of foresight."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self._token = self._next(0)

    def whole(self) -> Expression:
        """An expression and nothing after it."""
        found = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("the end of the expression")
        return found

    def _next(self, start: int) -> _Token:
        found = _TOKEN.match(self._text, start)
        if found is None:
            rest = self._text[start:].lstrip()
            raise self._error(
                "the string is not closed with a quote" if rest.startswith("'") else f"'{rest[:12]}' is not understood",
                len(self._text) - len(rest),
            )
        kind = found.lastgroup or "end"
        return _Token(kind, found[kind], found.end())

    def _take(self) -> _Token:
        taken = self._token
        self._token = self._next(taken.end)
        return taken

    def _takes(self, sign: str) -> bool:
        if self._token.kind == "sign" and self._token.text == sign:
            self._take()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self._unexpected(f"'{sign}'")

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(f"more than {DEEPEST} calls are nested", self._token.end)
        found = self._primary()
        while True:
            if self._takes("."):
                if self._token.kind != "name":
                    raise self._unexpected("a property name")
                name = self._take()
                found = Index(found, Literal(name.text), self._text[: name.end])
            elif self._takes("["):
                key = self._expression()
                end = self._token.end
                self._expect("]")
                found = Index(found, key, self._text[:end])
            else:
                self._depth -= 1
                return found

    def _primary(self) -> Expression:
        token = self._token
        if token.kind == "text":
            return Literal(self._take().text[1:-1].replace("''", "'"))
        if token.kind == "number":
            return Literal(_whole(self._take().text))
        if token.kind != "name":
            raise self._unexpected("a string, a number or a function")
        name = self._take().text
        while self._takes("."):
            if self._token.kind != "name":
                raise self._unexpected("the name of a function")
            name += "." + self._take().text
        self._expect("(")
        return Call(name, self._arguments())

    def _arguments(self) -> tuple[Expression, ...]:
        if self._takes(")"):
            return ()
        arguments = [self._expression()]
        while self._takes(","):
            arguments.append(self._expression())
        self._expect(")")
        return tuple(arguments)

    def _unexpected(self, wanted: str) -> TemplateError:
        token = self._token
        seen = f"'{token.text}'" if token.text else "the end"
        return self._error(f"expected {wanted}, found {seen}", token.end - len(token.text))

    def _error(self, what: str, position: int) -> TemplateError:
        shown = self._text if len(self._text) <= 200 else self._text[:200] + "…"
        return TemplateError(
            f"The language expression '{shown}' is not valid: {what} (position {position}). Please see"
            " https://aka.ms/arm-syntax for usage details"
        )


def _whole(text: str) -> int:
    """Read a whole number of 64 bits."""
    number = int(text) if len(text) <= 20 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise TemplateError(f"the number {text[:40]} does not fit in 64 bits")
    return number
