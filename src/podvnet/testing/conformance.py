"""Kubernetes' own end-to-end tests of the network (``e2e.test``), run against a cluster in VMs of a fabric.

They run on the VM of the control plane, which is in the virtual network as any client of the cluster is. The images
that they ask for are made here: of Kubernetes' own test program and of Debian's dig, curl and netcat.

Source: Kubernetes community document "End-to-End Testing in Kubernetes"; Ginkgo document "Reporting Infrastructure".
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from podvnet.cluster.certificates import CertificateAuthority, Subject
from podvnet.cluster.control_plane import ADMIN_CONFIG, KUBECTL
from podvnet.testing import image, program_image
from podvnet.testing.kubernetes import CONTROL, Cluster
from podvnet.testing.kubernetes_program import program

FOCUS = r"\[sig-network\].*\[Conformance\]"
"""What a cluster's network must do for Kubernetes to be Kubernetes."""
_REGISTRY = "localhost/e2e"
_REPOSITORIES = f"promoterE2eRegistry: {_REGISTRY}\ngcRegistry: {_REGISTRY}\n"
_PROGRAMS, _PAUSE = ("agnhost", "jessie-dnsutils"), "pause"
_TOOLS = ("curl", "dig", "getent", "nc.openbsd", "ss")
_LABELS = re.compile(r"( \[[^\[\]]*\])$")
_NANOSECOND = 1e-9


class ConformanceError(AssertionError):
    """The tests did not run; the message holds what they said."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a test.

    Attributes:
        name: as Kubernetes has it, with its tags.
        passed: whether it did.
        seconds: how long it took.
        words: what went wrong.
    """

    name: str
    passed: bool
    seconds: float
    words: str = ""


def load_images(cluster: Cluster) -> None:
    """Load the images that the tests ask for into every node."""
    listed = [name for name in _say("--list-images").split() if name.startswith(f"{_REGISTRY}/")]
    found = {name.rpartition(":")[0].removeprefix(f"{_REGISTRY}/"): name for name in listed}
    first, *others = (found[each] for each in _PROGRAMS)
    cluster.load(first, _write)
    for node in cluster.nodes:
        for other in others:
            cluster.lab.inside(node, "ctr", "-n", "k8s.io", "image", "tag", "--force", first, other)
    cluster.load(found[_PAUSE], image.pause)


def _write(name: str, target: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    server = Subject("localhost", hosts=("localhost",), usages=("server",))
    identity = CertificateAuthority.new("e2e", now).issue(server, now)
    agnhost = {
        "agnhost": (program("agnhost").read_bytes(), 0o755),
        "localhost.crt": (identity.certificate, 0o644),
        "localhost.key": (identity.key, 0o644),
    }
    links = {"bin/nc": "nc.openbsd", "agnhost-2": "agnhost"}
    program_image.write(name, target, _TOOLS, files=agnhost, links=links, entrypoint=["/agnhost"], command=["pause"])


def names(focus: str = FOCUS) -> frozenset[str]:
    """The names of the tests that a focus chooses, of those there are."""
    said = _say("-ginkgo.dry-run", "-ginkgo.v", "-ginkgo.no-color", f"-ginkgo.focus={focus}")
    lines = (line.rstrip() for line in said.splitlines() if line.startswith("[sig-"))
    # A name is followed by its labels in brackets, without a name of a tag of its own.
    return frozenset(_LABELS.sub("", line) for line in lines)


def run(cluster: Cluster, chosen: Iterable[str], *, at_once: int = 2, seconds: float = 3600.0) -> list[Outcome]:
    """Run tests.

    Args:
        cluster: where; :func:`load_images` was called.
        chosen: their names.
        at_once: how many processes share them.
        seconds: how long they may take at most.

    Returns:
        What became of each, by name.

    Raises:
        ConformanceError: a process ended without its report, or did not run what it was told to.
    """
    listed = sorted(chosen)
    shares = [share for number in range(at_once) if (share := listed[number::at_once])]
    with ThreadPoolExecutor(len(shares)) as pool:
        found = [each for part in pool.map(lambda share: _run(cluster, share, seconds), shares) for each in part]
    missing = set(listed) - {each.name for each in found}
    if missing:
        msg = f"these did not run: {sorted(missing)}"
        raise ConformanceError(msg)
    return sorted(found, key=lambda outcome: outcome.name)


def table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes as lines for a person."""
    lines = [f"{'passed' if each.passed else 'FAILED'}  {each.seconds:6.1f} s  {each.name}" for each in outcomes]
    return "\n".join(lines)


def _run(cluster: Cluster, share: list[str], seconds: float) -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        repositories = Path(folder) / "repositories.yaml"
        repositories.write_text(_REPOSITORIES, encoding="utf-8")
        focus = "|".join(re.escape(name) for name in share)
        argv = [
            str(program("e2e.test")),
            f"-kubeconfig={ADMIN_CONFIG}",
            f"-kubectl-path={KUBECTL}",
            "-provider=skeleton",
            f"-ginkgo.focus={focus}",
            "-ginkgo.no-color",
            f"-ginkgo.json-report={report}",
            f"-ginkgo.timeout={seconds:g}s",
            "-test.timeout=0",
        ]
        done = subprocess.run(
            cluster.lab.command(CONTROL, "env", f"KUBE_TEST_REPO_LIST={repositories}", *argv),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + 120.0,
        )
        if not report.exists():
            msg = f"e2e.test: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            raise ConformanceError(msg)
        return list(read(report.read_text(encoding="utf-8")))


def read(report: str) -> Iterable[Outcome]:
    """The outcomes in a report of Ginkgo's; what was not chosen, and what a test left out by itself, is not among them.

    Raises:
        ConformanceError: what is done before all tests went wrong.
    """
    for each in (found for suite in json.loads(report) for found in suite["SpecReports"] or ()):
        failure = each.get("Failure") or {}
        words = f"{failure.get('Message', '')}\n{failure.get('Location', {}).get('FileName', '')}".strip()
        passed = each["State"] == "passed"
        if each["LeafNodeType"] != "It":
            if not passed:
                msg = f"{each['LeafNodeType']}: {each['State']}: {words}"
                raise ConformanceError(msg)
        elif each["State"] not in {"skipped", "pending"}:
            name = " ".join((*(each["ContainerHierarchyTexts"] or ()), each["LeafNodeText"]))
            yield Outcome(name, passed, each["RunTime"] * _NANOSECOND, "" if passed else f"{each['State']}: {words}")


def _say(*argv: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as repositories:
        repositories.write(_REPOSITORIES)
        repositories.flush()
        done = subprocess.run(
            [str(program("e2e.test")), *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env={"KUBE_TEST_REPO_LIST": repositories.name},
        )
    if done.returncode != 0:
        raise ConformanceError(f"e2e.test: exit {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout
