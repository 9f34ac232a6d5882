"""Declarations to resources: loops are unrolled, conditions decided, children given their parents' names, ids built.

Sources: Azure documents "Resource iteration in ARM templates", "Conditional deployment in ARM templates" (a condition
does not pass on to children), "Set name and type for child resources".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from podvnet.fabric.deployment.context import Context
from podvnet.fabric.deployment.json_value import kind_of
from podvnet.fabric.deployment.planned_resource import PlannedResource, ResourceNames
from podvnet.fabric.deployment.resource_template import ResourceTemplate
from podvnet.fabric.deployment.scope import DEPLOYMENTS, DeploymentScope, interleave
from podvnet.fabric.deployment.template_error import TemplateError

MOST_RESOURCES = 800


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn of a loop, or the only one."""

    context: Context
    loop: str = ""
    index: int = -1
    batch: tuple[int, int] = (0, 0)
    """Which copies, from and to, come before this one."""


def expand_resources(
    templates: tuple[ResourceTemplate, ...], context: Context, scope: DeploymentScope, names: ResourceNames
) -> list[PlannedResource]:
    """Make the resources of a template.

    Args:
        templates: the declarations.
        context: what they are evaluated against.
        scope: where they are deployed.
        names: is told of every resource.

    Raises:
        TemplateError: a name, type, loop or condition is wrong, or there are too many.
    """
    found: list[PlannedResource] = []
    for each in templates:
        for resource in _resource(each, context, scope, None, names):
            names.add(resource)
            found.append(resource)
        if len(found) > MOST_RESOURCES:
            raise TemplateError(f"the template has more than {MOST_RESOURCES} resources, copies included", each.path)
    return found


def _resource(
    template: ResourceTemplate,
    context: Context,
    scope: DeploymentScope,
    parent: PlannedResource | None,
    names: ResourceNames,
) -> Iterator[PlannedResource]:
    made: list[str] = []
    for turn in _turns(template, context, names):
        resource = _one(template, turn, scope, parent, tuple(made[slice(*turn.batch)]))
        made.append(resource.id)
        yield resource
        for child in template.children:
            yield from _resource(child, turn.context, scope, resource, names)


def _turns(template: ResourceTemplate, context: Context, names: ResourceNames) -> Iterator[_Turn]:
    loop = template.copy
    if loop is None:
        yield _Turn(context)
        return
    name = _text(context, loop.name, f"{loop.path}.name")
    count = context.count(loop.count, f"{loop.path}.count")
    if count == 0:
        names.add_empty_loop(name, template.symbol)
    for index in range(count):
        start = index - index % loop.batch if loop.batch else 0
        batch = (max(0, start - loop.batch), start) if loop.batch else (0, 0)
        yield _Turn(context.in_loop(name, index, nameless=True), name, index, batch)


def _one(
    template: ResourceTemplate,
    turn: _Turn,
    scope: DeploymentScope,
    parent: PlannedResource | None,
    batch: tuple[str, ...],
) -> PlannedResource:
    context, path = turn.context, template.path
    name = _text(context, template.name, f"{path}.name")
    kind = _text(context, template.type, f"{path}.type")
    if parent:
        name, kind = f"{parent.name}/{name}", f"{parent.type}/{kind}"
    if not all(kind.split("/")) or not all(name.split("/")) or kind.count("/") != name.count("/") + 1:
        raise TemplateError(
            f"The template resource '{name}' for type '{kind}' has incorrect segment lengths. A nested resource type"
            " must have identical number of segments as its resource name. A root resource type must have segment"
            " length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage"
            " details",
            path,
        )
    wanted = context.value(template.condition, f"{path}.condition")
    if not isinstance(wanted, bool):
        raise TemplateError(f"a condition must be true or false, not {kind_of(wanted)}", f"{path}.condition")
    place = scope
    if kind.lower() == DEPLOYMENTS.lower():
        place = _inner_scope(template, context, scope, name)
    symbols = (template.symbol, f"{template.symbol}[{turn.index}]") if turn.loop else (template.symbol,)
    if parent:
        resource_id = f"{parent.id}/{kind.rpartition('/')[2]}/{name.rpartition('/')[2]}"
    elif template.scope is None:
        resource_id = place.resource_id(kind, name)
    else:
        resource_id = _target(_text(context, template.scope, f"{path}.scope"), scope) + interleave(
            kind, name.split("/")
        )
    return PlannedResource(
        id=resource_id,
        type=kind,
        name=name,
        api_version=_text(context, template.api_version, f"{path}.apiVersion") if template.api_version else "",
        scope=place,
        context=context,
        template=template,
        symbols=symbols if template.symbol else (),
        loop=turn.loop,
        batch=batch,
        wanted=wanted,
    )


def _target(text: str, scope: DeploymentScope) -> str:
    """What the id of an extension of a resource starts with; the short form names a resource of this deployment."""
    if text == "/":
        return "/providers/"
    whole = text if text.startswith("/") else f"{scope.root}/providers/{text}"
    return f"{whole.rstrip('/')}/providers/"


def _inner_scope(template: ResourceTemplate, context: Context, scope: DeploymentScope, name: str) -> DeploymentScope:
    group, subscription = (
        _text(context, value, f"{template.path}.{what}") if value is not None else ""
        for what, value in (("resourceGroup", template.group), ("subscriptionId", template.subscription))
    )
    if template.scope is not None:
        raise TemplateError(
            "deployments to a management group or tenant are not carried out; use subscriptionId or resourceGroup",
            f"{template.path}.scope",
        )
    location = template.body.get("location")
    found = _text(context, location, f"{template.path}.location") if location is not None else ""
    return scope.nested(name, subscription, group, found)


def _text(context: Context, value: Any, path: str) -> str:
    found = context.value(value, path)
    if not isinstance(found, str) or not found:
        raise TemplateError(f"must be a string and not empty, it is {kind_of(found)}", path)
    return found
