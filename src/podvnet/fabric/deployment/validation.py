"""What ``validate`` answers: the parameters that were understood, the resources that would be put.

Source: Azure REST reference "Deployments - Validate" (DeploymentValidateResult); "Troubleshoot common Azure deployment
errors", ``InvalidTemplateDeployment``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from podvnet.fabric.deployment.json_value import Document
from podvnet.fabric.deployment.plan import Deployment, every_resource
from podvnet.fabric.deployment.planned_resource import PlannedResource
from podvnet.fabric.deployment.scope import DEPLOYMENTS
from podvnet.fabric.deployment.template_error import DetailedError
from podvnet.model.arm_error import ArmError

Preflight = Callable[[str, str, Document], None]
"""``preflight(id, api-version, draft body)`` raises ArmError when a provider would refuse it. Expressions that must
wait for the deployment stand in the draft as they are written."""


def validate(deployment: Deployment, preflight: Preflight | None = None) -> Document:
    """Answer a validation.

    Args:
        deployment: an expanded template, so its own mistakes are known already.
        preflight: asks the providers.

    Returns:
        The ``DeploymentValidateResult``.

    Raises:
        DetailedError: ``InvalidTemplateDeployment`` with what the providers refuse.
        ArmError: a nested template is wrong.
    """
    resources = list(every_resource(deployment))
    errors: list[ArmError] = []
    for resource in resources:
        if preflight and not resource.is_deployment and not resource.existing:
            try:
                preflight(resource.id, resource.api_version, resource.draft()[0])
            except ArmError as error:
                errors.append(error)
    if errors:
        raise DetailedError(
            "InvalidTemplateDeployment",
            f"The template deployment '{deployment.scope.deployment}' is not valid according to the validation"
            " procedure. See inner errors for details.",
            tuple(errors),
        )
    scope = deployment.scope
    return {
        "id": scope.deployment_id,
        "name": scope.deployment,
        "type": DEPLOYMENTS,
        "properties": {
            **properties(deployment, resources),
            "validatedResources": [{"id": each.id} for each in resources],
        },
    }


def properties(deployment: Deployment, resources: Iterable[PlannedResource] | None = None) -> Document:
    """What a deployment shows of itself besides its state, time and outputs.

    Args:
        deployment: the deployment.
        resources: its resources, when they were listed already.
    """
    listed = list(every_resource(deployment) if resources is None else resources)
    return {
        "templateHash": deployment.template.hash,
        "parameters": deployment.shown_parameters(),
        "mode": deployment.scope.mode,
        "provisioningState": "Succeeded",
        "timestamp": deployment.context.now.isoformat().replace("+00:00", "Z"),
        "duration": "PT0S",
        "providers": _providers(listed, deployment.scope.location),
        "dependencies": [_dependency(each, listed) for each in listed if each.depends_on],
    }


def _providers(resources: list[PlannedResource], location: str) -> list[Document]:
    found: dict[str, dict[str, Document]] = {}
    for resource in resources:
        namespace, _, kind = resource.type.partition("/")
        place = resource.template.body.get("location")
        place = resource.context.value(place, resource.path, []) if isinstance(place, str) else None
        each = found.setdefault(namespace, {}).setdefault(kind, {"resourceType": kind, "locations": []})
        if (place or location) not in each["locations"]:
            each["locations"].append(place or location)
    return [{"namespace": name, "resourceTypes": list(kinds.values())} for name, kinds in found.items()]


def _dependency(resource: PlannedResource, resources: list[PlannedResource]) -> Document:
    by_id = {each.id: each for each in resources}
    needed = [by_id[each] for each in resource.depends_on if each in by_id]
    return {"dependsOn": [_named(each) for each in needed], **_named(resource)}


def _named(resource: PlannedResource) -> Document:
    return {"id": resource.id, "resourceType": resource.type, "resourceName": resource.name}
