"""The API of a cluster: documents in, documents out; watches line by line.

kubernetes_asyncio brings what is hard: kubeconfig, credentials that run out, TLS. Its models are not used: they cost a
second to import by name and forget what they do not know.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient

Document = dict[str, Any]
Query = Mapping[str, str]
MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_TIMEOUT, _CONNECT_TIMEOUT = 30.0, 10.0
_WATCH_SECONDS = 240
"""After so long the server ends a watch, and another one begins."""
_GOOD = 300


class ApiError(Exception):
    """The API server refused, or gave no answer.

    Attributes:
        status: of HTTP; 0 for no answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Api(Protocol):
    """What controllers ask."""

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = _JSON, query: Query | None = None
    ) -> Document:
        """Send a request; return the document that is answered.

        Raises:
            ApiError: it is refused, or nobody answers.
        """

    def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        """Events of a watch, until it ends.

        Raises:
            ApiError: it is refused, or breaks off.
        """


class ClusterApi:
    """The API server itself."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def ask(
        self, method: str, path: str, body: Document | None = None, *, content: str = _JSON, query: Query | None = None
    ) -> Document:
        """See :class:`Api`."""
        response = await self._send(method, path, body, content, query or {}, aiohttp.ClientTimeout(_TIMEOUT))
        try:
            found: Document = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(f"{method} {path}: {error}", 0) from error
        return found

    async def watch(self, path: str, query: Query) -> AsyncIterator[Document]:
        """See :class:`Api`."""
        asked = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS), **query}
        patience = aiohttp.ClientTimeout(connect=_CONNECT_TIMEOUT, sock_read=_WATCH_SECONDS + 60.0)
        response = await self._send("GET", path, None, _JSON, asked, patience)
        try:
            async for line in response.content:
                yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ApiError(f"watch {path}: {error}", 0) from error
        finally:
            response.close()

    async def _send(  # noqa: PLR0917 - a request has as many parts
        self,
        method: str,
        path: str,
        body: Document | None,
        content: str,
        query: Mapping[str, str],
        patience: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        try:
            response: aiohttp.ClientResponse = await self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Content-Type": content, "Accept": _JSON, "User-Agent": "podvnet"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=patience,
            )
            if response.status < _GOOD:
                return response
            text = (await response.read()).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, config.ConfigException) as error:
            raise ApiError(f"{method} {path}: {type(error).__name__}: {error}", 0) from error
        raise ApiError(f"{method} {path}: {response.status} {_message(text)}", response.status)


@asynccontextmanager
async def cluster_api(kubeconfig: Path | None, context: str | None = None) -> AsyncIterator[ClusterApi]:
    """The API server of a kubeconfig, or, without one, of the pod's own cluster.

    Raises:
        ApiError: there is no such configuration.
    """
    try:
        if kubeconfig or "KUBERNETES_SERVICE_HOST" not in os.environ:
            await config.load_kube_config(str(kubeconfig) if kubeconfig else None, context=context)
        else:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError) as error:
        raise ApiError(f"no way to the API server: {error}", 0) from error
    async with ApiClient() as client:
        yield ClusterApi(client)


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:300].strip()
