"""Docker's plug-in socket: HTTP over a Unix socket.

Each of Docker's connections has a thread, which reads a call, has the agent's one thread serve it, and answers. The
threads do nothing else, so the standard library's server is enough; the one that the fabric uses would cost the agent
several times the memory and the time to start, and would bring a second event loop.
"""

from __future__ import annotations

import os
import socketserver
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import structlog

from podvnet.agent.docker.driver import Driver
from podvnet.agent.docker.protocol import (
    CONTENT_TYPE,
    Call,
    DockerError,
    Json,
    LaterError,
    answer,
    decode,
    refusal,
    whole_number,
)

SOCKET = Path("/run/docker/plugins/azure-vnet.sock")
"""Where Docker looks for the driver ``azure-vnet``."""

_LARGEST_BODY = 1 << 20
_PATIENCE = 15.0
"""Seconds a call waits for an address to have rested, or for the platform. Docker waits without a limit."""
_GROWTH_PATIENCE = 30.0
"""Seconds a call waits for the pool to be enlarged, as an ADD of CNI does."""
_PAUSE = 0.5
"""Seconds between tries while only the platform's answer can help."""

_log = structlog.get_logger()


class Front:
    """Serves Docker.

    Args:
        path: of the socket; only root may open it.
        driver: serves the calls.
        submit: runs a task in the agent's thread.
        ask_platform: asks for the list of addresses as soon as possible; called in the agent's thread.
    """

    def __init__(
        self,
        path: Path,
        driver: Driver,
        submit: Callable[[Callable[[], None]], None],
        ask_platform: Callable[[], None],
    ) -> None:
        self._path = path
        self._driver = driver
        self._submit = submit
        self._ask_platform = ask_platform
        self._waiting: dict[object, int] = {}
        self._stopped = threading.Event()
        self._server: _Server | None = None

    def start(self) -> None:
        """Listen."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = _Server(self._path, self.serve)
        finally:
            os.umask(previous)
        threading.Thread(target=self._server.serve_forever, name="docker", daemon=True).start()
        _log.info("serving_docker", socket=str(self._path))

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink(missing_ok=True)
        self._driver.close()

    @property
    def waiting(self) -> int:
        """How many calls wait for an address of IPv4, what a growing pool gets more of. For the agent's thread."""
        return sum(version == 4 for version in self._waiting.values())

    def serve(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Serve one call; return the status and the document. Called in the threads of connections."""
        try:
            method, call = decode(path, body)
            return 200, answer(self._patiently(method, call))
        except DockerError as error:
            _log.info("docker_refused", call=path, reason=str(error))
            return error.status, refusal(error)
        except Exception:  # noqa: BLE001 - Docker is told, the log has the traceback, the agent lives on
            _log.exception("bug", call=path)
            return 500, refusal(DockerError(f"{path} failed by a bug in the agent", "see the agent's log"))

    def _patiently(self, method: str, call: Call) -> Json:
        began = time.monotonic()
        ticket = object()
        while True:
            try:
                return self._in_agents_thread(method, call, ticket)
            except LaterError as error:
                pause = error.seconds or _PAUSE
                patience = _GROWTH_PATIENCE if error.growing else _PATIENCE
                if time.monotonic() + pause > began + patience or self._stopped.wait(pause):
                    self._submit(lambda: self._settle(ticket))
                    raise

    def _in_agents_thread(self, method: str, call: Call, ticket: object) -> Json:
        served: Future[Json] = Future()

        def task() -> None:
            try:
                document = self._driver.serve(method, call)
            except BaseException as error:  # noqa: BLE001 - it belongs to the thread that asked
                self._settle(ticket, error)
                served.set_exception(error)
            else:
                self._settle(ticket)
                served.set_result(document)

        self._submit(task)
        return served.result()

    def _settle(self, ticket: object, error: BaseException | None = None) -> None:
        """Know whether a call waits for an address. For the agent's thread, before whoever counts is told."""
        if not isinstance(error, LaterError) or not error.wanted:
            self._waiting.pop(ticket, None)
            return
        if ticket not in self._waiting and not error.seconds and not error.growing:
            self._ask_platform()  # once: its answer is a reason to try again
        self._waiting[ticket] = error.wanted


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: Path, serve: Callable[[str, bytes], tuple[int, bytes]]) -> None:
        self.serve = serve
        super().__init__(str(path), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """One connection of Docker's."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer
    server: _Server

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        size = whole_number(length)
        if size is None or size > _LARGEST_BODY:
            self.close_connection = True
            error = DockerError(f"a body of {length} bytes is not read", f"at most {_LARGEST_BODY}", status=413)
            self._answer(error.status, refusal(error))
            return
        self._answer(*self.server.serve(self.path, self.rfile.read(size)))

    def _answer(self, status: int, document: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)

    def log_message(self, *_: object) -> None:
        """Nothing: what is refused is logged where it is refused."""
