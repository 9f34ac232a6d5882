"""A VM that is to be part of a cluster, from outside: programs run in it, files written to its disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from podvnet.cluster.file import File, archive

_TIMEOUT = 300.0


class VmError(Exception):
    """A program on a VM failed; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM.

    Attributes:
        name: as the resource manager has it.
        command: what runs a program inside when it stands before it.
    """

    name: str
    command: tuple[str, ...]

    def run(self, *argv: str, given: bytes = b"", check: bool = True, timeout: float = _TIMEOUT) -> str:
        """Run a program; return what it says.

        Args:
            argv: the program.
            given: its input.
            check: it must not fail.
            timeout: seconds.

        Raises:
            VmError: it failed.
        """
        try:
            done = subprocess.run(
                [*self.command, *argv], input=given, capture_output=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise VmError(f"{self.name}: {argv[0]} did not end within {timeout:g} seconds") from None
        if check and done.returncode != 0:
            words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise VmError(f"{self.name}: {argv[0]}: exit {done.returncode}: {' / '.join(words[-5:])}")
        return done.stdout.decode(errors="replace")

    def succeeds(self, *argv: str) -> bool:
        """Run a program; tell whether it went well."""
        done = subprocess.run(
            [*self.command, *argv], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT
        )
        return done.returncode == 0

    def script(self, text: str) -> str:
        """Run a script of the shell; as :meth:`run`."""
        return self.run("sh", "-c", text)

    def write(self, files: Iterable[File]) -> None:
        """Write files to its disk.

        Raises:
            VmError: they cannot be.
        """
        self.run("tar", "--extract", "--no-same-owner", "--directory=/", "--file=-", given=archive(files))

    def last_words(self, unit: str) -> str:
        """The last lines of a unit's log."""
        said = self.run("tail", "-n3", f"/var/log/{unit}.log", check=False)
        return " / ".join(said.strip().splitlines()) or "it said nothing"
