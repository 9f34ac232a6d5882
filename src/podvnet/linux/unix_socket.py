"""Unix sockets at any path: the kernel takes an address of 107 octets, so a longer way is gone by an open directory."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def connect(path: Path, seconds: float) -> socket.socket:
    """A stream socket connected to ``path``, whose calls wait at most so long.

    Raises:
        OSError: nobody listens there.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        found.settimeout(seconds)
        try:
            found.connect(f"/proc/self/fd/{directory}/{path.name}")
        except OSError:
            found.close()
            raise
        return found
    finally:
        os.close(directory)
