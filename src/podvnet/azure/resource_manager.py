"""The resource manager (ARM) as a VM with an identity of its own asks it: GET and PUT of single resources, questions.

Nothing is tried twice here: who asks decides when to ask again, and can say so meanwhile. azure-core and azure-identity
take 20 MiB and 0.2 s, so this module is imported only where it is used.
Sources: Azure documents "Managed identities for Azure resources", "Resource Manager throttling".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RequestIdPolicy, UserAgentPolicy
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse
from azure.identity import ManagedIdentityCredential

from podvnet.azure.error import SourceError, bad_document, quoted
from podvnet.azure.nic_document import Document, read_mac
from podvnet.model.address import Mac
from podvnet.model.resource_id import ResourceId, Scope, parse

ENDPOINT = "https://management.azure.com"
NETWORK_VERSION = "2024-05-01"
COMPUTE_VERSION = "2024-07-01"

_TIMEOUT = 60.0
_LONGEST_QUESTION = 120.0
"""Seconds of waiting after which an answer is not expected any more."""
_POLL_INTERVAL = 1.0
"""Seconds between looks for an answer, when the resource manager does not say."""
_REMEDIES = {
    401: "give the VM a managed identity (az vm identity assign)",
    403: "let the VM's identity write its NIC and join its subnet: the role Network Contributor on both, and Reader on"
    " the VM",
    404: "is this the VM's own resource, and can its identity see it?",
}
_CODE_REMEDIES = {
    "SubnetIsFull": "free addresses of the subnet, or move the VM to a larger one",
    "PrivateIPAddressCountLimitReached": "run fewer pods on this VM",
}
_WRITES_LEFT = frozenset(
    {"x-ms-ratelimit-remaining-subscription-writes", "x-ms-ratelimit-remaining-subscription-global-writes"}
)
_UNDER_WAY = frozenset({"Creating", "Updating", "Deleting", "Accepted"})
_FAILED = frozenset({"Failed", "Canceled"})
_PASSING = frozenset({408, 409, 412, 429})
"""Statuses of refusals that the same request, or one made anew, need not meet again."""


class RefusedError(SourceError):
    """The resource manager answered, and not with a success: nothing was written unless ``status`` is 500 or above.

    Attributes:
        status: of the answer.
        code: of the error in it, e.g. ``SubnetIsFull``; empty when it has none.
    """

    def __init__(self, message: str, remedy: str, status: int, code: str, retry_after: float | None) -> None:
        passing = status in _PASSING or status >= 500
        super().__init__(message, remedy, retryable=passing, retry_after=retry_after)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as last read or written, and its etag."""

    document: Document
    etag: str


