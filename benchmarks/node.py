"""A node: a process inside the namespaces of a VM, or inside a network namespace of its own, that runs what it is told.

Plug-ins are its children, so they start where a runtime would start them and no ``nsenter`` is part of what is
measured.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import select
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from case import FLOORS, Case
from execution import Sample, execute

from podvnet.linux import namespace, rtnetlink_dump
from podvnet.linux.netlink import ROUTE, NetlinkSocket
from podvnet.linux.reaper import GROUP

_AGENT_READY_SECONDS = 30
_LINK_EVENTS = 1


@dataclass(frozen=True)
class Block:
    """Operations that followed one another. ``agent`` is the seconds of CPU the resident process spent on them."""

    samples: list[Sample]
    elapsed: float
    agent: float


@dataclass
class _Pod:
    sandbox: str
    container: str = ""
    result: bytes = b""


@dataclass
class _Worker:
    """What lives in the node's process."""

    case: Case
    pods: list[_Pod] = field(default_factory=list)
    agent: int = 0

    def prepare(self, count: int) -> None:
        """Make the pods' namespaces, and start the agent if this is ours."""
        for number in range(count):
            name = f"bench-{self.case.network}-{number}"
            namespace.create(name)
            self.pods.append(_Pod(str(namespace.path(name))))
        if self.case.machine:
            self.agent = _start_agent()

    def add(self, first: int, count: int, width: int) -> Block:
        """ADD pods."""
        pods = self.pods[first : first + count]
        for pod in pods:
            pod.container = secrets.token_hex(32)
        block = self._run("ADD", pods, width)
        for pod, sample in zip(pods, block.samples, strict=True):
            pod.result = sample.output
        return block

    def delete(self, first: int, count: int, width: int) -> Block:
        """DEL pods."""
        return self._run("DEL", self.pods[first : first + count], width)

    def floors(self, count: int) -> dict[str, list[float]]:
        """Programs that attach nothing."""
        return {name: [sample.wall for sample in execute([call] * count)] for name, call in FLOORS.items()}

    def memory(self) -> int:
        """Bytes the agent has in memory."""
        text = Path(f"/proc/{self.agent}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS"))

    def _run(self, verb: str, pods: list[_Pod], width: int) -> Block:
        calls = [self.case.call(verb, pod.container, pod.sandbox, pod.result) for pod in pods]
        if verb == "ADD":
            calls = [self.case.call(verb, pod.container, pod.sandbox) for pod in pods]
        events = _link_events()
        before = self._agent_seconds()
        start = time.perf_counter()
        samples = execute(calls, width)
        elapsed = time.perf_counter() - start
        if self.agent and verb == "DEL":
            _wait_for_reaper(events)
        events.close()
        return Block(samples, elapsed, self._agent_seconds() - before)

    def _agent_seconds(self) -> float:
        """CPU of the agent so far: what /proc/PID/stat says too, there in hundredths of a second."""
        process_clock = (~self.agent << 3) | 2  # clock_getcpuclockid(3)
        return time.clock_gettime(process_clock) if self.agent else 0.0


def _link_events() -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)
    listener.bind((0, _LINK_EVENTS))
    return listener


def _wait_for_reaper(events: socket.socket) -> None:
    """Wait until the links the agent retired are gone: they must not burden whoever is measured next."""
    with NetlinkSocket(ROUTE) as netlink:
        while any(link.group == GROUP for link in rtnetlink_dump.links(netlink)):
            select.select([events], [], [])
            try:
                while events.recv(1 << 16, socket.MSG_DONTWAIT):
                    pass
            except OSError:  # nothing more, or more than the buffer held
                continue


def _start_agent() -> int:
    """Start an agent that gives a released address out again at once: every round uses them all."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")
        name = "@" + listener.getsockname()[1:].decode()
        argv = [sys.executable, "-m", "podvnet", "agent", "--rest", "0"]
        log = os.open("/var/log/podvnet-agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        process = os.posix_spawn(sys.executable, argv, os.environ | {"NOTIFY_SOCKET": name}, file_actions=actions)
        os.close(log)
        listener.settimeout(_AGENT_READY_SECONDS)
        listener.recv(64)
    return process


class Node:
    """The other end of a node's process.

    Args:
        case: what runs there.
        network: the node's network namespace, open.
        mounts: its pinned mount namespace; None: the caller's.
    """

    def __init__(self, case: Case, network: int, mounts: Path | None) -> None:
        self.case = case
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, case, network, mounts), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, count: int) -> None:
        """Make ``count`` pods' namespaces and whatever else must be there before the first ADD."""
        self._ask("prepare", count)

    def add(self, first: int, count: int, width: int = 1) -> Block:
        """ADD pods ``first`` and following, ``width`` at once."""
        block: Block = self._ask("add", first, count, width)
        return block

    def delete(self, first: int, count: int, width: int = 1) -> Block:
        """DEL them."""
        block: Block = self._ask("delete", first, count, width)
        return block

    def floors(self, count: int) -> dict[str, list[float]]:
        """Seconds of programs that attach nothing."""
        found: dict[str, list[float]] = self._ask("floors", count)
        return found

    def memory(self) -> int:
        """Bytes of the agent."""
        return int(self._ask("memory"))

    def _ask(self, action: str, *arguments: int) -> Any:
        self._pipe.send((action, arguments))
        good, answer = self._pipe.recv()
        if not good:
            raise SystemExit(f"{self.case.title}: {answer}")
        return answer


def _work(pipe: Connection, case: Case, network: int, mounts: Path | None) -> None:
    if mounts is not None:
        with mounts.open("rb") as pin:
            namespace.set_namespace(pin.fileno(), namespace.CLONE_NEWNS)
    namespace.set_namespace(network)
    os.chdir("/")
    worker = _Worker(case)
    while True:
        try:
            action, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, getattr(worker, action)(*arguments)))
        except Exception as error:  # noqa: BLE001 - told to the one who asked
            pipe.send((False, f"{action} failed: {error}\n{traceback.format_exc()}"))
