"""How many bytes the links of a namespace have carried."""

from __future__ import annotations

from pathlib import Path

from podvnet.linux import namespace

_DEVICES = Path("/proc/thread-self/net/dev")
_RECEIVED, _SENT = 0, 8


def read(label: str) -> dict[str, tuple[int, int]]:
    """Bytes received and sent by link name; nothing when there is no such namespace."""
    try:
        with namespace.opened(label) as descriptor:
            text = namespace.run_inside(descriptor, lambda: _DEVICES.read_text(encoding="ascii"))
    except OSError:
        return {}
    found = {}
    for line in text.splitlines()[2:]:
        name, _, figures = line.partition(":")
        columns = figures.split()
        found[name.strip()] = int(columns[_RECEIVED]), int(columns[_SENT])
    return found
