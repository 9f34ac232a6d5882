"""The quick starts docs/containerd.md, docs/docker.md, docs/podman.md, executed as written on a VM with nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podvnet.testing.cni import eventually
from podvnet.testing.containerd import Containerd
from podvnet.testing.docker import Docker
from podvnet.testing.engine import Engine
from podvnet.testing.lab import PODVNET, Lab
from podvnet.testing.podman import Podman
from podvnet.testing.site import OPTIONS
from podvnet.testing.stage import Stage

PAGES = Path(__file__).parents[2] / "docs"
ENGINES: dict[str, Callable[[Lab, str], Engine]] = {"containerd": Containerd, "docker": Docker, "podman": Podman}
# The fabric's internet has neither Debian's archive nor a registry, and its VMs no systemd: these lines we carry out.
OUTSIDE = re.compile(
    r"^((?:apt-get install|ctr image pull|docker pull|podman pull|systemctl restart) .*\n)", re.MULTILINE
)
OURS = ("/opt/cni", "/etc/cni", "/run/podvnet", "/var/lib/podvnet", "/var/lib/containerd", "/var/lib/containers")
PODMANS = Path("/etc/cni/net.d/87-podman-bridge.conflist")
EXAMPLE = "10.1.1.5"


def blocks(page: str) -> list[tuple[bool, str]]:
    """The blocks of a page, in order, and whether each is for the other VM."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh( on the other VM)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [(bool(other), block) for other, block in found]


class Reader:
    """Reads a page, with two VMs at hand."""

    def __init__(self, lab: Lab, page: str) -> None:
        self._lab = lab
        self.engine = ENGINES[page](lab, "vm1")

    def carry_out(self, vm: str, block: str) -> str:
        """Do what a block of a page says; return what the programs say."""
        path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        said = []
        for part in OUTSIDE.split(block):
            if OUTSIDE.match(part):
                self._see_to(part)
            else:
                said.append(self._lab.inside(vm, "env", f"PATH={path}", "sh", "-euc", part).stdout)
        return "".join(said)

    def _see_to(self, line: str) -> None:
        if line.startswith("apt-get"):
            if " podman " in line:  # a file of the package that VMs of the fabric do not have from the machine
                write = f"mkdir -p {PODMANS.parent}; cat >{PODMANS}"
                self._lab.inside("vm1", "sh", "-c", write, stdin=PODMANS.read_text(encoding="utf-8"))
            self.engine.start_daemon()
        elif line.startswith("systemctl"):
            self.engine.end()
            self.engine.start_daemon()
        else:
            self.engine.load()


@pytest.fixture
def bare(fabric: Stage) -> Iterator[Stage]:
    """The fabric with a new vm1, on which nothing is installed; the tests that follow find it as they know it.

    The fabric gives its VMs the plug-in, which Azure does not.
    """
    renew(fabric)
    fabric.lab.inside("vm1", *PODVNET, "uninstall")
    assert fabric.lab.inside("vm1", "find", *OURS, "!", "-type", "d", check=False).stdout == ""
    yield fabric
    renew(fabric)
    fabric.lab.install("vm1", *OPTIONS)


def renew(fabric: Stage) -> None:
    """Delete vm1, and with it its disk, and create it again."""
    resources = fabric.declared
    del resources["virtualMachines/vm1"]
    fabric.apply(resources)
    fabric.apply(fabric.declared)
    fabric.lab.reopen()


@pytest.mark.parametrize("page", ENGINES)
def test_a_reader_of_the_quick_start_ends_with_a_container_that_others_reach(bare: Stage, page: str) -> None:
    lab, reader = bare.lab, Reader(bare.lab, page)
    said, address, installed = [], EXAMPLE, False
    for other, block in blocks(page):
        said.append(reader.carry_out("vm2" if other else "vm1", block.replace(EXAMPLE, address)))
        installed = installed or "podvnet install" in block
        held = lab.agent_status("vm1")["attachments"] if installed else []
        address = held[0]["addresses"][0] if held else address
    assert eventually(lambda: lab.agent_status("vm1")["attachments"] == [])
    reader.engine.end()
    assert said.count("hello from web\n" * (1 if page == "containerd" else 2)) == 1
    assert f" {address}/" in "".join(said) or f'"{address}"' in "".join(said)


def test_a_reader_of_the_part_about_kubernetes_has_a_node_that_runs_pods(bare: Stage) -> None:
    reader = Reader(bare.lab, "containerd")
    assert isinstance(reader.engine, Containerd)
    for _, block in blocks("containerd"):
        if block.startswith(("apt-get", "podvnet install", "sed")):
            reader.carry_out("vm1", block)
    reader.engine.end()
    reader.engine.start_for_pods()
    assert reader.engine.network_ready() == (True, "")
    pod = reader.engine.run_pod("web")
    ask = ("curl", "--silent", "--retry", "5", "--retry-connrefused", f"http://{pod.address}/")
    assert "hello from the container" in bare.run("vm2", *ask)
    reader.engine.remove_all()
    reader.engine.end()


@pytest.mark.parametrize("page", ENGINES)
def test_the_packages_that_a_page_names_are_debians_and_installed(page: str) -> None:
    line = next(block for _, block in blocks(page) if block.startswith("apt-get install"))
    packages = [word for word in line.split()[2:] if not word.startswith("-")]
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}\n", *packages], capture_output=True, text=True, check=True
    )
    assert asked.stdout.splitlines() == ["install ok installed"] * len(packages)
