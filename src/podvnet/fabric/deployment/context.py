"""What an expression is evaluated against, and the evaluation of everything that may hold one.

A context is never changed: loops, lambda variables and the resolver of references are added by making another.

Sources: Azure documents "Syntax and expressions in ARM templates", "Property iteration in ARM templates", "User-defined
functions in ARM template", "Lambda functions for ARM templates".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from podvnet.fabric.deployment import expression
from podvnet.fabric.deployment.expression import Call, Expression, Index, Literal
from podvnet.fabric.deployment.json_value import Document, kind_of, member
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.fabric.deployment.table import Table
from podvnet.fabric.deployment.template_error import LateError, TemplateError, misused

MOST_COPIES = 800
_WORK = 1_000_000

Resolver = Callable[[str, str], Document]
"""``resolver(resource id, api-version)`` returns the resource as it is shown; ArmError when there is none."""


class Function(Protocol):
    """A function of the template language."""

    def __call__(self, call: Call, context: Context, /) -> Any:
        """Carry out a call; the arguments are evaluated by the function, for some do not need all of them."""


class Names(Protocol):
    """The resources of a template by what they may be called."""

    def identify(self, name: str) -> tuple[str, str] | None:
        """The id and api-version of the one resource called so; None when it is not in the template."""

    def identify_all(self, name: str) -> list[tuple[str, str]]:
        """The ids and api-versions of a loop's resources."""


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function of the template's own; it sees its parameters and nothing else."""

    name: str
    parameters: tuple[str, ...]
    body: Any


