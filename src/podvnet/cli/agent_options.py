"""Options of the agent as variables, in a file that is read at its start."""

from __future__ import annotations

from pathlib import Path

from podvnet.cli.in_host import write

FILE = Path("/etc/podvnet/agent.env")


def options() -> dict[str, str]:
    """What the file of options says. systemd reads it by itself."""
    lines = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def add(name: str, value: str) -> None:
    """Put an option into the file, unless it is there."""
    if name not in options():
        FILE.parent.mkdir(parents=True, exist_ok=True)
        text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
        write(FILE, f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{name}={value}\n")


def forget(name: str) -> bool:
    """Take an option out of the file, and nothing else; tell whether it was there."""
    if name not in options():
        return False
    lines = FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in lines if line.partition("=")[0].strip() != name)
    if kept.strip():
        write(FILE, kept)
    else:
        FILE.unlink()
    return True
