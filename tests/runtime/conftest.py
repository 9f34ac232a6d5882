"""Real engines in the VMs of a fabric. Run inside a bubble by ``scripts/test runtime``, which installs them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podvnet.linux import sandbox
from podvnet.testing.containerd import Containerd
from podvnet.testing.docker import Docker
from podvnet.testing.engine import Engine
from podvnet.testing.lab import Lab
from podvnet.testing.podman import Podman
from podvnet.testing.site import OPTIONS, VMS, Site, settled
from podvnet.testing.stage import Stage, stage

EXAMPLE = Path(__file__).with_name("two-vms.yaml")
ENGINES: dict[str, Callable[[Lab, str], Engine]] = {
    "containerd": Containerd,
    "docker": lambda lab, vm: Docker(lab, vm, "--live-restore", "--bridge=none"),
    "podman": Podman,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sandbox.inside():
        return
    if os.environ.get("CI"):
        pytest.exit("runtime tests must run inside `podvnet sandbox` (scripts/test runtime does)", returncode=3)
    for item in items:
        if "runtime" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="not inside `podvnet sandbox`; scripts/test runtime does"))


@pytest.fixture(scope="session")
def fabric() -> Iterator[Stage]:
    """One fabric for all: two VMs, each with the plug-in as a reader of the quick starts installs it."""
    with stage(EXAMPLE) as made:
        for vm in VMS:
            made.lab.install(vm, *OPTIONS)
        made.lab.servers.listen(made.lab.internet(), "198.51.100.10")
        yield made


@pytest.fixture(scope="module", params=sorted(ENGINES))
def site(request: pytest.FixtureRequest, fabric: Stage) -> Iterator[Site]:
    """An engine running on both VMs."""
    engines = {vm: ENGINES[request.param](fabric.lab, vm) for vm in VMS}
    for engine in engines.values():
        engine.start()
    yield Site(fabric, engines, {vm: settled(fabric.lab, vm, engine) for vm, engine in engines.items()})
    for engine in engines.values():
        engine.end()


@pytest.fixture
def clean(site: Site) -> Iterator[Site]:
    """What a test leaves is removed, and then nothing may be left."""
    yield site
    for engine in site.engines.values():
        engine.remove_all()
    site.assert_clean()
