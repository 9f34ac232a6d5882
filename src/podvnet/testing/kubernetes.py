"""A Kubernetes cluster on VMs of a lab, brought up and driven by the command line, observed with packets."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from podvnet.cluster import image as images
from podvnet.linux.namespace import entered
from podvnet.runtime.probe import family_of
from podvnet.testing import image
from podvnet.testing.cni import eventually
from podvnet.testing.kubernetes_program import program
from podvnet.testing.lab import PODVNET, Lab, execute, podvnet
from podvnet.testing.stage import Stage, stage

AGNHOST = "localhost/agnhost:1"
"""Kubernetes' own test program: ``netexec`` serves ``/clientip``, ``/hostname``, ``/dial``; the entrypoint."""
BUSYBOX = "localhost/busybox:1"
"""busybox under all its names, ``/www``, ``/www/cgi-bin/whoami``. Static: only ``nslookup`` resolves names."""
CONTROL = "control"
_SECONDS = 240.0
_SECONDS_TO_COME_UP = 600.0
_RETRANSMITTED = 100
"""Where the figure is in what TCP_INFO gives."""
_LONGEST = 660.0
"""For kubectl, which is told itself how long to wait for what."""

Object = dict[str, Any]
"""An object of Kubernetes."""
Objects = list[Object]
Words = list[str]
Pairs = list[tuple[str, str]]


class ClusterError(AssertionError):
    """The cluster did not do what it was told; the message holds what it said."""


