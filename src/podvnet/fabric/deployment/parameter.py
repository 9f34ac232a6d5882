"""Parameters of a template: what is declared, what is given, and whether the one allows the other.

Source: Azure documents "Parameters in ARM templates", "Type definitions in ARM templates" and "Create Resource Manager
parameter file". Values of secure parameters are never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from podvnet.fabric.deployment.context import Context
from podvnet.fabric.deployment.json_value import Document, canonical, kind_of, write
from podvnet.fabric.deployment.table import Table
from podvnet.fabric.deployment.template_error import TemplateError
from podvnet.model.arm_error import ArmError

_TYPES: dict[str, tuple[str, type]] = {
    "string": ("String", str),
    "securestring": ("SecureString", str),
    "int": ("Int", int),
    "bool": ("Bool", bool),
    "object": ("Object", dict),
    "secureobject": ("SecureObject", dict),
    "array": ("Array", list),
}
_REFERENCE = "#/definitions/"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be.

    Attributes:
        schema: the declaration as it stands in the template.
        definitions: the types that it may refer to.
    """

    schema: Mapping[str, Any]
    definitions: Mapping[str, Any]

    def resolved(self, path: str) -> Mapping[str, Any]:
        """The declaration with what it refers to, its own members first."""
        schema = dict(self.schema)
        for _ in range(len(self.definitions) + 1):
            reference = schema.pop("$ref", None)
            if reference is None:
                return schema
            name = reference.removeprefix(_REFERENCE) if isinstance(reference, str) else ""
            if not isinstance(self.definitions.get(name), dict):
                raise TemplateError(f"there is no type definition '{reference}'", path)
            schema = {**self.definitions[name], **schema}
        raise TemplateError("the type definition refers to itself", path)

    def type_name(self, path: str) -> str:
        """The type as the resource manager spells it, e.g. ``SecureString``."""
        return self._type(self.resolved(path), path)[0]

    def _type(self, schema: Mapping[str, Any], path: str) -> tuple[str, type]:
        name = schema.get("type")
        if not isinstance(name, str) or name.lower() not in _TYPES:
            raise TemplateError(f"the type '{name}' is not valid; it is one of {', '.join(_TYPES)}", path)
        return _TYPES[name.lower()]

    def faults(self, value: Any, path: str, inner: str = "") -> Iterator[str]:
        """What is wrong with a value; nothing when it is right.

        Args:
            value: what is given.
            path: where the declaration stands.
            inner: the member of the value, when it is not the whole.
        """
        schema = self.resolved(path)
        if value is None and schema.get("nullable") is True:
            return
        kind = self._type(schema, path)[1]
        at = f" (at '{inner}')" if inner else ""
        if type(value) is not kind and not (kind is int and type(value) is float and value.is_integer()):
            wanted, actual = kind_of(kind()), kind_of(value)
            yield f"Template parameter JToken type is not valid. Expected '{wanted}'. Actual '{actual}'{at}"
            return
        allowed = schema.get("allowedValues")
        if isinstance(allowed, list) and not _is_allowed(value, allowed):
            shown = ",".join(each if isinstance(each, str) else write(each) for each in allowed)
            yield f"The parameter value is not part of the allowed value(s): '{shown}'{at}"
        yield from (fault + at for fault in _range_faults(value, schema))
        if isinstance(value, list) and isinstance(schema.get("items"), dict):
            for i, each in enumerate(value):
                yield from replace(self, schema=schema["items"]).faults(each, path, f"{inner}[{i}]")
        if isinstance(value, dict) and isinstance(schema.get("properties"), dict):
            yield from self._member_faults(value, schema, path, inner)

    def _member_faults(self, value: Document, schema: Mapping[str, Any], path: str, inner: str) -> Iterator[str]:
        known = schema["properties"]
        for name, each in known.items():
            rule = replace(self, schema=each if isinstance(each, dict) else {})
            where = f"{inner}.{name}" if inner else name
            if name in value:
                yield from rule.faults(value[name], path, where)
            elif rule.resolved(path).get("nullable") is not True:
                yield f"The property '{where}' is required"
        if schema.get("additionalProperties") is False:
            for name in value.keys() - known.keys():
                yield f"The property '{f'{inner}.{name}' if inner else name}' is not expected"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter."""

    name: str
    rule: Rule
    path: str

    @property
    def type(self) -> str:
        """The type as the resource manager spells it."""
        return self.rule.type_name(self.path)

    @property
    def secure(self) -> bool:
        """Whether its value is kept from everyone."""
        return self.type.startswith("Secure")

    def shown(self, value: Any) -> Document:
        """The parameter as a deployment shows it."""
        return {"type": self.type} if self.secure else {"type": self.type, "value": value}

    def check(self, value: Any) -> Any:
        """Refuse a value that is not allowed.

        Raises:
            TemplateError: why; a secure value is not repeated.
        """
        for fault in self.rule.faults(value, self.path):
            text = "" if self.secure or isinstance(value, dict | list) else f" '{value}'"
            # The list of allowed values of a secret is a secret.
            why = fault.split(":", 1)[0] if self.secure else fault
            raise TemplateError(
                f"The provided value{text} for the template parameter '{self.name}' is not valid. {why}", self.path
            )
        return int(value) if self.type == "Int" and isinstance(value, float) else value


def resolve(declared: Mapping[str, Parameter], given: Mapping[str, Any], context: Context) -> Table:
    """Work out every parameter.

    Args:
        declared: by name, as it is written.
        given: ``{"name": {"value": …}}``, or a whole parameter file.
        context: what defaults are evaluated against.

    Raises:
        ArmError: one that is not declared, missing, or of a wrong value.
    """
    if isinstance(given.get("parameters"), dict) and ("$schema" in given or "contentVersion" in given):
        given = given["parameters"]
    values = dict(_values(given))
    _refuse_strange(values, declared)
    lowered = {name.lower(): value for name, value in values.items()}
    table = Table("parameter")
    inside = replace(context, parameters=table, variables=Table("variable"))
    missing = []
    for name, parameter in declared.items():
        value = lowered.get(name.lower())
        schema = parameter.rule.resolved(parameter.path)
        if value is not None:
            table.define(name, partial(parameter.check, value))
        elif "defaultValue" in schema:
            table.define(name, partial(_default, parameter, schema["defaultValue"], inside))
        elif schema.get("nullable") is True:
            table.define(name, lambda: None)
        elif name.lower() in lowered:
            raise ArmError(
                "InvalidDeploymentParameterValue",
                f"The value of deployment parameter '{name}' is null. Please specify the value or use the parameter"
                " reference. See https://aka.ms/arm-create-parameter-file for details.",
                target=name,
            )
        else:
            missing.append(name)
    if missing:
        raise TemplateError(
            f"The value for the template parameter '{missing[0]}' is not provided. Please see"
            " https://aka.ms/arm-create-parameter-file for usage details"
            + (f" (neither are: {', '.join(missing[1:])})" if missing[1:] else "")
        )
    table.all(declared)
    return table


def _default(parameter: Parameter, value: Any, context: Context) -> Any:
    # newGuid and utcNow may be called here; they tell parameters apart by their paths.
    inside = replace(context, moment=parameter.path)
    return parameter.check(inside.value(value, f"{parameter.path}.defaultValue"))


def _refuse_strange(values: Mapping[str, Any], declared: Mapping[str, Parameter]) -> None:
    known = {name.lower() for name in declared}
    strange = [name for name in values if name.lower() not in known]
    if strange:
        raise TemplateError(
            f"The template parameters '{', '.join(strange)}' in the parameters file are not valid; they are not present"
            " in the original template and can therefore not be provided at deployment time. The only supported"
            f" parameters for this template are '{', '.join(declared)}'. Please see"
            " https://aka.ms/arm-pass-parameter-values for usage details"
        )


def _values(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, holder in given.items():
        if not name.strip():
            raise ArmError(
                "InvalidDeploymentParameterKey",
                "One of the deployment parameters has an empty key. Please see https://aka.ms/arm-create-parameter-file"
                " for details.",
            )
        if not isinstance(holder, dict) or not ({"value", "reference"} & holder.keys()):
            raise ArmError(
                "InvalidRequestContent",
                f"The request content was invalid and could not be deserialized: the parameter '{name}' must be an"
                ' object with a "value".',
                target=name,
            )
        if "reference" in holder:
            raise ArmError(
                "KeyVaultParameterReferenceNotFound",
                f"The parameter '{name}' refers to a key vault; this fabric has none. Give its value.",
                target=name,
            )
        yield name, holder["value"]


def _is_allowed(value: Any, allowed: list[Any]) -> bool:
    choices = {canonical(each) for each in allowed}
    if isinstance(value, list):
        return canonical(value) in choices or all(canonical(each) in choices for each in value)
    return canonical(value) in choices


def _range_faults(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for low, high, size, what in (
        ("minLength", "maxLength", len(value) if isinstance(value, str | list) else None, "Length of the value"),
        ("minValue", "maxValue", value if type(value) in {int, float} else None, "The value"),
    ):
        least, most = schema.get(low), schema.get(high)
        if size is not None and type(least) is int and size < least:
            yield f"{what} should be greater than or equal to '{least}'"
        if size is not None and type(most) is int and size > most:
            yield f"{what} should be less than or equal to '{most}'"
