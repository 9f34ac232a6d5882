from __future__ import annotations

import pytest

from podvnet.testing.service_stage import ServiceStage


@pytest.fixture
def stage() -> ServiceStage:
    """A cluster without Services, and what is there for them in Azure."""
    return ServiceStage()
