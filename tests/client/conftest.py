"""The real Azure SDK against the fabric, over TLS with real tokens. Runs inside a bubble, as the kernel tests do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from podvnet.linux import sandbox
from podvnet.testing.cloud import Cloud, access_for, cloud_for
from podvnet.testing.lab import laboratory

AZURITE = Path(__file__).parents[2] / ".cache" / "azurite" / "node_modules" / ".bin" / "azurite"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sandbox.inside():
        return
    if os.environ.get("CI"):
        pytest.exit("client tests must run inside `podvnet sandbox` (scripts/test does)", returncode=3)
    for item in items:
        if "client" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="not inside `podvnet sandbox`; scripts/test runs this tier"))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An empty fabric, a principal that may do everything, and a resource group."""
    file = tmp_path_factory.mktemp("cloud") / "empty.yaml"
    file.write_text("resources: []\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODVNET_AZURITE", str(AZURITE))
        with laboratory(file) as lab:
            made = cloud_for(lab, access_for())
            made.resources.resource_groups.create_or_update("rg", {"location": "local"})
            yield made


@pytest.fixture(scope="session")
def reader(cloud: Cloud) -> Cloud:
    """The same fabric, seen by a principal that may read only."""
    return cloud_for(cloud.lab, access_for("--reader"))
