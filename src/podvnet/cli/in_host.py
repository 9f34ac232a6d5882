"""podvnet in a node's host, put there and taken away by containers that see the host's folders at their own paths.

The order is as on a VM: executables, then the agent, then the conflist. The conflist is put beside its place, under a
name that no runtime reads, and the agent moves it there when it serves (:mod:`podvnet.agent.conflist_gate`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from podvnet.agent.conflist_gate import withdrawn
from podvnet.cli import conflist as conflists
from podvnet.plugin.shim import best_shim

PROGRAMS = ("azure-vnet", "azure-vnet-ipam")
COPIED = "copied-programs.json"
"""In the agent's folder on disk: the reference plug-ins that were copied into the host, so ours to take away."""
_SECONDS_FOR_AGENT = 120


class AgentStaysError(Exception):
    """The agent of this node does not end."""


def copy(source: Path, target: Path) -> None:
    """Copy a program; whoever executes it meanwhile has the old or the new one, whole."""
    temporary = target.with_name(f".{target.name}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o755)
    temporary.rename(target)


def write(target: Path, text: str) -> None:
    """Write a file of settings; whoever reads it meanwhile has the old or the new one, whole."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.rename(target)


def copy_programs(bin_dir: Path) -> list[str]:
    """Copy the shim under both names; return what was made."""
    bin_dir.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        copy(best_shim(), bin_dir / program)
    return [f"{program} in {bin_dir}" for program in PROGRAMS]


def copy_reference(source: Path, bin_dir: Path, state: Path) -> list[str]:
    """Copy the reference plug-ins that the host lacks, or has from us; return what was made.

    Raises:
        FileNotFoundError: ``source`` lacks one.
    """
    known, made = _copied(state), []
    for program in conflists.REFERENCE:
        target = bin_dir / program
        theirs = target.exists() and known.get(program) != _digest(target)
        if theirs or (target.exists() and _digest(target) == _digest(source / program)):
            continue
        known[program] = _digest(source / program)
        # Written down before: a program that is not there is none to take away, one that nobody remembers stays.
        write(state / COPIED, json.dumps(known, indent=2) + "\n")
        copy(source / program, target)
        made.append(f"{program} in {bin_dir}, from {source}")
    return made


def offer(target: Path, document: dict[str, Any]) -> Path:
    """Write the conflist where it is: in its place if it is there, else beside it, for the agent. Return where."""
    target.parent.mkdir(parents=True, exist_ok=True)
    place = target if target.exists() else withdrawn(target)
    write(place, json.dumps(document, indent=2) + "\n")
    return place


def wait_for_agent(run: Path, seconds: int = _SECONDS_FOR_AGENT) -> None:
    """Wait until no agent serves the node.

    Raises:
        AgentStaysError: one still does.
    """
    run.mkdir(parents=True, exist_ok=True)

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise AgentStaysError(f"an agent has served this node for {seconds} seconds more")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        with (run / "agent.lock").open("a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def withdraw(target: Path) -> None:
    """Take the conflist away, wherever it is."""
    target.unlink(missing_ok=True)
    withdrawn(target).unlink(missing_ok=True)


def take_programs(bin_dir: Path, state: Path) -> list[str]:
    """Remove what was copied into the host and is still what was copied; return what."""
    removed = []
    for program in PROGRAMS:
        if (bin_dir / program).exists():
            (bin_dir / program).unlink()
            removed.append(f"{program} in {bin_dir}")
    for program, digest in _copied(state).items():
        if (bin_dir / program).exists() and _digest(bin_dir / program) == digest:
            (bin_dir / program).unlink()
            removed.append(f"{program} in {bin_dir}")
    (state / COPIED).unlink(missing_ok=True)
    return removed


def await_nodes(name: str, space: str, seconds: float = 600.0) -> int:
    """Wait until a DaemonSet is ready on every node; return on how many.

    Raises:
        SourceError: the API does not let us look.
        TimeoutError: it is not; the message says how far it is.
    """
    from podvnet.kube.node_access import IN_CLUSTER, read_access
    from podvnet.kube.node_api import NodeApi

    api = NodeApi(read_access(IN_CLUSTER))
    deadline, found = time.monotonic() + seconds, "not been seen"
    while time.monotonic() < deadline:
        for event in api.watch(f"/apis/apps/v1/namespaces/{space}/daemonsets", fieldSelector=f"metadata.name={name}"):
            document = event["object"]
            if document["kind"] != "DaemonSet":
                continue  # a bookmark of another kind
            status, generation = document.get("status", {}), document["metadata"].get("generation", 0)
            wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
            if status.get("observedGeneration", -1) >= generation and ready >= wanted:
                return int(ready)
            found = f"ready on {ready} of {wanted} nodes"
            if time.monotonic() >= deadline:
                break
    raise TimeoutError(f"the DaemonSet {space}/{name} is {found} after {seconds:g} seconds")


def _copied(state: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads((state / COPIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _digest(program: Path) -> str:
    return hashlib.sha256(program.read_bytes()).hexdigest()
