"""Tokens from the metadata service: which identity is meant, what is answered, and every refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from starlette.types import ASGIApp

from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.imds import imds_app
from podvnet.fabric.imds_identity import REQUESTS_PER_SECOND
from podvnet.model.intent import Intent, ManagedIdentity, VirtualMachine
from podvnet.model.resource_id import Scope, make

Reply = tuple[int, dict[str, str], bytes]
Call = Callable[..., Reply]

ASKS = {"Metadata": "true"}
TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01"
ARM = "resource=https://management.azure.com/"
MULTIPLE = "Multiple user assigned identities exist"


def assigned(name: str) -> ManagedIdentity:
    identity = make(Scope(), "Microsoft.ManagedIdentity/userAssignedIdentities", name)
    return ManagedIdentity(identity, f"client-{name}", f"object-{name}")


def system(machine: VirtualMachine) -> ManagedIdentity:
    return ManagedIdentity(machine.id, "client-own", "object-own", system_assigned=True)


def service(intent: Intent, machine: VirtualMachine, *identities: ManagedIdentity) -> ASGIApp:
    """The service of a VM with identities; the one called ``gone`` has no principal any more."""

    def mint(client: str, resource: str, now: float) -> str | None:
        assert now > 1_700_000_000
        return None if client == "client-gone" else f"token of {client} for {resource}"

    asking = replace(machine, identities=identities)
    return imds_app({"10.1.0.4": asking}.get, lambda: intent, mint, lambda: 1000.0)


def description(body: bytes) -> str:
    found = json.loads(body)
    assert found["error"] == "invalid_request"
    return str(found["error_description"])


@pytest.mark.parametrize(
    ("own", "names", "query", "expected"),
    [
        (True, (), "", "own"),
        (False, ("a",), "", "a"),
        (True, ("a", "b"), "", "own"),
        (True, ("a", "b"), "client_id=client-b", "b"),
        (True, ("a",), "client_id=CLIENT-OWN", "own"),
        (False, ("a", "b"), "object_id=object-a", "a"),
        (False, ("a", "b"), f"msi_res_id={assigned('b').id}", "b"),
        (False, ("a", "b"), f"mi_res_id={str(assigned('b').id).upper()}", "b"),
        (False, ("a", "b"), "client_id=client-a&object_id=object-a", "a"),
        (False, ("a", "b"), "client_id=client-a&object_id=object-b", "Identity not found"),
        (False, ("a", "b"), "", MULTIPLE),
        (False, ("a",), "client_id=client-c", "Identity not found"),
        (False, (), "", "Identity not found"),
        (False, ("gone",), "", "Identity not found"),
    ],
)
def test_which_identity_is_meant(
    *, call: Call, intent: Intent, vm1: VirtualMachine, own: bool, names: tuple[str, ...], query: str, expected: str
) -> None:
    identities = [system(vm1)] if own else []
    app = service(intent, vm1, *identities, *(assigned(name) for name in names))
    status, _, body = call(app, "GET", f"{TOKEN}&{ARM}&{query}".rstrip("&"), headers=ASKS)
    if status == 200:
        assert json.loads(body)["access_token"] == f"token of client-{expected} for https://management.azure.com/"
        assert json.loads(body)["client_id"] == f"client-{expected}"
    else:
        assert status == 400
        assert description(body).startswith(expected)


def test_every_member_is_a_string_and_the_times_agree(call: Call, intent: Intent, vm1: VirtualMachine) -> None:
    found = json.loads(call(service(intent, vm1, system(vm1)), "GET", f"{TOKEN}&{ARM}", headers=ASKS)[2])
    assert {key for key, value in found.items() if isinstance(value, str)} == {
        "access_token", "client_id", "expires_in", "expires_on", "ext_expires_in", "not_before", "resource",
        "token_type",
    }  # fmt: skip
    assert int(found["expires_on"]) == int(found["not_before"]) + int(found["expires_in"])


@pytest.mark.parametrize(
    ("path", "headers", "says"),
    [
        (f"{TOKEN}&{ARM}", {}, "Required metadata header not specified"),
        (f"{TOKEN}&{ARM}", {"Metadata": "false"}, "Required metadata header not specified"),
        (f"{TOKEN}&{ARM}", ASKS | {"X-Forwarded-For": "10.0.0.1"}, "X-Forwarded-For"),
        (TOKEN, ASKS, "Required query variable 'resource' is missing"),
        (f"{TOKEN}&resource=", ASKS, "Required query variable 'resource' is missing"),
        (f"/metadata/identity/oauth2/token?{ARM}", ASKS, "Required query variable 'api-version' is missing"),
        (f"/metadata/identity/oauth2/token?{ARM}&api-version=2016-01-01", ASKS, "2016-01-01 is not supported"),
        (f"{TOKEN}&{ARM}&client_id=a&Client_Id=b", ASKS, "more than once"),
    ],
)
def test_refused(
    *, call: Call, intent: Intent, vm1: VirtualMachine, path: str, headers: dict[str, str], says: str
) -> None:
    status, _, body = call(service(intent, vm1, system(vm1)), "GET", path, headers=headers)
    assert status == 400
    assert says in description(body)


def test_only_get_and_only_what_is_there(call: Call, intent: Intent, vm1: VirtualMachine) -> None:
    app = service(intent, vm1, system(vm1))
    status, headers, _ = call(app, "POST", f"{TOKEN}&{ARM}", headers=ASKS)
    assert (status, headers["allow"]) == (405, "GET")
    assert call(app, "GET", "/metadata/identity/nothing?api-version=2018-02-01", headers=ASKS)[0] == 404


def test_info_is_the_tenant(call: Call, intent: Intent, vm1: VirtualMachine) -> None:
    body = call(service(intent, vm1), "GET", "/metadata/identity/info?api-version=2018-02-01", headers=ASKS)[2]
    assert json.loads(body) == {"tenantId": TENANT}


def test_twenty_requests_a_second_beside_the_five_of_the_rest(call: Call, intent: Intent, vm1: VirtualMachine) -> None:
    app = service(intent, vm1, system(vm1))
    answers = [call(app, "GET", f"{TOKEN}&{ARM}", headers=ASKS)[0] for _ in range(REQUESTS_PER_SECOND + 2)]
    assert answers == [200] * 20 + [429] * 2
    assert [call(app, "GET", "/metadata/versions", headers=ASKS)[0] for _ in range(6)] == [200] * 5 + [429]
