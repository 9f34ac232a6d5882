"""Executes plug-ins as a runtime does and measures each: posix_spawn and wait4, nothing else of Python between.

Configuration and result travel through memory files made beforehand, so that neither a pipe nor a reader thread is part
of what is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_READ_SIZE = 1 << 20


class Call(NamedTuple):
    """One execution: which program, with which environment, what it reads on stdin."""

    program: str
    environment: dict[str, str]
    stdin: bytes = b""


class Sample(NamedTuple):
    """One execution: seconds of the wall, seconds of CPU of the program and its children, what it printed."""

    wall: float
    cpu: float
    output: bytes


class ExecutionError(Exception):
    """A program failed; the message is what it printed."""


@dataclass(slots=True)
class _Slot:
    """The files of one execution at a time."""

    stdin: int
    stdout: int

    @classmethod
    def make(cls) -> _Slot:
        return cls(os.memfd_create("stdin"), os.memfd_create("stdout"))

    def load(self, data: bytes) -> None:
        os.ftruncate(self.stdin, 0)
        os.pwrite(self.stdin, data, 0)
        os.lseek(self.stdin, 0, os.SEEK_SET)
        os.ftruncate(self.stdout, 0)
        os.lseek(self.stdout, 0, os.SEEK_SET)

    def spawn(self, call: Call) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, self.stdin, 0), (os.POSIX_SPAWN_DUP2, self.stdout, 1)]
        return os.posix_spawn(call.program, [call.program], call.environment, file_actions=actions)

    def output(self) -> bytes:
        return os.pread(self.stdout, _READ_SIZE, 0)

    def close(self) -> None:
        os.close(self.stdin)
        os.close(self.stdout)


def execute(calls: Iterable[Call], width: int = 1) -> list[Sample]:
    """Run calls, ``width`` at once, and return a sample of each, in the order of the calls.

    Raises:
        ExecutionError: one failed; those under way are waited for.
    """
    slots = [_Slot.make() for _ in range(width)]
    try:
        return _execute(enumerate(calls), slots)
    finally:
        for slot in slots:
            slot.close()


def _execute(calls: Iterator[tuple[int, Call]], slots: list[_Slot]) -> list[Sample]:
    idle = list(slots)
    flying: dict[int, tuple[int, Call, _Slot, float]] = {}
    samples: dict[int, Sample] = {}
    failure: ExecutionError | None = None
    while True:
        while idle and failure is None and (following := next(calls, None)) is not None:
            position, call = following
            slot = idle.pop()
            slot.load(call.stdin)
            start = time.perf_counter()
            flying[slot.spawn(call)] = position, call, slot, start
        if not flying:
            break
        pid, status, usage = os.wait4(-1, 0)
        end = time.perf_counter()
        if pid not in flying:
            raise ExecutionError(f"process {pid}, which should live on, ended with status {status}")
        position, call, slot, start = flying.pop(pid)
        samples[position] = Sample(end - start, usage.ru_utime + usage.ru_stime, slot.output())
        if status:
            words = f"{call.program} {call.environment.get('CNI_COMMAND', '')}: status {status}: "
            failure = failure or ExecutionError(words + samples[position].output.decode(errors="replace"))
        idle.append(slot)
    if failure:
        raise failure
    return [samples[position] for position in sorted(samples)]
