"""The talk of FRR's daemons over their Unix sockets: what ``vtysh`` does, without a program each time.

Source: FRR, ``lib/vty.c`` and ``vtysh/vtysh.c``: a command ends with a zero octet, an answer with three of them and a
result.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podvnet.linux.unix_socket import connect

_END = b"\0\0\0"
_SECONDS = 5.0
_DONE = (0, 5)
"""Results of commands that were carried out: success, and nothing matched by a filter."""


class VtyError(Exception):
    """A daemon refused a command, or is not there."""


class Vty:
    """A connection to a daemon. For one thread.

    Raises:
        VtyError: nobody answers there.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._socket = connect(path, _SECONDS)
        except OSError as error:
            raise VtyError(str(error)) from error
        self.run("enable")

    def __enter__(self) -> Self:
        """The connection itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def run(self, command: str) -> str:
        """Carry out a command; return what is said.

        Raises:
            VtyError: it is refused. A password in it is in no message.
        """
        try:
            self._socket.sendall(command.encode() + b"\0")
            found = b""
            while not (len(found) >= len(_END) + 1 and found[-4:-1] == _END):
                part = self._socket.recv(1 << 16)
                if not part:
                    msg = "the daemon has closed the connection"
                    raise VtyError(msg)
                found += part
        except OSError as error:
            raise VtyError(str(error)) from error
        text = found[:-4].decode(errors="replace")
        if found[-1] not in _DONE:
            msg = f"{command.partition(' password ')[0]}: {text.strip() or found[-1]}"
            raise VtyError(msg)
        return text

    def ask(self, command: str) -> dict[str, Any]:
        """Carry out a command that answers in JSON; nothing is an empty object.

        Raises:
            VtyError: it is refused.
        """
        text = self.run(command)
        try:
            found = json.loads(text or "{}")
        except ValueError as error:
            msg = f"{command}: {text[:80]!r} is no JSON"
            raise VtyError(msg) from error
        return found if isinstance(found, dict) else {}

    def configure(self, commands: tuple[str, ...]) -> None:
        """Carry out commands that configure.

        Raises:
            VtyError: one is refused; those before it hold.
        """
        for command in ("configure terminal", *commands, "end"):
            self.run(command)
