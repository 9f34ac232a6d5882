"""One resource of a deployment, with its id known and its body still to be evaluated; and all of them by their names.

Source: Azure document "Define the order for deploying resources in ARM templates": a resource is named by its id, its
type and name, its name, the name of its copy loop, or its symbolic name.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from podvnet.fabric.deployment.context import Context, Resolver
from podvnet.fabric.deployment.json_value import Document
from podvnet.fabric.deployment.resource_template import ResourceTemplate
from podvnet.fabric.deployment.scope import DEPLOYMENTS, DeploymentScope
from podvnet.fabric.deployment.template_error import LateError, TemplateError, bounded


@dataclass(frozen=True, slots=True, eq=False)
class PlannedResource:
    """A resource that a deployment makes, or only refers to.

    Attributes:
        name: with the parents' names, ``vnet/subnet``.
        scope: the place of the deployment, or of a nested deployment itself.
        symbols: its symbolic names, ``nic`` and ``nic[0]``.
        loop: the name of its copy loop, empty when it has none.
        batch: ids of the copies that must be there before this one.
        wanted: whether its condition holds.
        depends_on: ids of resources of the same deployment that come first; set when the deployment is ordered.
    """

    id: str
    type: str
    name: str
    api_version: str
    scope: DeploymentScope
    context: Context
    template: ResourceTemplate
    symbols: tuple[str, ...] = ()
    loop: str = ""
    batch: tuple[str, ...] = ()
    wanted: bool = True
    depends_on: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What ids are compared by."""
        return self.id.lower()

    @property
    def existing(self) -> bool:
        """Whether it is only referred to."""
        return self.template.existing

    @property
    def is_deployment(self) -> bool:
        """Whether it is a deployment inside this one."""
        return self.type.lower() == DEPLOYMENTS.lower()

    @property
    def path(self) -> str:
        """Where it is declared."""
        return self.template.path

    def body(self, resolver: Resolver) -> Document:
        """What is to be put, every expression evaluated.

        Raises:
            ArmError: an expression is wrong, or a resource it refers to is not there.
        """
        with bounded(self.path):
            value: Document = self.context.deployed(resolver).value(self.template.body, self.path)
        return self._headed(copy.deepcopy(value))

    def draft(self) -> tuple[Document, tuple[str, ...]]:
        """The body as far as it is known before the deployment, and what its ``reference`` calls name.

        Expressions that must wait stay as they are written. The template of a nested deployment is left out.
        """
        late: list[str] = []
        source = self.template.body
        with bounded(self.path):
            if self.is_deployment and isinstance(source.get("properties"), dict):
                source = {**source, "properties": dict(source["properties"])}
                inner = source["properties"].pop("template", None)
                if not evaluates_inside(self):
                    self.context.value(inner, f"{self.path}.properties.template", late)
            value: Document = self.context.value(source, self.path, late)
        return self._headed(copy.deepcopy(value)), tuple(late)

    def _headed(self, body: Document) -> Document:
        return {"id": self.id, "name": self.name.rsplit("/", 1)[-1], "type": self.type} | body


def evaluates_inside(resource: PlannedResource) -> bool:
    """Whether expressions of a nested template belong to itself, not to the template around it.

    Source: Azure document "Using linked and nested templates", "Expression evaluation scope": outer is the default.
    """
    properties = resource.template.body.get("properties")
    options = properties.get("expressionEvaluationOptions") if isinstance(properties, dict) else None
    if options is None:
        return False
    value = resource.context.value(options, f"{resource.path}.properties.expressionEvaluationOptions")
    wanted = value.get("scope") if isinstance(value, dict) else None
    if not isinstance(wanted, str) or wanted.lower() not in {"inner", "outer", "notspecified"}:
        raise TemplateError(
            "the scope is 'inner' or 'outer'", f"{resource.path}.properties.expressionEvaluationOptions.scope"
        )
    return wanted.lower() == "inner"


