"""As whom a node speaks to the Kubernetes API: read from a kubeconfig, or from the service account of a pod.

Files that are named are read anew for every connection: kubelet renews its certificate, and the token of a service
account, while the agent runs.
Sources: Kubernetes documents "Organizing Cluster Access Using kubeconfig Files" and "Accessing the Kubernetes API from
a Pod".
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from podvnet.azure.error import SourceError

IN_CLUSTER = Path("in-cluster")
"""Instead of a kubeconfig's path: the service account of the pod that the agent runs in."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a kubeconfig gives in the file or beside it.

    Attributes:
        data: the bytes themselves.
        path: else the file that holds them.
    """

    data: bytes = b""
    path: Path | None = None

    def __bool__(self) -> bool:
        return bool(self.data or self.path)

    def read(self) -> bytes:
        """The bytes as they are now.

        Raises:
            OSError: the file cannot be read.
        """
        return self.path.read_bytes() if self.path else self.data


@dataclass(frozen=True, slots=True)
class Access:
    """An API and who asks it.

    Attributes:
        server: ``https://host:port``; plain HTTP is for tests of the tests.
        authority: certificates to trust, PEM; empty: the system's.
        certificate, key: of the client, PEM.
        token: a bearer token.
        server_name: the name to expect in the server's certificate; empty: the host's.
    """

    server: str
    authority: Credential = Credential()
    certificate: Credential = Credential()
    key: Credential = Credential()
    token: Credential = Credential()
    server_name: str = ""

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.server)
        return parts.hostname or "", parts.port or 443

    def context(self) -> ssl.SSLContext:
        """What to speak TLS with, from the files as they are now.

        Raises:
            SourceError: a file cannot be read, or is none of what it should be.
        """
        try:
            context = ssl.create_default_context(cadata=self.authority.read().decode() if self.authority else None)
            if self.certificate:
                _load(context, self.certificate.read() + b"\n" + self.key.read())
        except (OSError, ValueError) as error:
            raise SourceError(
                f"the credentials for {self.server} cannot be used: {error}", "see the kubeconfig", retryable=True
            ) from error
        return context

    def headers(self) -> dict[str, str]:
        """Those that say who asks.

        Raises:
            SourceError: the token cannot be read.
        """
        if not self.token:
            return {}
        try:
            return {"Authorization": f"Bearer {self.token.read().decode('ascii').strip()}"}
        except (OSError, ValueError) as error:
            raise SourceError(
                f"the token for {self.server} cannot be read: {error}", "is the service account mounted?", True
            ) from error


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context the client's certificate and key, which OpenSSL reads from a path only: one in memory."""
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def read_access(kubeconfig: Path) -> Access:
    """Read a kubeconfig, or for :data:`IN_CLUSTER` the pod's service account.

    Raises:
        SourceError: it cannot be read, or asks for what a node's agent does not do (programs that make tokens).
    """
    if kubeconfig == IN_CLUSTER:
        return _service_account()
    import yaml  # noqa: PLC0415 - who has no kubeconfig need not pay for it

    try:
        document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        return _from_document(document, kubeconfig.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise SourceError(
            f"the kubeconfig {kubeconfig} cannot be used: {type(error).__name__}: {error}",
            "give one whose current context has a server and a token or a client certificate",
            retryable=False,
        ) from error


def _service_account() -> Access:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise SourceError(
            "the agent is in no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set",
            "give --kubeconfig a file",
            retryable=False,
        )
    return Access(
        f"https://{f'[{host}]' if ':' in host else host}:{port}",
        authority=Credential(path=SERVICE_ACCOUNT / "ca.crt"),
        token=Credential(path=SERVICE_ACCOUNT / "token"),
    )


def _from_document(document: dict[str, Any], folder: Path) -> Access:
    context = _named(document["contexts"], document["current-context"], "context")
    cluster = _named(document["clusters"], context["cluster"], "cluster")
    user = _named(document.get("users") or [], context.get("user", ""), "user") if context.get("user") else {}
    if user.keys() & {"exec", "auth-provider"}:
        msg = "the user's token is made by a program"
        raise ValueError(msg)
    if cluster.get("insecure-skip-tls-verify"):
        msg = "insecure-skip-tls-verify is not followed"
        raise ValueError(msg)
    token = _credential(user, "tokenFile", "", folder) or Credential(str(user.get("token", "")).encode())
    return Access(
        str(cluster["server"]).rstrip("/"),
        authority=_credential(cluster, "certificate-authority", "certificate-authority-data", folder),
        certificate=_credential(user, "client-certificate", "client-certificate-data", folder),
        key=_credential(user, "client-key", "client-key-data", folder),
        token=token,
        server_name=str(cluster.get("tls-server-name", "")),
    )


def _named(entries: list[dict[str, Any]], name: str, kind: str) -> dict[str, Any]:
    for each in entries:
        if each["name"] == name:
            found: dict[str, Any] = each[kind]
            return found
    msg = f"it has no {kind} {name!r}"
    raise ValueError(msg)


def _credential(values: dict[str, Any], path: str, data: str, folder: Path) -> Credential:
    """What is in the file counts more than what it names, as kubectl has it."""
    if data and values.get(data):
        try:
            return Credential(base64.b64decode(values[data], validate=True))
        except binascii.Error as error:
            msg = f"{data} is not base64"
            raise ValueError(msg) from error
    return Credential(path=folder / values[path]) if values.get(path) else Credential()