class ResourceManager:
    """A client of one endpoint. For one thread.

    Attributes:
        writes_left: how many writes the resource manager takes before it refuses them, as it last said; None when it
            has not. Source: Azure document "Resource Manager throttling" (``x-ms-ratelimit-remaining-…-writes``).

    Args:
        endpoint: ``https://host[:port]``.
        ca: certificates to trust instead of the well-known authorities'.
        credential: None is the VM's managed identity.
        identity: the client id of a user-assigned identity; empty is the system-assigned one, or the only one.
        transport: what carries requests; None is the network.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        endpoint: str = ENDPOINT,
        ca: Path | None = None,
        *,
        credential: TokenCredential | None = None,
        identity: str = "",
        transport: HttpTransport[Any, Any] | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.writes_left: int | None = None
        self._pause = pause
        self._endpoint = endpoint.rstrip("/")
        if credential is None:
            # IMDS must be asked without any proxy; the resource manager may be asked through one.
            direct = RequestsTransport(use_env_settings=False)
            credential = ManagedIdentityCredential(client_id=identity or None, transport=direct)
        trust: bool | str = str(ca) if ca else True
        self._client: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            self._endpoint,
            transport=transport or RequestsTransport(connection_verify=trust),
            policies=[
                RequestIdPolicy(),
                UserAgentPolicy("podvnet"),
                BearerTokenCredentialPolicy(credential, f"{self._endpoint}/.default"),
            ],
        )

    def get(self, resource: ResourceId, version: str = NETWORK_VERSION) -> Resource:
        """Read a resource.

        Raises:
            SourceError: no answer, or no token; :class:`RefusedError` for a refusal.
        """
        return self._send(HttpRequest("GET", self._url(resource), params={"api-version": version}))

    def read_all(self, scope: Scope, full_type: str, version: str = NETWORK_VERSION) -> list[Resource]:
        """Read every resource of a type in a resource group, page by page.

        Raises:
            SourceError: no answer, or no token; :class:`RefusedError` for a refusal.
        """
        group = f"/subscriptions/{scope.subscription}/resourceGroups/{scope.resource_group}"
        found = self._pages(f"{self._endpoint}{group}/providers/{full_type}", version)
        return [Resource(each, str(each.get("etag", ""))) for each in found]

    def read_below(self, resource: ResourceId, collection: str, version: str = NETWORK_VERSION) -> list[Document]:
        """Read a collection of a resource (``usages``), page by page. Raises as :meth:`read_all`."""
        return self._pages(f"{self._url(resource)}/{collection}", version)

    def _pages(self, where: str, version: str) -> list[Document]:
        request = HttpRequest("GET", where, params={"api-version": version})
        found: list[Document] = []
        while True:
            page = _document(f"GET {where}", self._exchange(f"GET {where}", request, {200}))
            found += page.get("value", [])
            if not page.get("nextLink"):
                return found
            request = HttpRequest("GET", page["nextLink"])

    def put(self, resource: ResourceId, document: Document, etag: str, version: str = NETWORK_VERSION) -> Resource:
        """Replace a resource as it was when it had this etag.

        Raises:
            SourceError: no answer, so nobody knows whether it was written; :class:`RefusedError` for a refusal.
        """
        headers = {"If-Match": etag} if etag else {}
        return self._send(
            HttpRequest("PUT", self._url(resource), params={"api-version": version}, headers=headers, json=document)
        )

    def delete(self, resource: ResourceId, version: str = NETWORK_VERSION) -> None:
        """Delete a resource, and wait until it is gone; one that is not there is no error.

        Raises:
            SourceError: nobody knows whether it is there; :class:`RefusedError` for a refusal.
        """
        request = HttpRequest("DELETE", self._url(resource), params={"api-version": version})
        response = self._exchange(f"DELETE {self._url(resource)}", request, {200, 202, 204, 404})
        if response.status_code == 202:
            self._wait(resource, lambda: self._state(resource, version) is None, response)

    def settle(self, resource: ResourceId, written: Resource, version: str = NETWORK_VERSION) -> Resource:
        """Wait until what was written is carried out.

        Source: Azure document "Track asynchronous Azure operations": ``provisioningState`` of the resource.

        Raises:
            SourceError: it takes too long; :class:`RefusedError`: it failed.
        """
        found = [written]

        def settled() -> bool:
            if _provisioning(found[0]) in _UNDER_WAY:
                found[0] = self.get(resource, version)
            return _provisioning(found[0]) not in _UNDER_WAY

        if not settled():
            self._wait(resource, settled, None)
        state = _provisioning(found[0])
        if state in _FAILED:
            raise RefusedError(f"{resource} is {state}", "see its operations in the activity log", 409, state, None)
        return found[0]

    def ask(self, resource: ResourceId, question: str, version: str = NETWORK_VERSION) -> Document:
        """Ask a question about a resource (POST), and wait for the answer while it is worked out.

        Source: Azure document "Track asynchronous Azure operations": 202, and the answer at ``Location``.

        Raises:
            SourceError: no answer; :class:`RefusedError` for a refusal.
        """
        what = f"POST {self._url(resource)}/{question}"
        request = HttpRequest("POST", f"{self._url(resource)}/{question}", params={"api-version": version})
        response = self._exchange(what, request, {200, 202})
        waited = 0.0
        while response.status_code == 202:
            place = response.headers.get("Location", "")
            if not place:
                raise bad_document(what, "202 without a Location")
            if waited >= _LONGEST_QUESTION:
                raise SourceError(f"{what} got no answer in {waited:.0f} s", "it is asked again", retryable=True)
            wait = _seconds(response.headers.get("Retry-After")) or _POLL_INTERVAL
            self._pause(wait)
            waited += wait
            response = self._exchange(what, HttpRequest("GET", place), {200, 202})
        return _document(what, response)

    def close(self) -> None:
        """Close what is open."""
        self._client.close()

    def _state(self, resource: ResourceId, version: str) -> Resource | None:
        try:
            return self.get(resource, version)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _wait(self, resource: ResourceId, over: Callable[[], bool], response: HttpResponse | None) -> None:
        wait = (response and _seconds(response.headers.get("Retry-After"))) or _POLL_INTERVAL
        waited = 0.0
        while not over():
            if waited >= _LONGEST_QUESTION:
                raise SourceError(f"{resource} is not settled after {waited:.0f} s", "it is asked again", True)
            self._pause(wait)
            waited += wait

    def _url(self, resource: ResourceId) -> str:
        return f"{self._endpoint}{resource}"

    def _send(self, request: HttpRequest) -> Resource:
        what = f"{request.method} {request.url.partition('?')[0]}"
        response = self._exchange(what, request, {200, 201})
        document = _document(what, response)
        return Resource(document, response.headers.get("ETag") or str(document.get("etag", "")))

    def _exchange(self, what: str, request: HttpRequest, successes: set[int]) -> HttpResponse:
        try:
            response = self._client.send_request(request, connection_timeout=_TIMEOUT, read_timeout=_TIMEOUT)
        except ClientAuthenticationError as error:
            raise SourceError(
                f"the VM's identity got no token: {quoted(error.message)}", _REMEDIES[401], retryable=False
            ) from error
        except AzureError as error:
            raise SourceError(
                f"{what} got no answer: {quoted(str(error.message))}", "is the resource manager reachable?", True
            ) from error
        left = [
            int(value)
            for name, value in response.headers.items()
            if name.lower() in _WRITES_LEFT and value.isascii() and value.isdigit()
        ]
        if left:
            self.writes_left = min(left)
        if response.status_code not in successes:
            raise refusal(what, response.status_code, response.headers.get("Retry-After"), response.content)
        return response


def _document(what: str, response: HttpResponse) -> Document:
    try:
        document = json.loads(response.content)
    except ValueError as error:
        raise bad_document(what, str(error)) from error
    if not isinstance(document, dict):
        raise bad_document(what, "not a JSON object")
    return document


def _provisioning(resource: Resource) -> str:
    return str(resource.document.get("properties", {}).get("provisioningState", ""))


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None


def refusal(what: str, status: int, retry_after: str | None, body: bytes) -> RefusedError:
    """Build the error of an answer that is no success; ``retry_after`` is understood in seconds only."""
    try:
        error = json.loads(body)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", body[:1024].decode("utf-8", "replace").strip() or "no body"
    remedy = _CODE_REMEDIES.get(code) or _REMEDIES.get(status) or "the message says what the resource manager wants"
    return RefusedError(
        f"{what} answered {status} {code}: {quoted(message)}", remedy, status, code, _seconds(retry_after)
    )


def find_nic(manager: ResourceManager, machine: ResourceId, mac: Mac) -> tuple[ResourceId, Resource]:
    """Find the NIC of a VM by its MAC.

    Raises:
        SourceError: the VM cannot be read, is of a scale set, or has no such NIC.
    """
    if machine.type.lower() != "microsoft.compute/virtualmachines":
        raise SourceError(
            f"{machine} is of a scale set, and the NICs of its VMs cannot be written one by one",
            "use another source of addresses, or a scale set with flexible orchestration",
            retryable=False,
        )
    profile = manager.get(machine, COMPUTE_VERSION).document
    try:
        nics = [parse(each["id"]) for each in profile["properties"]["networkProfile"]["networkInterfaces"]]
    except (KeyError, TypeError, ValueError) as error:
        raise bad_document(str(machine), f"{type(error).__name__}: {error}") from error
    for nic in nics:
        found = manager.get(nic)
        if read_mac(found.document) == mac:
            return nic, found
    raise SourceError(f"none of the NICs of {machine} has the MAC {mac}", "restart the agent", retryable=True)
