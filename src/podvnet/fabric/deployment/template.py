"""A template taken apart: parameters, variables, functions, resources and outputs, nothing evaluated yet.

Source: Azure document "Understand the structure and syntax of ARM templates"; "Best practices", limits (256 parameters,
800 resources, 64 outputs); "languageVersion 2.0": resources by symbolic name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podvnet.fabric.deployment import json_value
from podvnet.fabric.deployment.context import UserFunction
from podvnet.fabric.deployment.json_value import Document, canonical, find, kind_of, measure
from podvnet.fabric.deployment.parameter import Parameter, Rule
from podvnet.fabric.deployment.resource_template import ResourceTemplate, read_resources
from podvnet.fabric.deployment.template_error import TemplateError, bounded

_REQUIRED = ("$schema", "contentVersion", "resources")
_KNOWN = {
    "$schema",
    "contentversion",
    "languageversion",
    "apiprofile",
    "metadata",
    "definitions",
    "parameters",
    "functions",
    "variables",
    "resources",
    "outputs",
    "imports",
    "extensions",
    "asserts",
}
_MOST = {"parameters": 256, "variables": 512, "outputs": 64}


@dataclass(frozen=True, slots=True)
class Output:
    """One declared output; ``copy`` is its loop's count, None when it has none."""

    name: str
    rule: Rule
    value: Any
    condition: Any
    copy: Any
    path: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template.

    Attributes:
        document: as it was given.
        resources: in the order of the template.
        symbolic: whether resources are named symbolically.
    """

    document: Document
    parameters: Mapping[str, Parameter]
    variables: Document
    functions: Mapping[str, UserFunction]
    resources: tuple[ResourceTemplate, ...]
    outputs: Mapping[str, Output]
    symbolic: bool

    @property
    def hash(self) -> str:
        """A number that stands for the template, as deployments show it."""
        digest = hashlib.sha256(canonical(self.document).encode("utf-8", "replace")).digest()
        return str(int.from_bytes(digest[:8], "big"))


def read(text: str) -> Template:
    """Read the text of a template, which may hold comments.

    Raises:
        TemplateError: it is no template.
    """
    return parse(json_value.read(text))


def parse(value: Any) -> Template:
    """Take a template apart.

    Raises:
        TemplateError: it is no template; the place is named.
    """
    with bounded():
        if not isinstance(value, dict):
            raise TemplateError(f"a template must be an object, not {kind_of(value)}")
        _check_keys(value)
        measure(value)
        for name in _REQUIRED:
            if find(value, name) is None:
                raise TemplateError(f"Required property '{name}' not found in JSON")
        unknown = [key for key in value if key.lower() not in _KNOWN]
        if unknown:
            raise TemplateError(
                f"Could not find member '{unknown[0]}' on object of type 'Template'. Please see"
                " https://aka.ms/arm-syntax for usage details",
                unknown[0],
            )
        definitions = section(value, "definitions")
        resources = value[find(value, "resources") or "resources"]
        profile = find(value, "apiProfile") is not None
        return Template(
            document=value,
            parameters={
                name: Parameter(name, Rule(each, definitions), path)
                for name, each, path in _declared(value, "parameters")
            },
            variables=section(value, "variables"),
            functions=dict(_functions(value)),
            resources=tuple(read_resources(resources, "resources", profile=profile)),
            outputs={name: _output(name, each, definitions, path) for name, each, path in _declared(value, "outputs")},
            symbolic=isinstance(resources, dict),
        )


def section(value: Document, name: str) -> Document:
    """An object of the template, empty when absent."""
    key = find(value, name)
    found = value[key] if key else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TemplateError(f"'{name}' must be an object, not {kind_of(found)}", name)
    if len(found) > _MOST.get(name, len(found)):
        raise TemplateError(f"the template has {len(found)} {name}, at most {_MOST[name]} are allowed", name)
    return found


def _check_keys(value: Any) -> None:
    """JSON's members have names; what is not JSON (a caller's mistake) must not get further."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if not all(isinstance(key, str) for key in each):
                raise TemplateError("the names of an object's members must be strings")
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _declared(value: Document, name: str) -> Iterator[tuple[str, Document, str]]:
    lowered: set[str] = set()
    for key, each in section(value, name).items():
        path = f"{name}.{key}"
        if not isinstance(each, dict):
            raise TemplateError(f"a declaration must be an object, not {kind_of(each)}", path)
        if key.lower() in lowered:
            raise TemplateError(f"'{key}' is declared twice; names are not case-sensitive", path)
        lowered.add(key.lower())
        Rule(each, section(value, "definitions")).type_name(path)
        yield key, each, path


def _output(name: str, each: Document, definitions: Document, path: str) -> Output:
    loop = each.get("copy")
    if loop is not None and not (isinstance(loop, dict) and "count" in loop and "input" in loop):
        raise TemplateError("the copy of an output has a 'count' and an 'input'", f"{path}.copy")
    if loop is None and "value" not in each:
        raise TemplateError("an output has a 'value'", path)
    return Output(
        name,
        Rule(each, definitions),
        loop["input"] if loop else each["value"],
        each.get("condition", True),
        loop["count"] if loop else None,
        path,
    )


def _functions(value: Document) -> Iterator[tuple[str, UserFunction]]:
    key = find(value, "functions")
    spaces = value[key] if key else None
    for i, space in enumerate(spaces if isinstance(spaces, list) else []):
        path = f"functions[{i}]"
        if not isinstance(space, dict) or not isinstance(space.get("namespace"), str):
            raise TemplateError("a namespace of functions is an object with a 'namespace'", path)
        for name, body in section(space, "members").items():
            full = f"{space['namespace']}.{name}"
            parameters = body.get("parameters", []) if isinstance(body, dict) else None
            output = body.get("output") if isinstance(body, dict) else None
            if (
                not isinstance(parameters, list)
                or not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in parameters)
                or not isinstance(output, dict)
                or "value" not in output
            ):
                raise TemplateError(
                    "a function has a list of 'parameters' with names and an 'output' with a 'value'",
                    f"{path}.members.{name}",
                )
            names = tuple(each["name"] for each in parameters)
            yield full.lower(), UserFunction(full, names, output["value"])
