"""A place to deploy to, and ways to evaluate one expression."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from podvnet.fabric.deployment import plan, template
from podvnet.fabric.deployment.context import Context, Work
from podvnet.fabric.deployment.functions import FUNCTIONS
from podvnet.fabric.deployment.plan import Deployment
from podvnet.fabric.deployment.planned_resource import ResourceNames
from podvnet.fabric.deployment.scope import DeploymentScope
from podvnet.fabric.deployment.template_error import bounded

SCOPE = DeploymentScope(
    subscription="11111111-2222-3333-4444-555555555555",
    resource_group="rg1",
    location="westeurope",
    tags={"team": "net"},
    deployment="d1",
    group_locations={"rg2": "northeurope"},
)
NOW = datetime(2024, 3, 9, 7, 8, 5, 12_000, UTC)
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


@pytest.fixture
def scope() -> DeploymentScope:
    return SCOPE


@pytest.fixture
def evaluate() -> Callable[[str], Any]:
    """Evaluate what stands between the brackets."""

    def run(text: str) -> Any:
        with bounded():
            return Context(SCOPE, NOW, FUNCTIONS, names=ResourceNames(), work=Work(100_000)).text(f"[{text}]", "")

    return run


@pytest.fixture
def default(deploy_template: Callable[..., Deployment]) -> Callable[[str], Any]:
    """Evaluate an expression as the default of a parameter."""

    def run(text: str) -> Any:
        deployment = deploy_template(parameters={"p": {"type": "string", "defaultValue": f"[{text}]"}})
        return deployment.context.parameters.get("p")

    return run


@pytest.fixture
def deploy_template() -> Callable[..., Deployment]:
    """``deploy_template(resources=[…], …, given={"name": value})``: the members of a template, expanded."""

    def run(*, given: dict[str, Any] | None = None, scope: DeploymentScope = SCOPE, **members: Any) -> Deployment:
        document = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": [], **members}
        return plan.expand(
            template.parse(document), {name: {"value": value} for name, value in (given or {}).items()}, scope, NOW
        )

    return run