class Cluster:
    """A cluster that is up.

    Attributes:
        stage: the lab and the resources of its file; ``stage.apply`` changes them, ``stage.lab`` enters VMs.
        nodes: the names of nodes, which are VMs as well.
    """

    def __init__(self, fabric: Stage, nodes: tuple[str, ...], options: tuple[str, ...] = ()) -> None:
        self.stage = fabric
        self.options = options
        self.nodes = nodes
        self._addresses: dict[tuple[str, str], str] = {}

    @property
    def lab(self) -> Lab:
        """The lab."""
        return self.stage.lab

    def up(self, *options: str) -> None:
        """Run ``podvnet cluster up``: what is there is changed to what the options say. The images are there then.

        Raises:
            ClusterError: it is not ready for pods.
        """
        execute(*self.up_command(*options), seconds=_SECONDS_TO_COME_UP)
        self.load(BUSYBOX, image.busybox)
        self.load(AGNHOST, lambda name, target: images.program(name, target, program("agnhost"), "agnhost"))
        # Pods of a namespace wait for it.
        if not eventually(lambda: "default" in self.kubectl("get", "serviceaccounts", check=False), _SECONDS):
            raise ClusterError("there is no service account")

    def up_command(self, *options: str) -> Words:
        """The command line of ``podvnet cluster up`` for this cluster."""
        chosen = [word for name in self.nodes for word in ("--node", name)]
        return [*PODVNET, "cluster", "up", "--control", CONTROL, *chosen, "--unsafe-no-fsync", *self.options, *options]

    def down(self) -> None:
        """Run ``podvnet cluster down``. The VMs stay, without the cluster."""
        podvnet("cluster", "down")
        self._addresses.clear()
        self.lab.reopen()

    # -- the API

    def kubectl(self, *argv: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl on the VM of the control plane, as the administrator; return what it says."""
        return self.lab.inside(CONTROL, "kubectl", *argv, stdin=stdin, check=check, seconds=_LONGEST).stdout

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """An object."""
        found: Object = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str, namespace: str = "", selector: str = "") -> Objects:
        """Objects of a kind, of one namespace or of all."""
        where = ("-n", namespace) if namespace else ("-A",)
        chosen = ("-l", selector) if selector else ()
        found: Objects = json.loads(self.kubectl("get", kind, *where, *chosen, "-o", "json"))["items"]
        return found

    def apply(self, manifest: str | Object | Objects, namespace: str = "default") -> None:
        """Make objects be as they are said to be: YAML, an object, or several."""
        text = manifest if isinstance(manifest, str) else yaml.safe_dump_all(_several(manifest))
        self.kubectl("-n", namespace, "apply", "-f", "-", stdin=text)

    def delete(self, manifest: str | Object | Objects, namespace: str = "default") -> None:
        """Delete objects, and wait until they are gone. Those that are gone already are no error."""
        text = manifest if isinstance(manifest, str) else yaml.safe_dump_all(_several(manifest))
        self.kubectl("-n", namespace, "delete", "--ignore-not-found", "--grace-period=1", "-f", "-", stdin=text)
        self._addresses.clear()

    def rollout(self, what: str, namespace: str = "default", seconds: float = _SECONDS) -> None:
        """Wait until a Deployment, StatefulSet or DaemonSet (``deployment/web``) is as it should be."""
        self.kubectl("-n", namespace, "rollout", "status", what, f"--timeout={seconds:g}s")

    def events(self, name: str, namespace: str = "default") -> Pairs:
        """Reasons and messages of the events of an object."""
        chosen = f"involvedObject.name={name}"
        found = json.loads(self.kubectl("-n", namespace, "get", "events", "--field-selector", chosen, "-o", "json"))
        return [(each["reason"], each["message"]) for each in found["items"]]

    # -- pods

    def pod(self, name: str, namespace: str = "default") -> str:
        """The address of a pod, once it is ready."""
        self.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={_SECONDS:g}s")
        address: str = self.get("pod", name, namespace)["status"]["podIP"]
        return address

    def run(self, name: str, *, node: str = "", namespace: str = "default", image: str = AGNHOST, **more: Any) -> str:
        """Run a pod (:func:`pod`); return its address once it is ready."""
        self.apply(pod(name, node=node, image=image, **more), namespace)
        return self.pod(name, namespace)

    def execute(
        self, name: str, *command: str, namespace: str = "default", container: str = "", check: bool = True
    ) -> str:
        """Run a program in a pod; return what it says."""
        chosen = ("-c", container) if container else ()
        return self.kubectl("-n", namespace, "exec", name, *chosen, "--", *command, check=check)

    def dial(
        self,
        caller: str,
        host: str,
        port: int = 80,
        request: str = "clientip",
        protocol: str = "http",
        *,
        namespace: str = "default",
        caller_port: int = 80,
    ) -> str:
        """Have a pod of :data:`AGNHOST` (``netexec``) ask another server of that kind.

        Args:
            caller: the pod that asks.
            host: an address or a name, which the pod's own resolver is asked for.
            port: of the server; for ``udp`` one that ``--udp-port`` names.
            request: the server's page: ``clientip`` answers with the caller's address and port, ``hostname`` with the
                server's pod.
            protocol: ``http`` or ``udp``.
            namespace: the caller's.
            caller_port: where the caller itself is asked.

        Returns:
            The answer; what went wrong, beginning with ``error:``, when there is none.
        """
        key = (namespace, caller)
        if key not in self._addresses:
            self._addresses[key] = self.get("pod", caller, namespace)["status"]["podIP"]
        path = f"/dial?host={host}&port={port}&request={request}&protocol={protocol}&tries=1"
        said = self.ask_from(self.lab.vm(CONTROL), self._addresses[key], path, caller_port, 20.0)
        if not said.startswith("{"):
            del self._addresses[key]  # it may be another pod of that name by now
            return f"error: {said or f'{caller} itself does not answer'}"
        answer = json.loads(said)
        found: list[str] = answer.get("responses") or [f"error: {answer.get('errors')}"]
        return found[0]

    def ask_from(
        self, descriptor: int, address: str, path: str = "/", port: int = 80, seconds: float = 3.0, *, late: float = 0.0
    ) -> str:
        """Ask for a page from a network namespace (``lab.vm("client")``, ``lab.internet()``).

        Args:
            descriptor: the namespace.
            address: of the server.
            path: of the page.
            port: of the server.
            seconds: how long to wait.
            late: how much longer, as long as no packet had to be sent again: for a server that others keep waiting.

        Returns:
            What is answered; empty when nothing is.
        """
        host = f"[{address}]" if ":" in address else address
        request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()
        try:
            with entered(descriptor):
                caller = socket.socket(family_of(address), socket.SOCK_STREAM)
            with caller, caller.makefile("rb") as answer:
                caller.settimeout(seconds)
                begun = time.monotonic()
                caller.connect((address, port))
                caller.sendall(request)
                caller.settimeout(seconds + late)
                said = answer.read()
                if late and time.monotonic() - begun > seconds and _sent_again(caller):
                    return ""
        except OSError:
            return ""
        return said.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()

    # -- nodes

    def load(self, name: str, write: Callable[[str, Path], None]) -> None:
        """Load an image into every node that lacks it.

        Args:
            name: with host and tag. ``imagePullPolicy`` must be ``IfNotPresent`` or ``Never`` if the tag is ``latest``.
            write: writes its archive; see :mod:`podvnet.testing.image` and :mod:`podvnet.cluster.image`.
        """
        known = f"name=={name}"
        lacking = [
            node
            for node in self.nodes
            if name not in self.lab.inside(node, "ctr", "-n", "k8s.io", "image", "ls", "-q", known).stdout.split()
        ]
        if not lacking:
            return
        with image.temporary(name, write) as archive:
            for node in lacking:
                self.lab.inside(node, "ctr", "-n", "k8s.io", "image", "import", str(archive))

    def processes(self, vm: str) -> dict[str, int]:
        """The ids of the programs that a VM keeps running, by unit: ``kubelet``, ``podvnet-agent``."""
        found = json.loads(podvnet("cluster", "status", "--json", check=False).stdout)["units"][vm]
        return {name: each["process"] for name, each in found.items() if each["process"]}

    def node_address(self, node: str) -> str:
        """The address of a node."""
        found = self.get("node", node)["status"]["addresses"]
        address: str = next(each["address"] for each in found if each["type"] == "InternalIP")
        return address


def pod(
    name: str,
    *,
    node: str = "",
    image: str = AGNHOST,
    args: tuple[str, ...] = ("netexec", "--http-port=80"),
    command: tuple[str, ...] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    port: int = 80,
    **more: Any,
) -> Object:
    """A pod with one container, which is ready once it takes connections.

    Args:
        name: of the pod, of its label ``app``, and of the container.
        node: where it is to be; empty for anywhere.
        image: :data:`AGNHOST`, :data:`BUSYBOX`.
        args: of the container.
        command: of the container; empty for the image's.
        labels: besides ``app``.
        annotations: of the pod.
        port: where it listens; 0 when it does not.
        **more: further fields of the pod's spec.
    """
    container: Object = {"name": name, "image": image, "imagePullPolicy": "Never", "args": [*args]}
    if command:
        container["command"] = [*command]
    if port:
        container["ports"] = [{"containerPort": port}]
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    spec: Object = {"containers": [container], "terminationGracePeriodSeconds": 1, **more}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": name, **(labels or {})},
            "annotations": dict(annotations or {}),
        },
        "spec": spec,
    }


@contextmanager
def cluster(file: Path, *options: str, nodes: tuple[str, ...] = ("node1", "node2")) -> Iterator[Cluster]:
    """A cluster for the block, on the VMs of a file.

    Args:
        file: the resources; has VMs ``control`` and those of ``nodes``.
        *options: of ``podvnet cluster up``.
        nodes: the VMs that are nodes.
    """
    with stage(file) as fabric:
        made = Cluster(fabric, nodes, options)
        made.up()
        yield made


def _sent_again(connection: socket.socket) -> int:
    """How many packets of a TCP connection were sent again: ``tcpi_total_retrans`` of Linux' ``struct tcp_info``."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RETRANSMITTED + 4)
    return int.from_bytes(info[_RETRANSMITTED:], sys.byteorder)


def _several(manifest: Object | Objects) -> Objects:
    return manifest if isinstance(manifest, list) else [manifest]
