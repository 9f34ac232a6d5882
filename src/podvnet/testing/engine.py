"""A container engine in a VM of a lab, whichever it is: started, killed, asked for containers."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from podvnet.linux import namespace
from podvnet.runtime.probe import family_of
from podvnet.testing.cni import eventually
from podvnet.testing.lab import Lab

IMAGE = "docker.io/library/busybox:latest"
"""Like the one a reader of the quick starts pulls; here it is made from Debian's busybox-static."""
SERVER = ("httpd", "-f", "-p", "80", "-h", "/www")
"""A container that answers at ``/cgi-bin/whoami`` with its host name and, in the last line, its caller's address."""
_SECONDS = 30.0


class EngineError(AssertionError):
    """An engine did not do what it was told; the message holds what it said."""


@dataclass(frozen=True)
class Container:
    """A container, or a pod with one in it, as its engine tells.

    Attributes:
        name: what the engine's user calls it.
        identity: what the engine calls what the network is attached to: CNI's container id.
        addresses: IPv4 first.
        gateway: of IPv4.
    """

    name: str
    identity: str
    addresses: tuple[str, ...]
    gateway: str
    mac: str

    @property
    def address(self) -> str:
        """The IPv4 address."""
        return self.addresses[0]


class Engine(Protocol):
    """What every engine does."""

    lab: Lab
    vm: str

    def start(self) -> None:
        """Start it with image and network; return when it answers."""

    def start_daemon(self) -> None:
        """Start only its daemon, as its packages do; return when it answers."""

    def load(self) -> None:
        """Load the image, in place of pulling it from a registry."""

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and wait for its end. Containers go on."""

    def run(self, name: str, *command: str, ports: Sequence[tuple[int, int]] = ()) -> Container:
        """Run a container on the virtual network; ``ports`` are (of the VM, of the container)."""

    def execute(self, name: str, *command: str) -> str:
        """Run a program in a container; return what it says."""

    def remove(self, name: str) -> None:
        """End a container and remove it."""

    def remove_all(self) -> None:
        """End and remove every container the engine knows."""


class Daemon:
    """A daemon in a VM."""

    def __init__(self, lab: Lab, vm: str, *argv: str) -> None:
        self._lab = lab
        self._vm = vm
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> int:
        """Its process id."""
        if self._process is None:
            raise EngineError(f"{self._argv[0]} is not running on {self._vm}")
        return self._process.pid

    def start(self) -> None:
        """Start it; its log is in the VM's /var/log. One that ended with its VM is forgotten."""
        if self._process is not None:
            self._process.wait(_SECONDS)
        name = Path(self._argv[0]).name
        into = f'exec "$@" >>/var/log/{name}.log 2>&1 </dev/null'
        self._process = subprocess.Popen(
            self._lab.command(self._vm, "sh", "-c", into, "sh", *self._argv),
            # What an engine needs of its environment, and nothing of ours.
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            start_new_session=True,
            cwd="/",
        )

    def wait_for(self, path: str) -> None:
        """Wait until something listens on a socket of the VM.

        Raises:
            EngineError: it ended, or did not in half a minute.
        """
        probe = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        deadline = time.monotonic() + _SECONDS
        while self._lab.inside(self._vm, "/usr/bin/python3", "-ISc", probe, path, check=False).returncode:
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                raise EngineError(f"{self._argv[0]} does not listen at {path} of {self._vm}: {self.last_words()}")
            with contextlib.suppress(ChildProcessError), _opened(self.process) as ended:
                select.select([ended], [], [], 0.02)

    def end(self, how: signal.Signals) -> None:
        """Signal it and wait for its end."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_SECONDS)
            self._process = None

    def last_words(self) -> str:
        """The end of its log."""
        return self._lab.inside(self._vm, "tail", "-n5", f"/var/log/{Path(self._argv[0]).name}.log").stdout


def whoami(engine: Engine, name: str, address: str, port: int = 80) -> str:
    """Which address a server of ours sees when a container calls it; empty when it is not reached.

    A server that has just been started may refuse at first: it is asked again, for two seconds.
    """
    host = f"[{address}]" if ":" in address else address
    ask = f"printf 'GET /cgi-bin/whoami HTTP/1.0\\r\\nHost: {host}\\r\\n\\r\\n' | nc -w 2 {address} {port} 2>&1"
    said = ""

    def answered() -> bool:
        nonlocal said
        said = engine.execute(name, "sh", "-c", f"{ask} | tail -n1")
        return not said.startswith("nc:")

    eventually(lambda: answered() or "refused" not in said, 2.0)
    return "" if said.startswith("nc:") else seen(said)


def answers(descriptor: int, address: str, port: int, calls: int, source: str = "") -> set[tuple[str, str]]:
    """Who answers calls from a namespace, by host name, and which address they see.

    Args:
        descriptor: the namespace of the caller.
        address: what is called.
        port: of the address.
        calls: how many, one after another, each from a port of its own.
        source: the caller's address, where it has several.

    Raises:
        OSError: a call is not answered.
    """
    host = f"[{address}]" if ":" in address else address
    found = set()
    for _ in range(calls):
        with namespace.entered(descriptor):
            caller = socket.socket(family_of(address), socket.SOCK_STREAM)
        with caller, caller.makefile("r", encoding="ascii") as answer:
            caller.settimeout(2.0)
            if source:
                caller.bind((source, 0))
            caller.connect((address, port))
            caller.sendall(f"GET /cgi-bin/whoami HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            *_, name, saw = answer.read().splitlines()
        found.add((name, seen(saw)))
    return found


def seen(answer: str) -> str:
    """The address in an answer of a server of ours, which writes an IPv4 address as a mapped one."""
    return answer.strip().removeprefix("[").removesuffix("]").removeprefix("::ffff:")


class _opened:  # noqa: N801 - used as a function
    def __init__(self, process: int) -> None:
        self._process = process

    def __enter__(self) -> int:
        self._descriptor = os.pidfd_open(self._process)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
