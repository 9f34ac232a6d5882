"""The Kubernetes API as a node's agent asks it: a few GETs and PATCHes, and a watch.

``http.client`` and nothing above it: the generated clients take 70 MB and a second of start, which an agent that every
node runs has no use for. Every way a request can go wrong is a :class:`~podvnet.azure.error.SourceError`.
Source: Kubernetes document "Kubernetes API Concepts": watches, resource versions, patches.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from podvnet.azure.error import SourceError, quoted
from podvnet.kube.node_access import Access, read_access

Document = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

_JSON = "application/json"
_LARGEST = 64 << 20
_TIMEOUT = 10.0
_WATCH_SECONDS = 290
"""Less than what the API closes a watch after by itself."""
_KEEPALIVE = (15, 5, 3)
"""Seconds of silence, seconds between probes, probes: a watch whose server is gone ends within half a minute."""


class ApiError(SourceError):
    """The API refused.

    Attributes:
        status: the HTTP status; 410 of a watch: start anew.
    """

    def __init__(self, message: str, remedy: str, status: int, retry_after: float | None = None) -> None:
        retryable = status in {408, 410, 429} or status >= 500
        super().__init__(message, remedy, retryable, retry_after=retry_after)
        self.status = status


class Api(Protocol):
    """What the agent's threads ask."""

    def get(self, path: str, **query: str | int) -> Document:
        """Read."""

    def post(self, path: str, body: Document) -> Document:
        """Create."""

    def patch(self, path: str, body: Document, kind: str = MERGE) -> Document:
        """Change."""

    def watch(self, path: str, **query: str | int) -> Iterator[Document]:
        """Follow."""

    def stop(self) -> None:
        """End what is followed, from another thread."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Document | None = None
    kind: str = _JSON


class NodeApi:
    """The API. Every call has a connection of its own, so any thread may call.

    Args:
        access: where it is, and who asks.
        timeout: seconds for the connection, and for each wait on it.
    """

    def __init__(self, access: Access, timeout: float = _TIMEOUT) -> None:
        self._access = access
        self._timeout = timeout
        self._watched: socket.socket | None = None

    def get(self, path: str, **query: str | int) -> Document:
        """Read a resource or a list.

        Raises:
            ApiError: it is refused; :class:`SourceError`: there is no answer.
        """
        return self._call(_Question("GET", path, query))

    def post(self, path: str, body: Document) -> Document:
        """Create a resource. Raises as :meth:`get`."""
        return self._call(_Question("POST", path, body=body))

    def patch(self, path: str, body: Document, kind: str = MERGE) -> Document:
        """Change a resource. Raises as :meth:`get`."""
        return self._call(_Question("PATCH", path, body=body, kind=kind))

    def watch(self, path: str, **query: str | int) -> Iterator[Document]:
        """Follow a list from a resource version on: ``{"type": …, "object": …}`` until the API ends it, as it does.

        Raises:
            ApiError: it is refused, also in the middle; :class:`SourceError`: the connection breaks.
        """
        query = query | {"watch": 1, "allowWatchBookmarks": "true", "timeoutSeconds": _WATCH_SECONDS}
        connection = self._connection()
        try:
            response = self._exchange(connection, _Question("GET", path, query))
            if connection.sock is not None:
                _keep_alive(connection.sock)
                connection.sock.settimeout(_WATCH_SECONDS + self._timeout)
                self._watched = connection.sock
            while line := response.readline(_LARGEST):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise _refusal(f"the watch of {path}", int(status.get("code", 500)), None, status)
                yield event
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
            raise self._silent(f"the watch of {path}", error) from error
        finally:
            self._watched = None
            connection.close()

    def stop(self) -> None:
        """End the watch that is under way, from another thread."""
        watched = self._watched
        if watched is not None:
            with contextlib.suppress(OSError):
                watched.shutdown(socket.SHUT_RDWR)

    def _call(self, question: _Question) -> Document:
        connection = self._connection()
        try:
            found: Document = json.loads(self._exchange(connection, question).read(_LARGEST))
        except (OSError, HTTPException, ValueError) as error:
            raise self._silent(f"{question.method} {question.path}", error) from error
        finally:
            connection.close()
        return found

    def _exchange(self, connection: HTTPConnection, question: _Question) -> HTTPResponse:
        target = f"{question.path}?{urlencode(question.query)}" if question.query else question.path
        headers = {"Accept": _JSON, "User-Agent": "podvnet-agent"} | self._access.headers()
        content = None if question.body is None else json.dumps(question.body).encode()
        if content is not None:
            headers["Content-Type"] = question.kind
        connection.request(question.method, target, content, headers)
        response = connection.getresponse()
        if not 200 <= response.status < 300:
            try:
                status = json.loads(response.read(1 << 16))
            except ValueError:
                status = {}
            what = f"{question.method} {question.path}"
            raise _refusal(what, response.status, response.getheader("Retry-After"), status)
        return response

    def _connection(self) -> HTTPConnection:
        host, port = self._access.endpoint
        if self._access.server.startswith("http://"):
            return HTTPConnection(host, port, timeout=self._timeout)
        return _NamedConnection(host, port, self._access.context(), self._access.server_name or host, self._timeout)

    def _silent(self, what: str, error: Exception) -> SourceError:
        return SourceError(
            f"the Kubernetes API at {self._access.server} does not answer: {what}: {type(error).__name__}: {error}",
            "is the API server up, and reached from this node?",
            retryable=True,
        )


class Connector:
    """Makes what speaks to the API; the kubeconfig is read anew when it is another file, or has changed.

    Args:
        kubeconfig: see :func:`~podvnet.kube.node_access.read_access`.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._known: tuple[tuple[int, int, int] | None, Access] | None = None

    def __call__(self) -> NodeApi:
        """Make it. For any thread.

        Raises:
            SourceError: the kubeconfig cannot be used.
        """
        try:
            found = self._kubeconfig.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            version = None
        known = self._known
        if known is None or known[0] != version:
            known = self._known = (version, read_access(self._kubeconfig))
        return NodeApi(known[1])


class _NamedConnection(HTTPSConnection):
    """A connection to a server whose certificate may be for another name than its address."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, name: str, timeout: float) -> None:
        super().__init__(host, port, context=context, timeout=timeout)
        self._tls = context
        self._name = name

    def connect(self) -> None:
        """Connect."""
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _keep_alive(watched: socket.socket) -> None:
    idle, interval, count = _KEEPALIVE
    watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def _refusal(what: str, status: int, retry_after: str | None, document: Any) -> ApiError:
    message = str(document.get("message", "")) if isinstance(document, dict) else ""
    remedies = {
        401: "the credentials in the kubeconfig are not, or no longer, valid",
        403: "give the agent the rights of deploy/: see podvnet.kube.node_rbac",
    }
    wait = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    remedy = remedies.get(status, "the message says what the API wants")
    return ApiError(f"{what}: the Kubernetes API answered {status}: {quoted(message)}", remedy, status, wait)
