"""The agent's socket: one event loop, one request at a time.

A request takes about a millisecond, nearly all of it under the kernel's one lock, so serving them one after another is
as quick as threads and needs no lock of ours. An ADD that must wait (no address is free yet) steps aside and others go
on. Requests are served in the order in which they arrived, with two exceptions that keep a DEL the last word: an ADD
whose caller has hung up is dropped, and so is an ADD that arrived before a DEL of the same attachment was served.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from podvnet.agent.must_wait import MustWaitError
from podvnet.agent.request_tally import RequestTally
from podvnet.agent.verbs import Verbs, key_of
from podvnet.model.attachment import AttachmentKey
from podvnet.plugin import netavark
from podvnet.plugin.error import CniError, Code
from podvnet.plugin.frame import RequestBuffer, decode_request, encode_reply
from podvnet.plugin.request import Command, Request, parse_request

QUERY = "PODVNET_QUERY"
"""A request with this variable asks something of the agent itself. The shim forwards no such variable of a runtime."""

_CHUNK = 65536
_PATIENCE = 5.0
"""Seconds an ADD waits for the platform to name more addresses."""
_LONGEST_WAIT = 60.0
"""Seconds an ADD waits for released addresses to have rested."""
_GROWTH_PATIENCE = 30.0
"""Seconds an ADD waits for the pool to be enlarged: a write of the NIC, and the platform's list after it."""
_SEND_TIMEOUT = 5.0

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Connection:
    """One caller. ``arrival`` orders callers; ``netavark`` is the verb of one that speaks netavark's protocol."""

    socket: socket.socket
    arrival: int
    buffer: RequestBuffer = field(default_factory=RequestBuffer)
    descriptors: list[int] = field(default_factory=list)
    netavark: str = ""
    since: float = field(default_factory=time.monotonic)

    def close(self) -> None:
        """Close the connection and what came with it."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        self.socket.close()

    @property
    def sandbox(self) -> int | None:
        """The pod's namespace that came with the request."""
        return self.descriptors[0] if self.descriptors else None

    def hung_up(self) -> bool:
        """Tell whether the caller is gone."""
        poll = select.poll()
        poll.register(self.socket, select.POLLHUP)
        return bool(poll.poll(0))


@dataclass(slots=True, eq=False)
class Waiting:
    """An ADD that stepped aside.

    ``answers`` is how often the platform had answered by then; ``asking`` that it waits for no address of the pool;
    ``brief`` that what comes after it has a time of its own.
    """

    connection: Connection
    request: Request
    error: CniError
    retry_at: float
    deadline: float
    answers: int
    asking: bool
    brief: bool


