"""One GET of a platform service, with every way it can go wrong turned into a :class:`SourceError`.

``http.client`` and nothing above it: no proxy is ever used (Azure document "Azure Instance Metadata Service": clients
must bypass proxies), no redirect followed, nothing tried twice, and nothing imported that a node does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from time import monotonic
from urllib.parse import urlsplit

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError, bad_document, quoted

_GONE_LIMIT = 70.0
"""Seconds. Azure document "Azure Instance Metadata Service", table of errors: 410 lasts at most this long."""

_READ_SIZE = 1 << 16


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A platform service reached over plain HTTP.

    Attributes:
        base_url: ``http://address[:port]``, without a path.
        headers: sent with every request.
        timeout: seconds, for the connection, for each wait on the socket, and for the body as a whole.
        remedy: what to do when the service does not answer at all.
    """

    base_url: str
    headers: tuple[tuple[str, str], ...]
    timeout: float
    remedy: str

    def get(self, target: str) -> bytes:
        """Return the body of the answer to ``GET target`` (a path with its query).

        Raises:
            SourceError: no answer, a status other than 200, or a body larger than any document should be.
        """
        url = self.base_url.rstrip("/") + target
        host, port = _endpoint(self.base_url)
        connection = HTTPConnection(host, port, timeout=self.timeout)
        try:
            connection.request("GET", target, headers=dict(self.headers))
            response = connection.getresponse()
            body = _body(response, monotonic() + self.timeout)
        except (OSError, HTTPException, ValueError) as error:
            reason = quoted(f"{type(error).__name__}: {error}")
            raise SourceError(
                f"{url} gave no answer within {self.timeout:g} s ({reason})", self.remedy, True
            ) from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise refusal(url, response.status, response.getheader("Retry-After"), body)
        if len(body) > LARGEST_DOCUMENT:
            raise bad_document(url, f"more than {LARGEST_DOCUMENT} bytes")
        return body


def refusal(url: str, status: int, retry_after: str | None, body: bytes) -> SourceError:
    """Build the error of an answer whose status is not 200.

    Whether the request can succeed later follows the table of errors of the Azure document "Azure Instance Metadata
    Service": 410 for at most 70 seconds, 429 after a pause, and any 5xx. The wireserver is treated alike.

    Args:
        url: what was asked for.
        status: the status of the answer.
        retry_after: the header of that name; only its form in seconds is understood.
        body: the start of it is quoted, since the services write there what they object to.
    """
    got = quoted(body[:1024].decode("utf-8", "replace").strip()) or "no body"
    wait = float(retry_after) if retry_after is not None and retry_after.isascii() and retry_after.isdigit() else None
    if status == HTTPStatus.GONE:
        remedy, limit = f"Ask again, for at most {_GONE_LIMIT:g} seconds", _GONE_LIMIT
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        remedy, limit = "Ask less often: the metadata service answers a VM five times a second", None
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        remedy, limit = "The service failed by itself; ask again later", None
    else:
        remedy, limit = "Check that the address is the platform's own and nothing answers in its place", None
    retryable = status in {HTTPStatus.GONE, HTTPStatus.TOO_MANY_REQUESTS} or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return SourceError(f"{url} answered {status}: {got}", remedy, retryable, retry_after=wait, retry_limit=limit)


def _endpoint(base_url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_url(base_url, str(error)) from error
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise _bad_url(base_url, "not of this form")
    return host, 80 if port is None else port


def _bad_url(base_url: str, reason: str) -> SourceError:
    return SourceError(
        f"{base_url!r} is not the address of a platform service ({reason})",
        "Give it as http://address or http://address:port",
        retryable=False,
    )


def _body(response: HTTPResponse, deadline: float) -> bytes:
    """Read up to one byte more than a document may have: a server that trickles or never ends must not hold a pod."""
    chunks = bytearray()
    while len(chunks) <= LARGEST_DOCUMENT and (chunk := response.read1(_READ_SIZE)):
        chunks += chunk
        if monotonic() > deadline:
            raise TimeoutError("the body did not end in time")
    if len(chunks) <= LARGEST_DOCUMENT and response.length:
        raise IncompleteRead(bytes(chunks), response.length)
    return bytes(chunks)
