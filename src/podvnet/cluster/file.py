"""Files that a program needs, as values: what is decided first and written later."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class File:
    """A file of a VM.

    Attributes:
        path: absolute.
        content: all of it.
        mode: permissions; what holds a key is for root alone.
    """

    path: str
    content: bytes
    mode: int = 0o644

    @classmethod
    def text(cls, path: str, content: str, mode: int = 0o644) -> File:
        """A file of text."""
        return cls(path, content.encode(), mode)

    @classmethod
    def document(cls, path: str, content: Any, mode: int = 0o644) -> File:
        """A file of JSON, which every reader of YAML takes."""
        return cls.text(path, json.dumps(content, indent=2) + "\n", mode)


def archive(files: Iterable[File]) -> bytes:
    """A tar archive of files, to be unpacked at ``/``. ``tar`` replaces what is there file by file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode = len(file.content), file.mode
            made.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()
