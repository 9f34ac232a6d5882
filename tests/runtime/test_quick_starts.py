"""The quick starts docs/containerd.md, docs/docker.md and docs/podman.md, executed as written on a VM of the fabric."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from podvnet.testing.cni import eventually
from podvnet.testing.containerd import Containerd
from podvnet.testing.docker import Docker
from podvnet.testing.engine import Engine
from podvnet.testing.lab import Lab
from podvnet.testing.podman import Podman
from podvnet.testing.stage import Stage

PAGES = Path(__file__).parents[2] / "docs"
# What comes from outside is there before: the fabric's internet has neither Debian's archive nor a registry.
OUTSIDE = re.compile(r"^(apt-get install|ctr image pull|docker pull|podman pull) .*\n", re.MULTILINE)
EXAMPLE = "10.1.1.5"


def blocks(page: str) -> list[tuple[bool, str]]:
    """The blocks of a page, in order, and whether each is for the other VM."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh( on the other VM)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(bool(other), block) for other, block in found]


@pytest.mark.parametrize(("page", "prepare"), [("containerd", Containerd), ("docker", Docker), ("podman", Podman)])
def test_a_reader_of_the_quick_start_ends_with_a_container_that_others_reach(
    fabric: Stage, page: str, prepare: Callable[[Lab, str], Engine]
) -> None:
    lab = fabric.lab
    engine = prepare(lab, "vm1")
    engine.start()
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    said, address = [], EXAMPLE
    for other, block in blocks(page):
        script = OUTSIDE.sub("", block).replace(EXAMPLE, address)
        said.append(lab.inside("vm2" if other else "vm1", "env", f"PATH={path}", "sh", "-euc", script).stdout)
        held = lab.agent_status("vm1")["attachments"]
        address = held[0]["addresses"][0] if held else address
    assert eventually(lambda: lab.agent_status("vm1")["attachments"] == [])
    engine.end()
    assert said.count("hello from web\n" * (1 if page == "containerd" else 2)) == 1
    assert f" {address}/" in "".join(said) or f'"{address}"' in "".join(said)


@pytest.mark.parametrize("page", ["containerd", "docker", "podman"])
def test_the_packages_that_a_page_names_are_debians_and_installed(page: str) -> None:
    line = next(block for _, block in blocks(page) if block.startswith("apt-get install"))
    packages = [word for word in line.split()[2:] if not word.startswith("-")]
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}\n", *packages], capture_output=True, text=True, check=True
    )
    assert asked.stdout.splitlines() == ["install ok installed"] * len(packages)
