"""Which resource comes before which.

Source: Azure document "Define the order for deploying resources in ARM templates": ``dependsOn``, and ``reference`` to
a resource of the same template. Where these leave a choice, a resource that names another by id comes after it, which
is a preference and no rule: two resources may name each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from podvnet.fabric.deployment.json_value import kind_of
from podvnet.fabric.deployment.planned_resource import PlannedResource, ResourceNames, require_early
from podvnet.fabric.deployment.template_error import TemplateError


def ordered(resources: list[PlannedResource], names: ResourceNames) -> tuple[PlannedResource, ...]:
    """The wanted resources, each after those it depends on; otherwise in the order of the template.

    Raises:
        TemplateError: a dependency is on nothing, or on itself in the end.
    """
    wanted = {each.key: each for each in resources if each.wanted}
    hard: dict[str, list[str]] = {}
    soft: dict[str, set[str]] = {}
    for key, resource in wanted.items():
        body, late = resource.draft()
        needed = {each.key: None for each in _needed(resource, late, names) if each.key in wanted}
        if key in needed:
            raise _circular([resource, resource])
        hard[key] = list(needed)
        soft[key] = {each.key for each in _mentioned(resource, body, names) if each.key in wanted} - {key}
    result: list[PlannedResource] = []
    placed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        ready = [key for key in waiting if placed.issuperset(hard[key])]
        if not ready:
            raise _circular(_cycle(waiting[0], hard, wanted, placed))
        key = next((each for each in ready if placed.issuperset(soft[each])), ready[0])
        waiting.remove(key)
        placed.add(key)
        result.append(replace(wanted[key], depends_on=tuple(wanted[each].id for each in hard[key])))
    return tuple(result)


def _needed(resource: PlannedResource, late: tuple[str, ...], names: ResourceNames) -> Iterator[PlannedResource]:
    for i, entry in enumerate(resource.template.depends_on):
        what = f"dependsOn[{i}]"
        text = require_early(resource, entry, what)
        if not isinstance(text, str):
            raise TemplateError(f"a dependency is named by a string, not {kind_of(text)}", f"{resource.path}.{what}")
        if not names.knows(text):
            raise TemplateError(
                f"The resource '{text}' is not defined in the template. Please see https://aka.ms/arm-template for"
                " usage details",
                f"{resource.path}.{what}",
            )
        yield from names.find(text)
    for each in resource.batch:
        yield from names.find(each)
    for name in late:
        yield from names.find(name)


def _mentioned(resource: PlannedResource, body: Any, names: ResourceNames) -> Iterator[PlannedResource]:
    """The resources whose ids, or whose parts' ids, stand in a body; and what the id is under."""
    waiting = [body, resource.id.rpartition("/")[0]]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, str) and each.startswith("/"):
            found = names.nearest(each)
            if found:
                yield found


def _cycle(
    start: str, hard: dict[str, list[str]], wanted: dict[str, PlannedResource], placed: set[str]
) -> list[PlannedResource]:
    """Walk along what is not placed until a resource comes again."""
    walk = [start]
    while True:
        following = next(each for each in hard[walk[-1]] if each not in placed)
        if following in walk:
            return [wanted[key] for key in (*walk[walk.index(following) :], following)]
        walk.append(following)


def _circular(chain: list[PlannedResource]) -> TemplateError:
    return TemplateError(
        f"Circular dependency detected on resource: '{chain[0].id}' ({' -> '.join(each.name for each in chain)})."
        " Please see https://aka.ms/arm-template/#circular-dependency for usage details",
        chain[0].path,
    )
