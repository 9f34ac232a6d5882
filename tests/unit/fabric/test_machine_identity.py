"""The identity of a VM: what may be asked, what is filled in, who it is to the resource manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from podvnet.fabric.arm.machine_identity import identities_of, merged
from podvnet.fabric.arm.world import USER_ASSIGNED_IDENTITIES, VIRTUAL_MACHINES, Document, World, shown
from podvnet.fabric.identity.managed import find
from podvnet.fabric.identity.principals import TENANT, Role
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError
from podvnet.model.resource_id import Scope, make

Make = Callable[..., Document]
Refusal = Callable[[Document, World], ArmError]

PROFILE = {"networkProfile": {"networkInterfaces": [{"id": "networkInterfaces/spare"}]}}
BLUE = make(Scope(), USER_ASSIGNED_IDENTITIES, "blue")


@pytest.fixture
def machine(world: World, document: Make) -> Callable[..., Document]:
    """``machine(identity)`` puts a VM with an identity into the world, where ``blue`` is."""
    world.put(settle(document(USER_ASSIGNED_IDENTITIES, "blue", {}), world))

    def put(identity: dict[str, Any] | None) -> Document:
        members = {} if identity is None else {"identity": identity}
        settled = settle(document(VIRTUAL_MACHINES, "new", PROFILE, **members), world)
        world.put(settled)
        return settled

    return put


def test_a_user_assigned_identity_has_ids_of_its_own(world: World, document: Make) -> None:
    settled = settle(document(USER_ASSIGNED_IDENTITIES, "blue", {}, tags={"a": "b"}), world)
    ids = settled["properties"]
    assert ids["tenantId"] == TENANT
    assert len({ids["tenantId"], ids["principalId"], ids["clientId"]}) == 3
    assert settle(shown(settled), world) == settled


@pytest.mark.parametrize("kind", ["SystemAssigned, UserAssigned", "systemassigned,userassigned"])
def test_what_is_filled_in(kind: str, machine: Callable[..., Document], world: World) -> None:
    settled = machine({"type": kind, "userAssignedIdentities": {str(BLUE).upper(): {}}})
    identity, blue = settled["identity"], world.documents[BLUE.key]
    assert identity["type"] == "SystemAssigned, UserAssigned"
    assert identity["tenantId"] == TENANT
    ids = {name: blue["properties"][name] for name in ("principalId", "clientId")}
    assert identity["userAssignedIdentities"] == {blue["id"]: ids}
    own, assigned = identities_of(settled)
    assert (own.system_assigned, own.object, own.id.name) == (True, identity["principalId"], "new")
    assert (assigned.system_assigned, assigned.client, assigned.id) == (False, ids["clientId"], BLUE)
    assert settle(shown(settled), world) == settled


def test_no_word_of_the_identity_leaves_it_and_none_takes_it_away(machine: Callable[..., Document]) -> None:
    given = machine({"type": "SystemAssigned"})["identity"]
    assert machine(None)["identity"] == given
    assert "identity" not in machine({"type": "None"})
    assert "identity" not in machine(None)


@pytest.mark.parametrize(
    ("identity", "code", "says"),
    [
        ({}, "InvalidRequestFormat", "identity.type: must be one of"),
        ({"type": "Managed"}, "InvalidRequestFormat", "identity.type: must be one of"),
        ({"type": "UserAssigned"}, "InvalidParameter", "identity.userAssignedIdentities: must name an identity"),
        (
            {"type": "SystemAssigned", "userAssignedIdentities": {str(BLUE): {}}},
            "InvalidParameter",
            "must not be given with the type SystemAssigned",
        ),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"userAssignedIdentities/green": {}}},
            "FailedIdentityOperation",
            "'userAssignedIdentities/green' was not found",
        ),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"green": {}}},
            "LinkedInvalidPropertyId",
            "'green' is not a resource id",
        ),
        ({"type": "None", "ids": []}, "InvalidRequestFormat", "identity: could not find member 'ids'"),
    ],
)
def test_refused(
    *, identity: dict[str, Any], code: str, says: str, world: World, document: Make, refusal: Refusal
) -> None:
    error = refusal(document(VIRTUAL_MACHINES, "new", PROFILE, identity=identity), world)
    assert (error.code, error.status) == (code, 400)
    assert says in error.message


@pytest.mark.parametrize(
    ("present", "patch", "expected"),
    [
        ({}, {"type": "SystemAssigned"}, {"type": "SystemAssigned"}),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"/a": {"clientId": "1"}}},
            {"type": "UserAssigned", "userAssignedIdentities": {"/b": {}}},
            {"type": "UserAssigned", "userAssignedIdentities": {"/a": {}, "/b": {}}},
        ),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"/a": {}, "/b": {}}},
            {"type": "UserAssigned", "userAssignedIdentities": {"/A": None}},
            {"type": "UserAssigned", "userAssignedIdentities": {"/b": {}}},
        ),
        (
            {"type": "UserAssigned", "userAssignedIdentities": {"/a": {}}},
            {"type": "None", "userAssignedIdentities": {"/a": None}},
            {"type": "None"},
        ),
        (
            {},
            {"type": "UserAssigned", "userAssignedIdentities": []},
            {"type": "UserAssigned", "userAssignedIdentities": []},
        ),
    ],
)
def test_a_patch_is_merged(present: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(present, patch) == expected


def test_an_identity_is_contributor_as_long_as_it_exists(machine: Callable[..., Document], world: World) -> None:
    settled = machine({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {str(BLUE): {}}})
    for identity, name in zip(identities_of(settled), ("new", "blue"), strict=True):
        principal = find(world, identity.client)
        assert principal is not None
        assert (principal.object, principal.name, principal.role) == (identity.object, name, Role.CONTRIBUTOR)
    own, blue = (identity.client for identity in identities_of(settled))
    world.remove(settled["id"].lower())
    world.remove(BLUE.key)
    assert find(world, own) is None
    assert find(world, blue) is None
