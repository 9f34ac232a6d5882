"""The clients against a server of canned bytes on the loopback: every way an exchange can go wrong is a row."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import msgspec
import pytest

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError
from podvnet.azure.http_source import HttpSource, refusal
from podvnet.azure.imds import fetch_instance, fetch_network
from podvnet.azure.wireserver import fetch_interfaces
from podvnet.model.address import Mac

XML = (
    b'<Interfaces><Interface MacAddress="000D3A0A0B0C" IsPrimary="true"><IPSubnet Prefix="10.20.0.0/16">'
    b'<IPAddress Address="10.20.0.4" IsPrimary="true"/></IPSubnet></Interface></Interfaces>'
)
NETWORK = msgspec.json.encode(
    {
        "interface": [
            {
                "ipv4": {
                    "ipAddress": [{"privateIpAddress": "10.20.0.4", "publicIpAddress": ""}],
                    "subnet": [{"address": "10.20.0.0", "prefix": "16"}],
                },
                "ipv6": {"ipAddress": []},
                "macAddress": "000D3A0A0B0C",
            }
        ]
    }
)
COMPUTE = msgspec.json.encode(
    {
        "name": "vm1",
        "resourceId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm1",
        "vmId": "v",
        "location": "westus",
        "vmSize": "s",
    }
)


@dataclass
class Canned:
    """Answers one request with fixed bytes and keeps what was asked."""

    url: str
    asked: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


Serve = Callable[..., Canned]


def reply(body: bytes, status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve(bytes)`` starts a server that answers one request; ``hold`` keeps the connection open afterwards."""
    threads: list[threading.Thread] = []
    servers: list[Canned] = []

    def start(answer: bytes, *, hold: bool = False) -> Canned:
        listener = socket.create_server(("127.0.0.1", 0))
        canned = Canned(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def run() -> None:
            with closing(listener), closing(listener.accept()[0]) as connection:
                asked = b""
                while b"\r\n\r\n" not in asked and (chunk := connection.recv(4096)):
                    asked += chunk
                canned.asked += asked.decode().split("\r\n")
                connection.sendall(answer)
                if hold:
                    canned.done.wait(10)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        servers.append(canned)
        return canned

    yield start
    for canned in servers:
        canned.done.set()
    for thread in threads:
        thread.join()


def source(url: str, timeout: float = 5.0) -> HttpSource:
    return HttpSource(url, headers=(), timeout=timeout, remedy="Do this")


def test_wireserver_is_asked_as_the_original_asks(serve: Serve) -> None:
    server = serve(reply(XML))
    inventory = fetch_interfaces(server.url)
    assert inventory.primary_nic().mac == "00:0d:3a:0a:0b:0c"
    assert server.asked[0] == "GET /machine/plugins?comp=nmagent&type=getinterfaceinfov1 HTTP/1.1"


def test_imds_is_asked_with_header_and_version(serve: Serve) -> None:
    server = serve(reply(NETWORK))
    inventory = fetch_network(f"{server.url}/", primary=Mac("00:0d:3a:0a:0b:0c"))
    assert str(inventory.primary_nic().primary_address()) == "10.20.0.4"
    assert server.asked[0] == "GET /metadata/instance/network?api-version=2021-02-01 HTTP/1.1"
    assert "Metadata: true" in server.asked
    assert not [line for line in server.asked if line.lower().startswith("x-forwarded-for")]


def test_imds_tells_the_instance(serve: Serve) -> None:
    server = serve(reply(COMPUTE))
    assert fetch_instance(server.url).name == "vm1"
    assert server.asked[0] == "GET /metadata/instance/compute?api-version=2021-02-01 HTTP/1.1"


def test_no_proxy_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert source(serve(reply(b"ok")).url).get("/") == b"ok"


def test_a_chunked_body(serve: Serve) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert source(serve(answer).url).get("/") == b"abcde"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(200)) + b"\r\n",
    ],
)
def test_a_broken_answer(serve: Serve, answer: bytes) -> None:
    server = serve(answer)
    with pytest.raises(SourceError, match=rf"^{server.url}/x gave no answer .* Do this$") as caught:
        source(server.url).get("/x")
    assert caught.value.retryable


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_silence_ends_with_the_timeout(serve: Serve, answer: bytes) -> None:
    server = serve(answer, hold=True)
    with pytest.raises(SourceError, match=r"gave no answer within 0.05 s \(TimeoutError") as caught:
        source(server.url, timeout=0.05).get("/")
    assert caught.value.retryable


@pytest.mark.parametrize("fetch", [fetch_interfaces, fetch_network, fetch_instance])
def test_nobody_there(fetch: Callable[[str], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        SourceError, match=rf"^http://127.0.0.1:{port}/m.* \(ConnectionRefusedError.*route to"
    ) as caught:
        fetch(f"http://127.0.0.1:{port}")
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "header", "retryable", "after", "limit"),
    [
        (400, None, False, None, None),
        (404, None, False, None, None),
        (405, None, False, None, None),
        (301, None, False, None, None),
        (204, None, False, None, None),
        (410, None, True, None, 70.0),
        (410, "3", True, 3.0, 70.0),
        (429, "1", True, 1.0, None),
        (429, "soon", True, None, None),
        (429, "²", True, None, None),
        (500, None, True, None, None),
        (503, "20", True, 20.0, None),
    ],
)
def test_which_status_is_worth_another_try(
    status: int, header: str | None, retryable: bool, after: float | None, limit: float | None
) -> None:
    error = refusal("http://x/y", status, header, b'{"error":"why"}\n')
    assert error.message == f'http://x/y answered {status}: {{"error":"why"}}'
    assert (error.retryable, error.retry_after, error.retry_limit) == (retryable, after, limit)
    assert error.remedy


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(b"", "429 Too Many Requests", "Retry-After: 2\r\n"), "answered 429: no body"),
        (reply(b"gone", "410 Gone"), "answered 410: gone"),
        (reply(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"), "answered 302"),
        (reply(b"\xff\x00", "500 Oops"), "answered 500: �"),
        (reply(b"x" * (LARGEST_DOCUMENT + 1)), "more than 1048576 bytes"),
    ],
)
def test_an_answer_that_is_no_document(serve: Serve, answer: bytes, says: str) -> None:
    server = serve(answer)
    with pytest.raises(SourceError, match=rf"^{server.url}/.*{says}"):
        source(server.url).get("/")


def test_a_body_at_the_limit_is_taken(serve: Serve) -> None:
    assert len(source(serve(reply(b"x" * LARGEST_DOCUMENT)).url).get("/")) == LARGEST_DOCUMENT


@pytest.mark.parametrize(
    "url",
    [
        "",
        "169.254.169.254",
        "https://169.254.169.254",
        "http://",
        "http://x:port",
        "http://[::1",
        "http://x/y",
        "http://x?y",
    ],
)
def test_no_url_of_a_service(url: str) -> None:
    with pytest.raises(SourceError, match="is not the address of a platform service") as caught:
        source(url).get("/")
    assert not caught.value.retryable
