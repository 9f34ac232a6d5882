"""A small HTTP server for those who collect metrics, where the agent is told to have one.

A thread of its own with a client at a time: who is slow keeps nobody else from an address, only from metrics.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, HTTPServer

import structlog

from podvnet.model.exposition import CONTENT_TYPE, PATH

_PATIENCE = 10.0

_log = structlog.get_logger()


class _Server6(HTTPServer):
    """At an address of IPv6."""

    address_family = socket.AF_INET6


class MetricsServer:
    """The server.

    Args:
        address: host and port to listen at; port 0 is any.
        read: gives the text. Called in the agent's thread.
        submit: runs something there.

    Raises:
        OSError: it cannot listen.
    """

    def __init__(
        self, address: tuple[str, int], read: Callable[[], str], submit: Callable[[Callable[[], None]], None]
    ) -> None:
        def ask() -> bytes:
            answer: Future[bytes] = Future()

            def act() -> None:
                try:
                    answer.set_result(read().encode())
                except Exception as error:  # noqa: BLE001 - it is raised in the server's thread
                    answer.set_exception(error)

            submit(act)
            return answer.result(_PATIENCE)

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            timeout = _PATIENCE

            def do_GET(self) -> None:
                """Answer."""
                if self.path.partition("?")[0] != PATH:
                    self.send_error(404)
                    return
                try:
                    text = ask()
                except Exception:  # noqa: BLE001 - the client is told, the log has the traceback
                    _log.exception("bug", doing="read the metrics")
                    self.send_error(500)
                    return
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing of every scrape."""

        self._server = (_Server6 if ":" in address[0] else HTTPServer)(address, Handler)
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; it is not waited for, since what it is busy with may wait for who stops it."""
        threading.Thread(target=self._server.shutdown, name="metrics-end", daemon=True).start()

    def _serve(self) -> None:
        with self._server:
            self._server.serve_forever()
