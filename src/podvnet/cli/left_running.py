"""A program that is started, and left running once it says by a descriptor that it is ready."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path


class NotReadyError(Exception):
    """It did not become ready, and was ended. The message is its last words in the log."""


def start(arguments: list[str], log: Path, seconds: float) -> None:
    """Start ``podvnet`` with arguments and ``--ready-descriptor``; return when it is ready.

    Args:
        arguments: of the command line.
        log: what it says is added there.
        seconds: that it may take.

    Raises:
        NotReadyError: it has ended, or takes longer.
    """
    reader, writer = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "podvnet", *arguments, "--ready-descriptor", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writer],
            start_new_session=True,
            cwd="/",
        )
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], seconds)
        if ready and os.read(reader, 1):
            return
    finally:
        os.close(reader)
    process.terminate()  # nothing, when it has ended
    raise NotReadyError(" / ".join(log.read_text(errors="replace").splitlines()[-3:]))
