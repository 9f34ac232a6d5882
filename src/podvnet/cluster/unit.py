"""A program that a VM keeps running, as a value: systemd is told it on a VM of Azure, our keeper on the fabric's."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podvnet.cluster.file import File

UNITS = Path("/etc/podvnet/units")
"""Where the keeper of a VM finds its units."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A program that is to run as long as the VM does.

    Attributes:
        name: of the unit and of its log.
        argv: the program, by absolute path, and its arguments.
        environment: what it needs besides PATH and HOME.
        lock: a file that holds the id of the process that has it open: another that runs in this one's place is ended
            first. Empty when there is none.
        seconds_to_end: how long it may take to end when it is told to.
        revision: of what it reads at its start; with another it is started anew.
    """

    name: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    lock: str = ""
    seconds_to_end: float = 10.0
    revision: str = ""

    def document(self) -> dict[str, Any]:
        """As the keeper reads it."""
        return {
            "name": self.name,
            "argv": list(self.argv),
            "environment": dict(self.environment),
            "lock": self.lock,
            "secondsToEnd": self.seconds_to_end,
            "revision": self.revision,
        }

    @classmethod
    def read(cls, document: dict[str, Any]) -> Unit:
        """What :meth:`document` wrote."""
        environment = tuple(document["environment"].items())
        return cls(
            document["name"],
            tuple(document["argv"]),
            environment,
            document["lock"],
            document["secondsToEnd"],
            document["revision"],
        )

    def for_keeper(self) -> File:
        """The file that the keeper reads."""
        return File.document(str(UNITS / f"{self.name}.json"), self.document())

    def for_systemd(self, description: str, *, after: str = "network-online.target") -> File:
        """The file that systemd reads.

        Args:
            description: what it is, in a few words.
            after: the units that are to be up before.
        """
        lines = [
            "[Unit]",
            f"Description={description}",
            f"After={after}",
            f"Wants={after}",
            "",
            "[Service]",
            *(f"Environment={shlex.quote(f'{name}={value}')}" for name, value in self.environment),
            f"ExecStart={shlex.join(self.argv)}",
            "Restart=always",
            "RestartSec=1",
            f"TimeoutStopSec={self.seconds_to_end:g}",
            "KillMode=process",
            "LimitNOFILE=1048576",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
        return File.text(f"/etc/systemd/system/{self.name}.service", "\n".join(lines))