@dataclass(slots=True)
class Work:
    """How much an evaluation may still cost: calls, and the lengths of what they return."""

    left: int = _WORK

    def spend(self, value: Any) -> None:
        """Count one call that returned ``value``."""
        self.charge(len(value) if isinstance(value, str | list | dict) else 0)

    def charge(self, size: int) -> None:
        """Count a piece of work on something of a size."""
        self.left -= 1 + (size >> 4)
        if self.left < 0:
            raise TemplateError("the template's expressions cost too much to evaluate")


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The surroundings of an expression.

    Attributes:
        functions: by name in lower case.
        loops: the present index of each copy loop around, by name in lower case.
        loop: the loop that ``copyIndex()`` without a name means; empty when there is none.
        bound: lambda variables.
        moment: whether ``newGuid`` and ``utcNow`` may be called: only in defaults of parameters.
        resolver: answers ``reference``; None before the deployment.
        template: the template's own document, for ``deployment()``.
    """

    scope: DeploymentScope
    now: datetime
    functions: Mapping[str, Function]
    parameters: Table = field(default_factory=lambda: Table("parameter"))
    variables: Table = field(default_factory=lambda: Table("variable"))
    own: Mapping[str, UserFunction] = field(default_factory=dict)
    loops: Mapping[str, int] = field(default_factory=dict)
    loop: str = ""
    bound: Mapping[str, Any] = field(default_factory=dict)
    moment: str = ""
    names: Names | None = None
    resolver: Resolver | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    work: Work = field(default_factory=Work)

    def in_loop(self, name: str, index: int, *, nameless: bool) -> Context:
        """Inside one turn of a copy loop; ``nameless`` when ``copyIndex()`` may mean it."""
        return replace(self, loops={**self.loops, name.lower(): index}, loop=name.lower() if nameless else self.loop)

    def deployed(self, resolver: Resolver) -> Context:
        """While the deployment runs."""
        return replace(self, resolver=resolver, work=Work())

    def evaluate(self, node: Expression) -> Any:
        """Evaluate one node.

        Raises:
            LateError: it needs a resource that is not deployed yet.
            TemplateError: it is wrong.
        """
        match node:
            case Literal(value):
                return value
            case Call():
                value = self._call(node)
                self.work.spend(value)
                return value
            case Index(of, key, place):
                return member(self.evaluate(of), self.evaluate(key), place)

    def _call(self, call: Call) -> Any:
        name = call.name.lower()
        own = self.own.get(name)
        if own is not None:
            return self._call_own(own, call)
        function = self.functions.get(name.removeprefix("sys."))
        if function is None:
            raise TemplateError(
                f"The template function '{call.name}' is not valid. Please see https://aka.ms/arm-functions for usage"
                " details"
            )
        return function(call, self)

    def _call_own(self, own: UserFunction, call: Call) -> Any:
        if len(call.arguments) != len(own.parameters):
            raise misused(own.name, f"it takes {len(own.parameters)} arguments, not {len(call.arguments)}")
        given = Table("parameter")
        for name, argument in zip(own.parameters, call.arguments, strict=True):
            value = self.evaluate(argument)
            given.define(name, lambda value=value: value)  # type: ignore[misc]
        inside = Context(self.scope, self.now, self.functions, given, own=self.own, work=self.work)
        return inside.value(own.body, f"functions.{own.name}")

    def text(self, text: str, path: str) -> Any:
        """Evaluate a string of the template, which may be an expression."""
        if not expression.is_expression(text):
            return expression.literal_text(text)
        try:
            return self.evaluate(expression.parse(text[1:-1]))
        except TemplateError as error:
            raise error.at(path) from None

    def value(self, value: Any, path: str, late: list[str] | None = None) -> Any:
        """Evaluate every string in a value, names of members too, and carry out copies of properties.

        Args:
            value: JSON.
            path: where it stands.
            late: when given, expressions that need deployed resources stay as they are, and what they refer to is
                added here.
        """
        if isinstance(value, str):
            if late is not None and expression.is_expression(value):
                return self._early(value, path, late)
            return self.text(value, path)
        if isinstance(value, list):
            return [self.value(each, f"{path}[{i}]", late) for i, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        result: Document = {}
        for key, each in value.items():
            if key.lower() == "copy" and is_property_copy(each):
                for name, elements in self._copies(each, f"{path}.{key}", late):
                    result[name] = elements
                continue
            name = self.value(key, path, late)
            if not isinstance(name, str):
                raise TemplateError(f"the name of a member must be a string, not {kind_of(name)}", path)
            result[name] = self.value(each, f"{path}.{key}" if path else key, late)
        return result

    def _early(self, text: str, path: str, late: list[str]) -> Any:
        try:
            late.extend(referred(expression.parse(text[1:-1]), self))
            return self.text(text, path)
        except LateError:
            return text
        except TemplateError as error:
            raise error.at(path) from None

    def _copies(self, loops: list[Any], path: str, late: list[str] | None) -> Iterator[tuple[str, list[Any]]]:
        for i, loop in enumerate(loops):
            where = f"{path}[{i}]"
            name = self.value(loop["name"], f"{where}.name")
            count = self.count(loop["count"], f"{where}.count")
            if not isinstance(name, str) or not name:
                raise TemplateError("the name of a copy must be a string", f"{where}.name")
            yield (
                name,
                [
                    self.in_loop(name, index, nameless=False).value(loop.get("input"), f"{where}.input", late)
                    for index in range(count)
                ],
            )

    def count(self, value: Any, path: str) -> int:
        """How many turns a copy loop has.

        Raises:
            TemplateError: it is no whole number from 0 to 800.
        """
        count = self.value(value, path)
        if type(count) is not int or not 0 <= count <= MOST_COPIES:
            shown = count if type(count) is int else kind_of(count)
            raise TemplateError(f"The copy count must be a number from 0 to {MOST_COPIES}, not {shown}", path)
        return count


def is_property_copy(value: Any) -> bool:
    """Tell a copy of properties from a property that happens to be called so."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and "name" in each and "count" in each and "input" in each for each in value)
    )


def referred(node: Expression, context: Context) -> Iterator[str]:
    """What the ``reference`` calls of an expression name, as far as it can be known before the deployment.

    Of an ``if`` whose condition is known, only the branch that is taken counts.
    """
    match node:
        case Call(name, arguments):
            if name.lower() in {"reference", "references"} and arguments:
                known = _known(arguments[0], context)
                if isinstance(known, str):
                    yield known
            if name.lower() == "if" and len(arguments) == 3:
                taken = _known(arguments[0], context)
                if isinstance(taken, bool):
                    arguments = (arguments[0], arguments[1] if taken else arguments[2])
            for argument in arguments:
                yield from referred(argument, context)
        case Index(of, key):
            yield from referred(of, context)
            yield from referred(key, context)
        case Literal():
            return


def _known(node: Expression, context: Context) -> Any:
    try:
        return context.evaluate(node)
    except TemplateError:
        return None
