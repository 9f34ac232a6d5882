"""A template and its parameters made into a deployment: what is to be put, in which order, and what comes out.

Sources: Azure documents "Understand the structure and syntax of ARM templates", "Using linked and nested templates",
"Outputs in ARM templates".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from podvnet.fabric.deployment.context import Context, Resolver
from podvnet.fabric.deployment.expansion import expand_resources
from podvnet.fabric.deployment.functions import FUNCTIONS
from podvnet.fabric.deployment.json_value import Document, kind_of
from podvnet.fabric.deployment.ordering import ordered
from podvnet.fabric.deployment.parameter import Parameter, resolve
from podvnet.fabric.deployment.planned_resource import PlannedResource, ResourceNames, evaluates_inside
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.fabric.deployment.table import Table
from podvnet.fabric.deployment.template import Output, Template, parse
from podvnet.fabric.deployment.template_error import DetailedError, LateError, TemplateError, bounded
from podvnet.model.arm_error import ArmError

_MODES = {"incremental": "Incremental", "complete": "Complete"}


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """A deployment ready to be carried out.

    Attributes:
        scope: where it goes, with its name and mode.
        resources: each after those it depends on; those that exist already are among them.
        context: what outputs are evaluated against.
    """

    scope: DeploymentScope
    template: Template
    resources: tuple[PlannedResource, ...]
    context: Context

    def shown_parameters(self) -> Document:
        """The parameters as a deployment shows them; secure ones without their values."""
        table = self.context.parameters
        return {name: each.shown(table.get(name)) for name, each in self.template.parameters.items()}

    def outputs(self, resolver: Resolver) -> Document:
        """The outputs, once every resource is there; secure ones without their values.

        Raises:
            DetailedError: ``DeploymentOutputEvaluationFailed`` with each that is wrong.
        """
        context = self.context.deployed(resolver)
        found: Document = {}
        errors: list[ArmError] = []
        for name, output in self.template.outputs.items():
            try:
                with bounded(output.path):
                    found.update(_output(output, context))
            except ArmError as error:
                errors.append(error)
                found[name] = None
        if errors:
            wrong = ", ".join(f"'{name}'" for name, value in found.items() if value is None)
            raise DetailedError(
                "DeploymentOutputEvaluationFailed",
                f"Unable to evaluate template outputs: {wrong}. Please see error details and deployment operations."
                " Please see https://aka.ms/arm-common-errors for usage details.",
                tuple(errors),
            )
        return found


def expand(template: Template, parameters: Mapping[str, Any], scope: DeploymentScope, now: datetime) -> Deployment:
    """Make a deployment.

    Args:
        template: what :func:`podvnet.fabric.deployment.template.read` or ``parse`` returned.
        parameters: ``{"name": {"value": …}}``.
        scope: where it goes.
        now: when it began: what ``utcNow`` says, and what ``newGuid`` follows from.

    Raises:
        ArmError: the template or a parameter is wrong.
    """
    with bounded():
        context = Context(scope, now, FUNCTIONS, own=template.functions, template=template.document)
        table = resolve(template.parameters, parameters, context)
        context = replace(context, parameters=table, variables=Table("variable"))
        _define_variables(context, template.variables)
        return _expand(template, replace(context, names=ResourceNames()), scope)


def expand_nested(resource: PlannedResource, resolver: Resolver | None = None) -> Deployment:
    """Make the deployment that a resource of type ``Microsoft.Resources/deployments`` stands for.

    Args:
        resource: the resource.
        resolver: answers ``reference``; None before the deployment.

    Raises:
        LateError: its parameters need deployed resources and there is no resolver.
        ArmError: the template or a parameter is wrong.
    """
    path = f"{resource.path}.properties"
    with bounded(path):
        properties = resource.template.body.get("properties")
        if not isinstance(properties, dict):
            raise TemplateError(f"a deployment has 'properties', not {kind_of(properties)}", path)
        if "templateLink" in properties or "parametersLink" in properties:
            raise TemplateError("linked templates are not fetched; put the template inside, as 'template'", path)
        context = resource.context.deployed(resolver) if resolver else resource.context
        mode = context.value(properties.get("mode", "Incremental"), f"{path}.mode")
        if not isinstance(mode, str) or mode.lower() != "incremental":
            raise TemplateError("a nested deployment is incremental", f"{path}.mode")
        document = properties.get("template")
        if isinstance(document, str):
            document = context.value(document, f"{path}.template")
        try:
            template = parse(document)
            if evaluates_inside(resource):
                given = context.value(properties.get("parameters") or {}, f"{path}.parameters")
                return expand(template, given, resource.scope, context.now)
            # Names in reference() are those of the template around, for its expressions are.
            return _expand(template, context, resource.scope)
        except LateError:
            raise
        except TemplateError as error:
            raise TemplateError(error.reason, f"{path}.template.{error.path}".rstrip(".")) from None


def every_resource(deployment: Deployment) -> Iterator[PlannedResource]:
    """The resources that are put, those of nested deployments after the nested deployment, as far as they are known."""
    for resource in deployment.resources:
        if resource.existing:
            continue
        yield resource
        if resource.is_deployment:
            try:
                inner = expand_nested(resource)
            except LateError:
                continue
            yield from every_resource(inner)


def mode_of(text: str) -> str:
    """A deployment's mode as it is spelled.

    Raises:
        ArmError: it is none.
    """
    if text.lower() not in _MODES:
        raise ArmError("InvalidDeploymentMode", f"The deployment mode '{text}' is not valid: Incremental or Complete.")
    return _MODES[text.lower()]


def _expand(template: Template, context: Context, scope: DeploymentScope) -> Deployment:
    own = context.names
    names = own if isinstance(own, ResourceNames) and context.scope is scope else ResourceNames()
    resources = expand_resources(template.resources, context, scope, names)
    return Deployment(scope, template, ordered(resources, names), context)


def _define_variables(context: Context, variables: Document) -> None:
    for name, value in variables.items():
        path = f"variables.{name}"
        if name.lower() != "copy":
            context.variables.define(name, partial(context.value, value, path))
            continue
        if not isinstance(value, list) or not all(
            isinstance(each, dict) and isinstance(each.get("name"), str) and "count" in each and "input" in each
            for each in value
        ):
            raise TemplateError("the copy of variables is a list of objects with 'name', 'count' and 'input'", path)
        for loop in value:
            context.variables.define(loop["name"], partial(_copied, context, loop, path))


def _copied(context: Context, loop: Document, path: str) -> Any:
    values: Document = context.value({"copy": [loop]}, path)
    return next(iter(values.values()))


def _output(output: Output, context: Context) -> Document:
    condition = context.value(output.condition, f"{output.path}.condition")
    if not isinstance(condition, bool):
        raise TemplateError(f"a condition must be true or false, not {kind_of(condition)}", f"{output.path}.condition")
    if not condition:
        return {}
    if output.copy is None:
        value = context.value(output.value, f"{output.path}.value")
    else:
        value = [
            context.in_loop(output.name, index, nameless=True).value(output.value, f"{output.path}.copy.input")
            for index in range(context.count(output.copy, f"{output.path}.copy.count"))
        ]
    fault = next(output.rule.faults(value, output.path), "")
    if fault:
        raise TemplateError(
            f"The template output '{output.name}' is not valid: {fault.replace('parameter', 'output')}", output.path
        )
    return {output.name: Parameter(output.name, output.rule, output.path).shown(value)}
