"""The API is asked what its own description allows, and much that it does not: it never fails, and answers as it says.

The description is narrowed for it: names, prefixes and addresses are few, so that what is written meets what is there.
``PODVNET_FUZZ_EXAMPLES`` asks more of each operation than the few that every run does, and other things each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from podvnet.fabric.api.description import describe
from podvnet.fabric.api.shapes import NAME
from podvnet.model.resource_id import DEFAULT_SUBSCRIPTION
from podvnet.testing.cloud import Cloud

EXAMPLES = int(os.environ.get("PODVNET_FUZZ_EXAMPLES", "0"))
GROUP, VERSION = "fuzz", "2024-05-01"
PLACE = f"/subscriptions/{DEFAULT_SUBSCRIPTION}/resourceGroups/{GROUP}"
SUBNET = f"{PLACE}/providers/Microsoft.Network/virtualNetworks/a/subnets/a"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW = {
    "Name": ["a", "b"],
    "GroupName": [GROUP],
    "Location": ["local"],
    "Prefix": ["10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/29", "10.0.2.0/26", "fd00::/56", "fd00::/64"],
    "Address": ["10.0.0.4", "10.0.1.5", "10.0.2.9", "fd00::5"],
    "PublicAddress": ["198.51.100.7", "8.8.8.8"],
    "Traffic": ["*", "Internet", "Storage", "10.0.0.0/8", "10.0.0.1", "fd00::/8"],
}

FURNITURE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "virtualNetworks/a",
        {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [
                {"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}},
                {"name": "b", "properties": {"addressPrefix": "10.0.2.0/26"}},
            ],
        },
    ),
    (
        "networkInterfaces/a",
        {"ipConfigurations": [{"name": "a", "properties": {"subnet": {"id": SUBNET}}}]},
    ),
)


def narrowed() -> dict[str, Any]:
    """The description with few names: ids and resources meet."""
    text = json.dumps(describe()).replace(json.dumps(NAME)[1:-1], "(a|b)")
    text = text.replace("[0-9a-f-]{36}", DEFAULT_SUBSCRIPTION).replace(
        "/resourceGroups/(a|b)", f"/resourceGroups/{GROUP}"
    )
    document: dict[str, Any] = json.loads(text)
    for name, values in FEW.items():
        document["components"]["schemas"][name] = {"type": "string", "enum": values}
    document["components"]["parameters"]["apiVersion"]["schema"] = {"type": "string", "enum": [VERSION]}
    return document


SCHEMA = schemathesis.openapi.from_dict(narrowed())
SCHEMA.config.phases.coverage.enabled = EXAMPLES > 0
effort = settings(
    max_examples=EXAMPLES or 8,
    derandomize=not EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(scope="module")
def session(cloud: Cloud) -> Iterator[requests.Session]:
    """A logged-in client, and a group with something of everything in it."""
    token = cloud.access.credential().get_token(f"{cloud.access.endpoint}/.default").token
    with requests.Session() as made:
        made.verify = cloud.access.ca
        made.trust_env = False  # certificates of the environment would take the place of the fabric's
        made.headers["Authorization"] = f"Bearer {token}"
        yield made
        made.delete(f"{cloud.access.endpoint}{PLACE}", params={"api-version": VERSION}).raise_for_status()


@pytest.fixture(autouse=True)
def furnished(cloud: Cloud, session: requests.Session) -> None:
    """The group, with a few resources that others can refer to; those there are stay as they have become."""
    root = f"{cloud.access.endpoint}{PLACE}"
    session.put(root, params={"api-version": VERSION}, json={"location": "local"}).raise_for_status()
    for tail, properties in FURNITURE:
        # Refused where what is there has become something that is in its way.
        body: Any = {"location": "local", "properties": properties}
        made = session.put(f"{root}/providers/Microsoft.Network/{tail}", params={"api-version": VERSION}, json=body)
        assert made.status_code in {200, 201, 400, 409}


def ask(case: schemathesis.Case[Any], cloud: Cloud, session: requests.Session) -> None:
    case.call_and_validate(base_url=cloud.access.endpoint, session=session, checks=CHECKS, verify=cloud.access.ca)


WRITES, REMOVALS = SCHEMA.exclude(method="DELETE"), SCHEMA.include(method="DELETE")


@WRITES.parametrize()
@effort
def test_what_is_read_and_written_is_answered_as_described(
    case: schemathesis.Case[Any], cloud: Cloud, session: requests.Session
) -> None:
    ask(case, cloud, session)


@REMOVALS.parametrize()
@effort
def test_what_is_deleted_is_answered_as_described(
    case: schemathesis.Case[Any], cloud: Cloud, session: requests.Session
) -> None:
    ask(case, cloud, session)


def test_the_description_is_served_to_everybody(cloud: Cloud) -> None:
    with requests.Session() as nobody:
        nobody.trust_env = False
        response = nobody.get(f"{cloud.access.endpoint}/openapi.json", verify=cloud.access.ca, timeout=30)
    assert response.status_code == 200
    assert response.json() == describe()
