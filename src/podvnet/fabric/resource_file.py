"""A file of resources: YAML or JSON, in ARM's shapes, with three conveniences that Azure templates have otherwise.

- Ids may be short (``virtualNetworks/hub/subnets/front``); the subscription and resource group are the file's.
- ``location`` may be left out.
- An ip-configuration with ``copy: N`` stands for N of them, named ``NAME-1`` to ``NAME-N``.

Everything is expanded here: the store and the API see plain ARM documents.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from podvnet.fabric.arm.fields import kind_of
from podvnet.fabric.arm.world import PRIVATE_ZONES, Document
from podvnet.model.arm_error import ArmError, ArmErrorsError
from podvnet.model.limits import ADDRESSES_PER_NIC
from podvnet.model.resource_id import Scope, make

LOCATION = "local"
_EVERYWHERE = "global"
"""The location of resources that are of no region."""
_MEMBERS = {"subscription", "resourceGroup", "location", "resources"}
# Source: Azure document "Naming rules and restrictions for Azure resources", Microsoft.Resources.
_GROUP = re.compile(r"[\w().-]{0,89}[\w()-]")
_ANY = re.compile(r".*\S.*")


class _JsonLoader(yaml.SafeLoader):
    """YAML without dates: ``2024-01-31`` is a text, as it would be in JSON."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> list[Document]:
    """Read a file.

    Returns:
        The resources, each with its full ``id``, in the order of the file.

    Raises:
        ArmErrorsError: the file cannot be read, or is not of the shape; every mistake found is listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise _one("FileNotReadable", f"cannot read {path}: {reason}") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> list[Document]:
    """Read the text of a file called ``name``; see :func:`read`."""
    try:
        content = yaml.load(text, _JsonLoader)  # noqa: S506 - a safe loader, less one type
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _one("InvalidRequestContent", f"{name}{place}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict) or not isinstance(content.get("resources"), list):
        raise _one("InvalidRequestContent", f"{name}: must be an object with a list called 'resources'")
    unknown = sorted(str(key) for key in content if key not in _MEMBERS)
    if unknown:
        raise _one(
            "InvalidRequestContent", f"{name}: unknown member {unknown[0]!r}; known are {', '.join(sorted(_MEMBERS))}"
        )
    defaults = Scope()
    scope = Scope(
        _member(content, "subscription", defaults.subscription, name, _GROUP),
        _member(content, "resourceGroup", defaults.resource_group, name, _GROUP),
    )
    location = _member(content, "location", LOCATION, name, _ANY)
    documents, errors, seen = [], [], set()
    for position, item in enumerate(content["resources"]):
        try:
            document = _document(item, f"{name}: resources[{position}]", scope, location)
            if document["id"].lower() in seen:
                raise ArmError("InvalidRequestContent", f"{name}: resources[{position}] repeats {document['id']}")
            seen.add(document["id"].lower())
            documents.append(document)
        except ArmError as error:
            errors.append(error)
    if errors:
        raise ArmErrorsError(tuple(errors))
    return documents


def _document(item: object, where: str, scope: Scope, location: str) -> Document:
    if not isinstance(item, dict):
        raise ArmError("InvalidRequestContent", f"{where}: must be an object, not {kind_of(item)}")
    for key in ("type", "name"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise ArmError("InvalidRequestContent", f"{where}: {key!r} is required and must be a string")
    full_type, name = item["type"], item["name"]
    segments = name.split("/")
    if full_type.count("/") != len(segments):
        raise ArmError("InvalidRequestContent", f"{where}: type {full_type!r} does not go with name {name!r}")
    if full_type.lower().startswith(PRIVATE_ZONES.lower()):
        location = _EVERYWHERE
    document: Document = {"location": location, **item, "name": segments[-1]}
    document["id"] = str(make(scope, full_type, *segments))
    if not all(segments) or not all(full_type.split("/")):
        raise ArmError("InvalidRequestContent", f"{where}: type {full_type!r} and name {name!r} may have no empty part")
    properties = item.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("ipConfigurations"), list):
        expanded = [one for each in properties["ipConfigurations"] for one in _copies(each, where)]
        document["properties"] = properties | {"ipConfigurations": expanded}
    return document


def _member(content: dict[str, Any], key: str, default: str, name: str, pattern: re.Pattern[str]) -> str:
    value = content.get(key, default)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _one("InvalidRequestContent", f"{name}: {key} cannot be {value!r}")
    return value


def _copies(each: Any, where: str) -> list[Any]:
    if not isinstance(each, dict) or "copy" not in each:
        return [each]
    count = each["copy"]
    if type(count) is not int or not 1 <= count <= ADDRESSES_PER_NIC:
        raise ArmError("InvalidRequestContent", f"{where}: copy must be a number from 1 to {ADDRESSES_PER_NIC}")
    rest = {key: value for key, value in each.items() if key != "copy"}
    return [rest | {"name": f"{each.get('name', 'ipconfig')}-{number}"} for number in range(1, count + 1)]


def _one(code: str, message: str) -> ArmErrorsError:
    return ArmErrorsError((ArmError(code, message),))
