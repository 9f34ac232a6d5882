"""Named values that are worked out when they are first asked for: variables, and defaults of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from podvnet.fabric.deployment.json_value import measure
from podvnet.fabric.deployment.template_error import LateError, TemplateError

Recipe = Callable[[], Any]


class Table:
    """Values by name; names are not case-sensitive.

    Args:
        kind: what they are, for the error: ``parameter`` or ``variable``.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._recipes: dict[str, Recipe] = {}
        self._values: dict[str, Any] = {}
        self._open: list[str] = []

    def define(self, name: str, recipe: Recipe) -> None:
        """Say how a value is worked out."""
        self._recipes[name.lower()] = recipe

    def get(self, name: str) -> Any:
        """Return a value.

        Raises:
            TemplateError: there is no such name, or the value depends on itself.
        """
        key = name.lower()
        if key in self._values:
            return self._values[key]
        if key not in self._recipes:
            raise TemplateError(
                f"The template {self._kind} '{name}' is not found. Please see"
                f" https://aka.ms/arm-syntax-{self._kind}s for usage details"
            )
        if key in self._open:
            chain = " -> ".join((*self._open[self._open.index(key) :], key))
            raise TemplateError(f"Circular reference between {self._kind}s: {chain}")
        self._open.append(key)
        try:
            value = self._recipes[key]()
        except LateError as error:
            # A value of the template's own may not wait for resources.
            raise TemplateError(error.reason, error.path) from None
        finally:
            self._open.pop()
        measure(value)
        self._values[key] = value
        return value

    def all(self, names: Iterable[str]) -> dict[str, Any]:
        """Every value, by the name as it is written."""
        return {name: self.get(name) for name in names}
