"""A Kubernetes API without kubelets, on a VM of a lab: etcd and the API server, nothing that would act by itself.

Pods in it are documents that a test binds to a node, and attaches by calling the plug-in as a runtime would.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from podvnet.azure.error import SourceError
from podvnet.cluster.control_plane import control_plane
from podvnet.cluster.pki import ADMIN, MASTERS, Pki
from podvnet.cluster.programs import CONTROL, VARIABLE, find
from podvnet.cluster.settings import ClusterSettings
from podvnet.cluster.unit import Unit
from podvnet.kube.node_api import MERGE, STRATEGIC, Connector
from podvnet.kube.node_rbac import NAMESPACES, RULES
from podvnet.testing.cni import ExpectationError, Runtime, eventually

AGENT = "podvnet-agent"
KUBECONFIG = Path("/etc/podvnet/agent.conf")
"""The agent's credentials, on the VM."""
_ADMIN = Path("/etc/podvnet/admin.conf")
_LOG = Path("/var/log")
_SECONDS = 120.0
_GROUP = "rbac.authorization.k8s.io"
_RBAC = f"/apis/{_GROUP}/v1"

Object = dict[str, Any]


class NodelessApi:
    """The API on one VM. A context manager.

    Args:
        vm: where it runs.
        address: the VM's.
        node: the name of the Node that the API is to know.
    """

    def __init__(self, vm: Runtime, address: str, node: str) -> None:
        self._vm = vm
        self._node = node
        self._folder = TemporaryDirectory()
        settings = ClusterSettings("test", IPv4Address(address), forget=True)
        pki = Pki(Path(self._folder.name), dt.datetime.now(dt.UTC))
        folder = os.environ.get(VARIABLE)
        part = control_plane(settings, node, pki, find(Path(folder) if folder else None, wanted=CONTROL))
        for each in part.files:
            self._write(Path(each.path), each.content, each.mode)
        self._agents = json.dumps(pki.kubeconfig_of(settings, AGENT)).encode()
        self._kubelets = json.dumps(pki.kubeconfig_of(settings, f"system:node:{node}", "system:nodes")).encode()
        self._write(_ADMIN, json.dumps(pki.kubeconfig_of(settings, ADMIN, MASTERS)).encode())
        self.use_agents_credentials()
        self._units = {each.name: each for each in part.units}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._connect = Connector(_ADMIN)

    def __enter__(self) -> Self:
        self.start()
        self._furnish()
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("kube-apiserver", "etcd"):
            self._end(name)
        self._folder.cleanup()

    # -- the processes

    def start(self) -> None:
        """Start what does not run; return when the API serves."""
        for name in ("etcd", "kube-apiserver"):
            if name not in self._running:
                self._running[name] = self._vm.do(lambda unit=self._units[name]: _launch(unit))  # type: ignore[misc]
        if not eventually(self._serves, timeout=_SECONDS):
            raise ExpectationError(f"the API server does not serve: {self._last_words()}")

    def end(self) -> None:
        """End the API server; what it knew is in etcd."""
        self._end("kube-apiserver")

    def _end(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)

    def _serves(self) -> bool:
        try:
            return bool(self.get("/api/v1/namespaces/default")["metadata"]["name"])
        except SourceError:
            return False

    def _last_words(self) -> str:
        return self._vm.run("tail", "-n", "15", str(_LOG / "kube-apiserver.log"), str(_LOG / "etcd.log"))

    def use_kubelets_credentials(self) -> None:
        """Write the node's own credentials where the agent's are."""
        self._write(KUBECONFIG, self._kubelets)

    def use_agents_credentials(self) -> None:
        """Write the agent's credentials."""
        self._write(KUBECONFIG, self._agents)

    def _write(self, path: Path, content: bytes, mode: int = 0o600) -> None:
        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

        self._vm.do(write)

    # -- the API, as its administrator

    def get(self, path: str, **query: str) -> Object:
        """Read."""
        return self._vm.do(lambda: self._connect().get(path, **query))

    def create(self, path: str, body: Object) -> Object:
        """Create."""
        return self._vm.do(lambda: self._connect().post(path, body))

    def patch(self, path: str, body: Object, kind: str = MERGE) -> Object:
        """Change."""
        return self._vm.do(lambda: self._connect().patch(path, body, kind))

    def _furnish(self) -> None:
        """What there must be before a pod: its namespace's service account, a node, and what the agent may."""
        self._allow(AGENT, RULES, {"kind": "User", "name": AGENT})
        self._service_account("default")
        self.create("/api/v1/nodes", {"metadata": {"name": self._node}})

    def let_kubelets_read_namespaces(self) -> None:
        """Give every node what its own credentials lack."""
        self._allow("podvnet-namespaces", (NAMESPACES,), {"kind": "Group", "name": "system:nodes"})

    def _allow(self, name: str, rules: Iterable[Object], subject: Object) -> None:
        meta = {"name": name}
        self.create(f"{_RBAC}/clusterroles", {"metadata": meta, "rules": [*rules]})
        reference = {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name}
        binding = {"metadata": meta, "roleRef": reference, "subjects": [subject | {"apiGroup": _GROUP}]}
        self.create(f"{_RBAC}/clusterrolebindings", binding)

    def _service_account(self, namespace: str) -> None:
        """What a controller would give every namespace."""
        self.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})

    def namespace(self, name: str, *allowed: str) -> None:
        """Make a namespace whose pods may ask for these kinds."""
        labels = {f"allow.podvnet.io/{each}": "true" for each in allowed}
        self.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        self._service_account(name)

    def pod(self, name: str, namespace: str = "default", *, owner: str = "", **annotations: str) -> str:
        """Make a pod that is bound to the node; return its UID.

        Args:
            name: the pod's.
            namespace: its namespace.
            owner: the StatefulSet that controls it, if one does.
            **annotations: by the names of ours, with ``_`` for ``-``.
        """
        meta: Object = {
            "name": name,
            "annotations": {f"podvnet.io/{key.replace('_', '-')}": text for key, text in annotations.items()},
        }
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": "1", "controller": True}
            meta["ownerReferences"] = [reference]
        containers = [{"name": "web", "image": "localhost/web:1"}]
        spec = {"nodeName": self._node, "containers": containers, "automountServiceAccountToken": False}
        path = f"/api/v1/namespaces/{namespace}/pods"
        return str(self.create(path, {"metadata": meta, "spec": spec})["metadata"]["uid"])

    def unmake(self, name: str, namespace: str = "default") -> None:
        """Delete a pod at once, if it is there."""
        self._vm.run(*self._kubectl(namespace), "delete", "pod", name, "--force", "--ignore-not-found", "--wait=false")

    def described(self, kind: str, name: str, namespace: str = "default") -> str:
        """What a person is shown."""
        return self._vm.run(*self._kubectl(namespace), "describe", kind, name)

    def granted(self, name: str, namespace: str = "default") -> Object:
        """What the pod's annotation says that it was given; empty when there is none."""
        meta = self.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]
        found: Object = json.loads(meta.get("annotations", {}).get("podvnet.io/granted", "{}"))
        return found

    def events(self, name: str, namespace: str = "default") -> list[Object]:
        """The Events about an object."""
        selector = f"involvedObject.name={name}"
        found: list[Object] = self.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector=selector)["items"]
        return found

    def forget_events(self, namespace: str = "default") -> None:
        """Delete every Event of a namespace, so that the next are those of what comes."""
        self._vm.run(*self._kubectl(namespace), "delete", "events", "--all")

    def node(self) -> Object:
        """The Node's status."""
        found: Object = self.get(f"/api/v1/nodes/{self._node}")["status"]
        return found

    def say_of_node(self, status: Object) -> None:
        """Say something of the Node, as kubelet would."""
        self.patch(f"/api/v1/nodes/{self._node}/status", {"status": status}, STRATEGIC)

    def _kubectl(self, namespace: str) -> tuple[str, ...]:
        return ("/usr/local/bin/kubectl", "--kubeconfig", str(_ADMIN), "-n", namespace)


def _launch(unit: Unit) -> subprocess.Popen[bytes]:
    with (_LOG / f"{unit.name}.log").open("ab") as log:
        return subprocess.Popen(unit.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
