"""A server under measurement: started, asked how much memory it has, ended by its id, all at once or politely."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from api_client import Call, Client

_START_SECONDS = 300.0


class NotStartedError(Exception):
    """A server ended, or said nothing, instead of becoming ready; the message is the end of its log."""


@dataclass
class Service:
    """A running server. ``start_seconds``: from its execution until it was ready."""

    process: subprocess.Popen[bytes]
    log: Path
    start_seconds: float

    def memory(self) -> int:
        """Bytes it has in memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS"))

    def cpu(self) -> float:
        """Seconds of CPU it has spent so far."""
        return time.clock_gettime((~self.process.pid << 3) | 2)  # clock_getcpuclockid(3)

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.wait()


def start_fabric(log: Path) -> Service:
    """Start a fabric process; its VMs are bare. Ready is when it has recovered the network and serves.

    Raises:
        NotStartedError: it ended instead.
    """
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "podvnet", "fabric", "--no-agents", "--ready-descriptor", str(writer)]
    start = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[writer])
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], _START_SECONDS)
        if not ready or not os.read(reader, 1):
            process.kill()
            raise NotStartedError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
    finally:
        os.close(reader)
    return Service(process, log, time.perf_counter() - start)


def start_moto(program: Path, port: int, log: Path) -> Service:
    """Start moto's server. Ready is when it answers.

    Raises:
        NotStartedError: it ended instead.
    """
    start = time.perf_counter()
    with log.open("ab") as output:
        argv = [str(program), "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    client = Client(f"http://127.0.0.1:{port}", {})
    while time.perf_counter() - start < _START_SECONDS:
        try:
            client.call(Call("GET", "/moto-api/data.json"))
            return Service(process, log, time.perf_counter() - start)
        except (OSError, HTTPException):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                break  # it has ended
    process.kill()
    raise NotStartedError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