@dataclass(slots=True)
class ResourceNames:
    """The resources of one template by everything they may be called."""

    _ids: dict[str, PlannedResource] = field(default_factory=dict)
    _symbols: dict[str, list[PlannedResource]] = field(default_factory=dict)
    _typed: dict[str, list[PlannedResource]] = field(default_factory=dict)
    _loops: dict[str, list[PlannedResource]] = field(default_factory=dict)
    _names: dict[str, list[PlannedResource]] = field(default_factory=dict)
    _empty: set[str] = field(default_factory=set)

    def add_empty_loop(self, *names: str) -> None:
        """Add the names of a loop that has no turns: they stand for nothing, which is no mistake."""
        self._empty.update(name.lower() for name in names if name)

    def knows(self, text: str) -> bool:
        """Tell whether something is called so, be it a loop without turns."""
        return text.lower() in self._empty or bool(self.find(text))

    def add(self, resource: PlannedResource) -> None:
        """Add a resource.

        Raises:
            TemplateError: another has its id, and both are to be made.
        """
        other = self._ids.get(resource.key)
        if other and all(each.wanted and not each.existing for each in (other, resource)):
            raise TemplateError(
                f"The resource '{resource.id}' is defined multiple times in a template. Please see"
                " https://aka.ms/arm-template/#resources for usage details",
                resource.path,
            )
        if other is None or (resource.wanted and not resource.existing):
            self._ids[resource.key] = resource
        for symbol in resource.symbols:
            self._symbols.setdefault(symbol.lower(), []).append(resource)
        tail = resource.key.rpartition("/providers/")[2]
        for typed in {f"{resource.type}/{resource.name}".lower(), tail}:
            self._typed.setdefault(typed, []).append(resource)
        if resource.loop:
            self._loops.setdefault(resource.loop.lower(), []).append(resource)
        self._names.setdefault(resource.name.lower(), []).append(resource)

    def find(self, text: str) -> list[PlannedResource]:
        """The resources called so; several for a loop, none when there is no such name.

        Raises:
            TemplateError: a bare name that resources of several types have.
        """
        key = text.lower().rstrip("/")
        if key.startswith("/"):
            return [self._ids[key]] if key in self._ids else []
        for names in (self._symbols, self._typed, self._loops):
            if key in names:
                return names[key]
        found = [each for each in self._names.get(key, []) if each.wanted] or self._names.get(key, [])
        if len({each.key for each in found}) > 1:
            raise TemplateError(
                f"The name '{text}' is ambiguous: it is of {' and of '.join(each.id for each in found)}. Please use the"
                " resource id"
            )
        return found[:1]

    def identify(self, name: str) -> tuple[str, str] | None:
        """See :class:`podvnet.fabric.deployment.context.Names`."""
        found = self.find(name)
        if len(found) > 1:
            raise TemplateError(f"'{name}' stands for {len(found)} resources of a loop; one of them must be named")
        return (found[0].id, found[0].api_version) if found else None

    def identify_all(self, name: str) -> list[tuple[str, str]]:
        """See :class:`podvnet.fabric.deployment.context.Names`."""
        if not self.knows(name):
            raise TemplateError(f"The resource '{name}' is not defined in the template")
        return [(each.id, each.api_version) for each in self.find(name) if each.wanted]

    def nearest(self, resource_id: str) -> PlannedResource | None:
        """The resource with this id, or the one it is a part of."""
        key = resource_id.lower().rstrip("/")
        while key.startswith("/"):
            if key in self._ids:
                return self._ids[key]
            key = key.rpartition("/")[0]
        return None


def require_early(resource: PlannedResource, value: Any, what: str) -> Any:
    """Evaluate a value that decides what is deployed, so may not wait for the deployment.

    Raises:
        TemplateError: it asks for a deployed resource.
    """
    try:
        return resource.context.value(value, f"{resource.path}.{what}")
    except LateError as error:
        raise TemplateError(error.reason, error.path) from None
