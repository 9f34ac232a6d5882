"""etcd and an API server alone, on a VM of a lab: objects without kubelets, for controllers to follow."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from podvnet.linux.namespace import entered
from podvnet.testing.cni import eventually
from podvnet.testing.engine import Daemon
from podvnet.testing.lab import Lab

PROGRAMS = "PODVNET_KUBERNETES_BIN"
PORT = 6443
_DIRECTORY = "/var/lib/etcd"
_TOKEN, _LIMITED = "all-powerful", "limited"
_SECONDS = 120.0
_GOOD = 300

Object = dict[str, Any]


class AnswerError(AssertionError):
    """The API server refused; the message holds what it said.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiServer:
    """An API server on a VM.

    Args:
        lab: the lab.
        vm: which VM; etcd's data is on its disk.
    """

    def __init__(self, lab: Lab, vm: str) -> None:
        self._lab = lab
        self._vm = vm
        programs = Path(os.environ.get(PROGRAMS, "/usr/local/bin"))
        self._etcd = Daemon(
            lab, vm, str(programs / "etcd"), "--data-dir", f"{_DIRECTORY}/data", "--unsafe-no-fsync",
            "--log-level", "error",
        )  # fmt: skip
        self._server = Daemon(
            lab, vm, str(programs / "kube-apiserver"), "--etcd-servers", "http://127.0.0.1:2379",
            "--secure-port", str(PORT), "--bind-address", "127.0.0.1", "--cert-dir", f"{_DIRECTORY}/certificates",
            "--service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112", "--authorization-mode", "RBAC",
            "--token-auth-file", f"{_DIRECTORY}/tokens", "--service-account-issuer", "https://cluster.test",
            "--service-account-key-file", f"{_DIRECTORY}/key", "--service-account-signing-key-file",
            f"{_DIRECTORY}/key", "--disable-admission-plugins", "ServiceAccount",
        )  # fmt: skip
        self._connection: http.client.HTTPConnection | None = None

    def start(self) -> None:
        """Start both; return when the API serves."""
        write = "umask 77; cat >$0"
        tokens = f"{_TOKEN},admin,admin,system:masters\n{_LIMITED},limited,limited\n"
        self._lab.inside(self._vm, "sh", "-c", write, f"{_DIRECTORY}/tokens", stdin=tokens)
        self._lab.inside(self._vm, "sh", "-c", f"test -e {_DIRECTORY}/key || openssl genrsa -out {_DIRECTORY}/key 2048")
        self._etcd.start()
        self._server.start()
        if not eventually(self._serves, _SECONDS):
            raise AnswerError(f"the API server does not serve: {self._server.last_words()}", 0)

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the API server and start it again."""
        self._hang_up()
        self._server.end(how)
        self._server.start()
        if not eventually(self._serves, _SECONDS):
            raise AnswerError(f"the API server does not serve: {self._server.last_words()}", 0)

    def end(self) -> None:
        """End both."""
        self._hang_up()
        self._server.end(signal.SIGKILL)
        self._etcd.end(signal.SIGKILL)

    def kubeconfig(self, path: str, *, limited: bool = False) -> str:
        """Write a kubeconfig into the VM: of an administrator, or of the user ``limited``; return the path."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [
                {"name": "test",
                 "cluster": {"server": f"https://127.0.0.1:{PORT}", "insecure-skip-tls-verify": True}},
            ],
            "users": [{"name": "test", "user": {"token": _LIMITED if limited else _TOKEN}}],
        }  # fmt: skip
        self._lab.inside(self._vm, "sh", "-c", "cat >$0", path, stdin=yaml.safe_dump(config))
        return path

    def allow_limited(self, rules: tuple[Object, ...], lease_rules: tuple[Object, ...]) -> None:
        """Let the user ``limited`` do what rules say, and in kube-system what the others say."""
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        subjects = [{"kind": "User", "name": "limited", "apiGroup": "rbac.authorization.k8s.io"}]
        for where, role, what in (
            (rbac, "ClusterRole", rules),
            (f"{rbac}/namespaces/kube-system", "Role", lease_rules),
        ):
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "limited"}
            self.ask("POST", f"{where}/{role.lower()}s", {"metadata": {"name": "limited"}, "rules": list(what)})
            binding = {"metadata": {"name": "limited"}, "roleRef": reference, "subjects": subjects}
            self.ask("POST", f"{where}/{role.lower()}bindings", binding)

    def ask(self, method: str, path: str, body: Object | None = None, *, content: str = "application/json") -> Object:
        """Send a request as an administrator.

        Raises:
            AnswerError: it is refused.
        """
        connection = self._connected()
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": content}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer: Object = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            self._hang_up()
            raise
        if response.status >= _GOOD:
            raise AnswerError(f"{method} {path}: {json.dumps(answer)}", response.status)
        return answer

    def patch(self, path: str, patch: Object) -> Object:
        """Change members of an object."""
        return self.ask("PATCH", path, patch, content="application/merge-patch+json")

    def _serves(self) -> bool:
        try:
            return bool(self.ask("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"])
        except (OSError, http.client.HTTPException, AnswerError):
            return False

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with entered(self._lab.vm(self._vm)):
                plain = socket.create_connection(("127.0.0.1", PORT), timeout=60)
            self._connection = http.client.HTTPConnection("127.0.0.1")
            self._connection.sock = context.wrap_socket(plain)
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def api_server(lab: Lab, vm: str) -> Iterator[ApiServer]:
    """An API server for the block."""
    server = ApiServer(lab, vm)
    server.start()
    try:
        yield server
    finally:
        server.end()
