"""A deployment carried out: one resource after the other, through whoever can put one.

Source: Azure document "ARM template deployment": what does not depend on a failed resource is deployed all the same;
"Deployment history" for the operations; "Troubleshoot common errors" for ``DeploymentFailed``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from http import HTTPStatus

from podvnet.fabric.deployment.context import Resolver
from podvnet.fabric.deployment.json_value import Document
from podvnet.fabric.deployment.plan import Deployment, expand_nested
from podvnet.fabric.deployment.planned_resource import PlannedResource
from podvnet.fabric.deployment.template_error import DetailedError
from podvnet.model.arm_error import ArmError


@dataclass(frozen=True, slots=True)
class ReadyResource:
    """A resource to be put now.

    Attributes:
        body: the document, with id, name and type. Of a nested deployment, which has been carried out by then, its
            record: scope, parameters, outputs.
        deployment: the id of the deployment it belongs to.
    """

    id: str
    type: str
    api_version: str
    body: Document
    deployment: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What became of one resource; ``error`` None when it was put."""

    id: str
    type: str
    deployment: str
    error: ArmError | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A deployment that succeeded."""

    outputs: Document
    operations: tuple[Operation, ...]

    @property
    def resources(self) -> list[Document]:
        """``outputResources`` of the deployment."""
        return [{"id": each.id} for each in self.operations]


class DeploymentFailedError(DetailedError):
    """``DeploymentFailed``: some resources were refused.

    Attributes:
        operations: what became of each that was tried.
    """

    def __init__(self, operations: tuple[Operation, ...], deployment: str) -> None:
        super().__init__(
            "DeploymentFailed",
            "At least one resource deployment operation failed. Please list deployment operations for details. Please"
            " see https://aka.ms/arm-deployment-operations for usage details.",
            tuple(each.error for each in operations if each.error and each.deployment == deployment),
            status=HTTPStatus.CONFLICT,
            target=deployment,
        )
        self.operations = operations


Put = Callable[[ReadyResource], Document]
"""Puts a resource and returns it settled, as it is shown; ArmError when it is refused."""

Steps = Generator[ReadyResource, Document, Outcome]


def deploy(deployment: Deployment, put: Put, read: Resolver) -> Outcome:
    """Carry out a deployment.

    Args:
        deployment: what is to be done.
        put: puts one resource.
        read: ``read(resource id, api-version)`` returns a resource that this deployment does not make.

    Raises:
        DeploymentFailedError: resources were refused; the others are there.
        DetailedError: an output cannot be evaluated.
    """
    work = steps(deployment, read)
    try:
        ready = next(work)
        while True:
            try:
                view = put(ready)
            except ArmError as error:
                ready = work.throw(error)
            else:
                ready = work.send(view)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


def steps(deployment: Deployment, read: Resolver) -> Steps:
    """The same, one step at a time, for a caller that puts resources in its own way.

    Yields:
        A resource to put. The caller sends it back as it is shown, or throws the ArmError of its refusal.

    Returns:
        The outcome.

    Raises:
        DeploymentFailedError: resources were refused.
    """
    views: dict[str, Document] = {}

    def resolver(resource_id: str, version: str) -> Document:
        return views.get(resource_id.lower()) or read(resource_id, version)

    name = deployment.scope.deployment_id
    operations: list[Operation] = []
    failed: set[str] = set()
    for resource in deployment.resources:
        if not failed.isdisjoint(each.lower() for each in resource.depends_on):
            failed.add(resource.key)
        elif not resource.existing:
            try:
                views[resource.key] = yield from _one(resource, name, read, resolver, operations)
                operations.append(Operation(resource.id, resource.type, name))
            except ArmError as error:
                failed.add(resource.key)
                operations.append(Operation(resource.id, resource.type, name, error))
    if any(each.error for each in operations):
        raise DeploymentFailedError(tuple(operations), name)
    return Outcome(deployment.outputs(resolver), tuple(operations))


def _one(
    resource: PlannedResource, deployment: str, read: Resolver, resolver: Resolver, operations: list[Operation]
) -> Generator[ReadyResource, Document, Document]:
    if resource.is_deployment:
        body = yield from _nested(resource, read, resolver, operations)
    else:
        body = resource.body(resolver)
    view = yield ReadyResource(resource.id, resource.type, resource.api_version, body, deployment)
    # A record may leave out what only the run knows; what was made here is the truth of a nested deployment.
    return {**view, **body} if resource.is_deployment else view


def _nested(
    resource: PlannedResource, read: Resolver, resolver: Resolver, operations: list[Operation]
) -> Generator[ReadyResource, Document, Document]:
    inner = expand_nested(resource, resolver)
    try:
        outcome = yield from steps(inner, resolver if inner.context.scope is not inner.scope else read)
    except DeploymentFailedError as error:
        operations.extend(error.operations)
        raise
    operations.extend(outcome.operations)
    return {
        "id": resource.id,
        "name": resource.name,
        "type": resource.type,
        "properties": {
            "mode": inner.scope.mode,
            "provisioningState": "Succeeded",
            "templateHash": inner.template.hash,
            "parameters": inner.shown_parameters() if inner.context.scope is inner.scope else {},
            "outputs": outcome.outputs,
            "outputResources": outcome.resources,
        },
    }
