"""Template deployments behind the API: validated, carried out through the same writes that clients make, remembered.

Source: Azure REST reference "Deployments" of Microsoft.Resources.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from podvnet.fabric.api.resource_groups import ResourceGroups
from podvnet.fabric.api.resources import Resources
from podvnet.fabric.api.target import Target, parse_path
from podvnet.fabric.arm import references
from podvnet.fabric.arm.shared_key import without_secrets
from podvnet.fabric.arm.world import Document
from podvnet.fabric.deployment import template as templates
from podvnet.fabric.deployment.execution import DeploymentFailedError, Operation, Outcome, ReadyResource, deploy
from podvnet.fabric.deployment.plan import Deployment, every_resource, expand, mode_of
from podvnet.fabric.deployment.scope import DEPLOYMENTS, DeploymentScope
from podvnet.fabric.deployment.validation import properties, validate
from podvnet.fabric.deployment.what_if import Change, what_if
from podvnet.fabric.engine import Fabric
from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.settlement import TYPES, settle
from podvnet.model.arm_error import ArmError, ArmErrorsError


@dataclass(frozen=True, slots=True)
class Carried:
    """A deployment that was carried out, or failed half-way: ``error`` says how."""

    document: Document
    new: bool
    error: ArmError | None = None


class Deployments:
    """The deployments of a fabric. For the engine's turn. Records outlive the process: the store has them.

    Args:
        fabric, groups, resources: what the templates' resources are put into.
        clock: the time now, with its zone.
    """

    def __init__(
        self, fabric: Fabric, groups: ResourceGroups, resources: Resources, clock: Callable[[], dt.datetime]
    ) -> None:
        self._fabric = fabric
        self._groups = groups
        self._resources = resources
        self._clock = clock
        self._records = fabric.store.deployments()

    def get(self, target: Target) -> Document:
        """A deployment's record.

        Raises:
            ArmError: ``DeploymentNotFound``.
        """
        found = self._records.get(str(target.resource()).lower())
        if found is None:
            raise ArmError(
                "DeploymentNotFound",
                f"Deployment '{target.resource().name}' could not be found.",
                status=HTTPStatus.NOT_FOUND,
            )
        return found[0]

    def every(self, target: Target) -> list[Document]:
        """The deployments of a resource group."""
        self._groups.get(target.subscription, target.group, self._fabric.world)
        prefix = f"/subscriptions/{target.subscription}/resourcegroups/{target.group}/".lower()
        return [record for key, (record, _) in self._records.items() if key.startswith(prefix)]

    def operations(self, target: Target) -> list[Document]:
        """What became of each resource of a deployment.

        Raises:
            ArmError: ``DeploymentNotFound``.
        """
        self.get(target)
        return self._records[str(target.resource()).lower()][1]

    def operation(self, target: Target, identity: str) -> Document:
        """One of them.

        Raises:
            ArmError: ``DeploymentNotFound``, or ``DeploymentOperationNotFound``.
        """
        for each in self.operations(target):
            if each["operationId"] == identity:
                return each
        raise ArmError(
            "DeploymentOperationNotFound",
            f"Deployment operation '{identity}' of '{target.resource().name}' could not be found.",
            status=HTTPStatus.NOT_FOUND,
        )

    def put(self, target: Target, body: Any) -> Carried:
        """Carry a template out.

        Raises:
            ArmError: the template or its parameters are wrong; nothing was done.
        """
        deployment = self._expand(target, body)
        validate(deployment, _preflight)
        identity = deployment.scope.deployment_id
        new = identity.lower() not in self._records
        error: ArmError | None = None
        try:
            outcome = deploy(deployment, self._put, self._read)
            if deployment.scope.mode == "Complete":
                self._remove_unnamed(deployment)
        except DeploymentFailedError as failure:
            error, outcome = failure, Outcome({}, failure.operations)
        except ArmError as failure:
            error, outcome = failure, Outcome({}, ())
        record = self._record(deployment, outcome, error)
        self._keep(record, outcome.operations)
        return Carried(record, new, error)

    def cancel(self, target: Target) -> None:
        """What ``cancel`` answers. A deployment runs within its turn, so none is ever running when this one has come.

        Raises:
            ArmError: ``DeploymentNotFound``, or ``DeploymentCannotBeCancelled``.
        """
        record = self.get(target)
        raise ArmError(
            "DeploymentCannotBeCancelled",
            f"The deployment '{record['name']}' cannot be cancelled because it is not running: its provisioning state"
            f" is '{record['properties']['provisioningState']}'.",
            status=HTTPStatus.CONFLICT,
            target=record["id"],
        )

    def validate(self, target: Target, body: Any) -> Document:
        """What ``validate`` answers.

        Raises:
            ArmError: what is wrong.
        """
        return validate(self._expand(target, body), _preflight)

    def what_if(self, target: Target, body: Any) -> Document:
        """What ``whatIf`` answers: each resource as it is and as the template describes it."""
        deployment = self._expand(target, body)
        changes = []
        for resource in every_resource(deployment):
            if resource.is_deployment or resource.existing:
                continue
            draft = {**resource.draft()[0], "id": resource.id}
            changes.append(Change(resource.id, self._shown(resource.id), self._settled(draft)))
        named = {change.id.lower() for change in changes}
        for document in self._resources.in_group(target.subscription, target.group):
            if document["id"].lower() not in named:
                gone = deployment.scope.mode == "Complete"
                changes.append(Change(document["id"], self._shown(document["id"]), None, deleted=gone))
        return what_if(changes)

    def delete(self, target: Target) -> bool:
        """Forget a deployment's record; its resources stay."""
        return bool(self._forget({str(target.resource()).lower()}))

    def forget_group(self, subscription: str, group: str) -> None:
        """Forget the deployments of a resource group that goes."""
        prefix = f"/subscriptions/{subscription}/resourcegroups/{group}/".lower()
        self._forget({key for key in self._records if key.startswith(prefix)})

    def _forget(self, keys: set[str]) -> set[str]:
        gone = keys & self._records.keys()
        self._fabric.store.remove_deployments(gone)
        for key in gone:
            del self._records[key]
        return gone

    def _keep(self, record: Document, operations: tuple[Operation, ...]) -> None:
        key, shown = record["id"].lower(), [_operation_document(record["id"], *each) for each in enumerate(operations)]
        self._fabric.store.write_deployment(key, record, shown)
        self._records[key] = (record, shown)

    def _expand(self, target: Target, body: Any) -> Deployment:
        group = self._groups.get(target.subscription, target.group, self._fabric.world)
        wanted = body.get("properties")
        if not isinstance(wanted, dict) or not isinstance(wanted.get("template"), dict):
            raise ArmError(
                "InvalidRequestContent",
                "The request content was invalid: properties.template is required and must be an object"
                " (this fabric follows no templateLink).",
            )
        parameters = wanted.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise ArmError(
                "InvalidRequestContent", "The request content was invalid: properties.parameters is no object."
            )
        scope = DeploymentScope(
            subscription=target.subscription,
            resource_group=group["name"],
            location=group["location"],
            tags=group.get("tags", {}),
            deployment=target.resource().name,
            mode=mode_of(str(wanted.get("mode", "Incremental"))),
            tenant=TENANT,
        )
        return expand(templates.parse(wanted["template"]), parameters, scope, self._clock())

    def _put(self, ready: ReadyResource) -> Document:
        if ready.type.lower() == DEPLOYMENTS.lower():
            self._keep(ready.body, ())
            return ready.body
        body = {key: value for key, value in ready.body.items() if key not in {"apiVersion", "dependsOn"}}
        try:
            return self._resources.put(parse_path(ready.id), body, None, ready.api_version).view
        except ArmErrorsError as several:
            raise several.errors[0] from None

    def _read(self, resource_id: str, _: str) -> Document:
        return self._resources.get(parse_path(resource_id))[0]

    def _shown(self, resource_id: str) -> Document | None:
        try:
            return self._read(resource_id, "")
        except ArmError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _settled(self, draft: Document) -> Document:
        """A resource as it would be shown; as it is drafted where that only the deployment itself can tell."""
        body = {key: value for key, value in draft.items() if key != "dependsOn"}
        try:
            return references.view(settle(body, self._fabric.world), self._fabric.world)
        except ArmError:
            kept: Document = without_secrets(draft)
            return kept

    def _remove_unnamed(self, deployment: Deployment) -> None:
        named = {resource.id.lower() for resource in every_resource(deployment)}
        scope = deployment.scope
        present = self._resources.in_group(scope.subscription, scope.resource_group)
        gone = {document["id"].lower() for document in present} - named
        try:
            self._fabric.remove(gone)
        except ArmErrorsError as several:
            raise several.errors[0] from None

    def _record(self, deployment: Deployment, outcome: Outcome, error: ArmError | None) -> Document:
        shown = properties(deployment) | {"outputs": outcome.outputs, "outputResources": outcome.resources}
        if error:
            shown |= {"provisioningState": "Failed", "error": error.document()}
        scope = deployment.scope
        return {"id": scope.deployment_id, "name": scope.deployment, "type": DEPLOYMENTS, "properties": shown}


def _preflight(identity: str, _version: str, draft: Document) -> None:
    """Refuse what the resource manager refuses by itself, before it asks a provider for anything.

    Raises:
        ArmError: the type is unknown, or the region is missing.
    """
    resource = parse_path(identity).resource()
    kind = resource.top.type
    if kind.lower() not in TYPES:
        raise ArmError(
            "InvalidResourceType",
            f"The resource type '{kind}' could not be found.",
            status=HTTPStatus.NOT_FOUND,
            target=identity,
        )
    if len(resource.path) == 1 and not draft.get("location"):
        raise ArmError("LocationRequired", "The location property is required for this definition.", target=identity)


def _operation_document(deployment: str, position: int, operation: Operation) -> Document:
    """An operation as the list of a deployment's operations has it."""
    error = operation.error
    return {
        "id": f"{deployment}/operations/{position}",
        "operationId": str(position),
        "properties": {
            "provisioningOperation": "Create",
            "provisioningState": "Failed" if error else "Succeeded",
            "targetResource": {
                "id": operation.id,
                "resourceType": operation.type,
                "resourceName": operation.id.split("/")[-1],
            },
            "statusCode": "Conflict" if error else "OK",
            "statusMessage": {"error": error.document()} if error else None,
        },
    }
