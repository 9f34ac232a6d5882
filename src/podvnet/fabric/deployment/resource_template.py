"""One resource of a template, as it is declared.

Sources: Azure documents "Resource declaration in ARM templates", "Set name and type for child resources", "Resource
iteration in ARM templates", "Conditional deployment in ARM templates", "Scope for extension resources".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from podvnet.fabric.deployment.json_value import Document, find, kind_of
from podvnet.fabric.deployment.template_error import TemplateError

_MODES = ("parallel", "serial")
_DROPPED = {"comments", "metadata", "asserts"}


@dataclass(frozen=True, slots=True)
class Copy:
    """A loop over a resource; ``batch`` is how many are made at a time, 0 for all at once."""

    name: Any
    count: Any
    batch: int
    path: str


@dataclass(frozen=True, slots=True)
class ResourceTemplate:
    """A declaration whose strings are not evaluated.

    Attributes:
        symbol: the symbolic name; empty in the older form.
        type: for a child inside its parent only the last part.
        existing: it is only referred to, never made.
        group, subscription: where a nested deployment goes, None for here.
        body: what is sent to the provider: location, tags, properties, sku….
    """

    path: str
    symbol: str
    type: Any
    name: Any
    api_version: Any
    condition: Any
    copy: Copy | None
    depends_on: tuple[Any, ...]
    existing: bool
    scope: Any
    group: Any
    subscription: Any
    body: Document
    children: tuple[ResourceTemplate, ...]


def read_resources(value: Any, path: str, *, profile: bool, child: bool = False) -> Iterator[ResourceTemplate]:
    """Read a list of resources, or an object of them by symbolic name.

    Args:
        value: the list or object.
        path: where it stands.
        profile: whether an ``apiProfile`` stands for the API versions.
        child: whether they stand inside another resource.

    Raises:
        TemplateError: one is of a wrong shape.
    """
    if isinstance(value, dict):
        for symbol, each in value.items():
            yield _resource(each, f"{path}.{symbol}", symbol, profile=profile, child=child)
    elif isinstance(value, list):
        for i, each in enumerate(value):
            yield _resource(each, f"{path}[{i}]", "", profile=profile, child=child)
    else:
        raise TemplateError(f"'resources' must be a list or an object, not {kind_of(value)}", path)


def _resource(value: Any, path: str, symbol: str, *, profile: bool, child: bool) -> ResourceTemplate:
    if not isinstance(value, dict):
        raise TemplateError(f"a resource must be an object, not {kind_of(value)}", path)
    rest = {key: each for key, each in value.items() if key.lower() not in _DROPPED}

    def take(name: str, default: Any = None) -> Any:
        key = find(rest, name)
        return default if key is None else rest.pop(key)

    kind, name, version = take("type"), take("name"), take("apiVersion")
    for what, given in (("type", kind), ("name", name), ("apiVersion", version)):
        if given is None and not (what == "apiVersion" and profile):
            raise TemplateError(
                f"The template resource '{name or ''}' is not valid: required property '{what}' is not provided. Please"
                " see https://aka.ms/arm-syntax-resources for usage details",
                path,
            )
    depends = take("dependsOn") or []
    if not isinstance(depends, list):
        raise TemplateError(f"'dependsOn' must be a list, not {kind_of(depends)}", f"{path}.dependsOn")
    loop = _copy(take("copy"), f"{path}.copy")
    if loop and child:
        raise TemplateError("a copy loop can't be used for a child resource inside its parent", f"{path}.copy")
    existing = take("existing", default=False)
    if existing is True and not symbol:
        raise TemplateError("'existing' needs languageVersion 2.0 and a symbolic name", path)
    inner = take("resources")
    deployment = isinstance(kind, str) and kind.lower() == "microsoft.resources/deployments"
    return ResourceTemplate(
        path=path,
        symbol=symbol,
        type=kind,
        name=name,
        api_version=version or "",
        condition=take("condition", default=True),
        copy=loop,
        depends_on=tuple(depends),
        existing=existing is True,
        scope=take("scope"),
        group=take("resourceGroup") if deployment else None,
        subscription=take("subscriptionId") if deployment else None,
        body=rest,
        children=tuple(
            read_resources(inner if inner is not None else [], f"{path}.resources", profile=profile, child=True)
        ),
    )


def _copy(value: Any, path: str) -> Copy | None:
    if value is None:
        return None
    if not isinstance(value, dict) or "name" not in value or "count" not in value:
        raise TemplateError("the copy of a resource has a 'name' and a 'count'", path)
    mode, size = value.get("mode", "parallel"), value.get("batchSize", 1)
    if not isinstance(mode, str) or mode.lower() not in _MODES:
        raise TemplateError(f"the mode of a copy is one of {', '.join(_MODES)}", f"{path}.mode")
    if type(size) is not int or size < 1:
        raise TemplateError("the batchSize of a copy is a number of at least 1", f"{path}.batchSize")
    return Copy(value["name"], value["count"], size if mode.lower() == "serial" else 0, path)