class Server:
    """Serves the socket until stopped.

    Args:
        path: of the socket; only root may open it.
        verbs: serve the requests.
        queries: answers requests with the variable :data:`QUERY`, from its value and stdin; may raise ``CniError``.
        settled: called after requests were answered or tasks run, with how many ADDs wait for an address.
    """

    def __init__(
        self, path: Path, verbs: Verbs, queries: Callable[[str, bytes], bytes], settled: Callable[[int], None]
    ) -> None:
        self._path = path
        self._queries = queries
        self._settled = settled
        self._verbs = verbs
        self._selector = selectors.DefaultSelector()
        self._listener = _listen(path)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._tasks: deque[Callable[[], None]] = deque()
        self._ready: deque[tuple[Connection, bytes]] = deque()
        self._open: set[Connection] = set()
        self._waiting: list[Waiting] = []
        self._arrivals = 0
        self._answers = 0
        self._deleted: dict[AttachmentKey, int] = {}
        self._stopped = False
        self.tally = RequestTally()

    # -- for other threads

    def submit(self, task: Callable[[], None]) -> None:
        """Run a task in the loop's thread."""
        self._tasks.append(task)
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """End the loop after what is under way."""

        def end() -> None:
            self._stopped = True

        self.submit(end)

    # -- the loop

    def something_learned(self) -> None:
        """Something that is no answer of the platform has come: those who wait may try again. For tasks."""
        self._retry(everyone=True)

    def pool_changed(self) -> None:
        """The platform has answered: those who wait may try again. For tasks."""
        self._answers += 1
        self._retry(everyone=True)

    def run(self) -> None:
        """Serve until stopped."""
        try:
            while not self._stopped:
                for key, _ in self._selector.select(self._timeout()):
                    key.data()
                busy = bool(self._tasks or self._ready)
                while self._tasks:
                    self._tasks.popleft()()
                while self._ready:
                    connection, body = self._ready.popleft()
                    self._begin(connection, body)
                self._retry(everyone=False)
                if busy:
                    self._settled(sum(not each.asking for each in self._waiting))
        finally:
            self._close()

    def _timeout(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, min(min(each.retry_at, each.deadline) for each in self._waiting) - time.monotonic())

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of descriptors: serve those who are in
                _log.error("accept_failed", reason=str(error))
                return
            accepted.setblocking(False)
            self._arrivals += 1
            connection = Connection(accepted, self._arrivals)
            self._open.add(connection)
            self._selector.register(accepted, selectors.EVENT_READ, lambda c=connection: self._read(c))
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        size = array.array("i").itemsize
        while True:
            try:
                data, ancillary, _, _ = connection.socket.recvmsg(
                    _CHUNK, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                self._drop(connection)
                return
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    received = array.array("i")
                    received.frombytes(payload[: len(payload) - len(payload) % size])
                    connection.descriptors += received
            if not data:
                self._drop(connection)
                return
            try:
                body = connection.buffer.feed(data)
            except CniError as error:
                self._answer(connection, 1, error.render())
                return
            if body is not None:
                self._ready.append((connection, body))
                return

    def _drop(self, connection: Connection) -> None:
        """A caller left. Its ADD, if it waits, is dropped; half a request is no request."""
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        for each in [each for each in self._waiting if each.connection is connection]:
            self._waiting.remove(each)
            self._verbs.abandon(each.request)
        if connection in self._open:
            self._open.discard(connection)
            self._selector.unregister(connection.socket)
            connection.close()
            self._forget_deletions()

    def _forget_deletions(self) -> None:
        oldest = min((each.arrival for each in self._open), default=self._arrivals + 1)
        self._deleted = {key: arrival for key, arrival in self._deleted.items() if arrival > oldest}

    # -- requests

    def _begin(self, connection: Connection, body: bytes) -> None:
        if connection not in self._open:
            return
        try:
            environment, stdin = decode_request(body)
            if QUERY in environment:
                self._answer(connection, 0, self._queries(environment[QUERY], stdin))
                return
            connection.netavark = environment.get(netavark.VARIABLE, "")
            if connection.netavark == "create":
                self._answer(connection, 0, netavark.create(stdin))
                return
            if connection.netavark:
                environment, stdin = netavark.as_cni(environment, stdin)
            request = parse_request(environment, stdin)
        except CniError as error:
            self._answer(connection, 1, error.render())
            return
        for warning in request.config.warnings:
            _log.warning("configuration", network=request.config.name, warning=warning)
        if request.command is Command.ADD:
            self._retry(everyone=False)  # who has waited goes first
            if connection.hung_up():
                self._forget(connection)
                return
        self._serve(connection, request, None)

    def _serve(self, connection: Connection, request: Request, waiting: Waiting | None) -> None:
        key = key_of(request)
        adding = request.command is Command.ADD
        try:
            if adding and self._deleted.get(key, 0) > connection.arrival:
                raise CniError(Code.TRY_AGAIN, f"{key} was deleted before this ADD was served", "ADD again")
            output = self._verbs.serve(request, connection.sandbox)
        except MustWaitError as wait:
            self._step_aside(connection, request, wait, waiting)
            return
        except CniError as error:
            _log.info("refused", command=request.command, key=str(key), code=int(error.code), reason=error.msg)
            if adding:
                self._verbs.abandon(request)
            self._refuse(connection, request, error)
            return
        except Exception:  # noqa: BLE001 - the runtime is told, the log has the traceback, the agent lives on
            _log.exception("bug", command=request.command, key=str(key))
            if adding:
                self._verbs.abandon(request)
            bug = CniError(
                Code.INTERNAL, f"{request.command} of {key} failed by a bug in the agent", "see the agent's log"
            )
            self._refuse(connection, request, bug)
            return
        self._note(connection, request, 0)
        if request.command is Command.DEL:
            self._deleted[key] = connection.arrival
            self._cancel(key, connection.arrival)
        delivered = self._answer(connection, 0, output)
        if adding and not delivered:
            # Nobody heard of this attachment; the DEL that should follow may never come.
            self._undo(key)
        if not adding and self._waiting:
            self._retry(everyone=True)

    def _undo(self, key: AttachmentKey) -> None:
        try:
            self._verbs.delete(key, None)
        except CniError as error:  # it stays marked as leaving, and the next reconciliation takes it down
            _log.error("not_undone", key=str(key), reason=error.msg)

    def _step_aside(
        self, connection: Connection, request: Request, wait: MustWaitError, waiting: Waiting | None
    ) -> None:
        now = time.monotonic()
        answered = waiting is not None and waiting.answers < self._answers
        patience = wait.patience or (_LONGEST_WAIT if wait.seconds else _GROWTH_PATIENCE if wait.growing else _PATIENCE)
        fresh = waiting is None or (waiting.brief and not wait.patience)
        deadline = now + patience if waiting is None or fresh else waiting.deadline
        if now >= deadline or (answered and not wait.seconds and not wait.growing):
            self._verbs.abandon(request)
            self._refuse(connection, request, wait.error)
            return
        if waiting is None and wait.error.code is Code.POOL_EXHAUSTED:
            self._verbs.ask_platform()  # once: its answer is a reason to try again
        retry_at = now + wait.seconds if wait.seconds else deadline
        answers = waiting.answers if waiting else self._answers
        brief = bool(wait.patience)
        self._waiting.append(Waiting(connection, request, wait.error, retry_at, deadline, answers, wait.asking, brief))

    def _retry(self, *, everyone: bool) -> None:
        now = time.monotonic()
        if not everyone and not any(now >= min(each.retry_at, each.deadline) for each in self._waiting):
            return
        # One that is due may take what an earlier one waits for too: they are tried in the order of arrival.
        due = sorted(self._waiting, key=lambda each: each.connection.arrival)
        self._waiting = []
        for each in due:
            if each.connection.hung_up():
                self._verbs.abandon(each.request)
                self._forget(each.connection)
            else:
                self._serve(each.connection, each.request, each)

    def _cancel(self, key: AttachmentKey, arrival: int) -> None:
        """End the waiting ADDs that a DEL overtook."""
        overtaken = [
            each for each in self._waiting if key_of(each.request) == key and each.connection.arrival < arrival
        ]
        self._waiting = [each for each in self._waiting if each not in overtaken]
        for each in overtaken:
            error = CniError(Code.TRY_AGAIN, f"{key} was deleted while this ADD waited", "ADD again")
            self._refuse(each.connection, each.request, error)

    def _refuse(self, connection: Connection, request: Request, error: CniError) -> None:
        self._note(connection, request, error.code)
        self._answer(connection, 1, error.render(request.config.cni_version))

    def _note(self, connection: Connection, request: Request, code: int) -> None:
        self.tally.note(request.command, code, time.monotonic() - connection.since)

    def _answer(self, connection: Connection, code: int, output: bytes) -> bool:
        """Send a reply and hang up; tell whether it was taken."""
        delivered = True
        if connection.netavark:
            output = netavark.reply(connection.netavark, code, output)
        try:
            connection.socket.settimeout(_SEND_TIMEOUT)
            connection.socket.sendall(encode_reply(code, output))
        except OSError as error:
            delivered = False
            _log.info("caller_gone", reason=str(error))
        self._forget(connection)
        return delivered

    def _close(self) -> None:
        for connection in list(self._open):
            self._forget(connection)
        self._selector.close()
        self._listener.close()
        os.close(self._wake)
        self._path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    previous = os.umask(0o117)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(512)
    listener.setblocking(False)
    return listener
