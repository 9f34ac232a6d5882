"""The member ``identity`` of a VM: what may be asked, and what Azure fills in.

Sources: Azure documents "Configure managed identities on Azure virtual machines" and the REST reference of
Microsoft.Compute (``VirtualMachineIdentity``). A PUT that says nothing of the identity leaves it as it is; the type
``None`` takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podvnet.fabric.arm.fields import Fields
from podvnet.fabric.arm.resource_type import stable_guid
from podvnet.fabric.arm.world import USER_ASSIGNED_IDENTITIES, Document, World
from podvnet.fabric.identity.principals import TENANT
from podvnet.model.arm_error import ArmError
from podvnet.model.intent import ManagedIdentity
from podvnet.model.resource_id import ResourceId, Scope, parse

_SYSTEM, _USER = "SystemAssigned", "UserAssigned"
_BOTH = f"{_SYSTEM}, {_USER}"


def settle_identity(resource: ResourceId, body: Fields, world: World) -> Document | None:
    """Read the identity of a VM and complete it; None for a VM without.

    Raises:
        ArmError: the type and the identities named do not fit, or one named does not exist.
    """
    if not body.has("identity"):
        previous = world.get(resource)
        body.allow("identity")
        return previous.get("identity") if previous else None
    fields = body.fields("identity")
    fields.allow("principalId", "tenantId")
    kind = fields.choice("type", "", _SYSTEM, _USER, _BOTH, f"{_SYSTEM},{_USER}", "None").replace(",U", ", U")
    named = fields.mapping("userAssignedIdentities")
    fields.refuse_unread()
    if (_USER in kind) != bool(named):
        what = "must name an identity" if _USER in kind else f"must not be given with the type {kind}"
        raise fields.error("InvalidParameter", what, "userAssignedIdentities")
    if kind == "None":
        return None
    identity: Document = {"type": kind}
    if _SYSTEM in kind:
        identity |= {"principalId": stable_guid(resource, "principal"), "tenantId": TENANT}
    if named:
        found = (_user_assigned(each, resource, world) for each in named)
        identity["userAssignedIdentities"] = {
            each["id"]: {name: each["properties"][name] for name in ("principalId", "clientId")} for each in found
        }
    return identity


def merged(present: Mapping[str, Any], patch: Mapping[str, Any]) -> Document:
    """The identity that a PATCH asks for: user-assigned ones are added, those that are null are taken away."""
    named = patch.get("userAssignedIdentities")
    if not isinstance(named, Mapping | None):
        return dict(patch)  # the check of the whole says what is wrong with it
    kept: dict[str, str] = {}
    if _USER.lower() in str(patch.get("type")).lower():
        kept = {key.lower(): key for key in present.get("userAssignedIdentities", {})}
    for key, value in (named or {}).items():
        kept.pop(key.lower(), None)
        if value is not None:
            kept[key.lower()] = key
    rest = {key: value for key, value in patch.items() if key != "userAssignedIdentities"}
    return rest | ({"userAssignedIdentities": {key: {} for key in kept.values()}} if kept else {})


def identities_of(document: Document) -> tuple[ManagedIdentity, ...]:
    """The identities of a settled VM, the system-assigned one first."""
    identity = document.get("identity", {})
    resource = parse(document["id"])
    found = []
    if "principalId" in identity:
        found.append(ManagedIdentity(resource, stable_guid(resource, "client"), identity["principalId"], True))
    for key, ids in identity.get("userAssignedIdentities", {}).items():
        found.append(ManagedIdentity(parse(key), ids["clientId"], ids["principalId"]))
    return tuple(found)


def _user_assigned(text: str, machine: ResourceId, world: World) -> Document:
    scope = Scope(machine.subscription, machine.resource_group)
    try:
        found = world.get(parse(text, scope, USER_ASSIGNED_IDENTITIES.split("/", 1)[0]))
    except ValueError as problem:
        raise ArmError("LinkedInvalidPropertyId", str(problem), target=str(machine)) from None
    if found is None or found["type"] != USER_ASSIGNED_IDENTITIES:
        raise ArmError(
            "FailedIdentityOperation",
            f"Identity operation for resource '{machine}' failed with error 'Failed to perform resource identity"
            f" operation. Status: 'BadRequest'. The identity '{text}' was not found.'",
            target=str(machine),
        )
    return found
