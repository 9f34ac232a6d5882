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
from podvnet.fabric.arm.world import Document
from podvnet.fabric.deployment import template as templates
from podvnet.fabric.deployment.execution import DeploymentFailedError, Operation, Outcome, ReadyResource, deploy
from podvnet.fabric.deployment.plan import Deployment, every_resource, expand, mode_of
from podvnet.fabric.deployment.scope import DEPLOYMENTS, DeploymentScope
from podvnet.fabric.deployment.validation import properties, validate
from podvnet.fabric.deployment.what_if import Change, what_if
from podvnet.fabric.engine import Fabric
from podvnet.fabric.identity.principals import TENANT
from podvnet.fabric.settlement import settle
from podvnet.model.arm_error import ArmError, ArmErrorsError


@dataclass(frozen=True, slots=True)
class Carried:
    """A deployment that was carried out, or failed half-way: ``error`` says how."""

    document: Document
    new: bool
    error: ArmError | None = None


class Deployments:
    """The deployments of a fabric. For the engine's turn. Records last as long as the process.

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
        self._records: dict[str, Document] = {}
        self._operations: dict[str, tuple[Operation, ...]] = {}

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
        return found

    def every(self, target: Target) -> list[Document]:
        """The deployments of a resource group."""
        self._groups.get(target.subscription, target.group, self._fabric.world)
        prefix = f"/subscriptions/{target.subscription}/resourcegroups/{target.group}/".lower()
        return [record for key, record in self._records.items() if key.startswith(prefix)]

    def operations(self, target: Target) -> list[Document]:
        """What became of each resource of a deployment."""
        record = self.get(target)
        return [
            {
                "id": f"{record['id']}/operations/{position}",
                "operationId": str(position),
                "properties": {
                    "provisioningOperation": "Create",
                    "provisioningState": "Failed" if each.error else "Succeeded",
                    "targetResource": {
                        "id": each.id,
                        "resourceType": each.type,
                        "resourceName": each.id.split("/")[-1],
                    },
                    "statusCode": "Conflict" if each.error else "OK",
                    "statusMessage": {"error": each.error.document()} if each.error else None,
                },
            }
            for position, each in enumerate(self._operations[record["id"].lower()])
        ]

    def put(self, target: Target, body: Any) -> Carried:
        """Carry a template out.

        Raises:
            ArmError: the template or its parameters are wrong; nothing was done.
        """
        deployment = self._expand(target, body)
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
        self._records[identity.lower()] = record
        self._operations[identity.lower()] = outcome.operations
        return Carried(record, new, error)

    def validate(self, target: Target, body: Any) -> Document:
        """What ``validate`` answers.

        Raises:
            ArmError: what is wrong.
        """
        return validate(self._expand(target, body))

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
        key = str(target.resource()).lower()
        self._operations.pop(key, None)
        return self._records.pop(key, None) is not None

    def _expand(self, target: Target, body: Any) -> Deployment:
        group = self._groups.get(target.subscription, target.group, self._fabric.world)
        wanted = body.get("properties")
        if not isinstance(wanted, dict) or not isinstance(wanted.get("template"), dict):
            raise ArmError(
                "InvalidRequestContent",
                "The request content was invalid: properties.template is required and must be an object"
                " (this fabric follows no templateLink).",
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
        return expand(templates.parse(wanted["template"]), wanted.get("parameters") or {}, scope, self._clock())

    def _put(self, ready: ReadyResource) -> Document:
        if ready.type.lower() == DEPLOYMENTS.lower():
            self._records[ready.id.lower()] = ready.body
            self._operations[ready.id.lower()] = ()
            return ready.body
        body = {key: value for key, value in ready.body.items() if key not in {"apiVersion", "dependsOn"}}
        try:
            return self._resources.put(parse_path(ready.id), body, None).view
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
        body = {key: value for key, value in draft.items() if key not in {"apiVersion", "dependsOn"}}
        try:
            return references.view(settle(body, self._fabric.world), self._fabric.world)
        except ArmError:
            return draft

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
