"""Which addresses are somebody's, and when that cannot be known."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from podvnet.agent.docker import living_addresses


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for /proc: this process, one that has just ended, and what is no process."""
    (tmp_path / "41" / "ns").mkdir(parents=True)
    (tmp_path / "41" / "ns" / "net").symlink_to(f"/proc/{os.getpid()}/ns/net")
    (tmp_path / "42").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "version").touch()
    monkeypatch.setattr(living_addresses, "_PROCESSES", tmp_path)
    monkeypatch.setattr(living_addresses, "_addresses", lambda _: {ip_address("10.1.1.5")})
    return tmp_path


def test_a_process_that_ends_meanwhile_is_no_obstacle(processes: Path) -> None:
    assert living_addresses.living_addresses() == frozenset({ip_address("10.1.1.5")})


def test_a_namespace_that_cannot_be_opened_makes_it_unknown(processes: Path) -> None:
    (processes / "43" / "ns").mkdir(parents=True)
    (processes / "43" / "ns" / "net").symlink_to("net")  # a loop
    assert living_addresses.living_addresses() is None


def test_a_namespace_that_cannot_be_entered_makes_it_unknown(processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(living_addresses, "_PROCESSES", processes)
    (processes / "43" / "ns").mkdir(parents=True)
    (processes / "43" / "ns" / "net").symlink_to("/dev/null")
    (processes / "41" / "ns" / "net").unlink()
    assert living_addresses.living_addresses() is None
